/*
 * needle.c — does the model find one sentence in a long text? Synthetic, no data needed.
 *
 * A haystack of filler sentences (our own, drawn by a seeded generator) hides one needle, "The secret
 * number of CITY is N.", at a given depth; the prompt ends by asking for N. Items are depths from
 * 0 to 100 % in steps of 10, three cities each. A protocol is a length: characters are counted, 4
 * for each nominal token, so that the text is the same for every model; the true number of tokens
 * is stored with each answer.
 */
#include <math.h>

#include "base/hash.h"
#include "base/rng.h"
#include "suites/prompt.h"
#include "suites/suites.h"
#include "suites/summary.h"

enum { N_DEPTHS = 11, N_CITIES = 3, N_ITEMS = N_DEPTHS * N_CITIES, CHARS_PER_TOKEN = 4 };
enum { SEED = 20260301 };

#define PROTOCOL(length, n_tokens)                                                                 \
    {                                                                                              \
        .id = (length), .title = "about " n_tokens " tokens of text, completion, greedy",          \
        .source = "assay", .scorer = "number_first", .repeats = 1, .max_tokens = 12,               \
        .sampling = {0, (double)NAN, (double)NAN, -1}, .stop = {"\n"},                             \
    }

/* In the order of thousands[]. */
static const su_protocol protocols[] = {
    PROTOCOL("1k", "1,000"),   PROTOCOL("2k", "2,000"),     PROTOCOL("4k", "4,000"),
    PROTOCOL("8k", "8,000"),   PROTOCOL("16k", "16,000"),   PROTOCOL("32k", "32,000"),
    PROTOCOL("64k", "64,000"), PROTOCOL("128k", "128,000"), PROTOCOL("256k", "256,000"),
};

enum { N_PROTOCOLS = sizeof protocols / sizeof protocols[0] };
static const int thousands[N_PROTOCOLS] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

static const char *const cities[N_CITIES] = {"Lisbon", "Nairobi", "Kyoto"};

static const char *const subjects[] = {
    "The gardener",   "A small boat", "The old clock",  "My neighbour",   "The night train",
    "A grey cat",     "The baker",    "An open window", "The long road",  "A quiet river",
    "The schoolbook", "Her brother",  "The west wind",  "A wooden chair", "The harbour",
};
static const char *const verbs[] = {
    "waits near",   "passes by",  "belongs to",   "looks like",    "stands behind",
    "comes before", "leads past", "rests beside", "moves towards", "reminds us of",
};
static const char *const objects[] = {
    "the yellow house",   "a field of rye",    "the first snow", "an empty street",
    "the market square",  "a row of lamps",    "the hill",       "yesterday's paper",
    "a pile of letters",  "the narrow gate",   "a cup of tea",   "the far shore",
    "the village school", "an evening in May", "the last stop",
};

#define PICK(rng, list) (list)[as_rng_below(rng, sizeof(list) / sizeof(list)[0])]

static int chars_of(const su_task *task)
{
    return thousands[task->protocol - protocols] * 1000 * CHARS_PER_TOKEN;
}

static as_code needle_prompt(const su_task *task, const as_sample *sample, int n_shot,
                             as_request *out, as_arena *arena, as_err *err)
{
    (void)n_shot;
    int64_t depth = 0;
    as_str head, tail;
    (void)as_str_cut(sample->id, '-', &head, &tail);
    if (!as_parse_i64(head, 0, 100, &depth))
        return as_fail(err, AS_BUG, "needle: item \"%.*s\" names no depth", AS_ARG(sample->id));
    const size_t total = (size_t)chars_of(task);
    const size_t place = total * (size_t)depth / 100;
    as_rng rng;
    as_rng_init(&rng, SEED, sample->id);
    as_buf b;
    as_buf_init(&b, total + 4096);
    (void)as_buf_add_z(&b, "Read the text. One sentence in it tells a secret number.\n\n");
    const size_t start = b.n;
    bool is_hidden = false;
    while (!b.is_full && (b.n - start < total || !is_hidden)) {
        if (!is_hidden && b.n - start >= place) {
            su_prompt_add(&b, "", sample->question, " ");
            is_hidden = true;
            continue;
        }
        const char *const subject = PICK(&rng, subjects);
        const char *const verb = PICK(&rng, verbs);
        (void)as_buf_printf(&b, "%s %s %s. ", subject, verb, PICK(&rng, objects));
    }
    su_prompt_add(&b, "\n\nQuestion: What is the secret number of ", sample->group,
                  "?\nAnswer: The secret number of ");
    su_prompt_add(&b, "", sample->group, " is");
    return su_prompt_keep(&out->prompt, &b, arena, err);
}

