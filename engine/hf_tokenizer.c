#include "engine/hf_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "engine/jscan.h"
#include "engine/show.h"

#define NO_SCORE (-1000.0F) /* of pieces that no merge makes; the number llama.cpp writes */

enum { MAX_PIECES = 1 << 24, MAX_MERGES = 1 << 26, MAX_NORMALIZER_BYTES = 1 << 16 };

typedef struct numbered {
    as_str text;
    uint32_t id;
    uint8_t type;
} numbered;

/* What is read, in the order of the file; growing lists. */
typedef struct reader {
    g4_jscan j;
    numbered *pieces;
    size_t n_pieces, pieces_cap;
    g4_merge *merges;
    size_t n_merges, merges_cap;
    as_str normalizer, type, unknown;
    bool has_vocab, has_merges;
} reader;

static as_code nomem(const char *name, as_err *err)
{
    return as_fail(err, AS_NOMEM, "%s: not enough memory for the vocabulary", name);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static as_code add_piece(reader *r, as_str text, uint64_t id, uint8_t type, as_err *err)
{
    if (id >= MAX_PIECES)
        return g4_jscan_fail(&r->j, "an id is beyond 16,777,215", err);
    void *p = as_grow(r->pieces, r->n_pieces, &r->pieces_cap, sizeof *r->pieces);
    if (p == NULL)
        return nomem(r->j.name, err);
    r->pieces = p;
    r->pieces[r->n_pieces++] = (numbered){text, (uint32_t)id, type};
    return AS_OK;
}

static bool is_byte(as_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    return text.n == 6 && memcmp(text.p, "<0x", 3) == 0 && text.p[5] == '>' &&
           as_is_one_of(text.p[3], digits) && as_is_one_of(text.p[4], digits);
}

static as_code read_vocab(reader *r, as_err *err)
{
    g4_jscan *j = &r->j;
    if (r->has_vocab)
        return g4_jscan_fail(j, "a second \"vocab\"", err);
    r->has_vocab = true;
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        as_str text = {0};
        uint64_t id = 0;
        AS_TRY(g4_jscan_key(j, &text, err));
        AS_TRY(g4_jscan_u64(j, &id, err));
        AS_TRY(add_piece(r, text, id, is_byte(text) ? G4_PIECE_BYTE : G4_PIECE_NORMAL, err));
    }
}

/* Texts that are markup even where the file does not call them special. */
static bool looks_special(as_str text)
{
    return as_str_eq_z(text, "<pad>") || as_str_eq_z(text, "<mask>") ||
           (as_str_starts(text, AS_STR("<|")) && as_str_ends(text, AS_STR("|>"))) ||
           (as_str_starts(text, AS_STR("<unused")) && as_str_ends(text, AS_STR(">")));
}

/* What a parser of replies must see. */
static bool is_visible(as_str text)
{
    static const char *const visible[] = {"<|channel>",   "<channel|>",       "<|tool_call>",
                                          "<tool_call|>", "<|tool_response>", "<tool_response|>",
                                          "<|\"|>"};
    for (size_t i = 0; i < sizeof visible / sizeof visible[0]; i++)
        if (as_str_eq_z(text, visible[i]))
            return true;
    return false;
}

static as_code read_added_token(reader *r, as_err *err)
{
    g4_jscan *j = &r->j;
    as_str text = {0};
    uint64_t id = UINT64_MAX;
    bool is_special = false;
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            break;
        as_str key = {0};
        AS_TRY(g4_jscan_key(j, &key, err));
        if (as_str_eq_z(key, "content"))
            AS_TRY(g4_jscan_str(j, &text, err));
        else if (as_str_eq_z(key, "id"))
            AS_TRY(g4_jscan_u64(j, &id, err));
        else if (as_str_eq_z(key, "special"))
            AS_TRY(g4_jscan_bool(j, &is_special, err));
        else
            AS_TRY(g4_jscan_skip(j, NULL, err));
    }
    if (id == UINT64_MAX || text.n == 0)
        return g4_jscan_fail(j, "an added token without id or content before this", err);
    const bool is_control = !is_visible(text) && (is_special || looks_special(text));
    return add_piece(r, text, id, is_control ? G4_PIECE_CONTROL : G4_PIECE_USER, err);
}

/* ---- merges ---------------------------------------------------------------------------------- */

