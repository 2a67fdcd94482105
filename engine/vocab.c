#include "engine/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "engine/show.h"
#include "engine/vocab_impl.h"

/*
 * How it is built. Every piece goes into a hash table by text. For ranked merges, both halves of
 * each merge are looked up there (a half that is no piece gets a number of its own, so that merging
 * works on numbers alone), and the pair goes into a second table with its rank. Both tables bound
 * the length of a search: a vocabulary made to collide is refused, not served slowly.
 */

enum {
    MAX_PIECES = 1 << 24,
    MAX_MERGES = 1 << 26,
    MAX_PROBES = 4096, /* honest tables, at most half full, stay below 100 */
};

static as_code nomem(const g4_vocab_source *s, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the vocabulary", s->name);
}

/* ---- the table of texts ---------------------------------------------------------------------- */

static uint32_t text_hash(as_str text)
{
    const uint64_t h = as_fnv1a(text);
    return (uint32_t)(h ^ h >> 32);
}

static int32_t find_text(const g4_vocab *v, as_str text, uint32_t hash)
{
    const size_t mask = v->n_texts - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const g4_text_slot slot = v->texts[i];
        if (slot.symbol < 0)
            return G4_NO_SYMBOL;
        if (slot.hash == hash && as_str_eq(v->symbols[slot.symbol], text))
            return slot.symbol;
    }
}

int32_t g4_vocab_symbol(const g4_vocab *v, as_str text)
{
    return text.n <= v->max_symbol_bytes ? find_text(v, text, text_hash(text)) : G4_NO_SYMBOL;
}

static bool make_texts(g4_vocab *v, size_t n_slots)
{
    v->texts = calloc(n_slots, sizeof *v->texts);
    if (v->texts == NULL)
        return false;
    v->n_texts = n_slots;
    for (size_t i = 0; i < n_slots; i++)
        v->texts[i].symbol = -1;
    return true;
}

/* Twice as many slots. The old texts are all different, so they need no comparing. */
static bool grow_texts(g4_vocab *v)
{
    g4_text_slot *old = v->texts;
    const size_t n_old = v->n_texts;
    if (!make_texts(v, n_old * 2)) {
        v->texts = old;
        return false;
    }
    const size_t mask = v->n_texts - 1;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].symbol < 0)
            continue;
        size_t at = old[i].hash & mask;
        while (v->texts[at].symbol >= 0)
            at = (at + 1) & mask;
        v->texts[at] = old[i];
    }
    free(old);
    return true;
}

static as_code fail_collisions(const g4_vocab_source *s, as_err *err)
{
    return as_fail(err, AS_RANGE,
                   "%s: the vocabulary's texts collide as no honest one's do: use another file",
                   s->name);
}

/* Enters symbols[symbol]. A text that is there already takes the new number. */
static as_code add_text(g4_vocab *v, const g4_vocab_source *s, int32_t symbol, as_err *err)
{
    const as_str text = v->symbols[symbol];
    const uint32_t hash = text_hash(text);
    const size_t mask = v->n_texts - 1;
    size_t at = hash & mask;
    for (int probes = 0; v->texts[at].symbol >= 0; probes++, at = (at + 1) & mask) {
        if (v->texts[at].hash == hash && as_str_eq(v->symbols[v->texts[at].symbol], text))
            break;
        if (probes == MAX_PROBES)
            return fail_collisions(s, err);
    }
    v->texts[at] = (g4_text_slot){hash, symbol};
    if (text.n > v->max_symbol_bytes)
        v->max_symbol_bytes = text.n;
    return AS_OK;
}

