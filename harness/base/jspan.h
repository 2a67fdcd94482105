#ifndef BASE_JSPAN_H
#define BASE_JSPAN_H
/*
 * jspan.h — walks JSON text that is too long for a tree: values as pieces of the text.
 *
 * Use        as_jspan_begin at an array or object, then as_jspan_next until *is_end; every value is
 *            handed out as the text it takes, untouched. Texts are decoded with as_jspan_text.
 * Checked    nesting (up to 500), texts, commas and colons. Numbers and words are taken as they are.
 * Texts      as Python's json reads them: UTF-8, escapes, and \uD800…\uDFFF without a partner stay
 *            what they are (three bytes, "surrogatepass").
 * Errors     AS_PARSE names the byte offset.
 * Ownership  spans borrow from the text.
 * Threads    pure.
 */
#include "base/buf.h"
#include "base/err.h"

typedef struct as_jspan {
    as_str text;
    size_t at;
    bool is_object;
    bool is_first;
} as_jspan;

/* The one value that is the whole text must begin with '[' or '{'. */
as_code as_jspan_begin(as_jspan *out, as_str text, as_err *err);
/* The next element or member; name is empty for arrays, else the text between the quotes. At the
 * end nothing but blanks may follow. */
as_code as_jspan_next(as_jspan *s, as_str *name, as_str *value, bool *is_end, as_err *err);

/* Is the value a text? (It begins with a quote.) */
bool as_jspan_is_text(as_str value);
/* Appends the characters of a text value. */
as_code as_jspan_text(as_buf *out, as_str value, as_err *err);

#endif
