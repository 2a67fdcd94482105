/* Golden files: run with AS_UPDATE_GOLDEN=1 to write them anew, then read the difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "reports/plot.h"
#include "reports/report.h"
#include "reports/service.h"
#include "unit/store_cases.h"

static void is_golden(const char *name, const as_buf *got)
{
    char path[512];
    (void)snprintf(path, sizeof path, AS_GOLDEN "/%s", name);
    as_err err = {0};
    if (getenv("AS_UPDATE_GOLDEN") != NULL) {
        if (as_write_file(path, as_buf_str(got), &err) != AS_OK)
            fail_msg("%s", err.text);
        return;
    }
    as_buf want;
    as_buf_init(&want, 0);
    if (as_read_file(&want, path, &err) != AS_OK)
        fail_msg("%s", err.text);
    if (!as_str_eq(as_buf_str(&want), as_buf_str(got))) {
        print_error("%s: want\n%s\ngot\n%s\n", name, want.p, got->p);
        fail();
    }
    as_buf_release(&want);
}

/* ---- tables -----------------------------------------------------------------------------------
 */

static void tables_line_up(void **state)
{
    (void)state;
    static const rp_column columns[] = {{"Name", RP_LEFT}, {"n", RP_RIGHT}, {"Note", RP_LEFT}};
    as_arena arena;
    as_arena_init(&arena, 0);
    as_err err = {0};
    rp_table t;
    rp_table_init(&t, columns, 3, &arena);
    const as_str rows[][3] = {
        {AS_STR("biology"), AS_STR("717"), AS_STR("")},
        {AS_STR("物理"), AS_STR("1"), AS_STR("wide, twice as wide")},
        {AS_STR("a|b"), AS_STR("12032"), AS_STR("pipe and \"quotes\"")},
        {AS_STR("two\nlines\x1b[31m"), AS_STR("-1"), AS_STR("bad \xff byte")},
    };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(rp_table_row(&t, rows[i], &err), AS_OK);
    as_buf out;
    as_buf_init(&out, 0);
    rp_table_print(&t, RP_TEXT, &out);
    (void)as_buf_add_byte(&out, '\n');
    rp_table_print(&t, RP_MARKDOWN, &out);
    (void)as_buf_add_byte(&out, '\n');
    rp_table_print(&t, RP_CSV, &out);
    is_golden("reports_table.txt", &out);
    as_buf_release(&out);
    as_arena_release(&arena);
}

/* ---- one made-up run --------------------------------------------------------------------------
 */

static const as_metric math_metrics[] = {{AS_STR_INIT("level1"), 0.5}};

static const as_group groups[] = {
    {AS_STR_INIT("biology"), 120, 0.9, NULL, 0},
    {AS_STR_INIT("business"), 80, 0.7625, NULL, 0},
    {AS_STR_INIT("chemistry"), 110, 0.71, NULL, 0},
    {AS_STR_INIT("computer science"), 41, 0.8, NULL, 0},
    {AS_STR_INIT("economics"), 84, 0.82, NULL, 0},
    {AS_STR_INIT("engineering"), 97, 0.44, NULL, 0},
    {AS_STR_INIT("health"), 82, 0.75, NULL, 0},
    {AS_STR_INIT("history and_the 'law' of `very` long subject names, cut somewhere"), 38, 0.6,
     NULL, 0},
    {AS_STR_INIT("law"), 110, 0.52, NULL, 0},
    {AS_STR_INIT("math"), 135, 0.88, math_metrics, 1},
    {AS_STR_INIT("物理学"), 130, 0.77, NULL, 0},
    {AS_STR_INIT("psychology"), 1, 1.0, NULL, 0},
    {AS_STR_INIT("philosophy"), 50, 0.0, NULL, 0},
    {AS_STR_INIT("other"), 92, 0.7, NULL, 0},
};

static const as_metric metrics[] = {
    {AS_STR_INIT("level1"), 0.7125},
    {AS_STR_INIT("macro"), 0.69},
    {AS_STR_INIT("undefined"), (double)NAN},
};