static as_code read_merge(reader *r, g4_merge *m, as_err *err)
{
    g4_jscan *j = &r->j;
    if (g4_jscan_peek(j) == '"') {
        as_str text = {0};
        AS_TRY(g4_jscan_str(j, &text, err));
        /* the first space from the second byte on parts the two */
        const char *space = text.n > 1 ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
        if (space == NULL)
            return g4_jscan_fail(j, "a merge without a space before this", err);
        const size_t n = (size_t)(space - text.p);
        *m = (g4_merge){{text.p, n}, {space + 1, text.n - n - 1}};
        return AS_OK;
    }
    bool more = false;
    as_str *const both[] = {&m->left, &m->right};
    AS_TRY(g4_jscan_begin(j, '[', err));
    for (int i = 0; i < 2; i++) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return g4_jscan_fail(j, "want two texts in a merge", err);
        AS_TRY(g4_jscan_str(j, both[i], err));
        if (both[i]->n > 1 && memchr(both[i]->p, ' ', both[i]->n) != NULL)
            return g4_jscan_fail(j, "a merge with a space inside: not a Gemma tokenizer", err);
    }
    AS_TRY(g4_jscan_more(j, &more, err));
    return more ? g4_jscan_fail(j, "want two texts in a merge", err) : AS_OK;
}

static as_code read_merges(reader *r, as_err *err)
{
    g4_jscan *j = &r->j;
    if (r->has_merges)
        return g4_jscan_fail(j, "a second \"merges\"", err);
    r->has_merges = true;
    AS_TRY(g4_jscan_begin(j, '[', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        void *p = r->n_merges < MAX_MERGES
                      ? as_grow(r->merges, r->n_merges, &r->merges_cap, sizeof *r->merges)
                      : NULL;
        if (p == NULL)
            return nomem(j->name, err);
        r->merges = p;
        AS_TRY(read_merge(r, &r->merges[r->n_merges], err));
        r->n_merges++;
    }
}

static as_code read_model(reader *r, as_err *err)
{
    g4_jscan *j = &r->j;
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return AS_OK;
        as_str key = {0};
        AS_TRY(g4_jscan_key(j, &key, err));
        if (as_str_eq_z(key, "vocab") && g4_jscan_peek(j) == '{')
            AS_TRY(read_vocab(r, err));
        else if (as_str_eq_z(key, "merges"))
            AS_TRY(read_merges(r, err));
        else if (as_str_eq_z(key, "type"))
            AS_TRY(g4_jscan_str(j, &r->type, err));
        else if (as_str_eq_z(key, "unk_token") && g4_jscan_peek(j) == '"')
            AS_TRY(g4_jscan_str(j, &r->unknown, err));
        else
            AS_TRY(g4_jscan_skip(j, NULL, err));
    }
}

static as_code read_added_tokens(reader *r, as_err *err)
{
    AS_TRY(g4_jscan_begin(&r->j, '[', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(&r->j, &more, err));
        if (!more)
            return AS_OK;
        AS_TRY(read_added_token(r, err));
    }
}

