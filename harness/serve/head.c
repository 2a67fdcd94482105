#include "serve/head.h"

#include <strings.h>

enum { MAX_CHUNK_LINE = 64, MAX_TRAILER_BYTES = 4096 };

size_t sv_head_end(as_str bytes, size_t from)
{
    size_t i = from >= 3 ? from - 3 : 0;
    while (i < bytes.n) {
        const char *lf = memchr(bytes.p + i, '\n', bytes.n - i);
        if (lf == NULL)
            return 0;
        i = (size_t)(lf - bytes.p) + 1;
        if (i < bytes.n && bytes.p[i] == '\n')
            return i + 1;
        if (i + 1 < bytes.n && bytes.p[i] == '\r' && bytes.p[i + 1] == '\n')
            return i + 2;
    }
    return 0;
}

static as_code refuse(int *status, int with, as_err *err, const char *what)
{
    *status = with;
    return as_fail(err, AS_PARSE, "%s", what);
}

static bool is_token(as_str s)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        const bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_plain && (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return s.n != 0;
}

static bool is_printable(as_str s, bool allow_blank)
{
    for (size_t i = 0; i < s.n; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        if (c == 0x7F || (c < 0x20 && !(allow_blank && c == '\t')) || (c == ' ' && !allow_blank))
            return false;
    }
    return true;
}

