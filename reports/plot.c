#include "reports/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/utf8.h"

/* Geometry in pixels; gnuplot counts fractions of the page from below. */
enum {
    PAGE_W = 1000,
    TITLE_H = 78,
    OVERALL_H = 40,
    GAP_H = 12,
    ROW_H = 24,
    AXIS_H = 60,
    ANATOMY_H = 30,
    LEGEND_H = 66,
    VALUE_W = 190,  /* numbers right of the bars */
    CHAR_W = 7,     /* of a label, a little more than the font's average */
    LABEL_MAX = 44, /* columns; longer names are cut */
    TITLE_MAX = 80, /* columns */
    SUBTITLE_MAX = 130,
    MAX_ROWS = 60, /* groups drawn; all are in the data file */
    DEADLINE_MS = 30000,
};

/* Okabe and Ito (2008): told apart with any colour vision. */
static const char *const verdict_colors[AS_N_VERDICTS] = {
    [AS_RIGHT] = "#009E73", [AS_WRONG] = "#D55E00",    [AS_TRUNCATED] = "#E69F00",
    [AS_EMPTY] = "#BBBBBB", [AS_UNPARSED] = "#CC79A7", [AS_REFUSED] = "#56B4E9",
    [AS_ERROR] = "#333333", [AS_UNGRADED] = "#F0E442",
};

/* ---- what is drawn ----------------------------------------------------------------------------
 */

typedef struct layout {
    const rp_plot_spec *spec;
    const as_summary *s;
    const as_group **groups; /* by score, best first; malloc'ed */
    int n_rows;              /* of groups, drawn */
    int label_w, height;
} layout;

static int by_score(const void *a, const void *b)
{
    const as_group *x = *(const as_group *const *)a;
    const as_group *y = *(const as_group *const *)b;
    if (isnan(x->score) != isnan(y->score))
        return isnan(x->score) ? 1 : -1;
    if (!isnan(x->score) && x->score != y->score)
        return (x->score < y->score) - (x->score > y->score);
    return as_str_cmp(x->name, y->name);
}

static int label_columns(as_str name)
{
    const size_t width = as_utf8_width(name);
    return width > LABEL_MAX ? LABEL_MAX : (int)width;
}

static as_code layout_init(layout *l, const rp_plot_spec *spec, as_err *err)
{
    enum { COUNT_COLUMNS = 12, ALL_COLUMNS = 22 }; /* " (n = 12032)", "all items (n = 12032)" */
    *l = (layout){.spec = spec, .s = &spec->task->summary};
    const int n = l->s->n_groups;
    l->groups = calloc((size_t)n + 1, sizeof(as_group *));
    if (l->groups == NULL)
        return as_nomem(err);
    int columns = ALL_COLUMNS;
    for (int i = 0; i < n; i++) {
        l->groups[i] = &l->s->groups[i];
        const int c = label_columns(l->groups[i]->name) + COUNT_COLUMNS;
        columns = c > columns ? c : columns;
    }
    qsort(l->groups, (size_t)n, sizeof(as_group *), by_score);
    l->n_rows = n > MAX_ROWS ? MAX_ROWS : n;
    l->label_w = 24 + columns * CHAR_W;
    const int groups_h = l->n_rows > 0 ? GAP_H + l->n_rows * ROW_H : 0;
    l->height = TITLE_H + OVERALL_H + groups_h + AXIS_H + ANATOMY_H + LEGEND_H;
    return AS_OK;
}

static void layout_release(layout *l)
{
    free(l->groups);
}

/* ---- pieces of gnuplot ------------------------------------------------------------------------
 */

/* 'text' for gnuplot: in single quotes nothing is special but the quote itself. */
static void put_quoted(as_buf *out, as_str text)
{
    (void)as_buf_add_byte(out, '\'');
    as_buf clean;
    as_buf_init(&clean, 0);
    rp_put_clean(&clean, text);
    for (size_t i = 0; i < clean.n; i++) {
        if (clean.p[i] == '\'')
            (void)as_buf_add_byte(out, '\'');
        (void)as_buf_add_byte(out, clean.p[i]);
    }
    as_buf_release(&clean);
    (void)as_buf_add_byte(out, '\'');
}

