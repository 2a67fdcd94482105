#include "unit/store_cases.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"

void case_dir_make(case_dir *d)
{
    (void)snprintf(d->dir, sizeof d->dir, "/tmp/assay-store-XXXXXX");
    if (mkdtemp(d->dir) == NULL)
        abort();
    (void)snprintf(d->db, sizeof d->db, "%s/runs.db", d->dir);
}

void case_dir_clean(const case_dir *d)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", d->db, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(d->dir);
}

static void fill_samples(case_task *c, size_t n)
{
    static const char *const groups[] = {"biology", "law, \"old\"", "物理"};
    as_sample *samples = as_new(&c->arena, as_sample, n);
    as_str *choices = as_new(&c->arena, as_str, 4);
    for (int k = 0; k < 4; k++)
        choices[k] = as_arena_printf(&c->arena, "choice %d", k);
    for (size_t i = 0; i < n; i++)
        samples[i] = (as_sample){
            .id = as_arena_printf(&c->arena, "q%zu", i),
            .group = as_str_of(groups[i % 3]),
            .question = as_arena_printf(&c->arena, "What is %zu?\n", i),
            .choices = choices,
            .n_choices = 4,
            .target = as_arena_printf(&c->arena, "%c", (int)('A' + i % 4)),
        };
    c->task.samples = samples;
    c->task.n_samples = n;
}

void case_init(case_task *c, size_t n_items, int repeats)
{
    *c = (case_task){
        .run = {.config_json = AS_STR("{\"suite\":\"toy\",\"limit\":null}"),
                .model = {.spec = AS_STR("replay:toy.jsonl"),
                          .name = AS_STR("toy"),
                          .scheme = AS_STR("replay"),
                          .architecture = AS_STR("gemma4"),
                          .quantization = AS_STR("q4_0"),
                          .sha256 = AS_STR("00ff"),
                          .n_params = 1000,
                          .n_params_active = -1,
                          .file_bytes = 4096},
                .backend_json = AS_STR("{\"kind\":\"replay\"}"),
                .host_json = AS_STR("{\"cpu\":\"Z80\",\"cores\":1,\"os\":\"CP/M\"}"),
                .build_json = AS_STR("{\"version\":\"0.1.0\",\"compiler\":\"cc\"}"),
                .argv = AS_STR("assay run -m replay:toy.jsonl -t toy")},
        .task = {.suite = AS_STR("toy"),
                 .protocol = AS_STR("official"),
                 .protocol_json = AS_STR("{\"n_shot\":5,\"sampling\":{\"temperature\":0}}"),
                 .scorer = AS_STR("letter"),
                 .scorer_version = 1,
                 .dataset = AS_STR("toy"),
                 .dataset_revision = AS_STR("r1"),
                 .dataset_licence = AS_STR("MIT"),
                 .dataset_sha256 = AS_STR("abcd"),
                 .repeats = repeats},
    };
    as_arena_init(&c->arena, 0);
    fill_samples(c, n_items);
}

void case_release(case_task *c)
{
    as_arena_release(&c->arena);
}

db_store *case_open(case_dir *d, case_task *c, size_t n_items, int repeats)
{
    db_store *db = NULL;
    as_err err = {0};
    case_dir_make(d);
    case_init(c, n_items, repeats);
    if (db_open(&db, d->db, DB_CREATE, NULL, &err) != AS_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return db;
}

void case_close(const case_dir *d, case_task *c, db_store *db)
{
    db_close(db);
    case_release(c);
    case_dir_clean(d);
}

static as_str answer_text(case_task *c, size_t position, int repeat, as_rng *rng)
{
    static const char *const words[] = {"the ", "cell ", "law ", "therefore ", "5 ", "é ", "is "};
    as_buf b;
    as_buf_init(&b, 0);
    (void)as_buf_printf(&b, "%zu/%d: ", position, repeat);
    const uint64_t n = as_rng_below(rng, 160);
    for (uint64_t i = 0; i < n; i++)
        (void)as_buf_add_z(&b, words[as_rng_below(rng, 7)]);
    const as_str kept = as_arena_str(&c->arena, as_buf_str(&b));
    as_buf_release(&b);
    return kept;
}

db_record case_record(case_task *c, int64_t task_id, size_t position, int repeat)
{
    static const db_try failed[] = {
        {AS_ERROR_RATE, AS_STR_INIT("too many requests"), 429, 0, 1000, {0}},
        {AS_ERROR_TIMEOUT, AS_STR_INIT("no answer in 5 s"), 0, 0, 5000000000, {0}},
    };
    as_rng rng;
    as_rng_init(&rng, position * 31 + (uint64_t)repeat, AS_STR("record"));
    db_record r = {
        .task_id = task_id,
        .position = position,
        .repeat = repeat,
        .failed = failed,
        .n_failed = position % 10 == 0 ? (int)(position / 10 % 3) : 0,
        .prefix = AS_STR("Answer the question with one letter.\n\n"),
        .prompt = as_arena_printf(&c->arena, "What is %zu?", position),
        .seed = as_rng_u64(&rng),
        .scorer = c->task.scorer,
        .scorer_version = c->task.scorer_version,
        .n_choices = 4,
    };
    as_response_init(&r.response);
    r.response.finish = position % 7 == 3 ? AS_FINISH_LENGTH : AS_FINISH_STOP;
    r.response.text = answer_text(c, position, repeat, &rng);
    r.response.reasoning = position % 5 == 0 ? AS_STR("Let me think.\0") : AS_STR("");
    r.response.prompt_tokens = 20 + (int64_t)position;
    r.response.completion_tokens = position % 11 == 0 ? -1 : 7;
    r.response.total_ns = 1000000 * (int64_t)(position + 1);
    const bool is_right = as_rng_below(&rng, 3) != 0;
    const bool is_cut = r.response.finish == AS_FINISH_LENGTH;
    r.score = (as_score){.verdict = is_cut     ? AS_TRUNCATED
                                    : is_right ? AS_RIGHT
                                               : AS_WRONG,
                         .value = !is_cut && is_right ? 1 : 0,
                         .target = c->task.samples[position].target,
                         .rule = 1};
    if (!is_cut)
        r.score.prediction = is_right ? r.score.target : AS_STR("D");
    return r;
}

static as_code add_line(void *user, as_str line, as_err *err)
{
    (void)as_buf_add(user, line);
    (void)as_buf_add_byte(user, '\n');
    return as_buf_ok(user, err);
}

as_code case_export(db_store *db, as_buf *out, as_err *err)
{
    as_buf_init(out, 0);
    return db_export(db, true, add_line, out, err);
}