static const db_task_row tasks[] = {
    {.id = 4,
     .suite = AS_STR_INIT("mmlu_pro"),
     .protocol = AS_STR_INIT("official"),
     .scorer = AS_STR_INIT("mmlu_pro"),
     .scorer_version = 1,
     .dataset = AS_STR_INIT("mmlu_pro"),
     .dataset_revision = AS_STR_INIT("3373e0b"),
     .dataset_sha256 = AS_STR_INIT("aaaabbbbccccddddeeee"),
     .n_planned = 1170,
     .n_done = 1170,
     .repeats = 1,
     .has_summary = true,
     .protocol_json = AS_STR_INIT("{\"n_shot\":5,\"temperature\":0,\"top_p\":null,"
                                  "\"max_tokens\":2048}"),
     .summary = {.n = 1170,
                 .n_items = 1170,
                 .score = 0.7128205128205128,
                 .se = 0.0132,
                 .lo = 0.6862,
                 .hi = 0.738,
                 .anatomy = {834, 250, 40, 3, 30, 0, 12, 1},
                 .groups = groups,
                 .n_groups = 14,
                 .metrics = metrics,
                 .n_metrics = 3}},
    {.id = 5,
     .suite = AS_STR_INIT("aime"),
     .protocol = AS_STR_INIT("gemma4"),
     .scorer = AS_STR_INIT("integer"),
     .scorer_version = 2,
     .dataset = AS_STR_INIT("aime_2024"),
     .n_planned = 120,
     .n_done = 17,
     .repeats = 4,
     .protocol_json = AS_STR_INIT("{\"n_shot\":0}")},
};

static const db_run_row run = {
    .id = 3,
    .uuid = AS_STR_INIT("1f0c9c52-6a31-8b2e-9d7d-5b7a1d7a7c10"),
    .status = AS_STR_INIT("incomplete"),
    .created = AS_STR_INIT("2026-11-24T13:45:17.123Z"),
    .finished = AS_STR_INIT("2026-11-24T13:55:17.123Z"),
    .model_spec = AS_STR_INIT("engine:gemma-4-26b-a4b-it-q4_0.gguf"),
    .model_name = AS_STR_INIT("Gemma 4 26B-A4B it"),
    .scheme = AS_STR_INIT("engine"),
    .architecture = AS_STR_INIT("gemma4"),
    .quantization = AS_STR_INIT("Q4_0"),
    .model_sha256 = AS_STR_INIT("0123456789abcdef0123456789abcdef"),
    .n_params = 26000000000,
    .n_params_active = 4000000000,
    .config_json = AS_STR_INIT("{\"seed\":0,\"think\":\"off\"}"),
    .config_sha256 = AS_STR_INIT("fedcba9876543210"),
    .host_json = AS_STR_INIT("{\"cpu\":\"AMD EPYC\",\"cores\":2,\"os\":\"Linux\"}"),
    .build_json = AS_STR_INIT("{\"version\":\"0.1.0\",\"git\":\"abc\",\"compiler\":\"gcc 12\"}"),
    .argv = AS_STR_INIT("assay run -m engine:gemma.gguf -t mmlu_pro,aime:gemma4"),
    .peak_rss_bytes = 15000000000,
    .wall_ns = 600000000000,
    .client_cpu_ns = 9000000000,
    .prompt_tokens = 2000000,
    .completion_tokens = -1,
    .tasks = tasks,
    .n_tasks = 2,
};

/* A run without a sandbox says so before anything else; others say nothing of it there. */
static void no_sandbox_stands_first(void **state)
{
    (void)state;
    db_task_row two[] = {tasks[0], tasks[1]};
    db_run_row unsafe = run;
    unsafe.tasks = two;
    as_err err = {0};
    as_buf out;
    as_buf_init(&out, 0);
    two[1].sandbox = AS_STR("namespaces+cgroup2");
    assert_int_equal(rp_run_summary(&unsafe, RP_TEXT, &out, &err), AS_OK);
    assert_true(as_str_starts(as_buf_str(&out), AS_STR("run  ")));
    assert_int_not_equal(as_str_find(as_buf_str(&out), AS_STR("namespaces+cgroup2")), SIZE_MAX);
    two[1].sandbox = AS_STR("namespaces, none"); /* continued without */
    as_buf_reset(&out);
    assert_int_equal(rp_run_summary(&unsafe, RP_TEXT, &out, &err), AS_OK);
    assert_true(as_str_starts(as_buf_str(&out), AS_STR("sandbox=none: ")));
    as_buf_reset(&out);
    assert_int_equal(rp_run_summary(&unsafe, RP_MARKDOWN, &out, &err), AS_OK);
    assert_true(as_str_starts(as_buf_str(&out), AS_STR("> **sandbox=none: ")));
    as_buf_reset(&out);
    assert_int_equal(rp_run_json(&unsafe, AS_STR("x"), &out, &err), AS_OK);
    assert_int_not_equal(as_str_find(as_buf_str(&out), AS_STR("\"sandbox\":\"namespaces, none\"")),
                         SIZE_MAX);
    as_buf_release(&out);
}

