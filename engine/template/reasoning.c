/*
 * reasoning.c — the thinking channel of what a Gemma 4 model says.
 */
#include "engine/template/template.h"

static const char open_mark[] = "<|channel>", close_mark[] = "<channel|>";

static as_str from(as_str s, size_t at)
{
    return (as_str){s.p + at, s.n - at};
}

/* Behind the label, when the first line is one: letters, digits, _ and - alone. At the end of a
 * text that stopped short, a word without its newline is a label too. */
static as_str skip_label(as_str inside)
{
    size_t n = 0;
    for (; n < inside.n; n++) {
        const char c = inside.p[n];
        const char low = (char)(c | 0x20);
        if ((low < 'a' || low > 'z') && (c < '0' || c > '9') && c != '_' && c != '-')
            break;
    }
    if (n < inside.n && inside.p[n] == '\n')
        return from(inside, n + 1);
    return n == inside.n && n > 0 ? from(inside, n) : inside;
}

typedef struct pieces {
    char *p; /* room for the whole text and a blank line per piece */
    size_t n;
} pieces;

static void add(pieces *to, as_str s)
{
    if (s.n > 0)
        memcpy(to->p + to->n, s.p, s.n);
    to->n += s.n;
}

static void add_reasoning(pieces *to, as_str inside)
{
    const as_str text = as_str_trim(inside);
    if (text.n == 0)
        return;
    if (to->n > 0)
        add(to, AS_STR("\n\n"));
    add(to, text);
}

static as_code pieces_new(pieces *out, size_t n, as_arena *keep, as_err *err)
{
    *out = (pieces){.p = as_arena_alloc(keep, n + 1, 1)};
    return out->p != NULL ? AS_OK : as_nomem(err);
}

as_code tp_split_reasoning(as_str text, tp_reasoning *out, as_arena *keep, as_err *err)
{
    pieces reasoning, answer;
    *out = (tp_reasoning){.answer = AS_STR("")};
    AS_TRY(pieces_new(&reasoning, text.n, keep, err));
    AS_TRY(pieces_new(&answer, text.n, keep, err));
    as_str rest = text;
    const size_t first_close = as_str_find(rest, as_str_of(close_mark));
    const size_t first_open = as_str_find(rest, as_str_of(open_mark));
    if (first_close != SIZE_MAX && (first_open == SIZE_MAX || first_close < first_open)) {
        add_reasoning(&reasoning, (as_str){rest.p, first_close}); /* the prompt opened it */
        rest = from(rest, first_close + sizeof close_mark - 1);
        out->n_channels = 1;
    }
    for (;;) {
        const size_t open = as_str_find(rest, as_str_of(open_mark));
        add(&answer, as_str_sub(rest, 0, open));
        if (open == SIZE_MAX)
            break;
        const as_str inside = from(rest, open + sizeof open_mark - 1);
        const size_t close = as_str_find(inside, as_str_of(close_mark));
        add_reasoning(&reasoning, skip_label(as_str_sub(inside, 0, close)));
        out->n_channels++;
        out->is_unfinished = close == SIZE_MAX;
        if (close == SIZE_MAX)
            break;
        rest = from(inside, close + sizeof close_mark - 1);
    }
    out->reasoning = (as_str){reasoning.p, reasoning.n};
    out->answer = as_str_trim((as_str){answer.p, answer.n});
    return AS_OK;
}

/* The rule of the models' own templates: cut at every closing mark; of each piece keep what stands
 * before the first opening mark. */
as_code tp_strip_reasoning(as_str text, as_str *out, as_arena *keep, as_err *err)
{
    pieces kept;
    *out = AS_STR("");
    AS_TRY(pieces_new(&kept, text.n, keep, err));
    for (as_str rest = text;;) {
        const size_t close = as_str_find(rest, as_str_of(close_mark));
        const as_str piece = as_str_sub(rest, 0, close);
        add(&kept, as_str_sub(piece, 0, as_str_find(piece, as_str_of(open_mark))));
        if (close == SIZE_MAX)
            break;
        rest = from(rest, close + sizeof close_mark - 1);
    }
    *out = as_str_trim((as_str){kept.p, kept.n});
    return AS_OK;
}