static as_code needle_samples(su_task *task, as_arena *keep, as_err *err)
{
    as_sample *samples = as_new(keep, as_sample, N_ITEMS);
    if (samples == NULL)
        return as_nomem(err);
    for (int i = 0; i < N_ITEMS; i++) {
        const char *city = cities[i % N_CITIES];
        const int depth = i / N_CITIES * 10;
        as_rng rng;
        as_sample *s = &samples[i];
        s->id = as_arena_printf(keep, "%d-%s", depth, city);
        if (!as_str_is_set(s->id))
            return as_nomem(err);
        as_rng_init(&rng, SEED, s->id);
        const int number = 1000 + (int)as_rng_below(&rng, 9000);
        s->group = as_str_of(city);
        s->question = as_arena_printf(keep, "The secret number of %s is %d.", city, number);
        s->target = as_arena_printf(keep, "%d", number);
        s->origin = AS_STR("assay");
        if (!as_str_is_set(s->question) || !as_str_is_set(s->target))
            return as_nomem(err);
    }
    task->samples = samples;
    task->n_samples = N_ITEMS;
    return AS_OK;
}

/* The texts are made, not stored: their identity is that of one item's prompt and all questions. */
static as_code describe(su_task *task, as_arena *keep, as_err *err)
{
    as_request rq = {0};
    const size_t mark = as_arena_mark(keep);
    AS_TRY(needle_prompt(task, &task->samples[0], 0, &rq, keep, err));
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_nomem(err);
    as_sha256_add_field(h, rq.prompt);
    for (size_t i = 0; i < task->n_samples; i++)
        as_sha256_add_field(h, task->samples[i].question);
    task->dataset = (ds_info){
        .name = as_str_of(task->suite->name),
        .licence = AS_STR("Apache-2.0"),
        .revision = AS_STR("1"),
        .source = AS_STR("made by the program"),
        .sha256 = as_sha256_end(h),
        .is_builtin = true,
    };
    as_arena_rewind(keep, mark);
    return AS_OK;
}

static as_code needle_load(su_task *out, const su_suite *suite, const su_protocol *protocol,
                           const su_load_options *options, as_arena *keep, as_err *err)
{
    (void)options;
    su_task task = {.suite = suite, .protocol = protocol};
    AS_TRY(needle_samples(&task, keep, err));
    AS_TRY(describe(&task, keep, err));
    *out = task;
    return AS_OK;
}

/* Groups are depths here, not cities: they are what people plot. */
static as_code needle_summarise(const su_task *task, const as_result *rows, size_t n,
                                as_summary *out, as_arena *keep, as_err *err)
{
    (void)task;
    as_result *by_depth = as_new(keep, as_result, n);
    if (by_depth == NULL)
        return as_nomem(err);
    for (size_t i = 0; i < n; i++) {
        by_depth[i] = rows[i];
        as_str head, tail;
        (void)as_str_cut(rows[i].item, '-', &head, &tail);
        by_depth[i].group = as_arena_printf(keep, "depth %3.*s %%", AS_ARG(head));
        if (!as_str_is_set(by_depth[i].group))
            return as_nomem(err);
    }
    return su_summary_basic(by_depth, n, out, keep, err);
}

const su_suite su_needle = {
    .name = "needle",
    .title = "one sentence in a long text, at eleven depths, up to 256K tokens",
    .protocols = protocols,
    .n_protocols = N_PROTOCOLS,
    .load = needle_load,
    .prompt = needle_prompt,
    .summarise = needle_summarise,
};
