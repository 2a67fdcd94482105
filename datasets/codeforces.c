#include "base/io.h"
#include "datasets/importers.h"

static const char *const bulky[] = {"tests", NULL};
static const char *const rules[] = {"tokens", "lines", "float", "exact", NULL};

static as_code find_split(const char *path, as_str *out, int64_t *n_rows, as_arena *keep,
                          as_err *err)
{
    (void)keep;
    (void)err;
    *n_rows = 0;
    *out = as_str_find(as_str_of(as_path_base(path)), AS_STR("contest")) != SIZE_MAX
               ? AS_STR("contests")
               : AS_STR("problems");
    return AS_OK;
}

static as_str optional(const as_json *row, const char *key)
{
    as_str s = AS_STR("");
    (void)as_json_str(as_json_get(row, key), &s);
    return s;
}

/* A number, or null where it is absent. */
static as_code put_number(as_jw *w, const as_json *row, const char *key, as_err *err)
{
    const as_json *v = as_json_get(row, key);
    double number = 0;
    as_jw_key(w, key);
    if (v == NULL || as_json_type(v) == AS_JSON_NULL) {
        as_jw_null(w);
        return AS_OK;
    }
    if (!as_json_f64(v, &number))
        return as_fail(err, AS_PARSE, "\"%s\": want a number or null", key);
    as_jw_f64(w, number);
    return AS_OK;
}

static as_code put_limit(as_jw *w, const as_json *row, const char *key, int64_t max, as_err *err)
{
    int64_t v = 0;
    AS_TRY(as_json_need_i64(row, key, 1, max, &v, err));
    as_jw_put_i64(w, key, v);
    return AS_OK;
}

static as_code import_contest(const as_json *row, as_str id, as_jw *out, as_err *err)
{
    const as_json *standings = NULL;
    AS_TRY(as_json_need_array(row, "standings", &standings, err));
    size_t n = 0;
    for (const as_json *v = as_json_first(standings); v != NULL; v = as_json_next(v)) {
        n++;
        size_t numbers = 0;
        double number = 0;
        for (const as_json *x = as_json_first(v); x != NULL; x = as_json_next(x))
            numbers += as_json_f64(x, &number) ? 1 : 100;
        if (numbers != 3)
            return as_fail(err, AS_PARSE, "\"standings\": row %zu: want [points, penalty, rating]",
                           n);
    }
    if (n == 0)
        return as_fail(err, AS_RANGE, "\"standings\" holds nobody");
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_str(out, "name", optional(row, "name"));
    as_jw_key(out, "standings");
    as_jw_node(out, standings);
    as_jw_end_object(out);
    return AS_OK;
}

static as_code import_problem(const as_json *row, as_str id, as_jw *out, as_err *err)
{
    as_str contest, question;
    AS_TRY(as_json_need_str(row, "contest", &contest, err));
    AS_TRY(as_json_need_str(row, "question", &question, err));
    as_str rule = optional(row, "rule");
    if (rule.n == 0)
        rule = AS_STR("tokens");
    bool is_known = false;
    for (const char *const *r = rules; *r != NULL; r++)
        is_known = is_known || as_str_eq_z(rule, *r);
    if (!is_known)
        return as_fail(err, AS_RANGE, "\"rule\": \"%.*s\": want tokens, lines, float or exact",
                       AS_ARG(rule));
    as_jw_begin_object(out);
    as_jw_put_str(out, "id", id);
    as_jw_put_str(out, "contest", contest);
    as_jw_put_str(out, "index", optional(row, "index"));
    as_jw_put_str(out, "title", optional(row, "title"));
    as_jw_put_str(out, "question", question);
    AS_TRY(put_number(out, row, "points", err));
    AS_TRY(put_number(out, row, "rating", err));
    AS_TRY(put_limit(out, row, "time_limit_ms", 60000, err));
    AS_TRY(put_limit(out, row, "memory_mb", 4096, err));
    as_jw_put_str(out, "rule", rule);
    AS_TRY(put_number(out, row, "tolerance", err));
    as_jw_end_object(out);
    return AS_OK;
}

static as_code import_row(const as_json *value, const char *path, as_str *split, as_jw *out,
                          as_arena *scratch, as_err *err)
{
    int64_t n_rows = 0;
    as_str id;
    AS_TRY(find_split(path, split, &n_rows, scratch, err));
    AS_TRY(as_json_need_str(value, "id", &id, err));
    if (id.n == 0)
        return as_fail(err, AS_RANGE, "\"id\" is empty");
    return as_str_eq_z(*split, "contests") ? import_contest(value, id, out, err)
                                           : import_problem(value, id, out, err);
}

const ds_importer ds_codeforces = {
    .name = "codeforces",
    .licence = "as its owner says",
    .source = "given by the user",
    .row = import_row,
    .bulky = bulky,
    .split = find_split,
};