/* A server's latencies, what is unknown among them, and events: warnings come first. */
static void a_servers_run(void **state)
{
    (void)state;
    static const db_event events[] = {
        {1795527917123000000, AS_STR_INIT("info"), AS_STR_INIT("resume"),
         AS_STR_INIT("continued with 5 of 24 answers stored"), 1},
        {1795527918123000000, AS_STR_INIT("warn"), AS_STR_INIT("think"),
         AS_STR_INIT("a | in a sentence\nof two lines"), 3},
    };
    const double no = (double)NAN;
    db_run_row served = {
        .id = 4,
        .status = AS_STR("complete"),
        .model_name = AS_STR("m"),
        .wall_ns = -1,
        .concurrency = 6,
        .events = events,
        .n_events = 2,
        .has_latency = true,
        .latency = {.n_calls = 23,
                    .n_errors = 1,
                    .n_retries = 2,
                    .n_gaps = 100,
                    .ttft = {0.25, 0.5, 1},
                    .answer = {no, no, no},
                    .tpot = {0.0125, 0.02, 0.03},
                    .itl = {0.012, 0.019, 0.04},
                    .total = {1.5, 2.5, 3},
                    .requests_per_s = 3.14159,
                    .client_tokens_per_s = 240,
                    .request_tokens_per_s = 80,
                    .server_tokens_per_s = no,
                    .server_prompt_tokens_per_s = no,
                    .client_cpu_share = 0.0123,
                    .queue_share = 0,
                    .busy_share = 0.05},
    };
    as_err err = {0};
    as_buf out;
    as_buf_init(&out, 0);
    assert_int_equal(rp_latency_table(&served, RP_TEXT, &out, &err), AS_OK);
    assert_int_equal(rp_events_table(&served, RP_TEXT, &out, &err), AS_OK);
    assert_int_equal(rp_latency_table(&served, RP_MARKDOWN, &out, &err), AS_OK);
    assert_int_equal(rp_events_table(&served, RP_MARKDOWN, &out, &err), AS_OK);
    (void)as_buf_add_byte(&out, '\n');
    assert_int_equal(rp_run_json(&served, AS_STR("runs.db"), &out, &err), AS_OK);
    is_golden("reports_server.txt", &out);
    as_buf_reset(&out);
    served.has_latency = false;
    served.n_events = 0;
    assert_int_equal(rp_latency_table(&served, RP_TEXT, &out, &err), AS_OK);
    assert_int_equal(rp_events_table(&served, RP_TEXT, &out, &err), AS_OK);
    assert_int_equal(out.n, 0);
    as_buf_release(&out);
}