/* The longest start of s with at most max columns; with "…" in place of the rest. */
static void put_cut(as_buf *out, as_str s, size_t max)
{
    if (as_utf8_width(s) <= max) {
        (void)as_buf_add(out, s);
        return;
    }
    size_t n = 0;
    for (;;) {
        const size_t step = as_utf8_len(as_str_sub(s, n, s.n));
        const size_t next = n + (step != 0 ? step : 1);
        if (next > s.n || as_utf8_width(as_str_sub(s, 0, next)) > max - 1)
            break;
        n = next;
    }
    (void)as_buf_add(out, as_str_sub(s, 0, n));
    (void)as_buf_add_z(out, "…");
}

static void put_label_text(as_buf *out, as_str name, int64_t n)
{
    as_buf b;
    as_buf_init(&b, 0);
    put_cut(&b, name, LABEL_MAX);
    (void)as_buf_printf(&b, " (n = %lld)", (long long)n);
    put_quoted(out, as_buf_str(&b));
    as_buf_release(&b);
}

static double from_below(const layout *l, int y)
{
    return 1.0 - (double)y / (double)l->height;
}

/* The plot area: from y0 to y1 pixels below the top. */
static void put_area(as_buf *out, const layout *l, int y0, int y1)
{
    (void)as_buf_printf(out,
                        "set lmargin at screen %.5f\nset rmargin at screen %.5f\n"
                        "set tmargin at screen %.5f\nset bmargin at screen %.5f\n",
                        (double)l->label_w / PAGE_W, 1.0 - (double)VALUE_W / PAGE_W,
                        from_below(l, y0), from_below(l, y1));
}

/* "85.2  [84.5, 85.8]" right of a row. */
static void put_value(as_buf *out, double row, double score, double lo, double hi)
{
    if (isnan(score))
        (void)as_buf_printf(out, "set label 'not defined' at graph 1.015, first %g left\n", row);
    else
        (void)as_buf_printf(out, "set label '%.1f  [%.1f, %.1f]' at graph 1.015, first %g left\n",
                            100 * score, 100 * lo, 100 * hi, row);
}

static void put_chance(as_buf *out, const layout *l)
{
    if (!isnan(l->spec->chance))
        (void)as_buf_printf(out,
                            "set arrow from first %.6g, graph 0 to first %.6g, graph 1 nohead "
                            "dashtype 2 linecolor rgb '#666666' front\n",
                            100 * l->spec->chance, 100 * l->spec->chance);
}

static void put_plot(as_buf *out, const rp_plot_spec *spec, int index, const char *color)
{
    (void)as_buf_add_z(out, "plot ");
    as_buf file;
    as_buf_init(&file, 0);
    (void)as_buf_printf(&file, "%s.dat", spec->name);
    put_quoted(out, as_buf_str(&file));
    (void)as_buf_printf(out,
                        " index %d using ($2/2):1:(0):2:($1-0.34):($1+0.34) with boxxyerror"
                        " linecolor rgb '%s' fillstyle solid 1.0 noborder notitle, \\\n     ",
                        index, color);
    put_quoted(out, as_buf_str(&file));
    (void)as_buf_printf(out,
                        " index %d using 2:1:3:4 with xerrorbars linecolor rgb '#222222'"
                        " linewidth 1.4 pointtype 7 pointsize 0.5 notitle\n",
                        index);
    as_buf_release(&file);
}

/* ---- the panels -------------------------------------------------------------------------------
 */

static as_str short_hash(as_str hex)
{
    return hex.n != 0 ? as_str_sub(hex, 0, 8) : AS_STR("unknown");
}

static void put_subtitle(as_buf *line, const layout *l)
{
    const db_run_row *run = l->spec->run;
    const db_task_row *task = l->spec->task;
    const as_str model = short_hash(run->model_sha256);
    const as_str data = short_hash(task->dataset_sha256);
    if (isnan(l->s->score))
        (void)as_buf_add_z(line, "score not defined; ");
    else
        (void)as_buf_printf(line, "score %.1f %%, 95 %% interval %.1f to %.1f; ", 100 * l->s->score,
                            100 * l->s->lo, 100 * l->s->hi);
    (void)as_buf_printf(line, "%lld items × %d; run %lld, model %.*s, data %.*s, scorer %.*s %d",
                        (long long)l->s->n_items, task->repeats, (long long)run->id, AS_ARG(model),
                        AS_ARG(data), AS_ARG(task->scorer), task->scorer_version);
}

