#include "reports/report.h"

#include <math.h>
#include <string.h>

#include "base/io.h"
#include "reports/plot.h"

typedef struct writer {
    db_store *db;
    const char *folder;
    rp_files *files;
    int cap;
    as_arena *keep;
    as_buf md;
} writer;

static as_code add_file(writer *w, const char *path, as_err *err)
{
    if (path == NULL || w->files->n == w->cap)
        return as_nomem(err);
    w->files->paths[w->files->n++] = path;
    return AS_OK;
}

static as_code write_file(writer *w, const char *name, const as_buf *bytes, as_err *err)
{
    AS_TRY(as_buf_ok(bytes, err));
    const char *path = as_path_join(w->keep, w->folder, name);
    if (path == NULL)
        return as_nomem(err);
    AS_TRY(as_write_file(path, as_buf_str(bytes), err));
    return add_file(w, path, err);
}

/* What guessing gets right: the mean of 1/choices, if all answers had choices. */
static as_code chance_of(writer *w, const db_task_row *task, double *chance, as_err *err)
{
    *chance = (double)NAN;
    if (w->db == NULL)
        return AS_OK;
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_result *rows = NULL;
    size_t n = 0;
    const as_code c = db_results(w->db, task->id, 0, &rows, &n, &scratch, err);
    double sum = 0;
    for (size_t i = 0; c == AS_OK && i < n; i++)
        sum += rows[i].n_choices > 1 ? 1.0 / rows[i].n_choices : (double)NAN;
    if (c == AS_OK && n > 0 && !isnan(sum))
        *chance = sum / (double)n;
    as_arena_release(&scratch);
    return c;
}

static as_code plot_task(writer *w, const db_run_row *run, const db_task_row *task, as_err *err)
{
    static const char *const ends[] = {"svg", "png", "dat", "gp"};
    rp_plot_spec spec = {
        .run = run, .task = task, .folder = w->folder, .name = rp_plot_name(run, task, w->keep)};
    if (spec.name == NULL)
        return as_nomem(err);
    AS_TRY(chance_of(w, task, &spec.chance, err));
    bool has_picture = false;
    as_str note;
    AS_TRY(rp_plot(&spec, &has_picture, &note, w->keep, err));
    if (has_picture) {
        (void)as_buf_printf(&w->md, "\n![Scores of %s](%s.svg)\n", spec.name, spec.name);
    } else {
        (void)as_buf_add_z(&w->md, "\n(");
        rp_put_clean(&w->md, note);
        (void)as_buf_add_z(&w->md, ")\n");
    }
    for (int i = has_picture ? 0 : 2; i < 4; i++) {
        const as_str name = as_arena_printf(w->keep, "%s.%s", spec.name, ends[i]);
        AS_TRY(add_file(w, as_str_is_set(name) ? as_path_join(w->keep, w->folder, name.p) : NULL,
                        err));
    }
    return AS_OK;
}

static as_code put_run(writer *w, const db_run_row *run, as_buf *text, as_err *err)
{
    if (w->md.n > 2 && w->md.p[w->md.n - 2] != '\n')
        (void)as_buf_add_byte(&w->md, '\n');
    (void)as_buf_printf(&w->md, "## Run %lld: ", (long long)run->id);
    rp_put_clean(&w->md, run->model_name);
    (void)as_buf_add_z(&w->md, "\n\n");
    AS_TRY(rp_run_summary(run, RP_MARKDOWN, &w->md, err));
    if (text->n != 0)
        (void)as_buf_add_z(text, "\n\n");
    AS_TRY(rp_run_summary(run, RP_TEXT, text, err));
    for (int i = 0; i < run->n_tasks; i++)
        if (run->tasks[i].has_summary)
            AS_TRY(plot_task(w, run, &run->tasks[i], err));
    return AS_OK;
}

static as_code write_tables(writer *w, const db_run_row *runs, int n_runs, as_err *err)
{
    typedef as_code (*table_fn)(const db_run_row *, int, rp_format, as_buf *, as_err *);
    static const struct {
        const char *name;
        table_fn print;
    } tables[] = {{"scores.csv", rp_scores_table},
                  {"groups.csv", rp_groups_table},
                  {"metrics.csv", rp_metrics_table}};
    as_buf b;
    as_buf_init(&b, 0);
    as_code c = AS_OK;
    for (size_t i = 0; c == AS_OK && i < sizeof tables / sizeof tables[0]; i++) {
        as_buf_reset(&b);
        c = tables[i].print(runs, n_runs, RP_CSV, &b, err);
        if (c == AS_OK)
            c = write_file(w, tables[i].name, &b, err);
    }
    as_buf_release(&b);
    return c;
}

static as_code write_all(writer *w, const db_run_row *runs, int n_runs, as_buf *text, as_err *err)
{
    const char *first = as_path_join(w->keep, w->folder, "report.md"); /* written last */
    AS_TRY(add_file(w, first, err));
    (void)as_buf_add_z(&w->md, "# assay report\n\n");
    if (n_runs > 1) /* each says it too, but only the first is on the first page */
        rp_unsafe_warning(runs, n_runs, RP_MARKDOWN, &w->md);
    for (int i = 0; i < n_runs; i++)
        AS_TRY(put_run(w, &runs[i], text, err));
    AS_TRY(write_file(w, "report.txt", text, err));
    AS_TRY(write_tables(w, runs, n_runs, err));
    AS_TRY(as_buf_ok(&w->md, err));
    return as_write_file(first, as_buf_str(&w->md), err);
}

as_code rp_write(db_store *db, const db_run_row *runs, int n_runs, const char *folder,
                 rp_files *files, as_arena *keep, as_err *err)
{
    enum { FIXED_FILES = 8, FILES_PER_TASK = 4 };
    *files = (rp_files){0};
    AS_TRY(as_make_dirs(folder, err));
    rp_files made = {0};
    writer w = {.db = db, .folder = folder, .files = &made, .cap = FIXED_FILES, .keep = keep};
    for (int i = 0; i < n_runs; i++)
        w.cap += FILES_PER_TASK * runs[i].n_tasks;
    made.paths = as_new(keep, const char *, w.cap);
    if (made.paths == NULL)
        return as_nomem(err);
    as_buf text;
    as_buf_init(&text, 0);
    as_buf_init(&w.md, 0);
    const as_code c = write_all(&w, runs, n_runs, &text, err);
    as_buf_release(&w.md);
    as_buf_release(&text);
    if (c == AS_OK)
        *files = made;
    return c;
}
