#ifndef BASE_BASE64_H
#define BASE_BASE64_H
/*
 * base64.h — bytes as base64 (RFC 4648, section 4) and back.
 *
 * Form       "+" and "/" as the last digits, padded with "=", no line breaks: nothing else is read.
 *            Bits of the last digit that stand for no byte are not looked at.
 * Errors     encoding: the buffer's. Decoding: AS_PARSE names the offset.
 * Threads    pure.
 */
#include "base/buf.h"

as_code as_base64_add(as_buf *out, as_str bytes);

/* Decodes from text[*at] on into at most max bytes (3 at least) and moves *at behind what it read;
 * *n 0: the text has ended. */
as_code as_base64_next(as_str text, size_t *at, uint8_t *bytes, size_t max, size_t *n, as_err *err);

#endif
