/* engine/tokenizer.h and vocab.h: recorded tokenisations of llama.cpp, a slow reading of the rule
 * on random vocabularies, and vocabularies that lie. AS_SHARED (folder) and AS_MODEL_GEMMA3 (file)
 * name the full vocabularies; without them those tests are skipped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/io.h"
#include "base/jsonl.h"
#include "base/rng.h"
#include "base/time.h"
#include "engine/tokenizer.h"
#include "naive_tokenizer.h"

/* ---- a vocabulary and its file --------------------------------------------------------------- */

typedef struct opened {
    g4_gguf *file;
    g4_vocab *vocab;
} opened;

static opened open_vocab(const char *path)
{
    opened o = {0};
    as_err err = {0};
    const int64_t start_ns = as_now_ns();
    if (g4_gguf_open(&o.file, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    const int64_t file_ns = as_now_ns();
    if (g4_vocab_open(&o.vocab, o.file, &err) != AS_OK)
        fail_msg("%s", err.text);
    print_message("%s: file opened in %.1f ms, vocabulary in %.1f ms\n", as_path_base(path),
                  (double)(file_ns - start_ns) / 1e6, (double)(as_now_ns() - file_ns) / 1e6);
    return o;
}

static void close_vocab(opened *o)
{
    g4_vocab_close(o->vocab);
    g4_gguf_close(o->file);
}

static const char *path_of(as_arena *a, const char *name)
{
    const char *folder = getenv("AS_FIXTURES");
    if (folder == NULL)
        fail_msg("AS_FIXTURES is not set: run this by ctest");
    const char *path = as_path_join(a, folder, name);
    assert_non_null(path);
    return path;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_ids(const g4_vocab *v, const char *why, as_str text, unsigned flags,
                      const int32_t *want, size_t n_want)
{
    int32_t *ids = NULL;
    size_t n = 0;
    as_err err = {0};
    if (g4_vocab_encode(v, text, flags, &ids, &n, &err) != AS_OK)
        fail_msg("%s: \"%.*s\": %s", why, AS_ARG(text), err.text);
    size_t same = 0;
    while (same < n && same < n_want && ids[same] == want[same])
        same++;
    if (same != n || same != n_want)
        fail_msg("%s: \"%.*s\": %zu ids, want %zu; the first difference is at %zu: %d, want %d",
                 why, AS_ARG(text), n, n_want, same, same < n ? (int)ids[same] : -1,
                 same < n_want ? (int)want[same] : -1);
    free(ids);
}

static void check_text(const g4_vocab *v, const char *why, const int32_t *ids, size_t n,
                       unsigned flags, as_str want)
{
    as_buf out;
    as_buf_init(&out, 0);
    as_err err = {0};
    if (g4_vocab_decode(v, ids, n, flags, &out, &err) != AS_OK)
        fail_msg("%s: %s", why, err.text);
    if (!as_str_eq(as_buf_str(&out), want))
        fail_msg("%s: got \"%.*s\", want \"%.*s\"", why, AS_ARG(as_buf_str(&out)), AS_ARG(want));
    as_buf_release(&out);
}

enum { MAX_IDS = 65536 };

/* The ids of a JSON array or of a line of numbers. */
typedef struct id_list {
    int32_t ids[MAX_IDS];
    size_t n;
} id_list;

static bool ids_of(const as_json *array, id_list *out)
{
    out->n = 0;
    if (as_json_type(array) != AS_JSON_ARRAY)
        return false;
    for (const as_json *x = as_json_first(array); x != NULL; x = as_json_next(x)) {
        int64_t id = 0;
        assert_true(as_json_i64(x, &id) && out->n < MAX_IDS);
        out->ids[out->n++] = (int32_t)id;
    }
    return true;
}

/* Which field holds the ids of `text` under which flags, and which the text of which ids. */
typedef struct field {
    const char *name;
    unsigned flags;
    const char *from; /* decoding: the ids' field; NULL: encoding */
} field;

/* The string of a field, or the bytes of its "…_hex" form. */
static bool bytes_of(const as_json *row, const char *name, as_buf *out)
{
    as_buf_reset(out);
    as_str s = {0};
    if (as_json_str(as_json_get(row, name), &s))
        return as_buf_add(out, s) == AS_OK;
    char hex_name[64];
    (void)snprintf(hex_name, sizeof hex_name, "%s_hex", name);
    if (!as_json_str(as_json_get(row, hex_name), &s))
        return false;
    for (size_t i = 0; i + 1 < s.n; i += 2) {
        const char digits[3] = {s.p[i], s.p[i + 1], '\0'};
        assert_int_equal(as_buf_add_byte(out, (char)strtol(digits, NULL, 16)), AS_OK);
    }
    return true;
}

/* Checks the fields of every line; says how many comparisons that were. */
static size_t check_file(const g4_vocab *v, const char *path, const field *fields, size_t n_fields)
{
    static id_list list;
    as_err err = {0};
    as_jsonl *in = NULL;
    if (as_jsonl_open(&in, path, 0, &err) != AS_OK)
        fail_msg("%s", err.text);
    as_buf text;
    as_buf_init(&text, 0);
    size_t n_checked = 0;
    for (as_json *row = NULL;; as_json_free(row)) {
        if (as_jsonl_next(in, &row, &err) != AS_OK)
            fail_msg("%s", err.text);
        if (row == NULL)
            break;
        for (size_t i = 0; i < n_fields; i++) {
            char why[128];
            (void)snprintf(why, sizeof why, "line %zu, %s", as_jsonl_line(in), fields[i].name);
            if (fields[i].from == NULL) {
                assert_true(bytes_of(row, "text", &text));
                if (!ids_of(as_json_get(row, fields[i].name), &list))
                    fail_msg("%s: no ids", why);
                check_ids(v, why, as_buf_str(&text), fields[i].flags, list.ids, list.n);
            } else {
                assert_true(ids_of(as_json_get(row, fields[i].from), &list));
                if (!bytes_of(row, fields[i].name, &text))
                    fail_msg("%s: no text", why);
                check_text(v, why, list.ids, list.n, fields[i].flags, as_buf_str(&text));
            }
            n_checked++;
        }
    }
    as_buf_release(&text);
    as_jsonl_close(in);
    print_message("%s: %zu comparisons\n", as_path_base(path), n_checked);
    return n_checked;
}

/* ---- recorded tokenisations ------------------------------------------------------------------ */

static void tokenises_the_tiny_vocabularies(void **state)
{
    (void)state;
    static const field fields[] = {{"plain", 0, NULL},
                                   {"special", G4_TOK_SPECIAL, NULL},
                                   {"shown", G4_TOK_SPECIAL, "special"},
                                   {"hidden", 0, "special"}};
    static const char *const names[][2] = {{"vocab/tiny-merges.gguf", "vocab/tiny-merges.jsonl"},
                                           {"vocab/tiny-scores.gguf", "vocab/tiny-scores.jsonl"}};
    as_arena a;
    as_arena_init(&a, 0);
    for (size_t i = 0; i < 2; i++) {
        opened o = open_vocab(path_of(&a, names[i][0]));
        assert_int_equal(g4_vocab_n_pieces(o.vocab), 512);
        assert_int_equal(check_file(o.vocab, path_of(&a, names[i][1]), fields, 4), 640);
        close_vocab(&o);
    }
    as_arena_release(&a);
}

static void tokenises_as_gemma_3(void **state)
{
    (void)state;
    const char *path = getenv("AS_MODEL_GEMMA3");
    if (path == NULL) {
        print_message("skipped: AS_MODEL_GEMMA3 does not name the Gemma 3 270M file\n");
        skip();
    }
    static const field fields[] = {
        {"plain", 0, NULL},
        {"special", G4_TOK_SPECIAL, NULL},
        {"bos_plain", G4_TOK_BOS, NULL},
        {"bos_special", G4_TOK_BOS | G4_TOK_SPECIAL, NULL},
        {"detok_plain", 0, "plain"},
        {"detok_special", G4_TOK_SPECIAL, "special"},
        {"detok_special_hidden", 0, "special"},
    };
    as_arena a;
    as_arena_init(&a, 0);
    opened o = open_vocab(path);
    assert_int_equal(check_file(o.vocab, path_of(&a, "vocab/gemma3_tokens.jsonl"), fields, 7),
                     1022);
    int32_t stops[8];
    assert_int_equal(g4_vocab_stops(o.vocab, stops, 8), 2);
    assert_int_equal(stops[0], 1);
    assert_int_equal(stops[1], 106);
    close_vocab(&o);
    as_arena_release(&a);
}

/* Gemma 4's file or a skip. */
static opened open_gemma_4(as_arena *a)
{
    const char *folder = getenv("AS_SHARED");
    const char *path = folder != NULL ? as_path_join(a, folder, "data/gemma4-vocab.gguf") : NULL;
    if (path == NULL || !as_file_exists(path)) {
        print_message("skipped: AS_SHARED does not name the folder of data/gemma4-vocab.gguf\n");
        as_arena_release(a);
        skip();
    }
    return open_vocab(path);
}

static void tokenises_as_gemma_4(void **state)
{
    (void)state;
    static id_list list;
    as_arena a;
    as_arena_init(&a, 0);
    opened o = open_gemma_4(&a);
    const char *path = path_of(&a, "vocab/gemma4_tokens.jsonl.gz");
    as_jsonl *in = NULL;
    as_err err = {0};
    assert_int_equal(as_jsonl_open(&in, path, 0, &err), AS_OK);
    size_t n = 0;
    for (as_json *row = NULL;; as_json_free(row), n++) {
        assert_int_equal(as_jsonl_next(in, &row, &err), AS_OK);
        if (row == NULL)
            break;
        as_str text = {0};
        bool is_special = false;
        assert_true(as_json_str(as_json_get(row, "text"), &text));
        assert_true(as_json_bool(as_json_get(row, "parse_special"), &is_special));
        assert_true(ids_of(as_json_get(row, "ids"), &list));
        check_ids(o.vocab, "gemma4_tokens", text, is_special ? G4_TOK_SPECIAL : 0, list.ids,
                  list.n);
    }
    as_jsonl_close(in);
    assert_int_equal(n, 395);
    close_vocab(&o);
    as_arena_release(&a);
}

/* A line of numbers. */
static void ids_of_line(as_str line, id_list *out)
{
    out->n = 0;
    for (as_str word = {0}, rest = as_str_trim(line); rest.n != 0;) {
        (void)as_str_cut(rest, ' ', &word, &rest);
        int64_t id = 0;
        assert_true(as_parse_i64(word, 0, INT32_MAX, &id) && out->n < MAX_IDS);
        out->ids[out->n++] = (int32_t)id;
    }
}

static void passes_the_vocabulary_test_of_llama_cpp(void **state)
{
    (void)state;
    static id_list list;
    as_arena a;
    as_arena_init(&a, 0);
    opened o = open_gemma_4(&a);
    as_buf texts;
    as_buf lines;
    as_buf_init(&texts, 0);
    as_buf_init(&lines, 0);
    as_err err = {0};
    assert_int_equal(as_read_file(&texts, path_of(&a, "vocab/gemma4-tokenizer.inp"), &err), AS_OK);
    assert_int_equal(as_read_file(&lines, path_of(&a, "vocab/gemma4-tokenizer.out"), &err), AS_OK);
    const as_str border = AS_STR("\n__ggml_vocab_test__\n");
    as_str left = as_buf_str(&texts);
    as_str left_lines = as_buf_str(&lines);
    size_t n = 0;
    for (bool is_last = false; !is_last; n++) {
        const size_t at = as_str_find(left, border);
        is_last = at == SIZE_MAX;
        const as_str text = as_str_sub(left, 0, at);
        as_str line = {0};
        (void)as_str_cut(left_lines, '\n', &line, &left_lines);
        ids_of_line(line, &list);
        check_ids(o.vocab, "gemma4-tokenizer", text, 0, list.ids, list.n);
        left = as_str_sub(left, is_last ? left.n : at + border.n, left.n);
    }
    assert_int_equal(n, 46);
    as_buf_release(&texts);
    as_buf_release(&lines);
    close_vocab(&o);
    as_arena_release(&a);
}

static const struct {
    as_str text;
    unsigned flags;
    const char *ids;
} gemma_4_rows[] = {
    {AS_STR_INIT("Hello world"), G4_TOK_SPECIAL, "9259 1902"},
    {AS_STR_INIT(" Hello world"), G4_TOK_SPECIAL, "26352 1902"},
    {AS_STR_INIT("Hello, world!"), G4_TOK_SPECIAL, "9259 236764 1902 236888"},
    {AS_STR_INIT(" "), G4_TOK_SPECIAL, "236743"},
    {AS_STR_INIT("  "), G4_TOK_SPECIAL, "138"},
    {AS_STR_INIT("   "), G4_TOK_SPECIAL, "139"},
    {AS_STR_INIT("    Hello\n    Hello"), G4_TOK_SPECIAL, "140 9259 107 140 9259"},
    {AS_STR_INIT("\t"), G4_TOK_SPECIAL, "255968"},
    {AS_STR_INIT("\n"), G4_TOK_SPECIAL, "107"},
    {AS_STR_INIT("\n\n"), G4_TOK_SPECIAL, "108"},
    {AS_STR_INIT("Äpfel"), G4_TOK_SPECIAL, "239122 22744 535"},
    {AS_STR_INIT("ied 4 ½ months"), G4_TOK_SPECIAL, "1178 236743 236812 47041 3794"},
    {AS_STR_INIT("3333"), G4_TOK_SPECIAL, "236800 236800 236800 236800"},
    {AS_STR_INIT("The capital of France is"), G4_TOK_SPECIAL, "818 5279 529 7001 563"},
    {AS_STR_INIT("The answer is 42, not 43.5 or -1"), G4_TOK_SPECIAL,
     "818 3890 563 236743 236812 236778 236764 711 236743 236812 236800 236761 236810 653 753 "
     "236770"},
    {AS_STR_INIT("func main() { fmt.Println(\"hello\") }"), G4_TOK_SPECIAL,
     "6823 1689 825 642 22766 236761 29006 885 23391 1373 682"},
    {AS_STR_INIT("<|turn>user\nWhat is 2+2?<turn|>\n<|turn>model\n"), G4_TOK_SPECIAL,
     "105 2364 107 3689 563 236743 236778 236862 236778 236881 106 107 105 4368 107"},
    {AS_STR_INIT("<|turn>user\nWhat is the capital of France?<turn|>\n<|turn>model\n"),
     G4_TOK_SPECIAL | G4_TOK_BOS,
     "2 105 2364 107 3689 563 506 5279 529 7001 236881 106 107 105 4368 107"},
    {AS_STR_INIT("<|channel>thought\nLet me think about this...<channel|>The answer is 42."),
     G4_TOK_SPECIAL,
     "100 45518 107 6481 786 1751 1003 672 1390 101 818 3890 563 236743 236812 236778 236761"},
    {AS_STR_INIT("<|tool>declaration:bash{description:<|\"|>Run a command<|\"|>}<tool|>"),
     G4_TOK_SPECIAL, "46 163688 236787 42422 236782 7777 236787 52 7306 496 4991 52 236783 47"},
    {AS_STR_INIT("<|tool_call>call:bash{command:<|\"|>ls -la<|\"|>}<tool_call|>"), G4_TOK_SPECIAL,
     "48 6639 236787 42422 236782 7674 236787 52 5629 753 2149 52 236783 49"},
    /* Whole prompts, as the large template renders them: thinking off, off, on. */
    {AS_STR_INIT("<|turn>user\nHello<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"),
     G4_TOK_SPECIAL | G4_TOK_BOS, "2 105 2364 107 9259 106 107 105 4368 107 100 45518 107 101"},
    {AS_STR_INIT("<|turn>user\nName three primary colors.<turn|>\n<|turn>model\n<|channel>thought\n"
                 "<channel|>"),
     G4_TOK_SPECIAL | G4_TOK_BOS,
     "2 105 2364 107 1567 1806 5905 7913 236761 106 107 105 4368 107 100 45518 107 101"},
    {AS_STR_INIT("<|turn>system\n<|think|>\n<turn|>\n<|turn>user\nName three primary "
                 "colors.<turn|>\n<|turn>model\n"),
     G4_TOK_SPECIAL | G4_TOK_BOS,
     "2 105 9731 107 98 107 106 107 105 2364 107 1567 1806 5905 7913 236761 106 107 105 4368 107"},
    {AS_STR_INIT("<|turn>"), 0, "236820 236909 887 236813"},
    /* llama.cpp v0.5.0 treats what ends a reply as control, and </s> as a plain HTML tag. */
    {AS_STR_INIT("</s><|tool_response>"), G4_TOK_SPECIAL, "954 236751 236813 50"},
    {AS_STR_INIT("x<tool_response|>"), 0, "236781 51"},
    {AS_STR_INIT(""), 0, ""},
    {AS_STR_INIT(""), G4_TOK_BOS, "2"},
    /* Runs that are no piece: from the left, the longest first. */
    {AS_STR_INIT(
         "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"),
     0, "137 115"},
};

static void tokenises_the_examples_of_gemma_4(void **state)
{
    (void)state;
    static id_list list;
    as_arena a;
    as_arena_init(&a, 0);
    opened o = open_gemma_4(&a);
    for (size_t i = 0; i < sizeof gemma_4_rows / sizeof *gemma_4_rows; i++) {
        ids_of_line(as_str_of(gemma_4_rows[i].ids), &list);
        check_ids(o.vocab, "example", gemma_4_rows[i].text, gemma_4_rows[i].flags, list.ids,
                  list.n);
        check_text(o.vocab, "example", list.ids + ((gemma_4_rows[i].flags & G4_TOK_BOS) != 0),
                   list.n - ((gemma_4_rows[i].flags & G4_TOK_BOS) != 0), G4_TOK_SPECIAL,
                   gemma_4_rows[i].text);
    }
    int32_t stops[8];
    assert_int_equal(g4_vocab_stops(o.vocab, stops, 8), 3);
    assert_int_equal(stops[0], 1);
    assert_int_equal(stops[1], 50);
    assert_int_equal(stops[2], 106);
    assert_int_equal(g4_vocab_stops(o.vocab, stops, 1), 1);
    assert_true(g4_vocab_add_bos(o.vocab));
    close_vocab(&o);
    as_arena_release(&a);
}

/* ---- any bytes ------------------------------------------------------------------------------- */

static const struct {
    const char *why;
    as_str text, back;
} byte_rows[] = {
    {"NUL", AS_STR_INIT("a\0b"), AS_STR_INIT("a\0b")},
    {"bytes that never begin a character", AS_STR_INIT("\xff\xfe\xf8"),
     AS_STR_INIT("\xff\xfe\xf8")},
    {"a lost continuation", AS_STR_INIT("a\x80 b\xbf"), AS_STR_INIT("a\x80 b\xbf")},
    {"a character cut at the end", AS_STR_INIT("abc\xe2\x96"), AS_STR_INIT("abc\xe2\x96")},
    {"a character cut by a space", AS_STR_INIT("\xf0\x9f\x98 b"), AS_STR_INIT("\xf0\x9f\x98 b")},
    {"overlong", AS_STR_INIT("\xc0\xaf\xe0\x80\xaf"), AS_STR_INIT("\xc0\xaf\xe0\x80\xaf")},
    {"a surrogate", AS_STR_INIT("\xed\xa0\x80"), AS_STR_INIT("\xed\xa0\x80")},
    {"beyond Unicode", AS_STR_INIT("\xf4\x90\x80\x80"), AS_STR_INIT("\xf4\x90\x80\x80")},
    {"a space mark comes back as a space", AS_STR_INIT("a\xe2\x96\x81"), AS_STR_INIT("a ")},
    {"markup in plain text", AS_STR_INIT("<bos>x<eos>"), AS_STR_INIT("<bos>x<eos>")},
    {"half markup", AS_STR_INIT("<|tur<|turn<|turn>"), AS_STR_INIT("<|tur<|turn<|turn>")},
    {"spaces all around", AS_STR_INIT("  a  \n  "), AS_STR_INIT("  a  \n  ")},
};

static void brings_any_bytes_back(void **state)
{
    (void)state;
    as_arena a;
    as_arena_init(&a, 0);
    static const char *const names[] = {"vocab/tiny-merges.gguf", "vocab/tiny-scores.gguf"};
    for (size_t k = 0; k < 2; k++) {
        opened o = open_vocab(path_of(&a, names[k]));
        for (size_t i = 0; i < sizeof byte_rows / sizeof *byte_rows; i++) {
            int32_t *ids = NULL;
            size_t n = 0;
            as_err err = {0};
            assert_int_equal(g4_vocab_encode(o.vocab, byte_rows[i].text, 0, &ids, &n, &err), AS_OK);
            check_text(o.vocab, byte_rows[i].why, ids, n, 0, byte_rows[i].back);
            free(ids);
        }
        const int32_t wrong[] = {0, 512};
        as_buf out;
        as_buf_init(&out, 0);
        as_err err = {0};
        assert_int_equal(g4_vocab_decode(o.vocab, wrong, 2, 0, &out, &err), AS_RANGE);
        assert_string_equal(err.text, "id 512 at place 1 is not one of the vocabulary's 0 to 511");
        assert_int_equal(out.n, 0);
        close_vocab(&o);
    }
    as_arena_release(&a);
}

/* A megabyte without a space or newline is one word; none of these may take long or recurse. */
static void takes_long_runs_in_its_stride(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20, LIMIT_S = 20 }; /* a sanitizer's build is ten times slower */
    static const char *const units[] = {"a",      " ",    "\n", "\t", "in",
                                        "<|turn", "\xff", "▁",  "é",  "<"};
    as_arena a;
    as_arena_init(&a, 0);
    char *text = malloc(LENGTH);
    assert_non_null(text);
    static const char *const names[] = {"vocab/tiny-merges.gguf", "vocab/tiny-scores.gguf"};
    for (size_t k = 0; k < 2; k++) {
        opened o = open_vocab(path_of(&a, names[k]));
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            for (size_t i = 0; i < LENGTH; i++)
                text[i] = units[u][i % strlen(units[u])];
            int32_t *ids = NULL;
            size_t n = 0;
            as_err err = {0};
            const int64_t start_ns = as_now_ns();
            assert_int_equal(
                g4_vocab_encode(o.vocab, (as_str){text, LENGTH}, G4_TOK_SPECIAL, &ids, &n, &err),
                AS_OK);
            const double seconds = (double)(as_now_ns() - start_ns) / 1e9;
            if (seconds > LIMIT_S)
                fail_msg("a megabyte of \"%s\" took %.1f s", units[u], seconds);
            free(ids);
        }
        close_vocab(&o);
    }
    int32_t *ids = NULL;
    size_t n = 0;
    as_err err = {0};
    opened o = open_vocab(path_of(&a, names[0]));
    assert_int_equal(
        g4_vocab_encode(o.vocab, (as_str){text, (size_t)G4_MAX_TEXT_BYTES + 1}, 0, &ids, &n, &err),
        AS_RANGE); /* refused by its length: not read */
    assert_non_null(strstr(err.text, "at most 268435456 can be tokenised at once"));
    close_vocab(&o);
    free(text);
    as_arena_release(&a);
}

/* ---- against the slow reading ---------------------------------------------------------------- */

enum { MAX_RANDOM = 48, MAX_PIECE = 24 };

/* A random vocabulary over an alphabet that provokes: spaces, marks, newlines, halves of
 * characters, brackets that make overlapping markup. */
typedef struct random_vocab {
    char bytes[3 * MAX_RANDOM * MAX_PIECE];
    size_t n_bytes;
    as_str pieces[MAX_RANDOM + 8];
    uint8_t types[MAX_RANDOM + 8];
    float scores[MAX_RANDOM + 8];
    g4_merge merges[MAX_RANDOM];
    g4_vocab_source source;
} random_vocab;

static as_str random_text(as_rng *rng, char *into, size_t max_units, bool is_piece)
{
    static const char *const units[] = {"a", "b", "▁", "\n", "<", ">", "é", "\x80", "\xe2", " "};
    const size_t n_units = 1 + (size_t)as_rng_below(rng, max_units);
    const uint64_t n_letters = 2 + as_rng_below(rng, 9);
    size_t n = 0;
    for (size_t i = 0; i < n_units; i++) {
        const char *unit = units[as_rng_below(rng, n_letters)];
        if (is_piece && unit[0] == ' ' && as_rng_below(rng, 2) == 0)
            continue;
        memcpy(into + n, unit, strlen(unit));
        n += strlen(unit);
    }
    return (as_str){into, n};
}

static void make_random_vocab(as_rng *rng, random_vocab *v)
{
    memset(v, 0, sizeof *v);
    static const as_str fixed[] = {AS_STR_INIT("<unk>"), AS_STR_INIT("<0x61>"), AS_STR_INIT("</s>"),
                                   AS_STR_INIT("<eos>"), AS_STR_INIT("a"),      AS_STR_INIT("b"),
                                   AS_STR_INIT("▁"),     AS_STR_INIT("\n")};
    const size_t n = 8 + (size_t)as_rng_below(rng, MAX_RANDOM);
    for (size_t i = 0; i < n; i++) {
        v->pieces[i] = i < 8 ? fixed[i] : random_text(rng, v->bytes + v->n_bytes, 5, true);
        v->n_bytes += i < 8 ? 0 : v->pieces[i].n;
        v->types[i] = (uint8_t)(as_rng_below(rng, 3) == 0 ? 1 + as_rng_below(rng, 6) : 1);
        v->scores[i] = (float)as_rng_below(rng, 6) - 3.0f;
    }
    const size_t n_merges = (size_t)as_rng_below(rng, MAX_RANDOM);
    for (size_t i = 0; i < n_merges; i++) {
        v->merges[i].left = random_text(rng, v->bytes + v->n_bytes, 2, true);
        v->n_bytes += v->merges[i].left.n;
        v->merges[i].right = random_text(rng, v->bytes + v->n_bytes, 2, true);
        v->n_bytes += v->merges[i].right.n;
        if (v->merges[i].left.n == 0 || v->merges[i].right.n == 0)
            v->merges[i] = (g4_merge){AS_STR("a"), AS_STR("b")};
    }
    v->source = (g4_vocab_source){
        .name = "random",
        .kind = as_rng_below(rng, 2) == 0 ? G4_VOCAB_SCORES : G4_VOCAB_MERGES,
        .pieces = v->pieces,
        .n_pieces = n,
        .types = as_rng_below(rng, 8) == 0 ? NULL : v->types,
        .scores = v->scores,
        .merges = v->merges,
        .n_merges = n_merges,
        .bos = (int32_t)as_rng_below(rng, 3) - 1,
        .eos = -1,
        .unknown = (int32_t)as_rng_below(rng, 3) - 1,
        .add_space_prefix = as_rng_below(rng, 4) == 0,
    };
}

static void agrees_with_the_slow_reading(void **state)
{
    (void)state;
    enum { N_VOCABS = 500, N_TEXTS = 12 };
    static random_vocab random;
    static naive_output want;
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("test_tokenizer/random"));
    char bytes[256];
    for (int i = 0; i < N_VOCABS; i++) {
        make_random_vocab(&rng, &random);
        g4_vocab *v = NULL;
        as_err err = {0};
        if (g4_vocab_build(&v, &random.source, &err) != AS_OK)
            fail_msg("vocabulary %d: %s", i, err.text);
        for (int k = 0; k < N_TEXTS; k++) {
            const as_str text = random_text(&rng, bytes, 40, false);
            const unsigned flags = (unsigned)as_rng_below(&rng, 4);
            naive_encode(&random.source, text, flags, &want);
            char why[64];
            (void)snprintf(why, sizeof why, "vocabulary %d, text %d", i, k);
            if (!want.is_failed) {
                check_ids(v, why, text, flags, want.ids, want.n);
                continue;
            }
            int32_t *ids = NULL;
            size_t n = 0;
            if (g4_vocab_encode(v, text, flags, &ids, &n, &err) != AS_RANGE || ids != NULL)
                fail_msg("%s: a byte without a piece was not noticed", why);
        }
        g4_vocab_close(v);
    }
}

