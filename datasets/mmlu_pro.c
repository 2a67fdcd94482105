#include "datasets/importers.h"

#include "base/io.h"

enum { MAX_OPTIONS = 10, MAX_PADDED = 16 };

typedef struct option_list {
    as_str text[MAX_PADDED];
    int n;
} option_list;

static as_code read_options(option_list *out, const as_json *row, as_err *err)
{
    const as_json *list = NULL;
    AS_TRY(as_json_need_array(row, "options", &list, err));
    out->n = 0;
    bool is_padding = false;
    int n = 0;
    for (const as_json *v = as_json_first(list); v != NULL; v = as_json_next(v), n++) {
        as_str s;
        if (!as_json_str(v, &s))
            return as_fail(err, AS_PARSE, "\"options\": entry %d: want a string, found %s", n + 1,
                           as_json_kind_name(as_json_type(v)));
        if (n == MAX_PADDED)
            return as_fail(err, AS_RANGE, "\"options\" has more than %d entries", MAX_PADDED);
        if (as_str_eq_z(s, "N/A")) {
            is_padding = true;
            continue;
        }
        if (is_padding)
            return as_fail(err, AS_RANGE,
                           "\"options\": \"N/A\" stands before entry %d: only padding at the end "
                           "can be dropped",
                           n + 1);
        out->text[out->n++] = s;
    }
    if (out->n < 2 || out->n > MAX_OPTIONS)
        return as_fail(err, AS_RANGE, "\"options\" has %d entries, want 2 to %d", out->n,
                       MAX_OPTIONS);
    return AS_OK;
}

/* The letter is the key. answer_index says the same in all rows of the public set but one (3983: C
 * and 1), and the official random guess compares with the index: both are kept as they are. */
static as_code read_answer(int *letter_index, int *answer_index, const as_json *row, int n_options,
                           as_err *err)
{
    as_str letter;
    int64_t index = 0;
    AS_TRY(as_json_need_str(row, "answer", &letter, err));
    if (letter.n != 1 || letter.p[0] < 'A' || letter.p[0] >= 'A' + n_options)
        return as_fail(err, AS_RANGE, "\"answer\" is \"%.*s\", want a letter A to %c",
                       AS_ARG(letter), 'A' + n_options - 1);
    *letter_index = *answer_index = letter.p[0] - 'A';
    if (as_json_get(row, "answer_index") == NULL)
        return AS_OK;
    AS_TRY(as_json_need_i64(row, "answer_index", 0, n_options - 1, &index, err));
    *answer_index = (int)index;
    return AS_OK;
}

static as_code read_id(as_str *out, const as_json *row, as_arena *scratch, as_err *err)
{
    if (as_json_get(row, "question_id") == NULL && as_json_str(as_json_get(row, "id"), out) &&
        out->n != 0)
        return AS_OK;
    int64_t id = 0;
    AS_TRY(as_json_need_i64(row, "question_id", 0, INT64_C(1) << 53, &id, err));
    *out = as_arena_printf(scratch, "%lld", (long long)id);
    return out->p != NULL ? AS_OK : as_nomem(err);
}

static as_str optional(const as_json *row, const char *key)
{
    as_str s = {0};
    return as_json_str(as_json_get(row, key), &s) ? s : AS_STR("");
}

static as_code find_split(as_str *out, const char *path, as_str cot, as_err *err)
{
    const bool is_named =
        as_str_find(as_str_of(as_path_base(path)), AS_STR("validation")) != SIZE_MAX;
    if (is_named && cot.n == 0)
        return as_fail(err, AS_RANGE,
                       "\"cot_content\" is empty: validation rows carry the worked answers");
    *out = cot.n != 0 ? AS_STR("validation") : AS_STR("test");
    return AS_OK;
}

static as_code import_row(const as_json *value, const char *path, as_str *split, as_jw *out,
                          as_arena *scratch, as_err *err)
{
    as_str id;
    as_str question;
    as_str category;
    option_list options;
    int answer = 0;
    int answer_index = 0;
    if (as_json_type(value) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "want an object, found %s",
                       as_json_kind_name(as_json_type(value)));
    AS_TRY(read_id(&id, value, scratch, err));
    AS_TRY(as_json_need_str(value, "question", &question, err));
    AS_TRY(as_json_need_str(value, "category", &category, err));
    AS_TRY(read_options(&options, value, err));
    AS_TRY(read_answer(&answer, &answer_index, value, options.n, err));
    const as_str cot = optional(value, "cot_content");
    AS_TRY(find_split(split, path, cot, err));
    const char letter = (char)('A' + answer);
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_str(out, "category", category);
    as_jw_put_str(out, "src", optional(value, "src"));
    as_jw_put_str(out, "question", question);
    as_jw_key(out, "options");
    as_jw_begin_array(out);
    for (int i = 0; i < options.n; i++)
        as_jw_str(out, options.text[i]);
    as_jw_end_array(out);
    as_jw_put_str(out, "answer", (as_str){&letter, 1});
    as_jw_put_i64(out, "answer_index", answer_index);
    as_jw_put_str(out, "cot_content", cot);
    as_jw_end_object(out);
    return AS_OK;
}

const ds_importer ds_mmlu_pro = {
    .name = "mmlu_pro",
    .licence = "MIT",
    .source = "TIGER-Lab/MMLU-Pro",
    .row = import_row,
};
