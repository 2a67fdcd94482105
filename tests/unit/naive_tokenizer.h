#ifndef TESTS_NAIVE_TOKENIZER_H
#define TESTS_NAIVE_TOKENIZER_H
/*
 * naive_tokenizer.h — the rule of engine/tokenizer.h, step by step, in the slowest way: no heap, no
 * words, no tables. Tests and the fuzz target compare the real one with it.
 *
 * Cost       cubic. Texts of up to NAIVE_MAX_TEXT bytes, vocabularies of a few dozen pieces.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/engine.h"
#include "engine/vocab.h"

enum { NAIVE_MAX_TEXT = 512, NAIVE_MAX_IDS = 3 * NAIVE_MAX_TEXT + 8 };

typedef struct naive_output {
    int32_t ids[NAIVE_MAX_IDS];
    size_t n;
    bool is_failed; /* a byte without a piece */
} naive_output;

/* The last of equal pieces. Empty pieces are never found. */
static int32_t naive_find(const g4_vocab_source *s, as_str text)
{
    for (size_t i = s->n_pieces; text.n != 0 && i-- > 0;)
        if (as_str_eq(s->pieces[i], text))
            return (int32_t)i;
    return -1;
}

static bool naive_is_byte_text(as_str t)
{
    static const char digits[] = "0123456789ABCDEF";
    return t.n == 6 && memcmp(t.p, "<0x", 3) == 0 && t.p[5] == '>' &&
           memchr(digits, t.p[3], 16) != NULL && memchr(digits, t.p[4], 16) != NULL;
}

static int naive_type(const g4_vocab_source *s, int32_t id)
{
    static const char *const ends[] = {"<eos>", "<end_of_turn>", "<turn|>", "<|tool_response>",
                                       "</s>"};
    const as_str text = s->pieces[id];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (as_str_eq_z(text, ends[i]) && naive_find(s, text) == id &&
            (i < 4 || s->kind == G4_VOCAB_SCORES))
            return G4_PIECE_CONTROL;
    const int type = s->types != NULL ? s->types[id] : G4_PIECE_NORMAL;
    return type == G4_PIECE_BYTE && !naive_is_byte_text(text) ? G4_PIECE_NORMAL : type;
}

static void naive_add(naive_output *o, int32_t id)
{
    if (id < 0)
        o->is_failed = true;
    else if (o->n < NAIVE_MAX_IDS)
        o->ids[o->n++] = id;
}

static void naive_bytes(const g4_vocab_source *s, as_str text, naive_output *o)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        const unsigned b = (unsigned char)text.p[i];
        const char spelt[6] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
        int32_t id = naive_find(s, (as_str){spelt, 6});
        if (id < 0)
            id = naive_find(s, (as_str){text.p + i, 1});
        naive_add(o, id >= 0 ? id : s->unknown);
    }
}

/* Whether a before b merge, and how good that is: smaller is better. */
static bool naive_merge(const g4_vocab_source *s, as_str a, as_str b, double *badness)
{
    if (s->kind == G4_VOCAB_SCORES) {
        const int32_t id = naive_find(s, (as_str){a.p, a.n + b.n}); /* b stands behind a */
        if (id < 0)
            return false;
        *badness = s->scores[id] == s->scores[id] ? -(double)s->scores[id] : (double)INFINITY;
        return true;
    }
    for (size_t i = 0; i < s->n_merges; i++) {
        if (as_str_eq(s->merges[i].left, a) && as_str_eq(s->merges[i].right, b)) {
            *badness = (double)i;
            return true;
        }
    }
    return false;
}