static as_code read_top(reader *r, as_err *err)
{
    g4_jscan *j = &r->j;
    AS_TRY(g4_jscan_begin(j, '{', err));
    for (bool more = false;;) {
        AS_TRY(g4_jscan_more(j, &more, err));
        if (!more)
            return g4_jscan_end(j, err);
        as_str key = {0};
        AS_TRY(g4_jscan_key(j, &key, err));
        if (as_str_eq_z(key, "model")) {
            AS_TRY(read_model(r, err));
        } else if (as_str_eq_z(key, "normalizer")) {
            AS_TRY(g4_jscan_skip(j, &r->normalizer, err));
        } else if (as_str_eq_z(key, "added_tokens")) {
            AS_TRY(read_added_tokens(r, err));
        } else {
            AS_TRY(g4_jscan_skip(j, NULL, err));
        }
    }
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* { "type": "Replace", "pattern": { "String": " " }, "content": "▁" } */
static bool is_space_rule(const as_json *n)
{
    as_str type = {0};
    as_str from = {0};
    as_str to = {0};
    return as_json_str(as_json_get(n, "type"), &type) && as_str_eq_z(type, "Replace") &&
           as_json_str(as_json_get(as_json_get(n, "pattern"), "String"), &from) &&
           as_str_eq_z(from, " ") && as_json_str(as_json_get(n, "content"), &to) &&
           as_str_eq_z(to, "\xe2\x96\x81");
}

static as_code check_normalizer(const reader *r, as_err *err)
{
    bool is_known = false;
    as_json *n = NULL;
    if (r->normalizer.n != 0 && r->normalizer.n <= MAX_NORMALIZER_BYTES &&
        as_json_parse(&n, r->normalizer, NULL) == AS_OK) {
        const as_json *list = as_json_get(n, "normalizers");
        is_known =
            is_space_rule(n) || (as_json_count(list) == 1 && is_space_rule(as_json_first(list)));
    }
    as_json_free(n);
    if (is_known)
        return AS_OK;
    return as_fail(
        err, AS_UNSUPPORTED,
        "%s: \"normalizer\" is not Gemma's (a space becomes U+2581): this tokenizer would "
        "be run wrongly",
        r->j.name);
}

static as_code check_model(const reader *r, as_err *err)
{
    if (!as_str_eq_z(r->type, "BPE") && r->type.n != 0)
        return as_fail(err, AS_UNSUPPORTED, "%s: \"model.type\" is \"%s\", want \"BPE\"", r->j.name,
                       g4_show(r->type).z);
    if (!r->has_vocab || !r->has_merges || r->n_pieces == 0)
        return as_fail(err, AS_PARSE, "%s: has no \"model\" with \"vocab\" and \"merges\"",
                       r->j.name);
    return check_normalizer(r, err);
}

/* Pieces in the order of their ids. An added token takes the place of the piece of its id. */
static as_code place_pieces(const reader *r, g4_hf_tokenizer *out, as_arena *keep, as_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_pieces; i++)
        if (r->pieces[i].id >= n)
            n = (size_t)r->pieces[i].id + 1;
    if (n > 2 * r->n_pieces + 1024)
        return as_fail(err, AS_PARSE, "%s: ids reach %s, but there are only %s pieces", r->j.name,
                       g4_show_count(n - 1).z, g4_show_count(r->n_pieces).z);
    out->pieces = as_new(keep, as_str, n);
    out->types = as_new(keep, uint8_t, n);
    if (out->pieces == NULL || out->types == NULL)
        return nomem(r->j.name, err);
    out->n_pieces = n;
    for (size_t i = 0; i < r->n_pieces; i++) {
        const numbered *p = &r->pieces[i];
        const bool is_added = p->type == G4_PIECE_CONTROL || p->type == G4_PIECE_USER;
        const bool was_added =
            out->types[p->id] == G4_PIECE_CONTROL || out->types[p->id] == G4_PIECE_USER;
        if (out->types[p->id] != 0 &&
            (is_added == was_added || !as_str_eq(out->pieces[p->id], p->text)))
            return as_fail(err, AS_PARSE, "%s: id %u is there twice, for \"%s\" and \"%s\"",
                           r->j.name, p->id, g4_show(out->pieces[p->id]).z, g4_show(p->text).z);
        out->pieces[p->id] = p->text;
        if (!was_added)
            out->types[p->id] = p->type;
    }
    for (size_t i = 0; i < n; i++)
        if (out->types[i] == 0) {
            out->pieces[i] = as_arena_printf(keep, "[PAD%zu]", i);
            out->types[i] = G4_PIECE_UNUSED;
            if (out->pieces[i].p == NULL)
                return nomem(r->j.name, err);
        }
    return AS_OK;
}

as_code g4_hf_tokenizer_read(g4_hf_tokenizer *out, const char *name, as_str text, as_arena *keep,
                             as_err *err)
{
    g4_hf_tokenizer t = {0};
    reader r = {0};
    g4_jscan_init(&r.j, name, text, keep);
    as_code c = read_top(&r, err);
    if (c == AS_OK)
        c = check_model(&r, err);
    if (c == AS_OK)
        c = place_pieces(&r, &t, keep, err);
    if (c == AS_OK && r.n_merges > 0) {
        t.merges = as_new(keep, g4_merge, r.n_merges);
        if (t.merges != NULL)
            memcpy(t.merges, r.merges, r.n_merges * sizeof *r.merges);
        else
            c = nomem(name, err);
    }
    t.n_merges = r.n_merges;
    t.unknown = r.unknown;
    free(r.pieces);
    free(r.merges);
    if (c == AS_OK)
        *out = t;
    return c;
}

