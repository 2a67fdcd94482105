#include "reports/samples.h"

#include <string.h>

#include "base/json.h"
#include "reports/table.h"

static void put_known(as_jw *w, const char *key, int64_t v)
{
    as_jw_key(w, key);
    if (v < 0)
        as_jw_null(w);
    else
        as_jw_i64(w, v);
}

static void put_text(as_jw *w, const char *key, as_str s)
{
    as_jw_key(w, key);
    if (as_str_is_set(s))
        as_jw_str(w, s);
    else
        as_jw_null(w);
}

static void put_result(as_jw *w, const db_task_row *task, const as_result *r)
{
    put_text(w, "item", r->item);
    put_known(w, "repeat", r->repeat);
    put_text(w, "suite", task->suite);
    put_text(w, "prediction", r->score.prediction);
    put_text(w, "target", r->score.target);
    as_jw_put_f64(w, "score", r->score.value);
    as_jw_put_z(w, "anatomy", as_verdict_name(r->score.verdict));
    as_jw_key(w, "finish");
    if (r->finish == AS_FINISH_UNKNOWN)
        as_jw_null(w);
    else
        as_jw_z(w, as_finish_name(r->finish));
    put_known(w, "prompt_tokens", r->prompt_tokens);
    put_known(w, "completion_tokens", r->completion_tokens);
    as_jw_key(w, "seconds");
    if (r->seconds < 0)
        as_jw_null(w);
    else
        as_jw_f64(w, r->seconds);
    put_text(w, "protocol", task->protocol);
    put_text(w, "group", r->group);
    as_jw_key(w, "error");
    if (r->error == AS_ERROR_NONE)
        as_jw_null(w);
    else
        as_jw_z(w, as_error_kind_name(r->error));
}

/* Prefix and prompt as one text; for chat the prompt is the messages already. */
static as_code put_texts(db_store *db, as_jw *w, int64_t task_id, const as_result *r,
                         as_arena *arena, as_err *err)
{
    db_texts t;
    AS_TRY(db_attempt_texts(db, task_id, r->item, r->repeat, &t, arena, err));
    as_str prompt = t.prompt;
    if (t.prefix.n != 0) {
        prompt = as_arena_printf(arena, "%.*s%.*s", AS_ARG(t.prefix), AS_ARG(t.prompt));
        if (!as_str_is_set(prompt))
            return as_nomem(err);
    }
    put_text(w, "prompt", prompt);
    put_text(w, "reasoning", t.reasoning);
    put_text(w, "answer", t.answer);
    return AS_OK;
}

typedef struct sample_writer {
    db_store *db;
    bool with_text;
    rp_write_fn write;
    void *user;
    as_buf line;
} sample_writer;

static as_code write_task(sample_writer *s, const db_task_row *task, as_err *err)
{
    as_arena keep;
    as_arena scratch;
    as_arena_init(&keep, 0);
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n = 0;
    as_code c = db_results(s->db, task->id, 0, &rows, &n, &keep, err);
    for (size_t i = 0; c == AS_OK && i < n; i++) {
        as_jw w;
        as_buf_reset(&s->line);
        as_jw_init(&w, &s->line);
        as_jw_begin_object(&w);
        put_result(&w, task, &rows[i]);
        if (s->with_text)
            c = put_texts(s->db, &w, task->id, &rows[i], &scratch, err);
        as_jw_end_object(&w);
        if (c == AS_OK)
            c = as_buf_ok(&s->line, err);
        if (c == AS_OK)
            c = s->write(s->user, as_buf_str(&s->line), err);
        as_arena_rewind(&scratch, 0);
    }
    as_arena_release(&scratch);
    as_arena_release(&keep);
    return c;
}

as_code rp_samples_jsonl(db_store *db, const db_run_row *run, bool with_text, rp_write_fn write,
                         void *user, as_err *err)
{
    sample_writer s = {.db = db, .with_text = with_text, .write = write, .user = user};
    as_buf_init(&s.line, (size_t)1 << 30);
    as_code c = AS_OK;
    for (int i = 0; c == AS_OK && i < run->n_tasks; i++)
        c = write_task(&s, &run->tasks[i], err);
    as_buf_release(&s.line);
    return c;
}

/* ---- for people -------------------------------------------------------------------------------
 */

/* Lines as they are, other control characters as blanks: an answer must not move the cursor. */
static void put_block(as_buf *out, const char *title, as_str text)
{
    if (text.n == 0)
        return;
    (void)as_buf_printf(out, "\n--- %s\n", title);
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]) != NULL)
        text.n--;
    as_str line;
    for (bool more = true; more;) {
        more = as_str_cut(text, '\n', &line, &text);
        rp_put_clean(out, line);
        (void)as_buf_add_byte(out, '\n');
    }
}

static void put_head(as_buf *out, const db_task_row *task, const as_result *r)
{
    (void)as_buf_printf(out, "%.*s:%.*s  item ", AS_ARG(task->suite), AS_ARG(task->protocol));
    rp_put_clean(out, r->item);
    if (r->group.n != 0) {
        (void)as_buf_add_z(out, " (");
        rp_put_clean(out, r->group);
        (void)as_buf_add_byte(out, ')');
    }
    (void)as_buf_printf(out, ", repeat %d\n%s: read \"", r->repeat,
                        as_verdict_name(r->score.verdict));
    rp_put_clean(out,
                 as_str_is_set(r->score.prediction) ? r->score.prediction : AS_STR("(nothing)"));
    (void)as_buf_add_z(out, "\", wanted \"");
    rp_put_clean(out, r->score.target);
    (void)as_buf_printf(out, "\", value %.4g; finish %s", r->score.value,
                        as_finish_name(r->finish));
    if (r->completion_tokens >= 0)
        (void)as_buf_printf(out, ", %lld tokens", (long long)r->completion_tokens);
    if (r->seconds >= 0)
        (void)as_buf_printf(out, ", %.2f s", r->seconds);
    (void)as_buf_add_byte(out, '\n');
    if (r->score.note.n != 0)
        put_block(out, "note", r->score.note);
}

