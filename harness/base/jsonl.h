#ifndef BASE_JSONL_H
#define BASE_JSONL_H
/*
 * jsonl.h — JSON Lines, plain or gzip'd, one line at a time.
 *
 * Format     one JSON value a line; empty and blank lines are skipped; the last line may lack its
 *            newline; a UTF-8 byte-order mark at the start is skipped. gzip is recognised by its
 *            content, not by the name. "-" reads standard input.
 * Limits     max_line_bytes (0 means 256 MiB) bounds one line; memory is one line and its tree.
 * Errors     every message begins with the path and the line number: "x.jsonl: line 7: …".
 * Ownership  *out of as_jsonl_next belongs to the caller (as_json_free).
 * Threads    one reader, one thread.
 */
#include "base/err.h"
#include "base/json.h"

typedef struct as_jsonl as_jsonl;

as_code as_jsonl_open(as_jsonl **out, const char *path, size_t max_line_bytes, as_err *err);
void as_jsonl_close(as_jsonl *in);

/* The next line's text, borrowed until the next call; *is_end true and an empty text at the end. */
as_code as_jsonl_next_text(as_jsonl *in, as_str *out, bool *is_end, as_err *err);
/* The next value; *out NULL at the end. */
as_code as_jsonl_next(as_jsonl *in, as_json **out, as_err *err);

size_t as_jsonl_line(const as_jsonl *in); /* of the value returned last, from 1 */
const char *as_jsonl_path(const as_jsonl *in);
/* Puts "path: line N: " in front of an error about the value returned last. */
as_code as_jsonl_wrap(const as_jsonl *in, as_err *err);

#endif