static void put_titles(as_buf *out, const layout *l)
{
    const db_run_row *run = l->spec->run;
    const db_task_row *task = l->spec->task;
    as_buf b;
    as_buf line;
    as_buf_init(&b, 0);
    as_buf_init(&line, 0);
    (void)as_buf_printf(&line, "%.*s:%.*s — %.*s", AS_ARG(task->suite), AS_ARG(task->protocol),
                        AS_ARG(run->model_name));
    if (run->quantization.n != 0)
        (void)as_buf_printf(&line, ", %.*s", AS_ARG(run->quantization));
    put_cut(&b, as_buf_str(&line), TITLE_MAX);
    (void)as_buf_add_z(out, "set label ");
    put_quoted(out, as_buf_str(&b));
    (void)as_buf_printf(out, " at screen 0.016, %.5f left font ',14'\n", from_below(l, 20));
    as_buf_reset(&b);
    as_buf_reset(&line);
    put_subtitle(&line, l);
    put_cut(&b, as_buf_str(&line), SUBTITLE_MAX);
    (void)as_buf_add_z(out, "set label ");
    put_quoted(out, as_buf_str(&b));
    (void)as_buf_printf(out, " at screen 0.016, %.5f left textcolor rgb '#444444'\n",
                        from_below(l, 42));
    as_buf_release(&line);
    as_buf_release(&b);
}

static void put_overall(as_buf *out, const layout *l)
{
    put_titles(out, l);
    put_area(out, l, TITLE_H, TITLE_H + OVERALL_H);
    put_chance(out, l);
    if (!isnan(l->spec->chance))
        (void)as_buf_printf(out,
                            "set label 'guessing: %.1f' at first %.6g, graph 1.24 left textcolor "
                            "rgb '#666666' font ',9'\n",
                            100 * l->spec->chance, 100 * l->spec->chance);
    (void)as_buf_add_z(out, "set yrange [0.4:1.6]\nset ytics (");
    put_label_text(out, AS_STR("all items"), l->s->n);
    (void)as_buf_add_z(out, " 1)\n");
    put_value(out, 1, l->s->score, l->s->lo, l->s->hi);
    if (l->n_rows > 0)
        (void)as_buf_add_z(out, "set format x ''\n");
    else
        (void)as_buf_add_z(out, "set xlabel 'score, % (bar), and its 95 % interval (line)'\n");
    put_plot(out, l->spec, 0, "#7A9CC6");
}

static void put_groups(as_buf *out, const layout *l)
{
    const int top = TITLE_H + OVERALL_H + GAP_H;
    put_area(out, l, top, top + l->n_rows * ROW_H);
    put_chance(out, l);
    (void)as_buf_printf(out, "set yrange [%d.4:%d.6]\nset ytics (", l->s->n_groups - l->n_rows,
                        l->s->n_groups);
    for (int i = 0; i < l->n_rows; i++) {
        if (i > 0)
            (void)as_buf_add_z(out, ", \\\n  ");
        put_label_text(out, l->groups[i]->name, l->groups[i]->n);
        (void)as_buf_printf(out, " %d", l->s->n_groups - i);
    }
    (void)as_buf_add_z(out, ")\n");
    for (int i = 0; i < l->n_rows; i++) {
        const as_interval w = rp_group_interval(l->groups[i], l->spec->task->repeats);
        put_value(out, l->s->n_groups - i, l->groups[i]->score, w.lo, w.hi);
    }
    (void)as_buf_printf(out,
                        "set format x '%%g'\nset xlabel 'score, %% (bar), and its 95 %% "
                        "interval (line)%s'\n",
                        l->s->n_groups > l->n_rows ? "; further groups are in the data file" : "");
    put_plot(out, l->spec, 1, "#B5C7DF");
}

