/*
 * bench_store — how long the store takes for a recorded MMLU-Pro: 12,032 answers of about 500
 * bytes, with their questions and scores.
 *
 *     bench_store FILE.db [ITEMS]      prints CSV: what,rows,seconds
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/time.h"
#include "store/query.h"

enum { ITEMS = 12032, POOL = 4096, ANSWER = 500, QUESTION = 250, CHOICE = 40, CHOICES = 10 };

static char pool[POOL * 8];

static void fill_pool(void)
{
    static const char *const words[] = {"the",    "cell",  "therefore", "is",  "answer", "of",
                                        "energy", "court", "a",         "and", "market", "10",
                                        "x",      "we",    "rate",      "by"};
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("pool"));
    for (size_t at = 0; at + 16 < sizeof pool;)
        at += (size_t)snprintf(pool + at, 16, "%s%u ", words[as_rng_below(&rng, 16)],
                               (unsigned)as_rng_below(&rng, 10));
}

static as_str piece(as_rng *rng, size_t n)
{
    return (as_str){pool + as_rng_below(rng, sizeof pool - n - 32), n};
}

static as_sample *make_samples(as_arena *arena, size_t n, as_rng *rng)
{
    as_sample *s = as_new(arena, as_sample, n);
    for (size_t i = 0; i < n; i++) {
        as_str *choices = as_new(arena, as_str, CHOICES);
        for (int k = 0; k < CHOICES; k++)
            choices[k] = piece(rng, CHOICE);
        s[i] = (as_sample){.id = as_arena_printf(arena, "%zu", i),
                           .group = AS_STR("economics"),
                           .question = piece(rng, QUESTION),
                           .choices = choices,
                           .n_choices = CHOICES,
                           .target = AS_STR("C"),
                           .origin = AS_STR("ori_mmlu-economics")};
    }
    return s;
}

static as_code put_all(db_store *db, int64_t task, size_t n, as_rng *rng, as_err *err)
{
    for (size_t i = 0; i < n; i++) {
        db_record r = {.task_id = task,
                       .position = i,
                       .scorer = AS_STR("mmlu_pro"),
                       .scorer_version = 1,
                       .n_choices = CHOICES};
        as_response_init(&r.response);
        r.response.text = piece(rng, ANSWER);
        r.score = (as_score){.verdict = AS_RIGHT,
                             .value = 1,
                             .prediction = AS_STR("C"),
                             .target = AS_STR("C"),
                             .rule = 1};
        AS_TRY(db_put(db, &r, err));
    }
    return db_flush(db, err);
}

static double since(int64_t *from)
{
    const int64_t now = as_now_ns();
    const double s = (double)(now - *from) / 1e9;
    *from = now;
    return s;
}

static as_code no_rescore(void *user, size_t position, int repeat, const as_sample *sample,
                          const as_response *response, as_err *err)
{
    (void)position, (void)repeat, (void)err;
    *(size_t *)user += sample->question.n + response->text.n;
    return AS_OK;
}

static as_code bench(const char *path, size_t n, as_arena *arena, as_err *err)
{
    as_rng rng;
    as_rng_init(&rng, 7, AS_STR("bench"));
    const as_sample *samples = make_samples(arena, n, &rng);
    const db_run_spec spec = {.config_json = AS_STR("{}"),
                              .model = {.name = AS_STR("recorded"), .scheme = AS_STR("replay")}};
    const db_task_spec task_spec = {.suite = AS_STR("mmlu_pro"),
                                    .protocol = AS_STR("official"),
                                    .scorer = AS_STR("mmlu_pro"),
                                    .scorer_version = 1,
                                    .dataset = AS_STR("mmlu_pro"),
                                    .samples = samples,
                                    .n_samples = n,
                                    .repeats = 1};
    db_store *db = NULL;
    db_run run;
    int64_t task = 0;
    int64_t t = as_now_ns();
    const int64_t start = t;
    const int64_t cpu = as_process_cpu_ns();
    AS_TRY(db_open(&db, path, DB_CREATE, NULL, err));
    printf("what,rows,seconds\nopen,1,%.4f\n", since(&t));
    AS_TRY(db_run_begin(db, &spec, true, &run, err));
    AS_TRY(db_task_begin(db, run.id, &task_spec, &task, err));
    printf("begin,%zu,%.4f\n", n, since(&t));
    AS_TRY(put_all(db, task, n, &rng, err));
    printf("put and flush,%zu,%.4f\n", n, since(&t));
    printf("all writing,%zu,%.4f\n", n, (double)(t - start) / 1e9);
    printf("all writing (CPU),%zu,%.4f\n", n, (double)(as_process_cpu_ns() - cpu) / 1e9);
    as_result *rows = NULL;
    size_t n_rows = 0;
    AS_TRY(db_results(db, task, 0, &rows, &n_rows, arena, err));
    printf("results,%zu,%.4f\n", n_rows, since(&t));
    size_t bytes = 0;
    AS_TRY(db_each_attempt(db, task, no_rescore, &bytes, err));
    printf("each attempt,%zu,%.4f\n", n, since(&t));
    as_buf report;
    as_buf_init(&report, 0);
    AS_TRY(db_check(db, &report, err));
    as_buf_release(&report);
    printf("check,%zu,%.4f\n", n, since(&t));
    db_close(db);
    printf("close,1,%.4f\n", since(&t));
    return AS_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    int64_t n = ITEMS;
    if (argc > 2 && !as_parse_i64(as_str_of(argv[2]), 1, 10000000, &n))
        return 2;
    fill_pool();
    as_arena arena;
    as_arena_init(&arena, 0);
    as_err err = {0};
    const as_code c = bench(argv[1], (size_t)n, &arena, &err);
    if (c != AS_OK)
        fprintf(stderr, "%s\n", err.text);
    as_arena_release(&arena);
    return c == AS_OK ? 0 : 1;
}
