/* Speed of the engine, as CSV: bench_engine MODEL.gguf [prompt tokens] [generated tokens] [runs] [kv].
 * Each line is the median of the runs. share: of the memory bandwidth that this machine shows to
 * plain reads by as many threads. With kv (f32, f16, q8_0 or all) the default path alone, with that
 * cache; its bytes are those of the keys and values that the generated rows see. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "base/time.h"
#include "engine/engine.h"

enum { MAX_RUNS = 50, MAX_THREADS = 64, READ_BYTES = 1 << 28 };

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, compare);
    return n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- bandwidth ------------------------------------------------------------------------------- */

typedef struct reader {
    const uint64_t *p;
    size_t n;
    uint64_t sum;
} reader;

static void *read_all(void *user)
{
    reader *r = user;
    uint64_t s[8] = {0};
    for (size_t i = 0; i + 8 <= r->n; i += 8)
        for (int l = 0; l < 8; l++)
            s[l] ^= r->p[i + (size_t)l];
    for (int l = 0; l < 8; l++)
        r->sum ^= s[l];
    return NULL;
}

/* GB/s, the best of five. */
static double bandwidth(int threads)
{
    uint64_t *memory = malloc(READ_BYTES);
    if (memory == NULL)
        return 0;
    memset(memory, 1, READ_BYTES);
    double best = 0;
    for (int run = 0; run < 5; run++) {
        pthread_t ids[MAX_THREADS];
        reader readers[MAX_THREADS];
        const size_t part = READ_BYTES / sizeof *memory / (size_t)threads;
        const int64_t start = as_now_ns();
        for (int i = 0; i < threads; i++) {
            readers[i] = (reader){.p = memory + part * (size_t)i, .n = part};
            if (pthread_create(&ids[i], NULL, read_all, &readers[i]) != 0)
                return best;
        }
        for (int i = 0; i < threads; i++)
            pthread_join(ids[i], NULL);
        const double rate = (double)READ_BYTES / (double)(as_now_ns() - start);
        best = rate > best ? rate : best;
    }
    free(memory);
    return best;
}

/* ---- the engine ------------------------------------------------------------------------------ */

typedef struct bench {
    const g4_model *model;
    int n_prompt, n_generate, n_runs;
    g4_kv_type kv;
    int32_t *ids; /* [n_prompt + n_generate] */
} bench;

static int fail(const as_err *err)
{
    fprintf(stderr, "bench_engine: %s\n", err->text);
    return 1;
}

