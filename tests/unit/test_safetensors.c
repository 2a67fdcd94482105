/* The container: what a well-formed file gives, and one sentence for each lie. */
#include "cm.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "engine/safetensors.h"
#include "hf_support.h"

/* A file with this header (its length is stated as it is) and n_data bytes 0, 1, 2, … */
static as_str file_of(as_buf *b, const char *header, size_t n_data)
{
    as_buf_init(b, 0);
    const size_t n = strlen(header);
    for (int i = 0; i < 8; i++)
        as_buf_add_byte(b, (char)(n >> 8 * i & 0xFF));
    as_buf_add_z(b, header);
    for (size_t i = 0; i < n_data; i++)
        as_buf_add_byte(b, (char)i);
    return as_buf_str(b);
}

#define F32_PAIR "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"

static void reads_well_formed_files(void **state)
{
    (void)state;
    as_buf b;
    const as_str bytes =
        file_of(&b,
                "{\"__metadata__\":{\"format\":\"pt\"},"
                "\"b\":{\"shape\":[2,3],\"data_offsets\":[8,20],\"dtype\":\"BF16\"},"
                "\"a\\u00e9\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                "\"s\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[20,28]},"
                "\"z\":{\"dtype\":\"U8\",\"shape\":[0,7],\"data_offsets\":[20,20]}}   ",
                28);
    g4_safetensors *s = NULL;
    as_err err = {0};
    if (g4_safetensors_open_memory(&s, bytes, "f", &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(g4_safetensors_n(s), 4);
    const g4_st_tensor *t = g4_safetensors_at(s, 0);
    assert_true(as_str_eq_z(t->name, "b"));
    assert_int_equal(t->dtype, G4_ST_BF16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->bytes, 12);
    assert_int_equal(t->data[0], 8);
    t = g4_safetensors_find(s, AS_STR("a\xc3\xa9"));
    assert_non_null(t);
    assert_int_equal(t->data[1], 1);
    assert_int_equal(g4_safetensors_find(s, AS_STR("s"))->n_dims, 0);
    assert_null(g4_safetensors_find(s, AS_STR("c")));
    g4_safetensors_close(s);
    as_buf_release(&b);
}

static void refuses_lies(void **state)
{
    (void)state;
    static const struct {
        const char *header, *want;
    } rows[] = {
        {"", "want an object"},
        {"[]", "want an object"},
        {"{", "want a string"},
        {"{\"a\":" F32_PAIR, "want \",\" or \"}\""},
        {"{\"a\":" F32_PAIR "} x", "text behind the end"},
        {"{\"a\":" F32_PAIR ",\"a\":" F32_PAIR "}", "share bytes"},
        {"{\"a\":" F32_PAIR ",\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
         "there twice"},
        {"{\"a\":" F32_PAIR ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "share bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "not all of dtype"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", "\"F31\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}",
         "shape and dtype want 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
         "data_offsets are 8 and 0"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
         "the file has 12 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551615]}}",
         "the file has 12 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}",
         "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,8]}}",
         "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
         "more than 8 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",
         "want a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}",
         "want a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}",
         "a key twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", "want two data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]}}",
         "want two data_offsets"},
        {"{\"a\":7}", "want an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_buf b;
        const as_str bytes = file_of(&b, rows[i].header, 12);
        g4_safetensors *s = NULL;
        as_err err = {0};
        if (g4_safetensors_open_memory(&s, bytes, "f", &err) == AS_OK)
            fail_msg("%s: opened", rows[i].header);
        assert_null(s);
        if (strncmp(err.text, "f: ", 3) != 0 || strstr(err.text, rows[i].want) == NULL)
            fail_msg("%s: \"%s\", want \"%s\"", rows[i].header, err.text, rows[i].want);
        as_buf_release(&b);
    }
}

static void refuses_short_files(void **state)
{
    (void)state;
    as_buf b;
    const as_str whole = file_of(&b, "{\"a\":" F32_PAIR "}", 8);
    for (size_t n = 0; n < whole.n; n++) {
        g4_safetensors *s = NULL;
        as_err err = {0};
        assert_int_not_equal(g4_safetensors_open_memory(&s, (as_str){whole.p, n}, "f", &err),
                             AS_OK);
        assert_true(strncmp(err.text, "f: ", 3) == 0);
    }
    as_buf_release(&b);
}

static void refuses_wrong_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *index, *want;
    } rows[] = {
        {"{}", "no \"weight_map\""},
        {"{\"weight_map\":{}}", "no \"weight_map\""},
        {"{\"weight_map\":{\"a\":\"../x.safetensors\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"two\\nlines\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"gone\\u001b[2J\"}}", "no plain file name"},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", "cannot be opened"},
        {"{\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\"}}", "does not hold it"},
        {"{\"weight_map\":{\"model.norm.weight\":\"model-00002-of-00002.safetensors\"}}",
         "does not hold it"},
        {"{\"weight_map\":{\"a\":7}}", "want a string"},
        {"not json", "want an object"},
    };
    const char *folder = t_hf_make(&(t_hf){.is_sharded = true});
    g4_safetensors *s = NULL;
    as_err err = {0};
    assert_int_equal(g4_safetensors_open_folder(&s, folder, &err), AS_OK);
    assert_int_equal(g4_safetensors_n(s), 28);
    assert_int_equal(g4_safetensors_at(s, 27)->part, 1);
    g4_safetensors_close(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        t_hf_write(folder, "model.safetensors.index.json", as_str_of(rows[i].index));
        if (g4_safetensors_open_folder(&s, folder, &err) == AS_OK)
            fail_msg("%s: opened", rows[i].index);
        if (strstr(err.text, rows[i].want) == NULL)
            fail_msg("%s: \"%s\", want \"%s\"", rows[i].index, err.text, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_well_formed_files),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_short_files),
        cmocka_unit_test(refuses_wrong_indexes),
    };
    return cmocka_run_group_tests(tests, NULL, t_hf_done);
}