static void put_legend(as_buf *out, const layout *l, int v, double share)
{
    enum { PER_ROW = 4, LINE_H = 20, SQUARE = 11 };
    const double step = (double)(PAGE_W - 40) / PER_ROW;
    const double x = 20 + step * (v % PER_ROW);
    const int y = l->height - LEGEND_H + 24 + LINE_H * (v / PER_ROW);
    (void)as_buf_printf(out,
                        "set object rectangle from screen %.5f, %.5f to screen %.5f, %.5f "
                        "fillcolor rgb '%s' fillstyle solid noborder\n",
                        x / PAGE_W, from_below(l, y + SQUARE), (x + SQUARE) / PAGE_W,
                        from_below(l, y), verdict_colors[v]);
    (void)as_buf_printf(out, "set label '%s %lld (%.1f %%)' at screen %.5f, %.5f left\n",
                        as_verdict_name((as_verdict)v), (long long)l->s->anatomy[v], 100 * share,
                        (x + SQUARE + 6) / PAGE_W, from_below(l, y + SQUARE / 2));
}

static void put_anatomy(as_buf *out, const layout *l)
{
    const int top = l->height - LEGEND_H - ANATOMY_H;
    put_area(out, l, top, top + ANATOMY_H - 8);
    (void)as_buf_add_z(out, "unset grid\nset yrange [0:1]\nset format x ''\nset xtics scale 0\n"
                            "set ytics (");
    put_label_text(out, AS_STR("anatomy"), l->s->n);
    (void)as_buf_add_z(out, " 0.5)\n");
    double at = 0;
    for (int v = 0; v < AS_N_VERDICTS; v++) {
        const double share = l->s->n > 0 ? (double)l->s->anatomy[v] / (double)l->s->n : 0;
        if (share > 0)
            (void)as_buf_printf(out,
                                "set object rectangle from first %.6g, 0 to first %.6g, 1 "
                                "fillcolor rgb '%s' fillstyle solid noborder\n",
                                100 * at, 100 * (at + share), verdict_colors[v]);
        at += share;
        put_legend(out, l, v, share);
    }
    (void)as_buf_add_z(out, "plot NaN notitle\n");
}

static void put_common(as_buf *out)
{
    (void)as_buf_add_z(out, "set multiplot\n"
                            "set xrange [0:100]\n"
                            "set xtics 0, 10, 100 nomirror\n"
                            "set ytics scale 0 nomirror\n"
                            "set border 3 linecolor rgb '#888888'\n"
                            "set grid xtics linetype 1 linecolor rgb '#E4E4E4' back\n"
                            "set tics textcolor rgb '#222222'\n");
}

static void put_page(as_buf *out, const layout *l, const char *terminal, const char *end)
{
    as_buf file;
    as_buf_init(&file, 0);
    (void)as_buf_printf(&file, "%s.%s", l->spec->name, end);
    (void)as_buf_printf(out, "\nreset\nset encoding utf8\nset terminal %s size %d,%d noenhanced\n",
                        terminal, PAGE_W, l->height);
    (void)as_buf_add_z(out, "set output ");
    put_quoted(out, as_buf_str(&file));
    (void)as_buf_add_byte(out, '\n');
    as_buf_release(&file);
    static const char between[] = "unset label\nunset arrow\nunset object\nunset xlabel\n";
    put_common(out);
    put_overall(out, l);
    (void)as_buf_add_z(out, between);
    if (l->n_rows > 0) {
        put_groups(out, l);
        (void)as_buf_add_z(out, between);
    }
    put_anatomy(out, l);
    (void)as_buf_add_z(out, "unset multiplot\nset output\n");
}

static void put_script(as_buf *out, const layout *l)
{
    (void)as_buf_printf(
        out,
        "# Made by assay. To draw it again in this folder: gnuplot %s.gp\n"
        "# Data: index 0 all items, 1 groups; columns row, score, low, high (%%).\n",
        l->spec->name);
    put_page(out, l, "svg font 'DejaVu Sans,Arial,sans-serif,12' background rgb 'white'", "svg");
    put_page(out, l, "pngcairo font 'DejaVu Sans,9.5' background rgb 'white'", "png");
}

as_code rp_plot_script(const rp_plot_spec *spec, as_buf *out, as_err *err)
{
    layout l;
    AS_TRY(layout_init(&l, spec, err));
    put_script(out, &l);
    layout_release(&l);
    return as_buf_ok(out, err);
}

/* ---- data, files, pictures ---------------------------------------------------------------------
 */