/* ---- vocabularies that lie ------------------------------------------------------------------- */

static const as_str two_pieces[] = {AS_STR_INIT("a"), AS_STR_INIT("b")};
static const as_str empty_piece[] = {AS_STR_INIT("a"), AS_STR_INIT("")};
static const uint8_t type_0[] = {1, 0};
static const uint8_t type_7[] = {7, 1};
static const float two_scores[] = {0.0f, 0.0f};
static const g4_merge half_merge[] = {{AS_STR_INIT("a"), AS_STR_INIT("")}};
static char long_bytes[1025];
static const as_str long_piece[] = {{long_bytes, sizeof long_bytes}};
static const g4_merge long_merge[] = {{{long_bytes, 1000}, {long_bytes, 25}}};

static const struct {
    const char *why;
    g4_vocab_source source;
    const char *text; /* of the error; NULL: accepted */
} vocab_rows[] = {
    {"no piece",
     {.pieces = two_pieces, .scores = two_scores, .bos = -1, .eos = -1, .unknown = -1},
     "has 0 pieces"},
    {"two pieces",
     {.pieces = two_pieces,
      .n_pieces = 2,
      .scores = two_scores,
      .bos = -1,
      .eos = -1,
      .unknown = -1},
     NULL},
    {"an empty piece",
     {.pieces = empty_piece,
      .n_pieces = 2,
      .scores = two_scores,
      .bos = 1,
      .eos = -1,
      .unknown = -1},
     NULL},
    {"more pieces than ids",
     {.pieces = two_pieces, .n_pieces = (size_t)1 << 40, .scores = two_scores},
     "want 1 to"},
    {"type 0",
     {.pieces = two_pieces, .n_pieces = 2, .types = type_0, .scores = two_scores},
     "piece 1 of the vocabulary has the unknown type 0"},
    {"type 7",
     {.pieces = two_pieces, .n_pieces = 2, .types = type_7, .scores = two_scores},
     "piece 0 of the vocabulary has the unknown type 7"},
    {"bos out of range",
     {.pieces = two_pieces, .n_pieces = 2, .scores = two_scores, .bos = 2},
     "the id of the \"beginning\" piece is 2"},
    {"a negative id",
     {.pieces = two_pieces, .n_pieces = 2, .scores = two_scores, .unknown = -2},
     "the id of the \"unknown\" piece is -2"},
    {"a huge piece",
     {.pieces = long_piece, .n_pieces = 1, .scores = two_scores},
     "piece 0 of the vocabulary has 1,025 bytes"},
    {"half a merge",
     {.kind = G4_VOCAB_MERGES,
      .pieces = two_pieces,
      .n_pieces = 2,
      .merges = half_merge,
      .n_merges = 1},
     "merge 0 of the vocabulary is not two texts"},
    {"a huge merge",
     {.kind = G4_VOCAB_MERGES,
      .pieces = two_pieces,
      .n_pieces = 2,
      .merges = long_merge,
      .n_merges = 1},
     "merge 0 of the vocabulary is not two texts"},
    {"too many merges",
     {.kind = G4_VOCAB_MERGES,
      .pieces = two_pieces,
      .n_pieces = 2,
      .merges = half_merge,
      .n_merges = (size_t)1 << 40},
     "want at most 67,108,864"},
};

