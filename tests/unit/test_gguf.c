/* engine/gguf.h: every lie a file can tell is one row; what is true is read back as it was written.
 * The real model is opened if AS_MODEL_GEMMA3 names it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/time.h"
#include "engine/gguf.h"

/* ---- writing files --------------------------------------------------------------------------- */

enum { MAX_VALUES = 4, MAX_TENSORS = 3, MAX_NE = 5 };

typedef struct value_recipe {
    as_str key;
    uint64_t claim_key_n; /* 0: the truth */
    uint32_t type;
    as_str bytes;
} value_recipe;

typedef struct tensor_recipe {
    as_str name;
    uint64_t claim_name_n; /* 0: the truth */
    uint32_t claim_dims;   /* 0: as many as ne has */
    uint64_t ne[MAX_NE];   /* up to the first 0, unless claim_dims */
    uint32_t type;
    uint64_t offset;
} tensor_recipe;

/* All zero is a valid empty file of version 3. */
typedef struct recipe {
    as_str instead; /* these bytes and nothing else */
    uint32_t version;
    uint64_t claim_values, claim_tensors; /* 0: the truth */
    value_recipe values[MAX_VALUES];
    tensor_recipe tensors[MAX_TENSORS];
    size_t data_bytes; /* behind the padding */
    size_t alignment;  /* 0: 32 */
} recipe;

static void put(as_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(as_buf_add_byte(b, (char)(unsigned char)(v >> 8 * i)), AS_OK);
}

static void put_str(as_buf *b, as_str s, uint64_t claim)
{
    put(b, claim != 0 ? claim : s.n, 8);
    assert_int_equal(as_buf_add(b, s), AS_OK);
}

static void put_tensor(as_buf *b, const tensor_recipe *t)
{
    uint32_t n_dims = 0;
    while (n_dims < MAX_NE && t->ne[n_dims] != 0)
        n_dims++;
    if (t->claim_dims != 0 && t->claim_dims <= MAX_NE)
        n_dims = t->claim_dims;
    put_str(b, t->name, t->claim_name_n);
    put(b, t->claim_dims != 0 ? t->claim_dims : n_dims, 4);
    for (uint32_t i = 0; i < n_dims; i++)
        put(b, t->ne[i], 8);
    put(b, t->type, 4);
    put(b, t->offset, 8);
}

static void write_file(as_buf *b, const recipe *r)
{
    as_buf_init(b, 0);
    if (r->instead.p != NULL) {
        assert_int_equal(as_buf_add(b, r->instead), AS_OK);
        return;
    }
    uint64_t n_values = 0;
    uint64_t n_tensors = 0;
    while (n_values < MAX_VALUES && r->values[n_values].key.p != NULL)
        n_values++;
    while (n_tensors < MAX_TENSORS && r->tensors[n_tensors].name.p != NULL)
        n_tensors++;
    assert_int_equal(as_buf_add_z(b, "GGUF"), AS_OK);
    put(b, r->version != 0 ? r->version : 3, 4);
    put(b, r->claim_tensors != 0 ? r->claim_tensors : n_tensors, 8);
    put(b, r->claim_values != 0 ? r->claim_values : n_values, 8);
    for (uint64_t i = 0; i < n_values; i++) {
        put_str(b, r->values[i].key, r->values[i].claim_key_n);
        put(b, r->values[i].type, 4);
        assert_int_equal(as_buf_add(b, r->values[i].bytes), AS_OK);
    }
    for (uint64_t i = 0; i < n_tensors; i++)
        put_tensor(b, &r->tensors[i]);
    const size_t alignment = r->alignment != 0 ? r->alignment : 32;
    while (r->data_bytes != 0 && b->n % alignment != 0)
        put(b, 0, 1);
    for (size_t i = 0; i < r->data_bytes; i++)
        put(b, i & 0xff, 1);
}

/* Opens a copy of exactly the bytes, so that a sanitizer sees every step beyond them. */
static as_code open_copy(as_str bytes, g4_gguf **out, char **copy, as_err *err)
{
    *copy = malloc(bytes.n != 0 ? bytes.n : 1);
    assert_non_null(*copy);
    if (bytes.n != 0)
        memcpy(*copy, bytes.p, bytes.n);
    return g4_gguf_open_memory(out, (as_str){*copy, bytes.n}, "x.gguf", err);
}

/* ---- lies ------------------------------------------------------------------------------------ */

#define S(literal) AS_STR_INIT(literal)
#define LONG_NAME  "0123456789012345678901234567890123456789012345678901234567890123"
#define U32_1      S("\1\0\0\0")
#define HUGE_COUNT 0x7fffffffffffffffu