static void put_data_row(as_buf *out, int row, double score, double lo, double hi)
{
    const double v[] = {score, lo, hi};
    (void)as_buf_printf(out, "%d", row);
    for (int i = 0; i < 3; i++) {
        char z[32];
        as_f64_text(z, 100 * v[i]);
        (void)as_buf_printf(out, "\t%s", isnan(v[i]) ? "NaN" : z);
    }
}

static void put_data(as_buf *out, const layout *l)
{
    (void)as_buf_add_z(out, "# row\tscore %\tlow\thigh\tn\tname\n");
    put_data_row(out, 1, l->s->score, l->s->lo, l->s->hi);
    (void)as_buf_printf(out, "\t%lld\tall items\n\n\n", (long long)l->s->n);
    for (int i = 0; i < l->s->n_groups; i++) {
        const as_group *g = l->groups[i];
        const as_interval w = rp_group_interval(g, l->spec->task->repeats);
        put_data_row(out, l->s->n_groups - i, g->score, w.lo, w.hi);
        (void)as_buf_printf(out, "\t%lld\t", (long long)g->n);
        rp_put_clean(out, g->name);
        (void)as_buf_add_byte(out, '\n');
    }
}

static as_code write_one(const rp_plot_spec *spec, const char *end, const as_buf *bytes,
                         as_arena *keep, as_err *err)
{
    AS_TRY(as_buf_ok(bytes, err));
    const as_str name = as_arena_printf(keep, "%s.%s", spec->name, end);
    const char *path = as_str_is_set(name) ? as_path_join(keep, spec->folder, name.p) : NULL;
    return path != NULL ? as_write_file(path, as_buf_str(bytes), err) : as_nomem(err);
}

static as_str draw(const rp_plot_spec *spec, as_arena *keep)
{
    const as_str script = as_arena_printf(keep, "%s.gp", spec->name);
    const char *const argv[] = {"gnuplot", script.p, NULL};
    as_buf errors;
    as_buf_init(&errors, 4096);
    as_err err = {0};
    as_proc_result result = {0};
    as_str note = {0};
    if (!as_str_is_set(script))
        note = AS_STR("out of memory");
    else if (as_proc_run(argv, spec->folder, DEADLINE_MS, NULL, &errors, &result, &err) != AS_OK)
        note = as_arena_printf(
            keep, "no picture: %s (install gnuplot, then \"gnuplot %s\" in the folder)", err.text,
            script.p);
    else if (result.exit_code != 0)
        note = as_arena_printf(keep, "no picture: gnuplot ended with code %d: %.*s",
                               result.exit_code, AS_ARG(as_str_trim(as_buf_str(&errors))));
    as_buf_release(&errors);
    return note;
}

as_code rp_plot(const rp_plot_spec *spec, bool *has_picture, as_str *note, as_arena *keep,
                as_err *err)
{
    *has_picture = false;
    *note = (as_str){0};
    layout l;
    AS_TRY(layout_init(&l, spec, err));
    as_buf data;
    as_buf script;
    as_buf_init(&data, 0);
    as_buf_init(&script, 0);
    put_data(&data, &l);
    put_script(&script, &l);
    layout_release(&l);
    as_code c = write_one(spec, "dat", &data, keep, err);
    if (c == AS_OK)
        c = write_one(spec, "gp", &script, keep, err);
    as_buf_release(&data);
    as_buf_release(&script);
    if (c != AS_OK)
        return c;
    *note = draw(spec, keep);
    *has_picture = !as_str_is_set(*note);
    return AS_OK;
}

const char *rp_plot_name(const db_run_row *run, const db_task_row *task, as_arena *keep)
{
    const as_str name = as_arena_printf(keep, "run%lld-%.*s-%.*s", (long long)run->id,
                                        AS_ARG(task->suite), AS_ARG(task->protocol));
    if (!as_str_is_set(name))
        return NULL;
    char *z = as_arena_alloc(keep, name.n + 1, 1);
    for (size_t i = 0; z != NULL && i < name.n; i++) {
        const char c = name.p[i];
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || strchr("._-", c) != NULL;
        z[i] = '_';
        if (is_plain && c != '\0')
            z[i] = c;
    }
    return z;
}
