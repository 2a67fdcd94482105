#include "backend/http/markup.h"

static const struct {
    as_str open, close;
} blocks[] = {
    {AS_STR_INIT("<|channel>thought"), AS_STR_INIT("<channel|>")},
    {AS_STR_INIT("<think>"), AS_STR_INIT("</think>")},
};
enum { N_BLOCKS = sizeof blocks / sizeof blocks[0], HELD_MAX = 64 << 20 };

void ht_markup_init(ht_markup *m)
{
    *m = (ht_markup){.state = HT_MARKUP_TEXT};
    as_buf_init(&m->held, HELD_MAX);
}

void ht_markup_release(ht_markup *m)
{
    as_buf_release(&m->held);
}

void ht_markup_reset(ht_markup *m, as_str prefill, bool is_split)
{
    as_buf_reset(&m->held);
    m->prefill = prefill;
    m->is_split = is_split;
    m->state = prefill.n != 0 ? HT_MARKUP_PREFILL : is_split ? HT_MARKUP_START : HT_MARKUP_TEXT;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static as_str skip_spaces(as_str s)
{
    size_t i = 0;
    while (i < s.n && is_space(s.p[i]))
        i++;
    return as_str_sub(s, i, s.n);
}

/* How many bytes at the end of s may be the beginning of the mark. */
static size_t held_tail(as_str s, as_str mark)
{
    for (size_t n = s.n < mark.n ? s.n : mark.n - 1; n != 0; n--)
        if (as_str_starts(mark, as_str_sub(s, s.n - n, s.n)))
            return n;
    return 0;
}

/* Into the block whose mark begins the text, or on to the text; false when more bytes are needed. */
static bool open_block(ht_markup *m)
{
    const as_str s = skip_spaces(as_buf_str(&m->held));
    bool may_begin = s.n == 0;
    for (int i = 0; i < N_BLOCKS; i++) {
        if (as_str_starts(s, blocks[i].open)) {
            as_buf_drop(&m->held, m->held.n - s.n + blocks[i].open.n);
            m->kind = i;
            m->state = HT_MARKUP_INSIDE;
            return true;
        }
        may_begin |= as_str_starts(blocks[i].open, s);
    }
    if (may_begin)
        return false;
    m->state = HT_MARKUP_TEXT;
    return true;
}

/* One step over what is held; false when more bytes are needed, or nothing is left to do. */
static bool step(ht_markup *m, as_buf *answer, as_buf *reasoning, as_code *c)
{
    const as_str held = as_buf_str(&m->held);
    switch (m->state) {
    case HT_MARKUP_PREFILL:
        if (held.n < m->prefill.n && as_str_starts(m->prefill, held))
            return false;
        if (as_str_starts(held, m->prefill))
            as_buf_drop(&m->held, m->prefill.n);
        m->state = m->is_split ? HT_MARKUP_START : HT_MARKUP_TEXT;
        return true;
    case HT_MARKUP_START:
        return open_block(m);
    case HT_MARKUP_INSIDE: {
        const as_str close = blocks[m->kind].close;
        const size_t at = as_str_find(held, close);
        const size_t n = at != SIZE_MAX ? at : held.n - held_tail(held, close);
        as_str out = as_str_sub(held, 0, n);
        if (reasoning->n == 0)
            out = skip_spaces(out);
        *c = as_buf_add(reasoning, out);
        as_buf_drop(&m->held, at != SIZE_MAX ? at + close.n : n);
        m->state = at != SIZE_MAX ? HT_MARKUP_BEHIND : HT_MARKUP_INSIDE;
        return at != SIZE_MAX;
    }
    case HT_MARKUP_BEHIND: {
        const as_str s = skip_spaces(held);
        as_buf_drop(&m->held, held.n - s.n);
        if (s.n != 0)
            m->state = HT_MARKUP_TEXT;
        return s.n != 0;
    }
    case HT_MARKUP_TEXT:
        break;
    }
    *c = as_buf_add(answer, held);
    as_buf_reset(&m->held);
    return false;
}

as_code ht_markup_feed(ht_markup *m, as_str text, as_buf *answer, as_buf *reasoning)
{
    if (m->state == HT_MARKUP_TEXT && m->held.n == 0)
        return as_buf_add(answer, text);
    as_code c = as_buf_add(&m->held, text);
    while (c == AS_OK && step(m, answer, reasoning, &c))
        ;
    return c;
}

as_code ht_markup_end(ht_markup *m, as_buf *answer, as_buf *reasoning)
{
    as_code c = AS_OK;
    if (m->state == HT_MARKUP_PREFILL) {
        /* A reply shorter than the prefill is not one that repeats it. */
        m->state = m->is_split ? HT_MARKUP_START : HT_MARKUP_TEXT;
        while (c == AS_OK && step(m, answer, reasoning, &c))
            ;
    }
    if (c == AS_OK)
        c = as_buf_add(m->state == HT_MARKUP_INSIDE ? reasoning : answer, as_buf_str(&m->held));
    as_buf_reset(&m->held);
    return c;
}