static const struct {
    const char *why;
    recipe file;
    as_code want;
    const char *text; /* part of the message; NULL for AS_OK */
} lies[] = {
    {"an empty file is fine", {.version = 3}, AS_OK, NULL},
    {"version 2 is fine", {.version = 2}, AS_OK, NULL},
    {"no bytes at all", {.instead = S("")}, AS_PARSE, "is not a GGUF file: it is empty"},
    {"three bytes", {.instead = S("GGU")}, AS_PARSE, "is not a GGUF file"},
    {"a web page",
     {.instead = S("<!DOCTYPE html><html>404")},
     AS_PARSE,
     "x.gguf: is not a GGUF file: it begins with \"<!DOCTYPE html><\""},
    {"control characters of a text do not reach the terminal",
     {.instead = S("\x1b[2Jtext")},
     AS_PARSE,
     "begins with \"?[2Jtext\""},
    {"only the magic", {.instead = S("GGUF")}, AS_PARSE, "ends inside the header"},
    {"half a header", {.instead = S("GGUF\3\0\0\0\0\0")}, AS_PARSE, "ends inside the header"},
    {"version 1", {.version = 1}, AS_UNSUPPORTED, "version 1"},
    {"version 4", {.version = 4}, AS_UNSUPPORTED, "version 4"},
    {"big-endian", {.version = 0x03000000}, AS_UNSUPPORTED, "big-endian"},
    {"more values than bytes", {.claim_values = 1000}, AS_PARSE, "claims 1,000 metadata values"},
    {"all values there are", {.claim_values = UINT64_MAX}, AS_PARSE, "metadata values"},
    {"more tensors than bytes", {.claim_tensors = 1u << 20}, AS_PARSE, "1,048,576 tensors"},
    {"a negative number of tensors", {.claim_tensors = UINT64_MAX}, AS_PARSE, "tensors"},
    {"one value too many",
     {.claim_values = 2, .values = {{.key = S("a"), .type = 4, .bytes = U32_1}}, .data_bytes = 1},
     AS_PARSE,
     "x.gguf"},

    {"a key longer than the file",
     {.values = {{.key = S("a"), .claim_key_n = 1000, .type = 4, .bytes = U32_1}}},
     AS_PARSE,
     "a metadata key at byte 24 claims 1,000 bytes, 9 are left"},
    {"a key as long as memory",
     {.values = {{.key = S("a"), .claim_key_n = UINT64_MAX, .type = 4, .bytes = U32_1}}},
     AS_PARSE,
     "claims 18,446,744,073,709,551,615 bytes"},
    {"an empty key",
     {.values = {{.key = S(""), .type = 4, .bytes = S("\1\0\0\0\0\0\0\0")}}},
     AS_PARSE,
     "has 0 bytes"},
    {"a key twice",
     {.values = {{.key = S("a"), .type = 4, .bytes = U32_1},
                 {.key = S("b"), .type = 4, .bytes = U32_1},
                 {.key = S("a"), .type = 4, .bytes = U32_1}}},
     AS_PARSE,
     "metadata key \"a\" is there twice"},
    {"an unknown type",
     {.values = {{.key = S("a"), .type = 13, .bytes = U32_1}}},
     AS_PARSE,
     "metadata \"a\": is of no known type"},
    {"a number cut short",
     {.values = {{.key = S("abc"), .type = 10, .bytes = U32_1}}},
     AS_PARSE,
     "metadata \"abc\": reaches beyond the end"},
    {"a string longer than the file",
     {.values = {{.key = S("a"), .type = 8, .bytes = S("\xff\0\0\0\0\0\0\0xy")}}},
     AS_PARSE,
     "metadata \"a\": holds a string that reaches beyond the end"},
    {"a string whose length wraps around",
     {.values = {{.key = S("a"), .type = 8, .bytes = S("\xff\xff\xff\xff\xff\xff\xff\xff")}}},
     AS_PARSE,
     "beyond the end"},
    {"an array longer than the file",
     {.values = {{.key = S("a"), .type = 9, .bytes = S("\4\0\0\0\xff\xff\0\0\0\0\0\0")}}},
     AS_PARSE,
     "metadata \"a\": reaches beyond the end"},
    {"an array whose size wraps around",
     {.values = {{.key = S("a"), .type = 9, .bytes = S("\12\0\0\0\1\0\0\0\0\0\0\x20********")}}},
     AS_PARSE,
     "beyond the end"},
    {"an array of more strings than bytes",
     {.values = {{.key = S("a"), .type = 9, .bytes = S("\10\0\0\0\xff\xff\xff\0\0\0\0\0")}}},
     AS_PARSE,
     "more strings than the file can hold"},
    {"an array whose second string is cut",
     {.values = {{.key = S("a"),
                  .type = 9,
                  .bytes = S("\10\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0x\2\0\0\0\0\0\0\0y")}}},
     AS_PARSE,
     "beyond the end"},
    {"an array of an unknown type, even if empty",
     {.values = {{.key = S("a"), .type = 9, .bytes = S("\144\0\0\0\0\0\0\0\0\0\0\0")}}},
     AS_PARSE,
     "no known type"},
    {"an array of one array is skipped",
     {.values = {{.key = S("a"),
                  .type = 9,
                  .bytes = S("\11\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0xy")}}},
     AS_OK,
     NULL},
    {"five arrays inside each other",
     {.values = {{.key = S("a"),
                  .type = 9,
                  .bytes = S("\11\0\0\0\1\0\0\0\0\0\0\0\11\0\0\0\1\0\0\0\0\0\0\0"
                             "\11\0\0\0\1\0\0\0\0\0\0\0\11\0\0\0\1\0\0\0\0\0\0\0"
                             "\11\0\0\0\1\0\0\0\0\0\0\0\11\0\0\0\0\0\0\0\0\0\0\0")}}},
     AS_PARSE,
     "nests arrays too deeply"},
    {"more arrays than bytes",
     {.values = {{.key = S("a"), .type = 9, .bytes = S("\11\0\0\0\xff\0\0\0\0\0\0\0")}}},
     AS_PARSE,
     "more arrays than the file can hold"},

    {"alignment 0",
     {.values = {{.key = S("general.alignment"), .type = 4, .bytes = S("\0\0\0\0")}}},
     AS_PARSE,
     "general.alignment is not a power of two"},
    {"alignment 48",
     {.values = {{.key = S("general.alignment"), .type = 4, .bytes = S("0\0\0\0")}}},
     AS_PARSE,
     "general.alignment is not a power of two"},
    {"alignment as text",
     {.values = {{.key = S("general.alignment"),
                  .type = 8,
                  .bytes = S("\2\0\0\0\0\0\0\0"
                             "32")}}},
     AS_PARSE,
     "general.alignment is not a power of two"},
    {"alignment beyond 32 bits",
     {.values = {{.key = S("general.alignment"), .type = 10, .bytes = S("\0\0\0\0\1\0\0\0")}}},
     AS_PARSE,
     "general.alignment is not a power of two"},
    {"a huge alignment needs no padding if there is no tensor",
     {.values = {{.key = S("general.alignment"), .type = 4, .bytes = S("\0\0\0\x40")}}},
     AS_OK,
     NULL},

    {"a tensor is fine", {.tensors = {{.name = S("t"), .ne = {8}}}, .data_bytes = 32}, AS_OK, NULL},
    {"a tensor without a name",
     {.tensors = {{.name = S(""), .ne = {8, 1}}}, .data_bytes = 32},
     AS_PARSE,
     "the name of a tensor at byte 32 has 0 bytes"},
    {"a name of 64 bytes",
     {.tensors = {{.name = S(LONG_NAME), .ne = {8}}}, .data_bytes = 32},
     AS_PARSE,
     "has 64 bytes, want 1 to 63"},
    {"a name longer than the file",
     {.tensors = {{.name = S("t"), .claim_name_n = 1u << 30, .ne = {8}}}, .data_bytes = 32},
     AS_PARSE,
     "a tensor's name at byte 24 claims 1,073,741,824 bytes"},
    {"a tensor twice",
     {.tensors = {{.name = S("t"), .ne = {8}}, {.name = S("t"), .ne = {8}}}, .data_bytes = 32},
     AS_PARSE,
     "tensor t is there twice"},
    {"no dimension",
     {.tensors = {{.name = S("tensor"), .type = 0}}, .data_bytes = 64},
     AS_PARSE,
     "has 0 dimensions"},
    {"five dimensions",
     {.tensors = {{.name = S("t"), .ne = {1, 1, 1, 1, 1}}}, .data_bytes = 32},
     AS_PARSE,
     "has 5 dimensions"},
    {"four billion dimensions",
     {.tensors = {{.name = S("t"), .claim_dims = UINT32_MAX, .ne = {8}}}, .data_bytes = 32},
     AS_PARSE,
     "has 4,294,967,295 dimensions"},
    {"a dimension of 0",
     {.tensors = {{.name = S("t"), .claim_dims = 2, .ne = {8, 0}}}, .data_bytes = 32},
     AS_PARSE,
     "tensor t: has an impossible shape"},
    {"a negative dimension",
     {.tensors = {{.name = S("t"), .ne = {UINT64_MAX}}}, .data_bytes = 32},
     AS_PARSE,
     "has an impossible shape"},
    {"more elements than numbers",
     {.tensors = {{.name = S("t"), .ne = {1u << 31, 1u << 31, 4}}}, .data_bytes = 32},
     AS_PARSE,
     "has an impossible shape"},
    {"more bytes than numbers",
     {.tensors = {{.name = S("t"), .ne = {HUGE_COUNT / 2}, .type = 27}}, .data_bytes = 32},
     AS_PARSE,
     "has an impossible shape"},
    {"an unknown tensor type",
     {.tensors = {{.name = S("t"), .ne = {8}, .type = 99}}, .data_bytes = 32},
     AS_UNSUPPORTED,
     "tensor t: is of type 99"},
    {"a type that was withdrawn",
     {.tensors = {{.name = S("t"), .ne = {8}, .type = 4}}, .data_bytes = 32},
     AS_UNSUPPORTED,
     "tensor t: is of type 4"},
    {"half a block",
     {.tensors = {{.name = S("t"), .ne = {128}, .type = 12}}, .data_bytes = 144},
     AS_PARSE,
     "rows of 128 elements do not divide into blocks of 256 (Q4_K)"},
    {"an offset between the steps",
     {.tensors = {{.name = S("t"), .ne = {1}, .offset = 4}}, .data_bytes = 64},
     AS_PARSE,
     "its offset 4 is not a multiple of the alignment 32"},
    {"an offset beyond the end",
     {.tensors = {{.name = S("t"), .ne = {1}, .offset = 64}}, .data_bytes = 32},
     AS_PARSE,
     "x.gguf: ends 36 bytes before the end of tensor t: the download is incomplete"},
    {"an offset that wraps around",
     {.tensors = {{.name = S("t"), .ne = {64}, .offset = UINT64_MAX - 31}}, .data_bytes = 32},
     AS_PARSE,
     "tensor t: lies beyond the end of any file"},
    {"data one byte short",
     {.tensors = {{.name = S("t"), .ne = {8}}}, .data_bytes = 31},
     AS_PARSE,
     "ends 1 bytes before the end of tensor t"},
    {"no data at all",
     {.tensors = {{.name = S("t"), .ne = {8}}}},
     AS_PARSE,
     "before the end of tensor t"},

    {"a part of a set, from memory",
     {.values = {{.key = S("split.count"), .type = 2, .bytes = S("\3\0")}}},
     AS_RANGE,
     "is the first of 3 parts, but its name does not end in -00001-of-00003.gguf"},
    {"the second part of a set",
     {.values = {{.key = S("split.count"), .type = 2, .bytes = S("\3\0")},
                 {.key = S("split.no"), .type = 2, .bytes = S("\1\0")}}},
     AS_RANGE,
     "is part 2 of 3: open the first part"},
    {"too many parts",
     {.values = {{.key = S("split.count"), .type = 2, .bytes = S("\xff\xff")}}},
     AS_PARSE,
     "\"split.count\" is not a number from 0 to 1000"},
    {"a part number as text",
     {.values = {{.key = S("split.no"), .type = 8, .bytes = S("\0\0\0\0\0\0\0\0")}}},
     AS_PARSE,
     "\"split.no\" is not a number"},
};

