#include "datasets/importers.h"

#include "base/io.h"

enum { FIRST_YEAR = 1983, LAST_YEAR = 2099, A_PART = 15, BOTH_PARTS = 30 };

typedef struct place {
    int year; /* 0: not known */
    as_str part;
    int number; /* 0: not known */
} place;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A run of exactly four digits that is a year, or two digits behind "aime", "aime_" or "AIME-". */
static int find_year(as_str s)
{
    for (size_t i = 0; i < s.n;) {
        if (!is_digit(s.p[i])) {
            i++;
            continue;
        }
        size_t end = i;
        while (end < s.n && is_digit(s.p[end]))
            end++;
        int64_t v = 0;
        (void)as_parse_i64(as_str_sub(s, i, end), 0, INT64_MAX, &v);
        if (end - i == 4 && v >= FIRST_YEAR && v <= LAST_YEAR)
            return (int)v;
        const size_t name = i > 0 && (s.p[i - 1] == '_' || s.p[i - 1] == '-') ? i - 1 : i;
        const as_str before = as_str_sub(s, 0, name);
        if (end - i == 2 &&
            (as_str_ends(before, AS_STR("aime")) || as_str_ends(before, AS_STR("AIME"))))
            return 2000 + (int)v;
        i = end;
    }
    return 0;
}

/* Reads "2024-II-4", "…/2024_AIME_I_Problems/Problem_4", "aime_2024_I": the word I or II is the
 * part, the last number from 1 to 15 behind it the problem. */
static void find_part(as_str s, place *p)
{
    for (size_t i = 0; i < s.n;) {
        if (!is_alnum(s.p[i])) {
            i++;
            continue;
        }
        size_t end = i;
        while (end < s.n && is_alnum(s.p[end]))
            end++;
        const as_str word = as_str_sub(s, i, end);
        int64_t v = 0;
        if (as_str_eq_z(word, "I"))
            p->part = AS_STR("I");
        else if (as_str_eq_z(word, "II"))
            p->part = AS_STR("II");
        else if (p->part.n != 0 && as_parse_i64(word, 1, A_PART, &v))
            p->number = (int)v;
        i = end;
    }
}

static bool any_str(const as_json *row, const char *const *keys, as_str *out)
{
    for (; *keys != NULL; keys++)
        if (as_json_str(as_json_get(row, *keys), out) && as_str_trim(*out).n != 0)
            return true;
    return false;
}

static bool any_i64(const as_json *row, const char *const *keys, int64_t *out)
{
    for (; *keys != NULL; keys++) {
        const as_json *v = as_json_get(row, *keys);
        as_str s;
        if (as_json_i64(v, out) ||
            (as_json_str(v, &s) && as_parse_i64(as_str_trim(s), INT64_MIN, INT64_MAX, out)))
            return true;
    }
    return false;
}

static const char *const id_keys[] = {"id", "ID", "url", "Url", NULL};

static as_code find_place(place *out, const as_json *row, const char *path, as_err *err)
{
    const as_str file = as_str_of(as_path_base(path));
    int64_t v = 0;
    *out = (place){0};
    if (any_i64(row, (const char *const[]){"year", "Year", NULL}, &v)) {
        if (v < FIRST_YEAR || v > LAST_YEAR)
            return as_fail(err, AS_RANGE, "\"year\" is %lld, want %d to %d", (long long)v,
                           FIRST_YEAR, LAST_YEAR);
        out->year = (int)v;
    }
    for (const char *const *key = id_keys; *key != NULL; key++) {
        as_str s;
        if (!as_json_str(as_json_get(row, *key), &s))
            continue;
        if (out->year == 0)
            out->year = find_year(s);
        if (out->number == 0)
            find_part(s, out);
    }
    if (out->year == 0)
        out->year = find_year(file);
    if (out->year == 0)
        return as_fail(err, AS_RANGE,
                       "neither the row nor the file's name says the year: rename the file to "
                       "aime_YEAR.jsonl, as in aime_2026.jsonl");
    if (out->number == 0)
        find_part(file, out);
    return AS_OK;
}