static void refuses_false_vocabularies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vocab_rows / sizeof *vocab_rows; i++) {
        g4_vocab_source source = vocab_rows[i].source;
        source.name = "x.gguf";
        g4_vocab *v = NULL;
        as_err err = {0};
        const as_code c = g4_vocab_build(&v, &source, &err);
        if ((c == AS_OK) != (vocab_rows[i].text == NULL) ||
            (c != AS_OK && strstr(err.text, vocab_rows[i].text) == NULL))
            fail_msg("%s: got %s \"%s\"", vocab_rows[i].why, as_code_name(c), err.text);
        if (c != AS_OK && (v != NULL || strstr(err.text, "x.gguf: ") != err.text))
            fail_msg("%s: \"%s\" does not begin with the file", vocab_rows[i].why, err.text);
        g4_vocab_close(v);
    }
}

/* Metadata of a vocabulary in memory: each row breaks one key. */
static void put(as_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(as_buf_add_byte(b, (char)(unsigned char)(v >> 8 * i)), AS_OK);
}

static void put_str(as_buf *b, const char *z)
{
    put(b, strlen(z), 8);
    assert_int_equal(as_buf_add_z(b, z), AS_OK);
}

static void put_strs(as_buf *b, const char *key, const char *one, const char *two)
{
    put_str(b, key);
    put(b, 9, 4);
    put(b, 8, 4);
    put(b, 2, 8);
    put_str(b, one);
    put_str(b, two);
}