static void names_every_lie(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        as_buf b;
        write_file(&b, &lies[i].file);
        g4_gguf *f = NULL;
        char *copy = NULL;
        as_err err = {0};
        const as_code c = open_copy(as_buf_str(&b), &f, &copy, &err);
        if (c != lies[i].want)
            fail_msg("%s: got %s \"%s\", want %s", lies[i].why, as_code_name(c), err.text,
                     as_code_name(lies[i].want));
        if (c != AS_OK && (strstr(err.text, lies[i].text) == NULL || f != NULL))
            fail_msg("%s: the message is \"%s\", want \"%s\" in it", lies[i].why, err.text,
                     lies[i].text);
        if (c != AS_OK && strstr(err.text, "x.gguf: ") != err.text)
            fail_msg("%s: \"%s\" does not begin with the file", lies[i].why, err.text);
        g4_gguf_close(f);
        free(copy);
        as_buf_release(&b);
    }
}

/* ---- truths ---------------------------------------------------------------------------------- */

/* One of each: all that the damage tests can break. */
static const recipe whole = {
    .values = {{.key = S("n"), .type = 4, .bytes = S("\7\0\0\0")},
               {.key = S("names"),
                .type = 9,
                .bytes = S("\10\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0x\2\0\0\0\0\0\0\0yz")},
               {.key = S("flags"), .type = 9, .bytes = S("\7\0\0\0\3\0\0\0\0\0\0\0\1\0\1")},
               {.key = S("title"), .type = 8, .bytes = S("\5\0\0\0\0\0\0\0hello")}},
    .tensors = {{.name = S("blk.0.w"), .ne = {64, 2}, .type = 8},
                {.name = S("norm"), .ne = {8}, .type = 0, .offset = 160}},
    .data_bytes = 192,
};