int32_t g4_hf_tokenizer_find(const g4_hf_tokenizer *t, as_str text)
{
    for (size_t i = 0; i < t->n_pieces; i++)
        if (as_str_eq(t->pieces[i], text))
            return (int32_t)i;
    return -1;
}

/* ---- scores ---------------------------------------------------------------------------------- */

/* One hash table of pieces by text: the texts are checked again by g4_vocab_build, which refuses
 * those made to collide; here a bounded search gives up on them instead. */
as_code g4_hf_tokenizer_scores(const g4_hf_tokenizer *t, as_arena *keep, float **out, as_err *err)
{
    enum { MAX_PROBES = 4096, MAX_JOINED = 2048 };
    size_t n_slots = 1024;
    while (n_slots / 2 < t->n_pieces)
        n_slots *= 2;
    float *scores = as_new(keep, float, t->n_pieces);
    int32_t *slots = calloc(n_slots, sizeof *slots); /* id + 1 */
    if (scores == NULL || slots == NULL) {
        free(slots);
        return as_nomem(err);
    }
    const size_t mask = n_slots - 1;
    for (size_t i = 0; i < t->n_pieces; i++) {
        scores[i] = t->types[i] == G4_PIECE_BYTE ? 0 : NO_SCORE;
        size_t at = as_fnv1a(t->pieces[i]) & mask;
        for (int probes = 0; slots[at] != 0 && probes < MAX_PROBES; probes++)
            at = (at + 1) & mask;
        slots[at] = (int32_t)i + 1;
    }
    for (size_t m = t->n_merges; m-- > 0;) { /* the first merge of a piece comes last and counts */
        char joined[MAX_JOINED];
        const as_str left = t->merges[m].left;
        const as_str right = t->merges[m].right;
        if (left.n > MAX_JOINED || right.n > MAX_JOINED - left.n)
            continue;
        memcpy(joined, left.p, left.n);
        memcpy(joined + left.n, right.p, right.n);
        const as_str text = {joined, left.n + right.n};
        size_t at = as_fnv1a(text) & mask;
        for (int probes = 0; slots[at] != 0 && probes < MAX_PROBES;
             probes++, at = (at + 1) & mask) {
            const size_t id = (size_t)slots[at] - 1;
            if (!as_str_eq(t->pieces[id], text))
                continue;
            if (t->types[id] == G4_PIECE_NORMAL)
                scores[id] = -(float)m;
            break;
        }
    }
    free(slots);
    *out = scores;
    return AS_OK;
}

/* ---- as metadata ----------------------------------------------------------------------------- */

static void put_padding(const g4_hf_tokenizer *t, size_t n, g4_gguf_values *v)
{
    for (size_t i = t->n_pieces; i < n; i++) {
        char name[32];
        const int len = snprintf(name, sizeof name, "[PAD%zu]", i);
        g4_gguf_add_str(v, (as_str){name, (size_t)len});
    }
}

void g4_hf_tokenizer_put(const g4_hf_tokenizer *t, bool has_scores, size_t n_rows,
                         const float *scores, g4_gguf_values *v)
{
    const size_t n = n_rows > t->n_pieces ? n_rows : t->n_pieces;
    g4_gguf_put_str(v, "tokenizer.ggml.model", has_scores ? AS_STR("llama") : AS_STR("gemma4"));
    g4_gguf_put_array(v, "tokenizer.ggml.tokens", G4_VALUE_STR, n);
    for (size_t i = 0; i < t->n_pieces; i++)
        g4_gguf_add_str(v, t->pieces[i]);
    put_padding(t, n, v);
    g4_gguf_put_array(v, "tokenizer.ggml.scores", G4_VALUE_F32, n);
    for (size_t i = 0; i < n; i++)
        g4_gguf_add_f32(v, has_scores && i < t->n_pieces ? scores[i] : NO_SCORE);
    g4_gguf_put_array(v, "tokenizer.ggml.token_type", G4_VALUE_I32, n);
    for (size_t i = 0; i < n; i++)
        g4_gguf_add_i32(v, i < t->n_pieces ? t->types[i] : G4_PIECE_UNUSED);
    if (has_scores)
        return;
    g4_gguf_put_array(v, "tokenizer.ggml.merges", G4_VALUE_STR, t->n_merges);
    for (size_t i = 0; i < t->n_merges; i++) {
        const g4_merge m = t->merges[i];
        g4_gguf_add_str_pair(v, m.left, m.right);
    }
}