static int measure(const bench *b, g4_precision precision, int threads, double limit)
{
    enum { BATCH = 256 };
    as_err err = {0};
    g4_session *s = NULL;
    const g4_session_options o = {.precision = precision,
                                  .kv = b->kv,
                                  .n_ctx = b->n_prompt + b->n_generate,
                                  .n_batch = BATCH,
                                  .n_threads = threads};
    if (g4_session_open(&s, b->model, &o, &err) != AS_OK)
        return fail(&err);
    double prompt[MAX_RUNS];
    double generate[MAX_RUNS];
    double gigabytes[MAX_RUNS];
    double gigaops[MAX_RUNS];
    for (int run = 0; run < b->n_runs; run++) {
        int seq = -1;
        g4_result out;
        if (g4_seq_new(s, &seq, &err) != AS_OK)
            return fail(&err);
        int64_t ns = 0;
        int64_t flops = 0;
        for (int i = 0; i < b->n_prompt; i += BATCH) {
            g4_row rows[BATCH];
            const int n = b->n_prompt - i < BATCH ? b->n_prompt - i : BATCH;
            for (int r = 0; r < n; r++)
                rows[r] = (g4_row){.seq = seq,
                                   .pos = i + r,
                                   .token = b->ids[i + r],
                                   .want_logits = i + r == b->n_prompt - 1};
            if (g4_decode(s, rows, n, &out, &err) != AS_OK)
                return fail(&err);
            ns += out.ns;
            flops += out.flops;
        }
        prompt[run] = b->n_prompt * 1e9 / (double)ns;
        gigaops[run] = (double)flops / (double)ns;
        ns = 0;
        int64_t bytes = 0;
        for (int i = 0; i < b->n_generate; i++) {
            const int pos = b->n_prompt + i;
            const g4_row row = {.seq = seq, .pos = pos, .token = b->ids[pos], .want_logits = true};
            if (g4_decode(s, &row, 1, &out, &err) != AS_OK)
                return fail(&err);
            ns += out.ns;
            bytes += out.weight_bytes;
        }
        generate[run] = b->n_generate * 1e9 / (double)ns;
        gigabytes[run] = (double)bytes / (double)ns;
        g4_seq_free(s, seq);
    }
    const double rate = median(gigabytes, b->n_runs);
    const double per_s = median(generate, b->n_runs);
    const g4_memory memory = g4_session_memory(s);
    const int window = g4_model_info(b->model)->window;
    const int seen = b->n_prompt + b->n_generate / 2;
    const double cache = ((double)memory.kv_full_bytes_per_token * seen +
                          (double)(memory.kv_bytes_per_token - memory.kv_full_bytes_per_token) *
                              (seen < window ? seen : window)) *
                         per_s / 1e9;
    printf("%s,%s,%s,%d,%d,%d,%d,%.1f,%.1f,%.1f,%.2f,%.2f,%.2f,%.2f\n", g4_session_kernels(s),
           precision == G4_F32 ? "f32" : "auto", g4_kv_name(memory.kv), threads, b->n_prompt,
           b->n_generate, b->n_runs, median(prompt, b->n_runs), median(gigaops, b->n_runs), per_s,
           rate, cache, limit, (rate + cache) / limit);
    fflush(stdout);
    g4_session_close(s);
    return 0;
}

static int number(int argc, char **argv, int i, int fallback, int max)
{
    int64_t v = fallback;
    if (i < argc && !as_parse_i64(as_str_of(argv[i]), 1, max, &v))
        return fallback;
    return (int)v;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: bench_engine MODEL.gguf [prompt] [generate] [runs] [kv|all]\n");
        return 2;
    }
    bench b = {
        .n_prompt = number(argc, argv, 2, 512, 100000),
        .n_generate = number(argc, argv, 3, 64, 100000),
        .n_runs = number(argc, argv, 4, 5, MAX_RUNS),
    };
    as_err err = {0};
    g4_model *model = NULL;
    if (g4_model_open(&model, argv[1], NULL, &err) != AS_OK)
        return fail(&err);
    b.model = model;
    b.ids = malloc((size_t)(b.n_prompt + b.n_generate) * sizeof *b.ids);
    if (b.ids == NULL)
        return 1;
    as_rng rng;
    as_rng_init(&rng, 1, AS_STR("bench"));
    for (int i = 0; i < b.n_prompt + b.n_generate; i++)
        b.ids[i] = (int32_t)as_rng_below(&rng, (uint64_t)g4_model_info(model)->n_vocab);
    printf("kernels,precision,kv,threads,prompt_tokens,generated_tokens,runs,prompt_tokens_per_s,"
           "prompt_gflop_per_s,generated_tokens_per_s,weight_gb_per_s,cache_gb_per_s,"
           "memory_gb_per_s,share\n");
    int code = 0;
    if (argc > 5) {
        const double limit = bandwidth(2);
        for (g4_kv_type kv = G4_KV_F32; kv <= G4_KV_Q8_0 && code == 0; kv++) {
            b.kv = kv;
            if (strcmp(argv[5], "all") == 0 || strcmp(argv[5], g4_kv_name(kv)) == 0)
                code = measure(&b, G4_AUTO, 2, limit);
        }
        free(b.ids);
        g4_model_close(model);
        return code;
    }
    for (int threads = 1; threads <= 2 && code == 0; threads++) {
        const double limit = bandwidth(threads);
        code = measure(&b, G4_AUTO, threads, limit);
        if (code == 0)
            code = measure(&b, G4_F32, threads, limit);
    }
    free(b.ids);
    g4_model_close(model);
    return code;
}
