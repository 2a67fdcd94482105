#include "scorers/code/cell.h"

#include <zlib.h>

#include "base/base64.h"

enum { PIECE_BYTES = 1 << 16 };

/* ---- pickle -------------------------------------------------------------------------------- */

static bool take(as_str *rest, size_t n, as_str *out)
{
    if (n > rest->n)
        return false;
    *out = as_str_sub(*rest, 0, n);
    *rest = as_str_sub(*rest, n, rest->n);
    return true;
}

/* A little-endian number of up to 8 bytes. */
static bool take_number(as_str *rest, size_t n_bytes, uint64_t *out)
{
    as_str s;
    if (!take(rest, n_bytes, &s))
        return false;
    *out = 0;
    for (size_t i = n_bytes; i-- > 0;)
        *out = (*out << 8) | (uint8_t)s.p[i];
    return true;
}

static bool take_text(as_str *rest, size_t n_bytes, as_str *text)
{
    uint64_t n = 0;
    return !as_str_is_set(*text) && take_number(rest, n_bytes, &n) && n <= rest->n &&
           take(rest, (size_t)n, text);
}

as_code sc_pickle_text(as_str *out, as_str pickle, as_err *err)
{
    as_str rest = pickle;
    as_str text = {0};
    as_str op;
    uint64_t v = 0;
    *out = (as_str){0};
    for (bool is_first = true; take(&rest, 1, &op); is_first = false) {
        const uint8_t code = (uint8_t)op.p[0];
        bool is_fine = true;
        if (is_first || code == 0x80)
            is_fine = is_first && code == 0x80 && take_number(&rest, 1, &v) && v >= 2 && v <= 5;
        else if (code == 0x95) /* FRAME */
            is_fine = take_number(&rest, 8, &v);
        else if (code == 0x8c) /* SHORT_BINUNICODE */
            is_fine = take_text(&rest, 1, &text);
        else if (code == 'X') /* BINUNICODE */
            is_fine = take_text(&rest, 4, &text);
        else if (code == 0x8d) /* BINUNICODE8 */
            is_fine = take_text(&rest, 8, &text);
        else if (code == 0x94) /* MEMOIZE */
            is_fine = as_str_is_set(text);
        else if (code == 'q') /* BINPUT */
            is_fine = as_str_is_set(text) && take_number(&rest, 1, &v);
        else if (code == 'r') /* LONG_BINPUT */
            is_fine = as_str_is_set(text) && take_number(&rest, 4, &v);
        else if (code == '.' && as_str_is_set(text)) { /* STOP */
            *out = text;
            return AS_OK;
        } else
            is_fine = false;
        if (!is_fine)
            return as_fail(err, AS_PARSE,
                           "pickle: byte 0x%02x at offset %zu is no part of one pickled text, and "
                           "nothing else is read",
                           code, (size_t)(op.p - pickle.p));
    }
    return as_fail(err, AS_PARSE, "pickle: ends before its STOP");
}

/* ---- zlib ---------------------------------------------------------------------------------- */

static as_code inflate_all(as_buf *out, as_str cell, z_stream *z, uint8_t piece[PIECE_BYTES],
                           as_err *err)
{
    static const size_t step = PIECE_BYTES;
    size_t at = 0;
    for (int code = Z_OK; code != Z_STREAM_END;) {
        if (z->avail_in == 0) {
            size_t n = 0;
            AS_TRY(as_base64_next(cell, &at, piece, PIECE_BYTES, &n, err));
            if (n == 0)
                return as_fail(err, AS_PARSE, "zlib: the stream ends too early");
            z->next_in = piece;
            z->avail_in = (uInt)n;
        }
        const size_t left = out->max_bytes - out->n;
        const size_t room = left < step ? left : step;
        char *to = room != 0 ? as_buf_reserve(out, room) : NULL;
        if (to == NULL)
            return as_fail(err, AS_RANGE,
                           "zlib: the tests inflate to more than the limit of %zu bytes",
                           out->max_bytes);
        z->next_out = (Bytef *)to;
        z->avail_out = (uInt)room;
        code = inflate(z, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return as_fail(err, AS_PARSE, "zlib: %s", z->msg != NULL ? z->msg : "damaged stream");
        out->n += room - z->avail_out;
    }
    if (z->avail_in != 0 || at != cell.n)
        return as_fail(err, AS_PARSE, "zlib: something follows the stream");
    return AS_OK;
}

static as_code decode_pickled(as_buf *out, as_str cell, as_err *err)
{
    z_stream z = {0};
    uint8_t piece[PIECE_BYTES]; /* lives as long as the stream that points to it */
    as_str text;
    if (inflateInit(&z) != Z_OK)
        return as_fail(err, AS_NOMEM, "zlib: out of memory");
    as_code c = inflate_all(out, cell, &z, piece, err);
    (void)inflateEnd(&z);
    if (c == AS_OK)
        c = sc_pickle_text(&text, as_buf_str(out), err);
    if (c == AS_OK) {
        const size_t n = text.n;
        as_buf_drop(out, (size_t)(text.p - out->p));
        out->n = n;
        out->p[n] = '\0';
    }
    return c;
}

as_code sc_cell_decode(as_buf *out, as_str cell, as_err *err)
{
    const as_str s = as_str_trim(cell);
    as_buf_reset(out);
    if (s.n == 0)
        return as_fail(err, AS_PARSE, "the cell is empty");
    as_code c = AS_OK;
    if (s.p[0] == '[') /* JSON lists begin so, base64 never does */
        c = as_buf_add(out, s);
    else
        c = decode_pickled(out, s, err);
    if (c == AS_NOMEM)
        c = as_fail(err, AS_RANGE, "the tests are longer than the limit of %zu bytes",
                    out->max_bytes);
    if (c != AS_OK)
        as_buf_reset(out);
    return c;
}
