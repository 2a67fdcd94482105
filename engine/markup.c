#include "engine/markup.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

static int compare_pieces(const void *a, const void *b)
{
    const g4_markup_piece *x = a;
    const g4_markup_piece *y = b;
    const int c = as_str_cmp(x->text, y->text);
    if (c != 0)
        return c;
    if (x->is_control != y->is_control)
        return x->is_control ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

void g4_markup_init(g4_markup *m, g4_markup_piece *pieces, size_t n)
{
    *m = (g4_markup){.pieces = pieces};
    if (n != 0)
        qsort(pieces, n, sizeof *pieces, compare_pieces);
    for (size_t i = 0; i < n; i++) {
        if (m->n != 0 && as_str_eq(pieces[m->n - 1].text, pieces[i].text))
            m->n--;
        pieces[m->n++] = pieces[i];
        if (pieces[i].text.n > m->longest)
            m->longest = pieces[i].text.n;
    }
    for (size_t i = 0; i < m->n; i++)
        m->first[(unsigned char)pieces[i].text.p[0] + 1] = (uint32_t)i + 1;
    for (size_t b = 1; b < 257; b++) /* bytes that begin no piece get an empty range */
        if (m->first[b] == 0)
            m->first[b] = m->first[b - 1];
}

void g4_markup_release(g4_markup *m)
{
    free(m->pieces);
    *m = (g4_markup){0};
}

static unsigned char byte_at(const g4_markup *m, size_t piece, size_t depth)
{
    return (unsigned char)m->pieces[piece].text.p[depth];
}

/* First piece of [lo, hi) whose byte at depth is ≥ b; all of them are longer than depth. */
static size_t lower_bound(const g4_markup *m, size_t lo, size_t hi, size_t depth, unsigned b)
{
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (byte_at(m, mid, depth) < b)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/*
 * Walks along the text and calls out the pieces that match at its start, shortest first. `want` 0
 * finds the longest; otherwise the one of exactly that length. is_length (may be NULL) collects
 * the lengths seen. Returns the piece's index + 1, or 0.
 */
static size_t match(const g4_markup *m, as_str text, bool with_control, size_t want,
                    bool *is_length)
{
    const unsigned char first = (unsigned char)text.p[0];
    size_t lo = m->first[first];
    size_t hi = m->first[first + 1u];
    size_t found = 0;
    for (size_t depth = 1; lo < hi; depth++) {
        /* Here all of [lo, hi) agree with the first `depth` bytes of the text; the one that ends
         * here is the smallest. */
        if (m->pieces[lo].text.n == depth) {
            if ((with_control || !m->pieces[lo].is_control) && (want == 0 || want == depth)) {
                found = lo + 1;
                if (is_length != NULL)
                    is_length[depth] = true;
            }
            lo++;
        }
        if (depth == want || depth >= text.n || lo == hi)
            break;
        const unsigned b = (unsigned char)text.p[depth];
        if (byte_at(m, lo, depth) != b)
            lo = lower_bound(m, lo, hi, depth, b);
        if (lo < hi && byte_at(m, hi - 1, depth) != b)
            hi = lower_bound(m, lo, hi, depth, b + 1);
    }
    return found;
}

typedef struct place {
    size_t at, longest;
} place;

typedef struct finder {
    const g4_markup *m;
    as_str text;
    bool with_control;
    place *places; /* where some piece matches and nothing is taken yet */
    size_t n_places, places_cap;
    g4_span *spans; /* taken, ascending */
    size_t n_spans;
    g4_span *next_spans; /* the pass under way writes here */
    bool *is_length;
} finder;

static as_code collect_places(finder *f, as_err *err)
{
    for (size_t at = 0; at < f->text.n; at++) {
        const unsigned char b = (unsigned char)f->text.p[at];
        if (f->m->first[b] == f->m->first[b + 1u])
            continue;
        const as_str rest = {f->text.p + at, f->text.n - at};
        const size_t hit = match(f->m, rest, f->with_control, 0, f->is_length);
        if (hit == 0)
            continue;
        place *places = as_grow(f->places, f->n_places, &f->places_cap, sizeof *places);
        if (places == NULL)
            return as_nomem(err);
        f->places = places;
        f->places[f->n_places++] = (place){at, f->m->pieces[hit - 1].text.n};
    }
    return AS_OK;
}

/* Takes every free match of exactly n bytes, and forgets places that are covered. Places and spans
 * are both ascending, so one walk over the two merges them. */
static void take_length(finder *f, size_t n)
{
    size_t old = 0;    /* next of the spans taken before */
    size_t n_next = 0; /* written */
    size_t kept = 0;
    size_t free_from = 0; /* end of the span in front */
    for (size_t i = 0; i < f->n_places; i++) {
        const place here = f->places[i];
        while (old < f->n_spans && f->spans[old].at <= here.at) {
            free_from = f->spans[old].at + f->spans[old].n;
            f->next_spans[n_next++] = f->spans[old++];
        }
        if (here.at < free_from)
            continue; /* covered, now and for ever */
        const size_t free_to = old < f->n_spans ? f->spans[old].at : f->text.n;
        const as_str room = {f->text.p + here.at, free_to - here.at};
        const size_t hit =
            here.longest >= n && room.n >= n ? match(f->m, room, f->with_control, n, NULL) : 0;
        if (hit != 0) {
            f->next_spans[n_next++] = (g4_span){here.at, n, f->m->pieces[hit - 1].id};
            free_from = here.at + n;
        } else {
            f->places[kept++] = here;
        }
    }
    while (old < f->n_spans)
        f->next_spans[n_next++] = f->spans[old++];
    f->n_places = kept;
    g4_span *swap = f->spans;
    f->spans = f->next_spans;
    f->next_spans = swap;
    f->n_spans = n_next;
}

static as_code find_all(finder *f, as_err *err)
{
    f->is_length = calloc(f->m->longest + 1, sizeof *f->is_length);
    if (f->is_length == NULL)
        return as_nomem(err);
    AS_TRY(collect_places(f, err));
    if (f->n_places == 0)
        return AS_OK;
    f->spans = calloc(f->n_places, sizeof *f->spans);
    f->next_spans = calloc(f->n_places, sizeof *f->next_spans);
    if (f->spans == NULL || f->next_spans == NULL)
        return as_nomem(err);
    for (size_t n = f->m->longest; n != 0; n--)
        if (f->is_length[n])
            take_length(f, n);
    return AS_OK;
}

as_code g4_markup_find(const g4_markup *m, as_str text, bool with_control, g4_span **spans,
                       size_t *n_spans, as_err *err)
{
    *spans = NULL;
    *n_spans = 0;
    if (m->n == 0)
        return AS_OK;
    finder f = {.m = m, .text = text, .with_control = with_control};
    const as_code c = find_all(&f, err);
    if (c == AS_OK) {
        *spans = f.spans;
        *n_spans = f.n_spans;
    } else {
        free(f.spans);
    }
    free(f.next_spans);
    free(f.places);
    free(f.is_length);
    return c;
}