static void run_in_all_forms(void **state)
{
    (void)state;
    as_err err = {0};
    as_buf out;
    as_buf_init(&out, 0);
    assert_int_equal(rp_run_summary(&run, RP_TEXT, &out, &err), AS_OK);
    is_golden("reports_run.txt", &out);
    as_buf_reset(&out);
    assert_int_equal(rp_run_summary(&run, RP_MARKDOWN, &out, &err), AS_OK);
    is_golden("reports_run.md", &out);
    as_buf_reset(&out);
    assert_int_equal(rp_scores_table(&run, 1, RP_CSV, &out, &err), AS_OK);
    assert_int_equal(rp_groups_table(&run, 1, RP_CSV, &out, &err), AS_OK);
    assert_int_equal(rp_metrics_table(&run, 1, RP_CSV, &out, &err), AS_OK);
    is_golden("reports_run.csv", &out);
    as_buf_reset(&out);
    assert_int_equal(rp_run_json(&run, AS_STR("runs.db"), &out, &err), AS_OK);
    is_golden("reports_run.json", &out);
    as_json *tree = NULL;
    assert_int_equal(as_json_parse(&tree, as_buf_str(&out), &err), AS_OK);
    as_json_free(tree);
    as_buf_reset(&out);
    const db_run_row two[] = {run, {.id = 2, .status = AS_STR("running"), .wall_ns = -1}};
    assert_int_equal(rp_runs_table(two, 2, RP_TEXT, &out, &err), AS_OK);
    is_golden("reports_ls.txt", &out);
    as_buf_reset(&out);
    assert_int_equal(rp_runs_json(two, 2, AS_STR("runs.db"), &out, &err), AS_OK);
    assert_int_equal(as_json_parse(&tree, as_buf_str(&out), &err), AS_OK);
    assert_int_equal(as_json_count(tree), 2);
    as_json_free(tree);
    as_buf_release(&out);
}

/* ---- plots ------------------------------------------------------------------------------------
 */

static bool has_gnuplot(void)
{
    const char *const argv[] = {"gnuplot", "--version", NULL};
    as_proc_result result = {0};
    return as_proc_run(argv, NULL, 10000, NULL, NULL, &result, NULL) == AS_OK &&
           result.exit_code == 0;
}

static void scripts_quote_names(void **state)
{
    (void)state;
    as_err err = {0};
    as_buf out;
    as_buf_init(&out, 0);
    const rp_plot_spec spec = {.run = &run,
                               .task = &tasks[0],
                               .chance = 0.1,
                               .folder = ".",
                               .name = "run3-mmlu_pro-official"};
    assert_int_equal(rp_plot_script(&spec, &out, &err), AS_OK);
    is_golden("reports_plot.gp", &out);
    assert_non_null(strstr(out.p, "'history and_the ''law'' of `very` long "));
    as_buf_release(&out);
}

static void remove_tree(const char *dir)
{
    const char *const argv[] = {"rm", "-r", dir, NULL};
    as_proc_result result = {0};
    (void)as_proc_run(argv, NULL, 10000, NULL, NULL, &result, NULL);
}