/* Touches everything a reader can: pointers inside, all elements readable. */
static void walk(const g4_gguf *f, const char *from, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < g4_gguf_n_tensors(f); i++) {
        const g4_tensor *t = g4_gguf_tensor(f, i);
        assert_true(t->data >= (const uint8_t *)from);
        assert_true(t->bytes <= n && t->data + t->bytes <= (const uint8_t *)from + n);
        sum += t->data[0] + t->data[t->bytes - 1];
    }
    for (size_t i = 0; i < g4_gguf_n_values(f); i++) {
        const g4_value *v = g4_gguf_value(f, i);
        for (size_t k = 0; k < v->n && k < 1000; k++) {
            int64_t whole_number = 0;
            double number = 0;
            bool flag = false;
            sum += g4_value_i64(v, k, &whole_number) ? 1u : 0u;
            sum += g4_value_f64(v, k, &number) ? 1u : 0u;
            sum += g4_value_bool(v, k, &flag) ? 1u : 0u;
        }
        as_str s = {0};
        for (g4_strs it = g4_value_strs(v); g4_strs_next(&it, &s);)
            sum += (unsigned)s.n + (s.n != 0 ? (unsigned char)s.p[s.n - 1] : 0u);
    }
    assert_true(sum != 0xffffffffu);
}

