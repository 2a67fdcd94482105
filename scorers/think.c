#include "scorers/think.h"

typedef struct mark_pair {
    as_str open, close;
} mark_pair;

static const mark_pair pairs[] = {
    {AS_STR_INIT("<think>"), AS_STR_INIT("</think>")},
    {AS_STR_INIT("<|channel>thought"), AS_STR_INIT("<channel|>")},
};

/* One form at a time; text is a writable copy, compacted in place. Returns its new length. */
static size_t cut(char *text, size_t n, const mark_pair *m)
{
    size_t to = 0;
    size_t from = 0;
    for (bool is_first = true; from < n; is_first = false) {
        const as_str rest = {text + from, n - from};
        const size_t open = as_str_find(rest, m->open);
        if (is_first) {
            const size_t close = as_str_find(rest, m->close);
            if (close != SIZE_MAX && close < open) {
                from += close + m->close.n;
                continue;
            }
        }
        const size_t keep = open != SIZE_MAX ? open : rest.n;
        memmove(text + to, rest.p, keep);
        to += keep;
        if (open == SIZE_MAX)
            break;
        const as_str thought = as_str_sub(rest, open + m->open.n, rest.n);
        const size_t close = as_str_find(thought, m->close);
        if (close == SIZE_MAX)
            break;
        from += open + m->open.n + close + m->close.n;
    }
    return to;
}

as_code sc_without_thinking(as_str *out, as_str text, as_arena *arena, as_err *err)
{
    bool has_any = false;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        has_any = has_any || as_str_find(text, pairs[i].open) != SIZE_MAX ||
                  as_str_find(text, pairs[i].close) != SIZE_MAX;
    if (!has_any) {
        *out = text;
        return AS_OK;
    }
    char *copy = as_arena_alloc(arena, text.n, 1);
    if (copy == NULL)
        return as_nomem(err);
    memcpy(copy, text.p, text.n);
    size_t n = text.n;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        n = cut(copy, n, &pairs[i]);
    *out = (as_str){copy, n};
    return AS_OK;
}
