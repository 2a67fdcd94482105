#ifndef ENGINE_JSCAN_H
#define ENGINE_JSCAN_H
/*
 * jscan.h — reads JSON front to back without building a tree.
 *
 * For the two large texts of a model folder: the header of a safetensors file and tokenizer.json
 * (33 MB, 1.5 million values for Gemma 3). A tree of those takes ten times the text; this takes the
 * unescaped strings.
 *
 * Use        the caller says what it expects next:
 *                g4_jscan_begin(s, '{', err);
 *                while (g4_jscan_more(s, &more, err) == AS_OK && more) {
 *                    g4_jscan_key(s, &key, err); … read or g4_jscan_skip …
 *                }
 * Limits     containers up to 64 deep.
 * Errors     "NAME: byte N: want a string": the name is the one given to g4_jscan_init.
 * Ownership  strings without escapes are borrowed from the text, others live in the arena.
 * Threads    one scanner, one thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum { G4_JSCAN_DEPTH = 64 };

typedef struct g4_jscan {
    const char *name;
    as_str text;
    size_t at;
    as_arena *keep;
    char closers[G4_JSCAN_DEPTH];
    int depth;
    bool is_first; /* nothing was read in the innermost container yet */
} g4_jscan;

void g4_jscan_init(g4_jscan *s, const char *name, as_str text, as_arena *keep);

/* The first character of what comes next: '{' '[' '"' 't' 'f' 'n', '0' for a number; 0 for anything
 * else and at the end. */
char g4_jscan_peek(g4_jscan *s);
as_code g4_jscan_begin(g4_jscan *s, char open, as_err *err); /* '{' or '[' */
/* Whether the innermost container has another member; reads its end if not. */
as_code g4_jscan_more(g4_jscan *s, bool *more, as_err *err);
as_code g4_jscan_key(g4_jscan *s, as_str *out, as_err *err);
as_code g4_jscan_str(g4_jscan *s, as_str *out, as_err *err);
as_code g4_jscan_u64(g4_jscan *s, uint64_t *out, as_err *err); /* an integer, nothing else */
as_code g4_jscan_bool(g4_jscan *s, bool *out, as_err *err);
/* Skips one value of any kind; *out (may be NULL) is its text. */
as_code g4_jscan_skip(g4_jscan *s, as_str *out, as_err *err);
/* Nothing but white space is left. */
as_code g4_jscan_end(g4_jscan *s, as_err *err);

as_code g4_jscan_fail(const g4_jscan *s, const char *what, as_err *err);

#endif