static void survives_every_cut(void **state)
{
    (void)state;
    as_buf b;
    write_file(&b, &whole);
    for (size_t n = 0; n <= b.n; n++) {
        g4_gguf *f = NULL;
        char *copy = NULL;
        as_err err = {0};
        const as_code c = open_copy((as_str){b.p, n}, &f, &copy, &err);
        if (n < b.n && c == AS_OK)
            fail_msg("cut at %zu of %zu bytes: not noticed", n, b.n);
        if (n == b.n && c != AS_OK)
            fail_msg("whole: %s", err.text);
        if (c != AS_OK && strlen(err.text) < 20)
            fail_msg("cut at %zu: no sentence: \"%s\"", n, err.text);
        g4_gguf_close(f);
        free(copy);
    }
    as_buf_release(&b);
}

static void survives_every_changed_byte(void **state)
{
    (void)state;
    static const unsigned char changes[] = {0, 1, 0x7f, 0x80, 0xff, 9, 32};
    as_buf b;
    write_file(&b, &whole);
    for (size_t at = 0; at < b.n; at++) {
        const char was = b.p[at];
        for (size_t k = 0; k < sizeof changes; k++) {
            b.p[at] = (char)changes[k];
            g4_gguf *f = NULL;
            char *copy = NULL;
            as_err err = {0};
            if (open_copy(as_buf_str(&b), &f, &copy, &err) == AS_OK)
                walk(f, copy, b.n);
            g4_gguf_close(f);
            free(copy);
        }
        b.p[at] = was;
    }
    as_buf_release(&b);
}

static void reads_back_what_was_written(void **state)
{
    (void)state;
    as_buf b;
    write_file(&b, &whole);
    g4_gguf *f = NULL;
    char *copy = NULL;
    as_err err = {0};
    assert_int_equal(open_copy(as_buf_str(&b), &f, &copy, &err), AS_OK);
    walk(f, copy, b.n);
    assert_int_equal(g4_gguf_file_bytes(f), b.n);
    assert_int_equal(g4_gguf_n_tensors(f), 2);
    const g4_tensor *t = g4_gguf_find_tensor(f, "blk.0.w");
    assert_non_null(t);
    assert_ptr_equal(t, g4_gguf_tensor(f, 0));
    assert_int_equal(t->type, G4_TYPE_Q8_0);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->ne[1], 2);
    assert_int_equal(t->ne[3], 1);
    assert_int_equal(t->n_elements, 128);
    assert_int_equal(t->row_bytes, 68);
    assert_int_equal(t->bytes, 136);
    assert_int_equal(t->data[5], 5);
    t = g4_gguf_find_tensor(f, "norm");
    assert_non_null(t);
    assert_int_equal(t->data[0], 160);
    assert_null(g4_gguf_find_tensor(f, "nor"));
    assert_int_equal(g4_gguf_need_tensor(f, "output.weight", &t, &err), AS_PARSE);
    assert_string_equal(err.text, "x.gguf: has no tensor output.weight: the file is not a complete "
                                  "model of this kind");
    g4_strs it = g4_value_strs(g4_gguf_find(f, "names"));
    as_str s = {0};
    assert_true(g4_strs_next(&it, &s) && as_str_eq_z(s, "x"));
    assert_true(g4_strs_next(&it, &s) && as_str_eq_z(s, "yz"));
    assert_false(g4_strs_next(&it, &s));
    g4_gguf_close(f);
    free(copy);
    as_buf_release(&b);
}

/* ---- typed access ---------------------------------------------------------------------------- */

typedef enum getter {
    NEED_U32,
    NEED_I64, /* of -5 .. 5 */
    NEED_F32,
    NEED_BOOL,
    NEED_STR,
    OPT_U32,    /* else 9 */
    EACH_U32,   /* of 3 layers: the last */
    EACH_FLAG,  /* of 3 layers: bits, the first lowest */
    ARRAY_STRS, /* length */
} getter;

static as_code get(const g4_gguf *f, getter how, double *out, as_err *err)
{
    uint32_t u = 0;
    uint32_t each[3] = {0};
    int64_t i = 0;
    float x = 0;
    bool flag = false;
    bool flags[3] = {false};
    as_str s = {0};
    const g4_value *v = NULL;
    as_code c = AS_BUG;
    switch (how) {
    case NEED_U32:
        c = g4_gguf_need_u32(f, "k", &u, err);
        *out = u;
        break;
    case NEED_I64:
        c = g4_gguf_need_i64(f, "k", -5, 5, &i, err);
        *out = (double)i;
        break;
    case NEED_F32:
        c = g4_gguf_need_f32(f, "k", &x, err);
        *out = (double)x;
        break;
    case NEED_BOOL:
        c = g4_gguf_need_bool(f, "k", &flag, err);
        *out = flag;
        break;
    case NEED_STR:
        c = g4_gguf_need_str(f, "k", &s, err);
        *out = (double)s.n;
        break;
    case OPT_U32:
        c = g4_gguf_opt_u32(f, "k", 9, &u, err);
        *out = u;
        break;
    case EACH_U32:
        c = g4_gguf_need_u32_each(f, "k", 3, each, err);
        *out = each[2];
        break;
    case EACH_FLAG:
        c = g4_gguf_need_flag_each(f, "k", 3, flags, err);
        *out = flags[0] + 2 * flags[1] + 4 * flags[2];
        break;
    case ARRAY_STRS:
        c = g4_gguf_need_array(f, "k", G4_VALUE_STR, &v, err);
        *out = v != NULL ? (double)v->n : 0;
        break;
    }
    return c;
}

