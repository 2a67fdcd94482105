#include "scorers/code/execs.h"

#include <string.h>

#include "base/json.h"
#include "scorers/sandbox/verdict.h"

enum { ERRORS_KEPT = 1024, DETAIL_KEPT = 1000 };

static as_code keep(as_str *out, as_buf *b, as_arena *arena, as_err *err)
{
    as_code c = as_buf_ok(b, err);
    if (c == AS_OK) {
        *out = as_arena_str(arena, as_buf_str(b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(b);
    return c;
}

static as_code limits_json(as_str *out, const sb_limits *l, as_arena *arena, as_err *err)
{
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {{"cpu_ms", l->cpu_ms},       {"wall_ms", l->wall_ms}, {"memory_mb", l->memory_mb},
                {"stack_mb", l->stack_mb},   {"tmp_mb", l->tmp_mb},   {"output_kb", l->output_kb},
                {"tasks", (int64_t)l->tasks}};
    as_buf b;
    as_jw w;
    as_buf_init(&b, 1024);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        as_jw_put_i64(&w, rows[i].name, rows[i].value);
    }
    as_jw_end_object(&w);
    return keep(out, &b, arena, err);
}

/* A row more; texts of r and t are in the arena already. */
static as_code append(sc_execs *e, const as_exec *row, as_arena *arena, as_err *err)
{
    if (e->n == e->cap) {
        const int cap = e->cap != 0 ? 2 * e->cap : 4;
        as_exec *more = as_new(arena, as_exec, cap);
        if (more == NULL)
            return as_nomem(err);
        if (e->n != 0)
            memcpy(more, e->of, (size_t)e->n * sizeof *more);
        e->of = more;
        e->cap = cap;
    }
    e->of[e->n++] = *row;
    return AS_OK;
}

as_code sc_execs_add(sc_execs *e, const sb_result *r, const sb_test_result *t,
                     const sb_limits *limits, size_t first, size_t n, as_arena *arena, as_err *err)
{
    as_exec row = {
        .first_test = (int)first + 1,
        .n_tests = (int)n,
        .codes = AS_STR("[]"),
        .verdict = as_str_of(sb_verdict_name(t->verdict)),
        .detail = as_str_sub(t->detail, 0, DETAIL_KEPT),
        .exit_code = t->exit_code,
        .term_signal = t->term_signal,
        .cpu_us = t->cpu_us,
        .wall_us = t->wall_us,
        .peak_bytes = t->peak_bytes,
        .output_bytes = t->output_bytes,
        .n_runs = t->n_runs,
        .errors = as_str_sub(t->errors, 0, ERRORS_KEPT),
        .sandbox = r->sandbox,
        .toolchain = r->toolchain,
    };
    /* Limits hardly ever differ between the rows of an answer. */
    if (e->n != 0 && !e->of[e->n - 1].is_compiler)
        row.limits = e->of[e->n - 1].limits;
    else
        AS_TRY(limits_json(&row.limits, limits, arena, err));
    return append(e, &row, arena, err);
}

as_code sc_execs_add_compiler(sc_execs *e, const sb_result *r, as_arena *arena, as_err *err)
{
    const bool has_failed = r->verdict == SB_COMPILE_ERROR;
    as_exec row = {
        .is_compiler = true,
        .codes = AS_STR("[]"),
        .verdict = as_str_of(sb_verdict_name(has_failed ? SB_COMPILE_ERROR : SB_ACCEPTED)),
        .detail = has_failed ? as_str_sub(r->detail, 0, DETAIL_KEPT) : (as_str){0},
        .exit_code = has_failed ? -1 : 0,
        .cpu_us = r->compile_cpu_us > 0 ? r->compile_cpu_us : -1,
        .wall_us = -1,
        .peak_bytes = -1,
        .output_bytes = -1,
        .n_runs = 1,
        .errors = as_str_sub(r->compiler_text, 0, ERRORS_KEPT),
        .sandbox = r->sandbox,
        .toolchain = r->toolchain,
    };
    AS_TRY(limits_json(&row.limits, &sb_compile, arena, err));
    return append(e, &row, arena, err);
}

as_code sc_execs_codes(sc_execs *e, const int *codes, size_t n, as_arena *arena, as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 8 << 20);
    as_jw_init(&w, &b);
    as_jw_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        as_jw_i64(&w, codes[i]);
    as_jw_end_array(&w);
    return keep(&e->of[e->n - 1].codes, &b, arena, err);
}