/* Makes a text that is no piece a symbol of its own. */
static as_code add_symbol(g4_vocab *v, const g4_vocab_source *s, as_str text, int32_t *out,
                          as_err *err)
{
    if (v->n_symbols >= v->n_texts / 2 && !grow_texts(v))
        return nomem(s, err);
    as_str *symbols = as_grow(v->symbols, v->n_symbols, &v->symbols_cap, sizeof *symbols);
    if (symbols == NULL)
        return nomem(s, err);
    v->symbols = symbols;
    const int32_t symbol = (int32_t)v->n_symbols; /* below MAX_PIECES + 2 * MAX_MERGES */
    v->symbols[v->n_symbols++] = text;
    *out = symbol;
    return add_text(v, s, symbol, err);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* The byte that a text like <0x0A> stands for, or -1. */
static int byte_of_text(as_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    if (text.n != 6 || memcmp(text.p, "<0x", 3) != 0 || text.p[5] != '>')
        return -1;
    if (!as_is_one_of(text.p[3], digits) || !as_is_one_of(text.p[4], digits))
        return -1;
    return as_hex_digit(text.p[3]) * 16 + as_hex_digit(text.p[4]);
}

/*
 * Texts that end a reply. llama.cpp takes them for control pieces whatever the file says, and so
 * does this vocabulary: files type <|tool_response> and </s> as user-defined, and older ones <eos>
 * as normal. </s> is an HTML tag in Gemma's vocabularies: it never ends a reply, and with ranked
 * merges it keeps its type.
 */
static const struct {
    as_str text;
    bool is_stop, with_scores_only;
} reply_ends[] = {
    {AS_STR_INIT("<eos>"), true, false},   {AS_STR_INIT("<end_of_turn>"), true, false},
    {AS_STR_INIT("<turn|>"), true, false}, {AS_STR_INIT("<|tool_response>"), true, false},
    {AS_STR_INIT("</s>"), false, true},
};

static const size_t n_reply_ends = sizeof reply_ends / sizeof *reply_ends;

static as_code add_pieces(g4_vocab *v, const g4_vocab_source *s, as_err *err)
{
    size_t n_slots = 1024;
    while (n_slots / 2 < s->n_pieces)
        n_slots *= 2;
    v->n_pieces = (int32_t)s->n_pieces;
    v->n_symbols = v->symbols_cap = s->n_pieces;
    v->symbols = malloc(s->n_pieces * sizeof *v->symbols);
    v->types = malloc(s->n_pieces);
    if (v->symbols == NULL || v->types == NULL || !make_texts(v, n_slots))
        return nomem(s, err);
    memcpy(v->symbols, s->pieces, s->n_pieces * sizeof *v->symbols);
    for (int32_t id = 0; id < v->n_pieces; id++) {
        const as_str text = v->symbols[id];
        if (text.n > G4_MAX_PIECE_BYTES)
            return as_fail(err, AS_RANGE,
                           "%s: piece %d of the vocabulary has %s bytes, at most %d are read: the "
                           "file is damaged or made for another tokenizer",
                           s->name, (int)id, g4_show_count(text.n).z, (int)G4_MAX_PIECE_BYTES);
        uint8_t type = s->types != NULL ? s->types[id] : G4_PIECE_NORMAL;
        if (type < G4_PIECE_NORMAL || type > G4_PIECE_BYTE)
            return as_fail(err, AS_RANGE,
                           "%s: piece %d of the vocabulary has the unknown type %d: the file is "
                           "damaged or newer than this program",
                           s->name, (int)id, (int)type);
        if (type == G4_PIECE_BYTE && byte_of_text(text) < 0)
            type = G4_PIECE_NORMAL;
        v->types[id] = type;
        if (text.n != 0) /* an empty piece can be shown, never matched */
            AS_TRY(add_text(v, s, id, err));
    }
    for (size_t i = 0; i < n_reply_ends; i++) {
        const int32_t id = g4_vocab_symbol(v, reply_ends[i].text);
        if (id >= 0 && (!reply_ends[i].with_scores_only || v->kind == G4_VOCAB_SCORES))
            v->types[id] = G4_PIECE_CONTROL;
    }
    return AS_OK;
}

static void find_bytes(g4_vocab *v)
{
    for (int b = 0; b < 256; b++) {
        static const char digits[] = "0123456789ABCDEF";
        const char text[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        const char itself = (char)(unsigned char)b;
        int32_t id = g4_vocab_symbol(v, (as_str){text, sizeof text});
        if (id < 0)
            id = g4_vocab_symbol(v, (as_str){&itself, 1});
        v->byte_ids[b] = id >= 0 ? id : v->unknown;
    }
}

static as_code collect_markup(g4_vocab *v, const g4_vocab_source *s, as_err *err)
{
    size_t n = 0;
    for (int32_t id = 0; id < v->n_pieces; id++)
        n += v->types[id] >= G4_PIECE_UNKNOWN && v->types[id] <= G4_PIECE_USER;
    g4_markup_piece *pieces = calloc(n + 1, sizeof *pieces);
    if (pieces == NULL)
        return nomem(s, err);
    n = 0;
    for (int32_t id = 0; id < v->n_pieces; id++)
        if (v->types[id] >= G4_PIECE_UNKNOWN && v->types[id] <= G4_PIECE_USER &&
            v->symbols[id].n != 0)
            pieces[n++] = (g4_markup_piece){v->symbols[id], id, v->types[id] != G4_PIECE_USER};
    g4_markup_init(&v->markup, pieces, n);
    return AS_OK;
}

/* Notes each byte that stands in front of a space mark inside a text. */
static void note_inner_marks(g4_vocab *v, as_str text)
{
    for (size_t from = 1; from + G4_SPACE_MARK_BYTES <= text.n;) {
        const char *hit = memchr(text.p + from, G4_SPACE_MARK[0], text.n - from);
        if (hit == NULL)
            return;
        const size_t at = (size_t)(hit - text.p);
        if (text.n - at >= G4_SPACE_MARK_BYTES && memcmp(hit, G4_SPACE_MARK, 3) == 0)
            v->is_joined[(unsigned char)text.p[at - 1]] = true;
        from = at + 1;
    }
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* Numbers that sort like the scores, best first: larger floats to smaller ranks. */
static uint32_t rank_of_score(float score)
{
    if (score != score) /* NaN: the worst */
        return UINT32_MAX;
    score += 0.0f; /* -0 and 0 are equal */
    uint32_t bits = 0;
    memcpy(&bits, &score, sizeof bits);
    const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
    return ~ascending;
}

static as_code add_scores(g4_vocab *v, const g4_vocab_source *s, as_err *err)
{
    v->ranks = malloc(s->n_pieces * sizeof *v->ranks);
    if (v->ranks == NULL)
        return nomem(s, err);
    for (size_t i = 0; i < s->n_pieces; i++) {
        v->ranks[i] = rank_of_score(s->scores[i]);
        note_inner_marks(v, v->symbols[i]);
    }
    return AS_OK;
}

/* ---- merges ---------------------------------------------------------------------------------- */

static size_t pair_hash(int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t h = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32);
}

bool g4_vocab_pair(const g4_vocab *v, int32_t left, int32_t right, uint32_t *rank)
{
    const size_t mask = v->n_pairs - 1;
    for (size_t i = pair_hash(left, right) & mask; v->pairs[i].left >= 0; i = (i + 1) & mask) {
        if (v->pairs[i].left == left && v->pairs[i].right == right) {
            *rank = v->pairs[i].rank;
            return true;
        }
    }
    return false;
}

/* The first rank of a pair counts. */
static as_code add_pair(g4_vocab *v, const g4_vocab_source *s, int32_t left, int32_t right,
                        uint32_t rank, as_err *err)
{
    const size_t mask = v->n_pairs - 1;
    size_t at = pair_hash(left, right) & mask;
    for (int probes = 0; v->pairs[at].left >= 0; probes++, at = (at + 1) & mask) {
        if (v->pairs[at].left == left && v->pairs[at].right == right)
            return AS_OK;
        if (probes == MAX_PROBES)
            return fail_collisions(s, err);
    }
    v->pairs[at] = (g4_pair_slot){left, right, rank};
    return AS_OK;
}

/*
 * Merges are entered in batches, each step for the whole batch, asking for the memory of the next
 * step early: half a million merges touch three tables at random, and waiting for one after the
 * other took half as long again.
 */
enum { BATCH = 32 };

typedef struct batch {
    const g4_merge *merges;
    size_t n;
    as_str texts[2 * BATCH]; /* left halves, then right halves */
    uint32_t hashes[2 * BATCH];
    int32_t symbols[2 * BATCH];
} batch;

static as_code find_halves(g4_vocab *v, const g4_vocab_source *s, batch *b, as_err *err)
{
    const size_t n = 2 * b->n;
    const size_t mask = v->n_texts - 1;
    for (size_t i = 0; i < n; i++) {
        b->texts[i] = i < b->n ? b->merges[i].left : b->merges[i - b->n].right;
        b->hashes[i] = text_hash(b->texts[i]);
        __builtin_prefetch(&v->texts[b->hashes[i] & mask]);
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t guess = v->texts[b->hashes[i] & mask].symbol;
        if (guess >= 0)
            __builtin_prefetch(&v->symbols[guess]);
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t guess = v->texts[b->hashes[i] & mask].symbol;
        if (guess >= 0)
            __builtin_prefetch(v->symbols[guess].p);
    }
    for (size_t i = 0; i < n; i++) {
        b->symbols[i] = find_text(v, b->texts[i], b->hashes[i]);
        if (b->symbols[i] == G4_NO_SYMBOL)
            AS_TRY(add_symbol(v, s, b->texts[i], &b->symbols[i], err));
    }
    return AS_OK;
}

static as_code add_batch(g4_vocab *v, const g4_vocab_source *s, batch *b, as_err *err)
{
    const size_t first = (size_t)(b->merges - s->merges);
    for (size_t i = 0; i < b->n; i++) {
        const g4_merge m = b->merges[i];
        if (m.left.n == 0 || m.right.n == 0 || m.left.n > G4_MAX_PIECE_BYTES ||
            m.right.n > G4_MAX_PIECE_BYTES - m.left.n)
            return as_fail(err, AS_PARSE,
                           "%s: merge %zu of the vocabulary is not two texts of 1 to %d bytes: the "
                           "file is damaged",
                           s->name, first + i, (int)G4_MAX_PIECE_BYTES);
        if (as_str_starts(m.right, AS_STR(G4_SPACE_MARK)) &&
            !as_str_ends(m.left, AS_STR(G4_SPACE_MARK)))
            v->is_joined[(unsigned char)m.left.p[m.left.n - 1]] = true;
    }
    AS_TRY(find_halves(v, s, b, err));
    for (size_t i = 0; i < b->n; i++)
        __builtin_prefetch(
            &v->pairs[pair_hash(b->symbols[i], b->symbols[b->n + i]) & (v->n_pairs - 1)], 1);
    for (size_t i = 0; i < b->n; i++)
        AS_TRY(add_pair(v, s, b->symbols[i], b->symbols[b->n + i], (uint32_t)(first + i), err));
    return AS_OK;
}

static as_code add_merges(g4_vocab *v, const g4_vocab_source *s, as_err *err)
{
    size_t n_slots = 1024;
    while (n_slots / 2 < s->n_merges)
        n_slots *= 2;
    v->pairs = malloc(n_slots * sizeof *v->pairs);
    if (v->pairs == NULL)
        return nomem(s, err);
    v->n_pairs = n_slots;
    for (size_t i = 0; i < n_slots; i++)
        v->pairs[i].left = -1;
    for (size_t i = 0; i < s->n_merges; i += BATCH) {
        batch b = {.merges = s->merges + i};
        b.n = s->n_merges - i < BATCH ? s->n_merges - i : BATCH;
        AS_TRY(add_batch(v, s, &b, err));
    }
    for (size_t i = 0; i < v->n_symbols; i++)
        note_inner_marks(v, v->symbols[i]);
    return AS_OK;
}

/* ---- whole ----------------------------------------------------------------------------------- */

static as_code check_source(const g4_vocab_source *s, as_err *err)
{
    if (s->n_pieces == 0 || s->n_pieces > MAX_PIECES)
        return as_fail(err, AS_RANGE, "%s: the vocabulary has %s pieces, want 1 to %s", s->name,
                       g4_show_count(s->n_pieces).z, g4_show_count(MAX_PIECES).z);
    if (s->n_merges > MAX_MERGES)
        return as_fail(err, AS_RANGE, "%s: the vocabulary has %s merges, want at most %s", s->name,
                       g4_show_count(s->n_merges).z, g4_show_count(MAX_MERGES).z);
    const struct {
        const char *what;
        int32_t id;
    } ids[] = {{"beginning", s->bos}, {"end", s->eos}, {"unknown", s->unknown}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i].id < -1 || (ids[i].id >= 0 && (size_t)ids[i].id >= s->n_pieces))
            return as_fail(err, AS_RANGE,
                           "%s: the id of the \"%s\" piece is %d, the vocabulary has %zu pieces: "
                           "the file is damaged",
                           s->name, ids[i].what, (int)ids[i].id, s->n_pieces);
    return AS_OK;
}

static as_code fill(g4_vocab *v, const g4_vocab_source *s, as_err *err)
{
    v->kind = s->kind;
    v->bos = s->bos;
    v->eos = s->eos;
    v->unknown = s->unknown;
    v->add_bos = s->add_bos;
    v->add_space_prefix = s->add_space_prefix && s->kind == G4_VOCAB_SCORES;
    AS_TRY(add_pieces(v, s, err));
    find_bytes(v);
    AS_TRY(collect_markup(v, s, err));
    return s->kind == G4_VOCAB_SCORES ? add_scores(v, s, err) : add_merges(v, s, err);
}

as_code g4_vocab_build(g4_vocab **out, const g4_vocab_source *source, as_err *err)
{
    *out = NULL;
    AS_TRY(check_source(source, err));
    g4_vocab *v = calloc(1, sizeof *v);
    if (v == NULL)
        return nomem(source, err);
    const as_code c = fill(v, source, err);
    if (c != AS_OK) {
        g4_vocab_close(v);
        return c;
    }
    *out = v;
    return AS_OK;
}

void g4_vocab_close(g4_vocab *v)
{
    if (v == NULL)
        return;
    free(v->symbols);
    free(v->types);
    free(v->ranks);
    free(v->texts);
    free(v->pairs);
    g4_markup_release(&v->markup);
    free(v);
}

int32_t g4_vocab_n_pieces(const g4_vocab *v)
{
    return v->n_pieces;
}

int32_t g4_vocab_bos(const g4_vocab *v)
{
    return v->bos;
}

int32_t g4_vocab_eos(const g4_vocab *v)
{
    return v->eos;
}

bool g4_vocab_add_bos(const g4_vocab *v)
{
    return v->add_bos;
}

int32_t g4_vocab_find(const g4_vocab *v, as_str text)
{
    const int32_t symbol = g4_vocab_symbol(v, text);
    return symbol < v->n_pieces ? symbol : G4_NO_SYMBOL;
}

int g4_vocab_stops(const g4_vocab *v, int32_t *ids, int max)
{
    int n = 0;
    for (size_t i = 0; i <= n_reply_ends; i++) {
        const bool is_eos = i == n_reply_ends;
        const int32_t id = is_eos                  ? v->eos
                           : reply_ends[i].is_stop ? g4_vocab_find(v, reply_ends[i].text)
                                                   : -1;
        int at = 0;
        while (at < n && ids[at] < id)
            at++;
        if (id < 0 || n == max || (at < n && ids[at] == id))
            continue;
        memmove(ids + at + 1, ids + at, (size_t)(n - at) * sizeof *ids);
        ids[at] = id;
        n++;
    }
    return n;
}