static const struct {
    const char *why;
    value_recipe value; /* key "k", or none */
    getter how;
    as_code want;
    double is;
    const char *text;
} accesses[] = {
    {"u32", {S("k"), 0, 4, S("\7\0\0\0")}, NEED_U32, AS_OK, 7, NULL},
    {"u64 read as u32", {S("k"), 0, 10, S("\7\0\0\0\0\0\0\0")}, NEED_U32, AS_OK, 7, NULL},
    {"u8 read as u32", {S("k"), 0, 0, S("\xff")}, NEED_U32, AS_OK, 255, NULL},
    {"i16 read as i64", {S("k"), 0, 3, S("\xfe\xff")}, NEED_I64, AS_OK, -2, NULL},
    {"i8 read as i64", {S("k"), 0, 1, S("\xff")}, NEED_I64, AS_OK, -1, NULL},
    {"i32 below 0 is no u32",
     {S("k"), 0, 5, S("\xff\xff\xff\xff")},
     NEED_U32,
     AS_RANGE,
     0,
     "\"k\": want a number from 0 to 4294967295"},
    {"u64 beyond i64",
     {S("k"), 0, 10, S("\xff\xff\xff\xff\xff\xff\xff\xff")},
     NEED_I64,
     AS_RANGE,
     0,
     "\"k\": want a number from -5 to 5"},
    {"out of range", {S("k"), 0, 4, S("\6\0\0\0")}, NEED_I64, AS_RANGE, 0, "from -5 to 5"},
    {"missing",
     {.key = S("other"), .type = 4, .bytes = U32_1},
     NEED_U32,
     AS_PARSE,
     0,
     "metadata \"k\" is missing"},
    {"text is no number",
     {S("k"), 0, 8, S("\0\0\0\0\0\0\0\0")},
     NEED_U32,
     AS_PARSE,
     0,
     "metadata \"k\": want a whole number, found string"},
    {"a float is no whole number",
     {S("k"), 0, 6, S("\0\0\x80\x3f")},
     NEED_U32,
     AS_PARSE,
     0,
     "found f32"},
    {"an array is no number",
     {S("k"), 0, 9, S("\4\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0")},
     NEED_U32,
     AS_PARSE,
     0,
     "found an array of u32"},
    {"f32", {S("k"), 0, 6, S("\0\0\x80\x3f")}, NEED_F32, AS_OK, 1, NULL},
    {"f64 read as f32", {S("k"), 0, 12, S("\0\0\0\0\0\0\xf0\x3f")}, NEED_F32, AS_OK, 1, NULL},
    {"i32 read as f32", {S("k"), 0, 5, S("\xff\xff\xff\xff")}, NEED_F32, AS_OK, -1, NULL},
    {"bool is no f32", {S("k"), 0, 7, S("\1")}, NEED_F32, AS_PARSE, 0, "want a number, found bool"},
    {"bool", {S("k"), 0, 7, S("\1")}, NEED_BOOL, AS_OK, 1, NULL},
    {"u32 of 1 read as bool", {S("k"), 0, 4, U32_1}, NEED_BOOL, AS_OK, 1, NULL},
    {"u32 of 2 is no bool", {S("k"), 0, 4, S("\2\0\0\0")}, NEED_BOOL, AS_PARSE, 0, "true or false"},
    {"string", {S("k"), 0, 8, S("\3\0\0\0\0\0\0\0a\0b")}, NEED_STR, AS_OK, 3, NULL},
    {"one number is no string", {S("k"), 0, 4, U32_1}, NEED_STR, AS_PARSE, 0, "want a string"},
    {"optional and there", {S("k"), 0, 4, S("\7\0\0\0")}, OPT_U32, AS_OK, 7, NULL},
    {"optional and absent",
     {.key = S("other"), .type = 4, .bytes = U32_1},
     OPT_U32,
     AS_OK,
     9,
     NULL},
    {"optional and wrong", {S("k"), 0, 7, S("\1")}, OPT_U32, AS_PARSE, 0, "want a whole number"},
    {"one number for all layers", {S("k"), 0, 4, S("\7\0\0\0")}, EACH_U32, AS_OK, 7, NULL},
    {"a number for each layer",
     {S("k"), 0, 9, S("\0\0\0\0\3\0\0\0\0\0\0\0\1\2\3")},
     EACH_U32,
     AS_OK,
     3,
     NULL},
    {"a number too few",
     {S("k"), 0, 9, S("\0\0\0\0\2\0\0\0\0\0\0\0\1\2")},
     EACH_U32,
     AS_RANGE,
     0,
     "metadata \"k\" has 2 entries, want one for each of 3 layers"},
    {"a negative layer",
     {S("k"), 0, 9, S("\1\0\0\0\3\0\0\0\0\0\0\0\1\2\xff")},
     EACH_U32,
     AS_PARSE,
     0,
     "want whole numbers"},
    {"flags", {S("k"), 0, 9, S("\7\0\0\0\3\0\0\0\0\0\0\0\1\0\1")}, EACH_FLAG, AS_OK, 5, NULL},
    {"flags as numbers",
     {S("k"), 0, 9, S("\0\0\0\0\3\0\0\0\0\0\0\0\1\0\1")},
     EACH_FLAG,
     AS_OK,
     5,
     NULL},
    {"flags as a period of 2", {S("k"), 0, 4, S("\2\0\0\0")}, EACH_FLAG, AS_OK, 5, NULL},
    {"a period of 1: none", {S("k"), 0, 4, U32_1}, EACH_FLAG, AS_OK, 0, NULL},
    {"a period of 0", {S("k"), 0, 4, S("\0\0\0\0")}, EACH_FLAG, AS_RANGE, 0, "from 1"},
    {"a flag of 2",
     {S("k"), 0, 9, S("\0\0\0\0\3\0\0\0\0\0\0\0\1\0\2")},
     EACH_FLAG,
     AS_PARSE,
     0,
     "true or false for each layer"},
    {"strings",
     {S("k"), 0, 9, S("\10\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0x")},
     ARRAY_STRS,
     AS_OK,
     1,
     NULL},
    {"one string is no array",
     {S("k"), 0, 8, S("\0\0\0\0\0\0\0\0")},
     ARRAY_STRS,
     AS_PARSE,
     0,
     "want an array of strings, found string"},
    {"numbers are no strings",
     {S("k"), 0, 9, S("\0\0\0\0\1\0\0\0\0\0\0\0\1")},
     ARRAY_STRS,
     AS_PARSE,
     0,
     "want an array of strings, found an array of u8"},
};

