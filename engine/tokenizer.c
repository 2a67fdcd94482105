#include "engine/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"
#include "engine/vocab_impl.h"

/*
 * How it works. Text between special pieces is cut into words: before each space mark, unless some
 * merge could cross it (g4_vocab.is_joined), and around newline runs for ranked merges. A word's
 * symbols form a linked list over one array. All neighbours that can merge wait in a heap, keyed by
 * rank, then place. Merging joins the right symbol into the left and offers the two new neighbours.
 * An entry is stale if its two symbols no longer have the length they had; since lengths only grow,
 * that test cannot be fooled.
 */

typedef struct symbol {
    int32_t prev, next; /* -1: none */
    int32_t at;         /* bytes of the word */
    int32_t n;          /* 0: merged into the one before */
    int32_t id;         /* symbol of the vocabulary or G4_NO_SYMBOL */
} symbol;

typedef struct candidate {
    uint64_t key; /* rank << 32 | left */
    int32_t n;    /* bytes of both */
    int32_t id;   /* of the result where it is known already (scores) */
} candidate;

typedef struct encoder {
    const g4_vocab *v;
    char *word; /* spaces replaced */
    size_t n_word, word_cap;
    symbol *symbols;
    size_t n_symbols, symbols_cap;
    candidate *heap;
    size_t n_heap, heap_cap;
    int32_t *ids;
    size_t n_ids, ids_cap;
} encoder;

/* Room for n more entries of a growing array. */
static as_code reserve(void **p, size_t used, size_t n, size_t *cap, size_t size, as_err *err)
{
    if (n <= *cap - used)
        return AS_OK;
    size_t want = *cap < 64 ? 64 : *cap * 2;
    if (want < used + n)
        want = used + n;
    size_t bytes = 0;
    void *grown = as_mul_size(want, size, &bytes) ? realloc(*p, bytes) : NULL;
    if (grown == NULL)
        return as_nomem(err);
    *p = grown;
    *cap = want;
    return AS_OK;
}

static as_code add_id(encoder *e, int32_t id, as_err *err)
{
    void *p = e->ids;
    AS_TRY(reserve(&p, e->n_ids, 1, &e->ids_cap, sizeof *e->ids, err));
    e->ids = p;
    e->ids[e->n_ids++] = id;
    return AS_OK;
}

/* ---- the heap: smallest key on top ----------------------------------------------------------- */

