#ifndef BASE_JSON_H
#define BASE_JSON_H
/*
 * json.h — reading JSON (cJSON behind our types) and writing it.
 *
 * Reading    as_json_parse takes the whole text: one value, nothing but white space behind it, at
 *            most 500 levels deep, duplicate keys: the first one counts. Strings may hold NUL
 *            (written \u0000). Numbers are doubles; as_json_i64 demands an exact integer of
 *            magnitude up to 2^53.
 * Errors     the parse error names the byte offset and shows what stands there. The as_json_need_*
 *            calls name the key and what was expected.
 * Ownership  the tree belongs to the caller (as_json_free); nodes and texts live as long as it.
 * Threads    a tree may be read by several threads, parsing is thread-safe.
 *
 * Writing    as_jw appends to an as_buf: compact, keys in the order written, doubles with the
 *            fewest digits that read back equal, NaN and infinities as null, text that is not UTF-8
 *            with U+FFFD in place of each bad byte. The buffer's is_full tells of failure.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

typedef struct cJSON as_json;

typedef enum as_json_kind {
    AS_JSON_NONE, /* for a NULL node */
    AS_JSON_NULL,
    AS_JSON_BOOL,
    AS_JSON_NUMBER,
    AS_JSON_STRING,
    AS_JSON_ARRAY,
    AS_JSON_OBJECT,
} as_json_kind;

as_code as_json_parse(as_json **out, as_str text, as_err *err);
void as_json_free(as_json *tree);

/* All accept NULL nodes, so that look-ups can be chained. */
as_json_kind as_json_type(const as_json *node);
const char *as_json_kind_name(as_json_kind kind);
const as_json *as_json_get(const as_json *object, const char *key); /* NULL when absent */
const as_json *as_json_first(const as_json *container);             /* first child, or NULL */
const as_json *as_json_next(const as_json *child);
size_t as_json_count(const as_json *container);
as_str as_json_key(const as_json *child); /* name of an object's member */

bool as_json_str(const as_json *node, as_str *out);
bool as_json_i64(const as_json *node, int64_t *out);
bool as_json_f64(const as_json *node, double *out);
bool as_json_bool(const as_json *node, bool *out);
bool as_json_id(const as_json *node, int32_t *out); /* of a token: an integer from 0 to 2^31 - 1 */
/* A list of such ids, into the arena. AS_PARSE says which entry is none. */
as_code as_json_ids(const as_json *array, int32_t **ids, int *n, as_arena *keep, as_err *err);

/* The member must be there and of the kind; the text of an error: "\"answer\": want a string,
 * found null". */
as_code as_json_need_str(const as_json *object, const char *key, as_str *out, as_err *err);
as_code as_json_need_i64(const as_json *object, const char *key, int64_t min, int64_t max,
                         int64_t *out, as_err *err);
as_code as_json_need_array(const as_json *object, const char *key, const as_json **out,
                           as_err *err);

typedef struct as_jw {
    as_buf *out;
    bool need_comma;
} as_jw;

void as_jw_init(as_jw *w, as_buf *out);
void as_jw_begin_object(as_jw *w);
void as_jw_end_object(as_jw *w);
void as_jw_begin_array(as_jw *w);
void as_jw_end_array(as_jw *w);
void as_jw_key(as_jw *w, const char *key);
void as_jw_key_str(as_jw *w, as_str key);
void as_jw_str(as_jw *w, as_str text);
void as_jw_z(as_jw *w, const char *text); /* NULL gives null */
void as_jw_i64(as_jw *w, int64_t v);
void as_jw_f64(as_jw *w, double v);
void as_jw_bool(as_jw *w, bool v);
void as_jw_null(as_jw *w);
/* A member: the key and its value. */
void as_jw_put_str(as_jw *w, const char *key, as_str text);
void as_jw_put_z(as_jw *w, const char *key, const char *text);
void as_jw_put_i64(as_jw *w, const char *key, int64_t v);
void as_jw_put_f64(as_jw *w, const char *key, double v);
void as_jw_put_bool(as_jw *w, const char *key, bool v);
void as_jw_put_ids(as_jw *w, const char *key, const int32_t *ids, int n);
void as_jw_raw(as_jw *w, as_str json);          /* a value that already is JSON */
void as_jw_node(as_jw *w, const as_json *node); /* a whole tree again, in the same order */

/* The shortest decimal form of v that strtod reads back as v, into z (at least 32 bytes). */
void as_f64_text(char z[32], double v);

#endif
