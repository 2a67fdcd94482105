#ifndef ENGINE_COMPLETE_H
#define ENGINE_COMPLETE_H
/*
 * complete.h — whether a file is a whole model: what cannot be run is not written either.
 *
 * Looks at   hyper-parameters, the table of tensors and the vocabulary, as opening the model would.
 * Errors     one sentence naming the file.
 * Threads    pure.
 */
#include "base/err.h"
#include "engine/gguf.h"

as_code g4_check_complete(const g4_gguf *f, as_err *err);

#endif