static void names_the_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        const recipe r = {.values = {accesses[i].value}};
        as_buf b;
        write_file(&b, &r);
        g4_gguf *f = NULL;
        as_err err = {0};
        assert_int_equal(g4_gguf_open_memory(&f, as_buf_str(&b), "x.gguf", &err), AS_OK);
        double is = 0;
        const as_code c = get(f, accesses[i].how, &is, &err);
        if (c != accesses[i].want || (c == AS_OK && is != accesses[i].is))
            fail_msg("%s: got %s %g \"%s\"", accesses[i].why, as_code_name(c), is, err.text);
        if (c != AS_OK && strstr(err.text, accesses[i].text) == NULL)
            fail_msg("%s: the message is \"%s\"", accesses[i].why, err.text);
        g4_gguf_close(f);
        as_buf_release(&b);
    }
}

static void knows_the_types(void **state)
{
    (void)state;
    static const struct {
        g4_type type;
        const char *name;
        int64_t elements;
        size_t bytes;
    } rows[] = {
        {G4_TYPE_F32, "F32", 3, 12},          {G4_TYPE_BF16, "BF16", 3, 6},
        {G4_TYPE_Q4_0, "Q4_0", 64, 36},       {G4_TYPE_Q5_1, "Q5_1", 64, 48},
        {G4_TYPE_Q4_K, "Q4_K", 512, 288},     {G4_TYPE_Q6_K, "Q6_K", 256, 210},
        {G4_TYPE_IQ4_XS, "IQ4_XS", 256, 136}, {G4_TYPE_MXFP4, "MXFP4", 32, 17},
        {G4_TYPE_NVFP4, "NVFP4", 64, 36},
    };
    size_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const g4_type_info *info = g4_type_find(rows[i].type);
        assert_non_null(info);
        assert_string_equal(info->name, rows[i].name);
        assert_true(g4_type_row_bytes(rows[i].type, rows[i].elements, &n));
        assert_int_equal(n, rows[i].bytes);
        if (info->block_elements > 1)
            assert_false(g4_type_row_bytes(rows[i].type, rows[i].elements + 1, &n));
    }
    assert_null(g4_type_find(4)); /* withdrawn */
    assert_null(g4_type_find(G4_TYPE_END));
    assert_null(g4_type_find(UINT32_MAX));
    assert_false(g4_type_row_bytes(G4_TYPE_F64, INT64_MAX, &n));
}

/* ---- files ----------------------------------------------------------------------------------- */

static char folder[] = "/tmp/as_test_gguf_XXXXXX";

static void save(const char *name, const recipe *r)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    as_buf b;
    write_file(&b, r);
    as_err err = {0};
    assert_int_equal(as_write_file(path, as_buf_str(&b), &err), AS_OK);
    as_buf_release(&b);
}

static void discard(const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

static as_code open_saved(const char *name, g4_gguf **f, as_err *err)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return g4_gguf_open(f, path, err);
}

#define PART(number, n_tensors, tensor_name)                                                       \
    {                                                                                              \
        .values = {{.key = S("split.no"), .type = 2, .bytes = S(number "\0")},                     \
                   {.key = S("split.count"), .type = 2, .bytes = S("\3\0")},                       \
                   {.key = S("split.tensors.count"), .type = 5, .bytes = S(n_tensors "\0\0\0")}},  \
        .tensors = {{.name = S(tensor_name), .ne = {8}}}, .data_bytes = 32                         \
    }