static as_code push(encoder *e, candidate c, as_err *err)
{
    void *p = e->heap;
    AS_TRY(reserve(&p, e->n_heap, 1, &e->heap_cap, sizeof *e->heap, err));
    e->heap = p;
    size_t i = e->n_heap++;
    while (i != 0 && e->heap[(i - 1) / 2].key > c.key) {
        e->heap[i] = e->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    e->heap[i] = c;
    return AS_OK;
}

static candidate pop(encoder *e)
{
    const candidate top = e->heap[0];
    const candidate last = e->heap[--e->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= e->n_heap)
            break;
        if (child + 1 < e->n_heap && e->heap[child + 1].key < e->heap[child].key)
            child++;
        if (e->heap[child].key >= last.key)
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

/* ---- merging one word ------------------------------------------------------------------------ */

/* Puts (left, its right neighbour) into the heap if they merge. */
static as_code offer(encoder *e, int32_t left, as_err *err)
{
    const symbol *l = &e->symbols[left];
    if (l->next < 0)
        return AS_OK;
    const symbol *r = &e->symbols[l->next];
    const int32_t n = l->n + r->n;
    uint32_t rank = 0;
    int32_t id = G4_NO_SYMBOL;
    if (e->v->kind == G4_VOCAB_SCORES) {
        id = g4_vocab_symbol(e->v, (as_str){e->word + l->at, (size_t)n});
        if (id < 0)
            return AS_OK;
        rank = e->v->ranks[id];
    } else if (l->id < 0 || r->id < 0 || !g4_vocab_pair(e->v, l->id, r->id, &rank)) {
        return AS_OK;
    }
    return push(e, (candidate){(uint64_t)rank << 32 | (uint32_t)left, n, id}, err);
}

static as_code split_symbols(encoder *e, as_err *err)
{
    e->n_symbols = 0;
    for (size_t at = 0; at < e->n_word;) {
        void *p = e->symbols;
        AS_TRY(reserve(&p, e->n_symbols, 1, &e->symbols_cap, sizeof *e->symbols, err));
        e->symbols = p;
        const size_t len = as_utf8_len((as_str){e->word + at, e->n_word - at});
        const size_t n = len != 0 ? len : 1;
        e->symbols[e->n_symbols] = (symbol){
            .prev = (int32_t)e->n_symbols - 1,
            .next = at + n < e->n_word ? (int32_t)e->n_symbols + 1 : -1,
            .at = (int32_t)at,
            .n = (int32_t)n,
            .id = g4_vocab_symbol(e->v, (as_str){e->word + at, n}),
        };
        e->n_symbols++;
        at += n;
    }
    return AS_OK;
}

static as_code merge_all(encoder *e, as_err *err)
{
    e->n_heap = 0;
    for (size_t i = 0; i + 1 < e->n_symbols; i++)
        AS_TRY(offer(e, (int32_t)i, err));
    while (e->n_heap != 0) {
        const candidate c = pop(e);
        const int32_t left = (int32_t)(uint32_t)c.key;
        symbol *l = &e->symbols[left];
        if (l->n == 0 || l->next < 0 || l->n + e->symbols[l->next].n != c.n)
            continue;
        symbol *r = &e->symbols[l->next];
        l->n = c.n;
        l->id = c.id >= 0 ? c.id : g4_vocab_symbol(e->v, (as_str){e->word + l->at, (size_t)c.n});
        l->next = r->next;
        r->n = 0;
        if (l->next >= 0)
            e->symbols[l->next].prev = left;
        AS_TRY(offer(e, left, err));
        if (l->prev >= 0)
            AS_TRY(offer(e, l->prev, err));
    }
    return AS_OK;
}

static as_code emit_symbol(encoder *e, const symbol *s, as_err *err)
{
    if (s->id >= 0 && s->id < e->v->n_pieces)
        return add_id(e, s->id, err);
    for (int32_t i = 0; i < s->n; i++) {
        const unsigned char b = (unsigned char)e->word[s->at + i];
        if (e->v->byte_ids[b] < 0)
            return as_fail(err, AS_RANGE,
                           "the vocabulary has no piece for byte 0x%02X and no unknown piece", b);
        AS_TRY(add_id(e, e->v->byte_ids[b], err));
    }
    return AS_OK;
}

static as_code encode_word(encoder *e, as_err *err)
{
    AS_TRY(split_symbols(e, err));
    AS_TRY(merge_all(e, err));
    for (int32_t i = e->n_symbols != 0 ? 0 : -1; i >= 0; i = e->symbols[i].next)
        AS_TRY(emit_symbol(e, &e->symbols[i], err));
    e->n_word = 0;
    return AS_OK;
}

/* ---- cutting text into words ----------------------------------------------------------------- */

static as_code add_to_word(encoder *e, const char *p, size_t n, as_err *err)
{
    if (n == 0)
        return AS_OK;
    void *word = e->word;
    AS_TRY(reserve(&word, e->n_word, n, &e->word_cap, 1, err));
    e->word = word;
    memcpy(e->word + e->n_word, p, n);
    e->n_word += n;
    return AS_OK;
}

static bool ends_in_mark(const encoder *e)
{
    return e->n_word >= G4_SPACE_MARK_BYTES && memcmp(e->word + e->n_word - G4_SPACE_MARK_BYTES,
                                                      G4_SPACE_MARK, G4_SPACE_MARK_BYTES) == 0;
}

/* A space mark follows: whether no merge can join it to the word so far. */
static bool is_cut_before_mark(const encoder *e)
{
    return e->n_word != 0 && !ends_in_mark(e) &&
           !e->v->is_joined[(unsigned char)e->word[e->n_word - 1]];
}

/* Bytes at the start of s that hold no space and no U+2581. */
static size_t plain_length(as_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ' || (s.p[i] == G4_SPACE_MARK[0] && s.n - i >= G4_SPACE_MARK_BYTES &&
                              memcmp(s.p + i, G4_SPACE_MARK, G4_SPACE_MARK_BYTES) == 0))
            return i;
    }
    return s.n;
}

/* A stretch in which everything may merge with everything. */
static as_code encode_stretch(encoder *e, as_str s, as_err *err)
{
    for (size_t at = 0; at < s.n;) {
        const size_t n = plain_length((as_str){s.p + at, s.n - at});
        AS_TRY(add_to_word(e, s.p + at, n, err));
        at += n;
        if (at == s.n)
            break;
        if (is_cut_before_mark(e))
            AS_TRY(encode_word(e, err));
        AS_TRY(add_to_word(e, G4_SPACE_MARK, G4_SPACE_MARK_BYTES, err));
        at += s.p[at] == ' ' ? 1 : G4_SPACE_MARK_BYTES;
    }
    return encode_word(e, err);
}

static as_code encode_newlines(encoder *e, as_str run, as_err *err)
{
    const int32_t id = g4_vocab_find(e->v, run);
    return id >= 0 ? add_id(e, id, err) : encode_stretch(e, run, err);
}