static as_str micros(as_arena *a, int64_t us)
{
    return us < 0 ? AS_STR("") : as_arena_printf(a, "%.1f", (double)us / 1000);
}

static as_str end_of(as_arena *a, const as_exec *e)
{
    if (e->term_signal > 0)
        return as_arena_printf(a, "signal %d", e->term_signal);
    if (e->is_compiler && e->exit_code < 0)
        return AS_STR(""); /* not told */
    return e->exit_code < 0 ? AS_STR("stopped") : as_arena_printf(a, "exit %d", e->exit_code);
}

static as_str tests_of(as_arena *a, const as_exec *e)
{
    if (e->is_compiler)
        return AS_STR("compiler");
    return e->n_tests > 1
               ? as_arena_printf(a, "%d-%d", e->first_test, e->first_test + e->n_tests - 1)
               : as_arena_printf(a, "%d", e->first_test);
}

static as_code exec_row(rp_table *t, const as_exec *e, as_err *err)
{
    as_arena *a = t->keep;
    const as_str cells[] = {
        tests_of(a, e),
        e->verdict,
        end_of(a, e),
        micros(a, e->cpu_us),
        micros(a, e->wall_us),
        e->peak_bytes < 0 ? AS_STR("")
                          : as_arena_printf(a, "%.1f", (double)e->peak_bytes / 1048576.0),
        e->output_bytes < 0 ? AS_STR("") : as_arena_printf(a, "%lld", (long long)e->output_bytes),
        as_str_sub(e->codes, 0, 60),
    };
    return rp_table_row(t, cells, err);
}

/* What ran to judge it: a line a process, then what the last one said and ran in. */
static as_code put_execs(db_store *db, const db_task_row *task, const as_result *r, as_buf *out,
                         as_arena *arena, as_err *err)
{
    static const rp_column columns[] = {
        {"tests", RP_LEFT},    {"verdict", RP_LEFT},   {"end", RP_LEFT},       {"cpu ms", RP_RIGHT},
        {"wall ms", RP_RIGHT}, {"peak MiB", RP_RIGHT}, {"output B", RP_RIGHT}, {"codes", RP_LEFT}};
    as_exec *execs = NULL;
    int n = 0;
    AS_TRY(db_execs(db, task->id, r->item, r->repeat, &execs, &n, arena, err));
    if (n == 0)
        return AS_OK;
    rp_table t;
    rp_table_init(&t, columns, (int)(sizeof columns / sizeof columns[0]), arena);
    for (int i = 0; i < n; i++)
        AS_TRY(exec_row(&t, &execs[i], err));
    (void)as_buf_add_z(out, "\n--- processes\n");
    rp_table_print(&t, RP_TEXT, out);
    const as_exec *last = &execs[n - 1];
    (void)as_buf_printf(out, "sandbox %.*s, ", AS_ARG(last->sandbox));
    rp_put_clean(out, last->toolchain);
    (void)as_buf_printf(out, " (sha256 %.*s), limits %.*s\n",
                        AS_ARG(as_str_sub(last->tool_sha256, 0, 12)), AS_ARG(last->limits));
    put_block(out, "standard error", last->errors);
    return AS_OK;
}

static as_code put_sample(db_store *db, const db_task_row *task, const as_result *r, as_buf *out,
                          as_arena *arena, as_err *err)
{
    db_texts t;
    AS_TRY(db_attempt_texts(db, task->id, r->item, r->repeat, &t, arena, err));
    if (out->n != 0)
        (void)as_buf_add_byte(out, '\n');
    put_head(out, task, r);
    put_block(out, "prefix", t.prefix);
    put_block(out, t.is_chat ? "messages" : "prompt", t.prompt);
    put_block(out, "reasoning", t.reasoning);
    put_block(out, "answer", t.answer);
    put_block(out, "error", t.message);
    AS_TRY(put_execs(db, task, r, out, arena, err));
    return as_buf_ok(out, err);
}

as_code rp_sample_text(db_store *db, const db_run_row *run, as_str item, as_buf *out, as_err *err)
{
    as_arena arena;
    as_arena_init(&arena, 0);
    as_code c = AS_OK;
    int n_found = 0;
    for (int i = 0; c == AS_OK && i < run->n_tasks; i++) {
        as_result *rows = NULL;
        size_t n = 0;
        c = db_results(db, run->tasks[i].id, 0, &rows, &n, &arena, err);
        for (size_t k = 0; c == AS_OK && k < n; k++)
            if (as_str_eq(rows[k].item, item)) {
                n_found++;
                c = put_sample(db, &run->tasks[i], &rows[k], out, &arena, err);
            }
    }
    as_arena_release(&arena);
    if (c == AS_OK && n_found == 0)
        return as_fail(err, AS_RANGE,
                       "run %lld has no answer to item \"%.*s\"; \"assay show %lld --samples\" "
                       "lists them",
                       (long long)run->id, AS_ARG(item), (long long)run->id);
    return c;
}