/* Text with space marks in place. */
static void naive_stretch(const g4_vocab_source *s, as_str text, naive_output *o)
{
    as_str parts[3 * NAIVE_MAX_TEXT + 8];
    size_t n = 0;
    for (size_t at = 0; at < text.n; at += parts[n - 1].n) {
        const size_t len = as_utf8_len((as_str){text.p + at, text.n - at});
        parts[n++] = (as_str){text.p + at, len != 0 ? len : 1};
    }
    for (;;) {
        size_t best = SIZE_MAX;
        double best_badness = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            double badness = 0;
            if (naive_merge(s, parts[i], parts[i + 1], &badness) &&
                (best == SIZE_MAX || badness < best_badness)) {
                best = i;
                best_badness = badness;
            }
        }
        if (best == SIZE_MAX)
            break;
        parts[best].n += parts[best + 1].n;
        memmove(&parts[best + 1], &parts[best + 2], (n - best - 2) * sizeof *parts);
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t id = naive_find(s, parts[i]);
        if (id >= 0)
            naive_add(o, id);
        else
            naive_bytes(s, parts[i], o);
    }
}

static void naive_plain(const g4_vocab_source *s, as_str text, naive_output *o)
{
    char marked[3 * NAIVE_MAX_TEXT + 8];
    size_t n = 0;
    if (text.n == 0)
        return;
    if (s->add_space_prefix && s->kind == G4_VOCAB_SCORES) {
        memcpy(marked, "\xe2\x96\x81", 3);
        n = 3;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == ' ') {
            memcpy(marked + n, "\xe2\x96\x81", 3);
            n += 3;
        } else {
            marked[n++] = text.p[i];
        }
    }
    if (s->kind == G4_VOCAB_SCORES) {
        naive_stretch(s, (as_str){marked, n}, o);
        return;
    }
    for (size_t at = 0, end = 0; at < n; at = end) {
        while (end < n && (marked[end] == '\n') == (marked[at] == '\n'))
            end++;
        const as_str run = {marked + at, end - at};
        const int32_t id = run.p[0] == '\n' ? naive_find(s, run) : -1;
        if (id >= 0)
            naive_add(o, id);
        else
            naive_stretch(s, run, o);
    }
}

/* The special piece of a text: the last user-defined one, else the last control piece. */
static int32_t naive_special(const g4_vocab_source *s, as_str text, unsigned flags)
{
    int32_t found = -1;
    bool is_user = false;
    for (int32_t id = 0; (size_t)id < s->n_pieces; id++) {
        if (!as_str_eq(s->pieces[id], text))
            continue;
        const int type = naive_type(s, id);
        const bool is_control = type == G4_PIECE_CONTROL || type == G4_PIECE_UNKNOWN;
        if (type == G4_PIECE_USER || (is_control && !is_user))
            found = id;
        is_user = is_user || type == G4_PIECE_USER;
    }
    return is_user || (flags & G4_TOK_SPECIAL) != 0 ? found : -1;
}

/* text.n ≤ NAIVE_MAX_TEXT. */
static void naive_encode(const g4_vocab_source *s, as_str text, unsigned flags, naive_output *o)
{
    int32_t taken[NAIVE_MAX_TEXT]; /* at each byte: id of the special piece that starts, else -1;
                                      -2 inside one */
    for (size_t i = 0; i < text.n; i++)
        taken[i] = -1;
    for (size_t len = text.n; len != 0; len--) {
        for (size_t at = 0; at + len <= text.n; at++) {
            const int32_t id = naive_special(s, (as_str){text.p + at, len}, flags);
            bool is_free = id >= 0;
            for (size_t i = at; is_free && i < at + len; i++)
                is_free = taken[i] == -1;
            for (size_t i = at; is_free && i < at + len; i++)
                taken[i] = i == at ? id : -2;
        }
    }
    *o = (naive_output){.n = 0};
    if ((flags & G4_TOK_BOS) != 0 && s->bos >= 0)
        naive_add(o, s->bos);
    for (size_t at = 0, end = 0; at < text.n; at = end) {
        if (taken[at] >= 0)
            naive_add(o, taken[at]);
        const bool is_special = taken[at] != -1;
        end = at + 1;
        while (end < text.n && (is_special ? taken[end] == -2 : taken[end] == -1))
            end++;
        if (!is_special)
            naive_plain(s, (as_str){text.p + at, end - at}, o);
    }
}

#endif