/* The next line without its end; rest becomes what follows. */
static as_str next_line(as_str *rest)
{
    as_str line;
    (void)as_str_cut(*rest, '\n', &line, rest);
    if (line.n != 0 && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

static as_code parse_request_line(sv_head *h, as_str line, int *status, as_err *err)
{
    as_str rest, version;
    if (!as_str_cut(line, ' ', &h->method, &rest) || !as_str_cut(rest, ' ', &h->target, &version))
        return refuse(status, 400, err, "the request line wants METHOD TARGET HTTP/1.1");
    if (!is_token(h->method) || h->target.n == 0 || !is_printable(h->target, false))
        return refuse(status, 400, err, "the request line has bytes that do not belong there");
    if (as_str_eq_z(version, "HTTP/1.0"))
        h->is_http10 = true;
    else if (!as_str_eq_z(version, "HTTP/1.1"))
        return refuse(status, as_str_starts(version, AS_STR("HTTP/")) ? 505 : 400, err,
                      "this server speaks HTTP/1.1");
    as_str target = h->target;
    if (as_str_starts(target, AS_STR("http://"))) { /* the form for proxies */
        target = as_str_sub(target, 7, target.n);
        const size_t slash = as_str_find(target, AS_STR("/"));
        target = slash == SIZE_MAX ? AS_STR("/") : as_str_sub(target, slash, target.n);
    }
    (void)as_str_cut(target, '?', &h->path, &h->query);
    return AS_OK;
}

static bool same_name(as_str a, const char *b)
{
    return a.n == strlen(b) && strncasecmp(a.p, b, a.n) == 0;
}

/* Is word among the comma-separated words of list? */
static bool has_word(as_str list, const char *word)
{
    while (list.n != 0) {
        as_str head;
        (void)as_str_cut(list, ',', &head, &list);
        if (same_name(as_str_trim(head), word))
            return true;
    }
    return false;
}

static as_code parse_header(sv_head *h, as_str line, int *status, as_err *err)
{
    if (h->n_headers == SV_MAX_HEADERS)
        return refuse(status, 431, err, "more than 64 header lines");
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(status, 400, err, "a header line must not begin with a blank");
    sv_header *const out = &h->headers[h->n_headers];
    if (!as_str_cut(line, ':', &out->name, &out->value) || !is_token(out->name))
        return refuse(status, 400, err, "a header line wants \"Name: value\"");
    out->value = as_str_trim(out->value);
    if (!is_printable(out->value, true))
        return refuse(status, 400, err, "a header has a control byte in its value");
    h->n_headers++;
    return AS_OK;
}

static as_code parse_length(sv_head *h, as_str value, bool *has_length, int *status, as_err *err)
{
    int64_t n = 0;
    const bool starts_well = value.n != 0 && value.p[0] >= '0' && value.p[0] <= '9';
    if (!starts_well || !as_parse_i64(value, 0, INT64_C(1) << 50, &n))
        return refuse(status, 400, err, "Content-Length wants a number of bytes");
    if (*has_length && (size_t)n != h->body_bytes)
        return refuse(status, 400, err, "two different Content-Length headers");
    *has_length = true;
    h->body_bytes = (size_t)n;
    return AS_OK;
}

/* What the headers say of the connection and of the body's end. */
static as_code read_framing(sv_head *h, int *status, as_err *err)
{
    bool has_length = false;
    h->keep_alive = !h->is_http10;
    for (int i = 0; i < h->n_headers; i++) {
        const sv_header *const f = &h->headers[i];
        if (same_name(f->name, "content-length")) {
            AS_TRY(parse_length(h, f->value, &has_length, status, err));
        } else if (same_name(f->name, "transfer-encoding")) {
            if (!same_name(f->value, "chunked") || h->is_chunked)
                return refuse(status, 501, err, "Transfer-Encoding: only chunked is understood");
            h->is_chunked = true;
        } else if (same_name(f->name, "connection")) {
            if (has_word(f->value, "close"))
                h->keep_alive = false;
            else if (has_word(f->value, "keep-alive"))
                h->keep_alive = true;
        } else if (same_name(f->name, "expect")) {
            if (!same_name(f->value, "100-continue"))
                return refuse(status, 417, err, "Expect: only 100-continue is understood");
            h->wants_continue = true;
        }
    }
    if (has_length && h->is_chunked)
        return refuse(status, 400, err, "Content-Length and Transfer-Encoding together");
    if (h->is_chunked && h->is_http10)
        return refuse(status, 400, err, "HTTP/1.0 has no chunks");
    return AS_OK;
}

as_code sv_head_parse(sv_head *out, as_str bytes, int *status, as_err *err)
{
    *out = (sv_head){0};
    *status = 400;
    as_str rest = bytes;
    AS_TRY(parse_request_line(out, next_line(&rest), status, err));
    while (rest.n != 0) {
        const as_str line = next_line(&rest);
        if (line.n == 0)
            break;
        AS_TRY(parse_header(out, line, status, err));
    }
    return read_framing(out, status, err);
}

as_str sv_head_get(const sv_head *head, const char *name)
{
    for (int i = 0; i < head->n_headers; i++)
        if (same_name(head->headers[i].name, name))
            return head->headers[i].value;
    return (as_str){0};
}

as_str sv_query_get(as_str query, const char *name)
{
    while (query.n != 0) {
        as_str pair, key, value;
        (void)as_str_cut(query, '&', &pair, &query);
        (void)as_str_cut(pair, '=', &key, &value);
        if (as_str_eq_z(key, name))
            return value.p != NULL ? value : AS_STR("");
    }
    return (as_str){0};
}

/* ---- chunks ------------------------------------------------------------------------------------ */

static bool parse_chunk_size(as_str line, size_t *out)
{
    as_str digits, extension;
    (void)as_str_cut(line, ';', &digits, &extension);
    digits = as_str_trim(digits);
    if (digits.n > 12)
        return false;
    uint64_t v = 0;
    if (!as_parse_hex(digits, &v))
        return false;
    *out = (size_t)v;
    return true;
}

/* A line of the chunked form out of bytes; false if its end has not come. */
static bool chunk_line(as_str bytes, size_t used, as_str *line, size_t *next)
{
    const char *lf = memchr(bytes.p + used, '\n', bytes.n - used);
    if (lf == NULL)
        return false;
    *next = (size_t)(lf - bytes.p) + 1;
    as_str rest = as_str_sub(bytes, used, *next);
    *line = next_line(&rest);
    return true;
}

static as_code take_line(sv_chunked *c, as_str line, size_t max_bytes, const as_buf *out,
                         int *status, as_err *err)
{
    if (c->state == SV_CHUNK_SIZE) {
        if (!parse_chunk_size(line, &c->left))
            return refuse(status, 400, err, "a chunk of the body has no size in hexadecimal");
        if (c->left > max_bytes - out->n) {
            *status = 413;
            return as_fail(err, AS_RANGE, "the body is larger than %zu bytes", max_bytes);
        }
        c->state = c->left != 0 ? SV_CHUNK_DATA : SV_CHUNK_TRAILER;
    } else if (c->state == SV_CHUNK_DATA_END) {
        if (line.n != 0)
            return refuse(status, 400, err, "a chunk of the body is longer than its size says");
        c->state = SV_CHUNK_SIZE;
    } else { /* trailer lines are read and dropped */
        c->trailer_bytes += line.n;
        if (c->trailer_bytes > MAX_TRAILER_BYTES)
            return refuse(status, 431, err, "the body's trailer is larger than 4096 bytes");
        if (line.n == 0)
            c->state = SV_CHUNK_DONE;
    }
    return AS_OK;
}

as_code sv_chunked_feed(sv_chunked *c, as_str bytes, as_buf *out, size_t *used, int *status,
                        as_err *err)
{
    *used = 0;
    *status = 400;
    while (c->state != SV_CHUNK_DONE && *used < bytes.n) {
        if (c->state == SV_CHUNK_DATA) {
            const size_t have = bytes.n - *used;
            const size_t n = c->left < have ? c->left : have;
            AS_TRY(as_buf_add(out, as_str_sub(bytes, *used, *used + n)));
            *used += n;
            c->left -= n;
            if (c->left == 0)
                c->state = SV_CHUNK_DATA_END;
            continue;
        }
        as_str line;
        size_t next = 0;
        if (!chunk_line(bytes, *used, &line, &next)) {
            const size_t limit =
                c->state == SV_CHUNK_TRAILER ? MAX_TRAILER_BYTES : (size_t)MAX_CHUNK_LINE;
            if (bytes.n - *used > limit)
                return refuse(status, 400, err, "a line of the chunked body has no end");
            return AS_OK;
        }
        AS_TRY(take_line(c, line, out->max_bytes, out, status, err));
        *used = next;
    }
    return AS_OK;
}