static const recipe part_1 = PART("\0", "\3", "a");
static const recipe part_2 = PART("\1", "\3", "b");
static const recipe part_3 = PART("\2", "\3", "c");
static const recipe part_3_again_b = PART("\2", "\3", "b");
static const recipe part_1_of_4_tensors = PART("\0", "\4", "a");

static void opens_a_set_by_its_first_file(void **state)
{
    (void)state;
    const struct {
        const char *why;
        const recipe *parts[3]; /* NULL: not there */
        const char *open;
        as_code want;
        const char *text;
    } sets[] = {
        {"all parts", {&part_1, &part_2, &part_3}, "m-00001-of-00003.gguf", AS_OK, NULL},
        {"the last is missing",
         {&part_1, &part_2, NULL},
         "m-00001-of-00003.gguf",
         AS_IO,
         "part 3 of 3 of the model is missing or unreadable"},
        {"opened by the second",
         {&part_1, &part_2, &part_3},
         "m-00002-of-00003.gguf",
         AS_RANGE,
         "is part 2 of 3: open the first part"},
        {"two are swapped",
         {&part_1, &part_3, &part_2},
         "m-00001-of-00003.gguf",
         AS_PARSE,
         "says it is part 3 of 3, its name says 2 of 3"},
        {"a tensor in two parts",
         {&part_1, &part_2, &part_3_again_b},
         "m-00001-of-00003.gguf",
         AS_PARSE,
         "tensor b is there twice"},
        {"a tensor is missing",
         {&part_1_of_4_tensors, &part_2, &part_3},
         "m-00001-of-00003.gguf",
         AS_PARSE,
         "should have 4 tensors, its parts have 3"},
    };
    static const char *const names[] = {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                        "m-00003-of-00003.gguf"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        for (size_t k = 0; k < 3; k++)
            if (sets[i].parts[k] != NULL)
                save(names[k], sets[i].parts[k]);
        g4_gguf *f = NULL;
        as_err err = {0};
        const as_code c = open_saved(sets[i].open, &f, &err);
        if (c != sets[i].want || (c != AS_OK && strstr(err.text, sets[i].text) == NULL))
            fail_msg("%s: got %s \"%s\"", sets[i].why, as_code_name(c), err.text);
        if (c == AS_OK) {
            assert_int_equal(g4_gguf_n_tensors(f), 3);
            const g4_tensor *t = g4_gguf_find_tensor(f, "c");
            assert_non_null(t);
            assert_int_equal(t->part, 2);
            assert_int_equal(t->data[31], 31);
        }
        g4_gguf_close(f);
        for (size_t k = 0; k < 3; k++)
            discard(names[k]);
    }
}

static void refuses_what_is_no_file(void **state)
{
    (void)state;
    g4_gguf *f = NULL;
    as_err err = {0};
    assert_int_equal(g4_gguf_open(&f, folder, &err), AS_IO);
    assert_non_null(strstr(err.text, "it is a folder or a device"));
    assert_int_equal(open_saved("none.gguf", &f, &err), AS_IO);
    assert_non_null(strstr(err.text, "none.gguf: cannot be opened: No such file"));
    const recipe empty = {.instead = S("")};
    save("empty.gguf", &empty);
    assert_int_equal(open_saved("empty.gguf", &f, &err), AS_PARSE);
    assert_non_null(strstr(err.text, "is not a GGUF file: it is empty"));
    discard("empty.gguf");
    assert_null(f);
}

static void opens_the_real_model(void **state)
{
    (void)state;
    const char *path = getenv("AS_MODEL_GEMMA3");
    if (path == NULL) {
        print_message("skipped: AS_MODEL_GEMMA3 does not name the Gemma 3 270M file\n");
        skip();
    }
    g4_gguf *f = NULL;
    as_err err = {0};
    const int64_t start_ns = as_now_ns();
    if (g4_gguf_open(&f, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    print_message("opened in %.2f ms\n", (double)(as_now_ns() - start_ns) / 1e6);
    assert_int_equal(g4_gguf_n_tensors(f), 236);
    int64_t n_elements = 0;
    for (size_t i = 0; i < 236; i++)
        n_elements += g4_gguf_tensor(f, i)->n_elements;
    assert_int_equal(n_elements, 268098176);
    const g4_tensor *t = g4_gguf_find_tensor(f, "token_embd.weight");
    assert_non_null(t);
    assert_int_equal(t->type, G4_TYPE_Q8_0);
    assert_int_equal(t->ne[0], 640);
    assert_int_equal(t->ne[1], 262144);
    const g4_value *v = NULL;
    assert_int_equal(g4_gguf_need_array(f, "tokenizer.ggml.tokens", G4_VALUE_STR, &v, &err), AS_OK);
    assert_int_equal(v->n, 262144);
    g4_gguf_close(f);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_every_lie),
        cmocka_unit_test(survives_every_cut),
        cmocka_unit_test(survives_every_changed_byte),
        cmocka_unit_test(reads_back_what_was_written),
        cmocka_unit_test(names_the_key),
        cmocka_unit_test(knows_the_types),
        cmocka_unit_test(opens_a_set_by_its_first_file),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(opens_the_real_model),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
