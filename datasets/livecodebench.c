#include "base/io.h"
#include "datasets/importers.h"

static const char *const bulky[] = {"public_test_cases", "private_test_cases", NULL};

/* Rows of each published file: differences of the totals of release_v1 … release_v6. */
static const int64_t file_rows[] = {400, 111, 101, 101, 167, 175};
enum { N_FILES = sizeof file_rows / sizeof file_rows[0] };

/* Upstream's ERRATA.md, commit 28fef95e: by id, LeetCode's by title. All lie before v6. */
static const struct {
    const char *id, *what;
} errata[] = {
    {"abc311_c", "several_answers"},
    {"abc326_d", "several_answers"},
    {"abc327_b", "several_answers"},
    {"abc333_e", "several_answers"},
    {"abc343_e", "several_answers"},
    {"abc362_c", "several_answers"},
    {"find-words-containing-character", "several_answers"},
    {"find-the-peaks", "several_answers"},
    {"generate-binary-strings-without-adjacent-zeros", "several_answers"},
    {"arc185_c", "several_answers"},
    {"abc343_a", "several_answers"},
    {"abc337_e", "interactive"},
    {"abc355_e", "interactive"},
    {"abc350_c", "broken_tests"},
    {"apply-operations-to-make-string-empty", "broken_tests"},
    {"most-frequent-ids", "broken_tests"},
    {"arc189_a", "broken_tests"},
};

static const char *find_erratum(as_str id, as_str title)
{
    for (size_t i = 0; i < sizeof errata / sizeof errata[0]; i++)
        if (as_str_eq_z(id, errata[i].id) || as_str_eq_z(title, errata[i].id))
            return errata[i].what;
    return "";
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The digits behind the word, where no other letter or digit touches it: "test6", "lcb_v6.jsonl".
 * 0: none; "test" alone is 1. */
static int find_number(as_str name, as_str word)
{
    for (size_t i = 0; i + word.n <= name.n; i++) {
        if (!as_str_eq(as_str_sub(name, i, i + word.n), word) ||
            (i != 0 && is_letter(name.p[i - 1])))
            continue;
        size_t end = i + word.n;
        while (end < name.n && name.p[end] >= '0' && name.p[end] <= '9')
            end++;
        int64_t v = 0;
        if (as_parse_i64(as_str_sub(name, i + word.n, end), 1, N_FILES, &v))
            return (int)v;
        if (end == i + word.n && word.n > 1 && (end == name.n || name.p[end] == '.'))
            return 1;
    }
    return 0;
}

static as_code find_split(const char *path, as_str *out, int64_t *n_rows, as_arena *keep,
                          as_err *err)
{
    const as_str name = as_str_of(as_path_base(path));
    int number = find_number(name, AS_STR("test"));
    if (number == 0)
        number = find_number(name, AS_STR("v"));
    *n_rows = number != 0 ? file_rows[number - 1] : 0;
    *out = number != 0 ? as_arena_printf(keep, "v%d", number) : AS_STR("own");
    return as_str_is_set(*out) ? AS_OK : as_nomem(err);
}

static as_str optional(const as_json *row, const char *key)
{
    as_str s = AS_STR("");
    (void)as_json_str(as_json_get(row, key), &s);
    return s;
}

/* "2025-03-01T00:00:00" or "2025-03-01" → the date. */
static as_code read_date(as_str *out, const as_json *row, as_err *err)
{
    as_str s;
    AS_TRY(as_json_need_str(row, "contest_date", &s, err));
    bool is_date = s.n == 10 || (s.n > 10 && s.p[10] == 'T');
    for (size_t i = 0; is_date && i < 10; i++)
        is_date = i == 4 || i == 7 ? s.p[i] == '-' : s.p[i] >= '0' && s.p[i] <= '9';
    *out = as_str_sub(s, 0, 10);
    return is_date ? AS_OK
                   : as_fail(err, AS_PARSE, "\"contest_date\": \"%.*s\" is no date like 2025-03-01",
                             AS_ARG(s));
}

/* metadata is a text that holds JSON; func_name in it makes the problem functional. */
static as_code read_function(as_buf *out, const as_json *row, as_err *err)
{
    const as_str text = as_str_trim(optional(row, "metadata"));
    as_json *tree = NULL;
    as_str name;
    if (text.n == 0)
        return AS_OK;
    if (as_json_parse(&tree, text, err) != AS_OK)
        return as_wrap(err, "\"metadata\"");
    as_code c = AS_OK;
    if (as_json_str(as_json_get(tree, "func_name"), &name))
        c = as_buf_add(out, name);
    as_json_free(tree);
    return c == AS_OK ? AS_OK : as_nomem(err);
}

static as_code import_row(const as_json *value, const char *path, as_str *split, as_jw *out,
                          as_arena *scratch, as_err *err)
{
    (void)path;
    (void)split;
    (void)scratch;
    as_str id, question, difficulty, date;
    AS_TRY(as_json_need_str(value, "question_id", &id, err));
    AS_TRY(as_json_need_str(value, "question_content", &question, err));
    AS_TRY(as_json_need_str(value, "difficulty", &difficulty, err));
    AS_TRY(read_date(&date, value, err));
    if (id.n == 0)
        return as_fail(err, AS_RANGE, "\"question_id\" is empty");
    as_buf fn;
    as_buf_init(&fn, 4096);
    const as_code c = read_function(&fn, value, err);
    const as_str title = optional(value, "question_title");
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_str(out, "title", title);
    as_jw_put_str(out, "question", question);
    as_jw_put_str(out, "platform", optional(value, "platform"));
    as_jw_put_str(out, "contest", optional(value, "contest_id"));
    as_jw_put_str(out, "date", date);
    as_jw_put_str(out, "starter", optional(value, "starter_code"));
    as_jw_put_str(out, "difficulty", difficulty);
    as_jw_put_str(out, "fn", as_buf_str(&fn));
    as_jw_put_str(out, "errata", as_str_of(find_erratum(id, title)));
    as_jw_end_object(out);
    as_buf_release(&fn);
    return c;
}

const ds_importer ds_livecodebench = {
    .name = "livecodebench",
    .licence = "cc by its tag, problems belong to LeetCode, AtCoder and Codeforces (own files: as "
               "their owner says)",
    .source = "livecodebench/code_generation_lite",
    .row = import_row,
    .bulky = bulky,
    .split = find_split,
};