static void put_numbers(as_buf *b, const char *key, uint32_t type, uint64_t n, uint32_t number)
{
    put_str(b, key);
    put(b, 9, 4);
    put(b, type, 4);
    put(b, n, 8);
    for (uint64_t i = 0; i < n; i++)
        put(b, number, 4);
}

static const struct {
    const char *why, *model, *merge;
    uint32_t n_types, type, n_scores, bos;
    const char *text; /* of the error; NULL: accepted */
} metadata_rows[] = {
    {"scores", "llama", "a b", 2, 1, 2, 0, NULL},
    {"merges", "gemma4", "a b", 2, 1, 2, 0, NULL},
    {"merges need no scores of the right length", "gemma4", "a b", 2, 1, 7, 0, NULL},
    {"another tokenizer", "gpt2", "a b", 2, 1, 2, 0, "its tokenizer is \"gpt2\""},
    {"too few scores", "llama", "a b", 2, 1, 1, 0,
     "\"tokenizer.ggml.scores\" has 1 entries, the vocabulary has 2 pieces"},
    {"too many types", "llama", "a b", 3, 1, 2, 0, "\"tokenizer.ggml.token_type\" has 3 entries"},
    {"a type beyond a byte", "llama", "a b", 2, 257, 2, 0, "has the unknown type 255"},
    {"a negative type", "llama", "a b", 2, UINT32_MAX, 2, 0, "has the unknown type 255"},
    {"bos beyond the pieces", "llama", "a b", 2, 1, 2, 2,
     "\"tokenizer.ggml.bos_token_id\": want a number from 0 to 1"},
    {"a merge of one half", "gemma4", "ab", 2, 1, 2, 0,
     "merge 1 of the vocabulary, \"ab\", has no"},
    {"a merge of nothing", "gemma4", "", 2, 1, 2, 0, "has no space between its halves"},
    {"a merge that ends in its space", "gemma4", "a ", 2, 1, 2, 0, "is not two texts"},
    {"a merge of unknown halves", "gemma4", "x y", 2, 1, 2, 0, NULL},
};

