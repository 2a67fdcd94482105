/* Any small vocabulary and any text: the ids are those of the slow reading of the rule, and decode.
 *
 * Input: flags, bos, unknown; then records of a head byte and up to 7 bytes of text: pieces,
 * merges; a zero head ends the records, the rest is the text to encode. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/naive_tokenizer.h"
#include "engine/tokenizer.h"

enum { MAX_RECORDS = 40, MAX_TEXT = 120 };

typedef struct input {
    as_str pieces[MAX_RECORDS + 1];
    uint8_t types[MAX_RECORDS + 1];
    float scores[MAX_RECORDS + 1];
    g4_merge merges[MAX_RECORDS];
    g4_vocab_source source;
    unsigned flags;
    as_str text;
} input;

static void check(bool is_true)
{
    if (!is_true)
        abort();
}

/* Head: 3 bits of length, then a merge (length of its left half) or a piece (type, score). */
static void read_record(input *in, uint8_t head, as_str text)
{
    g4_vocab_source *s = &in->source;
    const unsigned rest = head >> 3;
    if ((rest & 1) != 0) {
        const size_t left = (rest >> 1) % (text.n + 1);
        in->merges[s->n_merges++] = (g4_merge){{text.p, left}, {text.p + left, text.n - left}};
        return;
    }
    in->pieces[s->n_pieces] = text;
    in->types[s->n_pieces] = (uint8_t)((rest >> 1) % 7); /* 0 is no type */
    in->scores[s->n_pieces] = (float)((rest >> 1) % 5) - 2.0f;
    s->n_pieces++;
}

static void read_input(input *in, const uint8_t *data, size_t size)
{
    *in = (input){.flags = data[0] & 3u};
    in->source = (g4_vocab_source){
        .name = "fuzz",
        .kind = (data[0] & 4) != 0 ? G4_VOCAB_MERGES : G4_VOCAB_SCORES,
        .pieces = in->pieces,
        .types = (data[0] & 8) != 0 ? in->types : NULL,
        .scores = in->scores,
        .merges = in->merges,
        .bos = (int32_t)(int8_t)data[1],
        .eos = -1,
        .unknown = (int32_t)(int8_t)data[2],
        .add_space_prefix = (data[0] & 16) != 0,
    };
    size_t at = 3;
    for (int i = 0; i < MAX_RECORDS && at < size && data[at] != 0; i++) {
        const size_t n = data[at] & 7;
        const size_t left = size - at - 1;
        const as_str text = {(const char *)data + at + 1, n < left ? n : left};
        read_record(in, data[at], text);
        at += 1 + text.n;
    }
    at += at < size;
    in->text = (as_str){(const char *)data + at, size - at < MAX_TEXT ? size - at : MAX_TEXT};
}

static void compare(const input *in, const g4_vocab *v)
{
    static naive_output want;
    naive_encode(&in->source, in->text, in->flags, &want);
    int32_t *ids = NULL;
    size_t n = 0;
    const as_code c = g4_vocab_encode(v, in->text, in->flags, &ids, &n, NULL);
    check((c == AS_OK) == !want.is_failed && (c == AS_OK || c == AS_RANGE));
    if (c == AS_OK) {
        check(n == want.n && (n == 0 || memcmp(ids, want.ids, n * sizeof *ids) == 0));
        as_buf out;
        as_buf_init(&out, 0);
        check(g4_vocab_decode(v, ids, n, in->flags, &out, NULL) == AS_OK);
        as_buf_release(&out);
    }
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static input in;
    if (size < 4)
        return 0;
    read_input(&in, data, size);
    g4_vocab *v = NULL;
    as_err err = {0};
    if (g4_vocab_build(&v, &in.source, &err) == AS_OK)
        compare(&in, v);
    else
        check(v == NULL && strncmp(err.text, "fuzz: ", 6) == 0);
    g4_vocab_close(v);
    return 0;
}