/* Text without special pieces. */
static as_code encode_plain(encoder *e, as_str s, as_err *err)
{
    if (s.n == 0)
        return AS_OK;
    if (e->v->add_space_prefix)
        AS_TRY(add_to_word(e, G4_SPACE_MARK, G4_SPACE_MARK_BYTES, err));
    if (e->v->kind == G4_VOCAB_SCORES)
        return encode_stretch(e, s, err);
    while (s.n != 0) {
        const bool is_newline = s.p[0] == '\n';
        size_t n = 1;
        while (n < s.n && (s.p[n] == '\n') == is_newline)
            n++;
        const as_str run = {s.p, n};
        AS_TRY(is_newline ? encode_newlines(e, run, err) : encode_stretch(e, run, err));
        s = (as_str){s.p + n, s.n - n};
    }
    return AS_OK;
}

static as_code encode_text(encoder *e, as_str text, unsigned flags, as_err *err)
{
    if ((flags & G4_TOK_BOS) != 0 && e->v->bos >= 0)
        AS_TRY(add_id(e, e->v->bos, err));
    g4_span *spans = NULL;
    size_t n_spans = 0;
    AS_TRY(
        g4_markup_find(&e->v->markup, text, (flags & G4_TOK_SPECIAL) != 0, &spans, &n_spans, err));
    size_t at = 0;
    as_code c = AS_OK;
    for (size_t i = 0; c == AS_OK && i < n_spans; i++) {
        c = encode_plain(e, (as_str){text.p + at, spans[i].at - at}, err);
        if (c == AS_OK)
            c = add_id(e, spans[i].id, err);
        at = spans[i].at + spans[i].n;
    }
    if (c == AS_OK)
        c = encode_plain(e, as_str_sub(text, at, text.n), err);
    free(spans);
    return c;
}

as_code g4_vocab_encode(const g4_vocab *v, as_str text, unsigned flags, int32_t **ids,
                        size_t *n_ids, as_err *err)
{
    *ids = NULL;
    *n_ids = 0;
    if (text.n > G4_MAX_TEXT_BYTES)
        return as_fail(err, AS_RANGE, "the text has %zu bytes, at most %d can be tokenised at once",
                       text.n, (int)G4_MAX_TEXT_BYTES);
    encoder e = {.v = v};
    as_code c = encode_text(&e, text, flags, err);
    if (c == AS_OK && e.ids == NULL) { /* free(NULL) would do, but callers may test the pointer */
        e.ids = malloc(sizeof *e.ids);
        if (e.ids == NULL)
            c = as_nomem(err);
    }
    if (c == AS_OK) {
        *ids = e.ids;
        *n_ids = e.n_ids;
    } else {
        free(e.ids);
    }
    free(e.word);
    free(e.symbols);
    free(e.heap);
    return c;
}

/* ---- decoding -------------------------------------------------------------------------------- */

static void add_unmarked(as_str text, as_buf *out)
{
    while (text.n != 0) {
        const size_t n = plain_length(text);
        (void)as_buf_add(out, (as_str){text.p, n});
        text = as_str_sub(text, n, text.n);
        if (text.n == 0)
            break;
        (void)as_buf_add_byte(out, ' ');
        text = as_str_sub(text, text.p[0] == ' ' ? 1 : G4_SPACE_MARK_BYTES, text.n);
    }
}

static char byte_of_piece(as_str text)
{
    const unsigned hi = (unsigned char)text.p[3];
    const unsigned lo = (unsigned char)text.p[4];
    const unsigned b =
        (hi <= '9' ? hi - '0' : hi - 'A' + 10) << 4 | (lo <= '9' ? lo - '0' : lo - 'A' + 10);
    return (char)(unsigned char)b;
}

as_code g4_vocab_decode(const g4_vocab *v, const int32_t *ids, size_t n_ids, unsigned flags,
                        as_buf *out, as_err *err)
{
    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] < 0 || ids[i] >= v->n_pieces)
            return as_fail(err, AS_RANGE,
                           "id %d at place %zu is not one of the vocabulary's 0 to %d", (int)ids[i],
                           i, (int)v->n_pieces - 1);
    for (size_t i = 0; i < n_ids; i++) {
        const as_str text = v->symbols[ids[i]];
        switch ((g4_piece_type)v->types[ids[i]]) {
        case G4_PIECE_NORMAL:
            add_unmarked(text, out);
            break;
        case G4_PIECE_UNKNOWN:
        case G4_PIECE_CONTROL:
            if ((flags & G4_TOK_SPECIAL) != 0)
                (void)as_buf_add(out, text);
            break;
        case G4_PIECE_USER:
            (void)as_buf_add(out, text);
            break;
        case G4_PIECE_UNUSED:
            break;
        case G4_PIECE_BYTE:
            (void)as_buf_add_byte(out, byte_of_piece(text));
            break;
        }
    }
    return as_buf_ok(out, err);
}