static void refuses_false_metadata(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof metadata_rows / sizeof *metadata_rows; i++) {
        as_buf b;
        as_buf_init(&b, 0);
        assert_int_equal(as_buf_add_z(&b, "GGUF"), AS_OK);
        put(&b, 3, 4);
        put(&b, 0, 8);
        put(&b, 6, 8);
        put_str(&b, "tokenizer.ggml.model");
        put(&b, 8, 4);
        put_str(&b, metadata_rows[i].model);
        put_strs(&b, "tokenizer.ggml.tokens", "a", "b");
        put_strs(&b, "tokenizer.ggml.merges", "b a", metadata_rows[i].merge);
        put_numbers(&b, "tokenizer.ggml.token_type", 5, metadata_rows[i].n_types,
                    metadata_rows[i].type);
        put_numbers(&b, "tokenizer.ggml.scores", 6, metadata_rows[i].n_scores, 0);
        put_str(&b, "tokenizer.ggml.bos_token_id");
        put(&b, 4, 4);
        put(&b, metadata_rows[i].bos, 4);
        g4_gguf *f = NULL;
        g4_vocab *v = NULL;
        as_err err = {0};
        assert_int_equal(g4_gguf_open_memory(&f, as_buf_str(&b), "x.gguf", &err), AS_OK);
        const as_code c = g4_vocab_open(&v, f, &err);
        if ((c == AS_OK) != (metadata_rows[i].text == NULL) ||
            (c != AS_OK && strstr(err.text, metadata_rows[i].text) == NULL))
            fail_msg("%s: got %s \"%s\"", metadata_rows[i].why, as_code_name(c), err.text);
        if (c != AS_OK && strstr(err.text, "x.gguf: ") != err.text)
            fail_msg("%s: \"%s\" does not begin with the file", metadata_rows[i].why, err.text);
        g4_vocab_close(v);
        g4_gguf_close(f);
        as_buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenises_the_tiny_vocabularies),
        cmocka_unit_test(tokenises_as_gemma_3),
        cmocka_unit_test(tokenises_as_gemma_4),
        cmocka_unit_test(passes_the_vocabulary_test_of_llama_cpp),
        cmocka_unit_test(tokenises_the_examples_of_gemma_4),
        cmocka_unit_test(brings_any_bytes_back),
        cmocka_unit_test(takes_long_runs_in_its_stride),
        cmocka_unit_test(agrees_with_the_slow_reading),
        cmocka_unit_test(refuses_false_vocabularies),
        cmocka_unit_test(refuses_false_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
