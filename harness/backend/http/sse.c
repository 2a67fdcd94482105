#include "backend/http/sse.h"

static const char byte_order_mark[] = "\xEF\xBB\xBF";

void ht_sse_init(ht_sse *s, bool is_json_lines, ht_on_event on_event, void *user)
{
    *s = (ht_sse){.on_event = on_event, .user = user, .is_json_lines = is_json_lines};
    as_buf_init(&s->line, HT_MAX_LINE);
    as_buf_init(&s->data, HT_MAX_LINE);
    as_buf_init(&s->name, HT_MAX_LINE);
}

void ht_sse_release(ht_sse *s)
{
    as_buf_release(&s->line);
    as_buf_release(&s->data);
    as_buf_release(&s->name);
}

void ht_sse_reset(ht_sse *s)
{
    as_buf_reset(&s->line);
    as_buf_reset(&s->data);
    as_buf_reset(&s->name);
    s->has_data = s->skip_lf = s->has_started = false;
}

static as_code too_long(as_err *err)
{
    return as_fail(err, AS_RANGE, "the stream has a line of more than %d bytes", HT_MAX_LINE);
}

static as_code stopped(as_err *err)
{
    return as_fail(err, AS_CANCELLED, "reading of the stream was stopped");
}

static as_code end_event(ht_sse *s, as_err *err)
{
    bool goes_on = true;
    if (s->has_data)
        goes_on = s->on_event(s->user, as_buf_str(&s->name), as_buf_str(&s->data));
    as_buf_reset(&s->data);
    as_buf_reset(&s->name);
    s->has_data = false;
    return goes_on ? AS_OK : stopped(err);
}

static as_code take_field(ht_sse *s, as_str line, as_err *err)
{
    as_str field, value;
    if (as_str_cut(line, ':', &field, &value) && value.n != 0 && value.p[0] == ' ')
        value = as_str_sub(value, 1, value.n);
    if (as_str_eq(field, AS_STR("data"))) {
        if (s->has_data && as_buf_add_byte(&s->data, '\n') != AS_OK)
            return too_long(err);
        if (as_buf_add(&s->data, value) != AS_OK)
            return too_long(err);
        s->has_data = true;
    } else if (as_str_eq(field, AS_STR("event"))) {
        as_buf_reset(&s->name);
        if (as_buf_add(&s->name, value) != AS_OK)
            return too_long(err);
    }
    return AS_OK;
}

static as_code take_line(ht_sse *s, as_str line, as_err *err)
{
    if (!s->has_started && as_str_starts(line, as_str_of(byte_order_mark)))
        line = as_str_sub(line, 3, line.n);
    s->has_started = true;
    if (s->is_json_lines) {
        const as_str text = as_str_trim(line);
        return text.n == 0 || s->on_event(s->user, (as_str){0}, text) ? AS_OK : stopped(err);
    }
    if (line.n == 0)
        return end_event(s, err);
    return line.p[0] == ':' ? AS_OK : take_field(s, line, err);
}

/* Where the first line of s ends, or s.n. */
static size_t line_end(const ht_sse *s, as_str bytes)
{
    const char *lf = memchr(bytes.p, '\n', bytes.n);
    size_t n = lf != NULL ? (size_t)(lf - bytes.p) : bytes.n;
    if (s->is_json_lines || n == 0)
        return n;
    const char *cr = memchr(bytes.p, '\r', n);
    return cr != NULL ? (size_t)(cr - bytes.p) : n;
}

as_code ht_sse_feed(ht_sse *s, as_str bytes, as_err *err)
{
    while (bytes.n != 0) {
        if (s->skip_lf && bytes.p[0] == '\n') {
            s->skip_lf = false;
            bytes = as_str_sub(bytes, 1, bytes.n);
            continue;
        }
        s->skip_lf = false;
        const size_t n = line_end(s, bytes);
        const bool is_whole = n < bytes.n;
        as_str line = {bytes.p, n};
        if (n > HT_MAX_LINE)
            return too_long(err);
        if (!is_whole || s->line.n != 0) { /* most lines come whole and are not copied */
            if (as_buf_add(&s->line, line) != AS_OK)
                return too_long(err);
            line = as_buf_str(&s->line);
        }
        if (!is_whole)
            return AS_OK;
        s->skip_lf = bytes.p[n] == '\r';
        bytes = as_str_sub(bytes, n + 1, bytes.n);
        AS_TRY(take_line(s, line, err));
        as_buf_reset(&s->line);
    }
    return AS_OK;
}

as_code ht_sse_end(ht_sse *s, as_err *err)
{
    if (s->line.n != 0) {
        AS_TRY(take_line(s, as_buf_str(&s->line), err));
        as_buf_reset(&s->line);
    }
    return s->is_json_lines ? AS_OK : end_event(s, err);
}