static void writes_a_folder(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    as_arena keep;
    as_arena_init(&keep, 0);
    rp_files files;
    const char *kept = getenv("AS_KEEP_REPORT"); /* to look at the pictures */
    const char *folder = kept != NULL ? kept : as_path_join(&keep, d.dir, "deep/report");
    if (rp_write(NULL, &run, 1, folder, &files, &keep, &err) != AS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(files.n, has_gnuplot() ? 9 : 7);
    for (int i = 0; i < files.n; i++) {
        as_buf b;
        as_buf_init(&b, 0);
        if (as_read_file(&b, files.paths[i], &err) != AS_OK)
            fail_msg("%s", err.text);
        assert_true(b.n > 50);
        as_buf_release(&b);
    }
    assert_string_equal(as_path_base(files.paths[0]), "report.md");
    assert_int_equal(rp_write(NULL, &run, 1, "/proc/none", &files, &keep, &err), AS_IO);
    remove_tree(d.dir);
    as_arena_release(&keep);
}

static void pictures_are_drawn(void **state)
{
    (void)state;
    if (!has_gnuplot()) {
        print_message("skipped: gnuplot is not installed\n");
        skip();
    }
    as_err err = {0};
    case_dir d;
    case_dir_make(&d);
    as_arena keep;
    as_arena_init(&keep, 0);
    rp_plot_spec spec = {
        .run = &run, .task = &tasks[0], .chance = 0.1, .folder = d.dir, .name = "plot"};
    if (getenv("AS_KEEP_REPORT") != NULL)
        spec.folder = getenv("AS_KEEP_REPORT");
    bool has_picture = false;
    as_str note;
    assert_int_equal(rp_plot(&spec, &has_picture, &note, &keep, &err), AS_OK);
    if (!has_picture)
        fail_msg("%.*s", AS_ARG(note));
    as_buf b;
    as_buf_init(&b, 0);
    assert_int_equal(as_read_file(&b, as_path_join(&keep, spec.folder, "plot.png"), &err), AS_OK);
    assert_memory_equal(b.p, "\x89PNG", 4);
    as_buf_reset(&b);
    assert_int_equal(as_read_file(&b, as_path_join(&keep, spec.folder, "plot.svg"), &err), AS_OK);
    assert_non_null(strstr(b.p, "computer science (n = 41)"));
    assert_non_null(strstr(b.p, "and_the"));
    as_buf_release(&b);
    /* without gnuplot: a sentence */
    const char *was = getenv("PATH");
    char *path = strdup(was != NULL ? was : "");
    (void)setenv("PATH", "/nowhere", 1);
    assert_int_equal(rp_plot(&spec, &has_picture, &note, &keep, &err), AS_OK);
    (void)setenv("PATH", path, 1);
    free(path);
    assert_false(has_picture);
    assert_true(as_str_find(note, AS_STR("gnuplot")) != SIZE_MAX);
    remove_tree(d.dir);
    as_arena_release(&keep);
}

static void names_are_safe(void **state)
{
    (void)state;
    as_arena keep;
    as_arena_init(&keep, 0);
    const db_task_row odd = {.suite = AS_STR("../a b"), .protocol = AS_STR("ü/x")};
    assert_string_equal(rp_plot_name(&run, &odd, &keep), "run3-.._a_b-___x");
    as_arena_release(&keep);
}

/* ---- samples ----------------------------------------------------------------------------------
 */

static as_code add_line(void *user, as_str line, as_err *err)
{
    (void)as_buf_add(user, line);
    (void)as_buf_add_byte(user, '\n');
    return as_buf_ok(user, err);
}

static void shows_samples(void **state)
{
    (void)state;
    as_err err = {0};
    case_dir d;
    case_task c;
    db_store *db = case_open(&d, &c, 12, 2);
    db_run begun;
    int64_t task = 0;
    assert_int_equal(db_run_begin(db, &c.run, false, &begun, &err), AS_OK);
    assert_int_equal(db_task_begin(db, begun.id, &c.task, &task, &err), AS_OK);
    for (size_t i = 0; i < 12; i++) {
        db_record r = case_record(&c, task, i, 0);
        if (i == 4) {
            r.response.finish = AS_FINISH_ERROR;
            r.response.error = AS_ERROR_TIMEOUT;
            r.response.message = AS_STR("no answer in 60 s");
            r.response.text = (as_str){0};
            r.score = (as_score){.verdict = AS_ERROR, .target = AS_STR("A")};
        }
        assert_int_equal(db_put(db, &r, &err), AS_OK);
    }
    as_arena keep;
    as_arena_init(&keep, 0);
    db_run_row row;
    assert_int_equal(db_run_find(db, AS_STR("1"), &row, &keep, &err), AS_OK);
    as_buf out;
    as_buf_init(&out, 0);
    assert_int_equal(rp_samples_jsonl(db, &row, false, add_line, &out, &err), AS_OK);
    is_golden("reports_samples.jsonl", &out);
    as_buf_reset(&out);
    assert_int_equal(rp_samples_jsonl(db, &row, true, add_line, &out, &err), AS_OK);
    assert_non_null(strstr(out.p, "\"prompt\":\"Answer the question with one letter.\\n\\nWhat"));
    assert_non_null(strstr(out.p, "\"answer\":\"11/0: "));
    as_buf_reset(&out);
    assert_int_equal(rp_sample_text(db, &row, AS_STR("q10"), &out, &err), AS_OK);
    assert_int_equal(rp_sample_text(db, &row, AS_STR("q4"), &out, &err), AS_OK);
    is_golden("reports_sample.txt", &out);
    assert_int_equal(rp_sample_text(db, &row, AS_STR("q99"), &out, &err), AS_RANGE);
    as_buf_release(&out);
    as_arena_release(&keep);
    case_close(&d, &c, db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_line_up),          cmocka_unit_test(run_in_all_forms),
        cmocka_unit_test(no_sandbox_stands_first), cmocka_unit_test(a_servers_run),
        cmocka_unit_test(scripts_quote_names),     cmocka_unit_test(writes_a_folder),
        cmocka_unit_test(pictures_are_drawn),      cmocka_unit_test(names_are_safe),
        cmocka_unit_test(shows_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