static void refine_place(place *p, const as_json *row)
{
    as_str part;
    int64_t v = 0;
    if (any_str(row, (const char *const[]){"part", NULL}, &part) &&
        (as_str_eq_z(part, "I") || as_str_eq_z(part, "II")))
        p->part = part;
    if (any_i64(row, (const char *const[]){"number", NULL}, &v) && v >= 1 && v <= A_PART) {
        p->number = (int)v;
    } else if (p->number == 0 && any_i64(row, (const char *const[]){"problem_idx", NULL}, &v) &&
               v >= 1 && v <= BOTH_PARTS) {
        if (p->part.n == 0 || v > A_PART)
            p->part = v <= A_PART ? AS_STR("I") : AS_STR("II");
        p->number = (int)(v <= A_PART ? v : v - A_PART);
    }
}

static as_str make_id(const place *p, const as_json *row, as_str problem, as_arena *scratch)
{
    const char *dash = p->part.n != 0 ? "-" : "";
    if (p->part.n != 0 && p->number != 0)
        return as_arena_printf(scratch, "%d-%.*s-%d", p->year, AS_ARG(p->part), p->number);
    as_str own;
    int64_t number = 0;
    if (any_i64(row, (const char *const[]){"id", "ID", NULL}, &number))
        return as_arena_printf(scratch, "%d-%.*s%s%lld", p->year, AS_ARG(p->part), dash,
                               (long long)number);
    if (any_str(row, (const char *const[]){"id", "ID", NULL}, &own))
        return as_arena_printf(scratch, "%d-%.*s%s%.*s", p->year, AS_ARG(p->part), dash,
                               AS_ARG(own));
    char hex[AS_SHA256_HEX];
    const as_sha256 h = as_sha256_of(problem);
    as_sha256_hex(hex, &h);
    return as_arena_printf(scratch, "%d-%.*s%s%.8s", p->year, AS_ARG(p->part), dash, hex);
}

/* Some copies end each problem with the prompt of the program that they were made for. */
static as_str without_instruction(as_str problem)
{
    as_str s = as_str_trim(problem);
    const size_t nl = as_str_rfind(s, AS_STR("\n"));
    const as_str last = as_str_sub(s, nl == SIZE_MAX ? s.n : nl + 1, s.n);
    const bool is_prompt = as_str_starts(last, AS_STR("Please reason step by step")) &&
                           as_str_find(last, AS_STR("\\boxed{}")) != SIZE_MAX;
    return is_prompt ? as_str_trim(as_str_sub(s, 0, nl)) : problem;
}

static as_code read_answer(int64_t *out, const as_json *row, as_err *err)
{
    static const char *const keys[] = {"answer", "Answer", NULL};
    if (!any_i64(row, keys, out))
        return as_fail(err, AS_PARSE, "\"answer\": want an integer or its digits in a string");
    if (*out < 0 || *out > 999)
        return as_fail(err, AS_RANGE, "\"answer\" is %lld, want 0 to 999", (long long)*out);
    return AS_OK;
}

static as_code import_row(const as_json *value, const char *path, as_str *split, as_jw *out,
                          as_arena *scratch, as_err *err)
{
    as_str problem;
    int64_t answer = 0;
    place p;
    if (as_json_type(value) != AS_JSON_OBJECT)
        return as_fail(err, AS_PARSE, "want an object, found %s",
                       as_json_kind_name(as_json_type(value)));
    if (!any_str(value, (const char *const[]){"problem", "Problem", "question", NULL}, &problem))
        return as_fail(err, AS_PARSE, "\"problem\" is missing, want a string (or \"question\")");
    AS_TRY(read_answer(&answer, value, err));
    AS_TRY(find_place(&p, value, path, err));
    refine_place(&p, value);
    problem = without_instruction(problem);
    const as_str id = make_id(&p, value, problem, scratch);
    *split = as_arena_printf(scratch, "%d", p.year);
    if (id.p == NULL || split->p == NULL)
        return as_nomem(err);
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_i64(out, "year", p.year);
    as_jw_put_str(out, "part", p.part);
    as_jw_put_i64(out, "number", p.number);
    as_jw_put_str(out, "problem", problem);
    as_jw_put_i64(out, "answer", answer);
    as_jw_end_object(out);
    return AS_OK;
}

const ds_importer ds_aime = {
    .name = "aime",
    .licence = "problems (c) Mathematical Association of America, for evaluation only",
    .source = "American Invitational Mathematics Examination",
    .row = import_row,
};
