#ifndef UNIT_FAKE_SERVER_H
#define UNIT_FAKE_SERVER_H
/*
 * fake_server.h — a backend that misbehaves on demand, and a suite to run on it.
 *
 * It answers "4" (or, when it samples, words made of the seed), counts a prompt's words as tokens
 * and a quarter more, thinks when told to. Each field of fake_ways makes it do one thing wrong.
 */
#include "run/run.h"

typedef struct fake_ways {
    bool no_name, no_hash, no_template, is_chatml, renders_chatml;
    int n_ctx; /* 0: not told */
    bool counts, tokenizes;
    bool is_empty, answers_in_reasoning;
    bool never_thinks, always_thinks, leaks_thinking;
    bool forgets_seed, has_own_seed;
    int reads_at_most; /* words; 0: all */
    bool no_counts;
    unsigned dropped;
    as_error_kind error; /* of every request, once error_after have been answered */
    int error_status, error_after, error_until; /* error_until: answers again; 0 never */
    bool two_endpoints;                         /* the first dies after error_after answers */
    int64_t queue_ns;
    bool has_metrics;
    const char *fingerprint; /* NULL: "build 1" */
} fake_ways;

typedef struct fake {
    be_backend base;
    fake_ways ways;
    be_info info;
    const as_request *jobs[512];
    int n_jobs, n_asked, n_cancelled;
    int most_in_flight;
} fake;

void fake_init(fake *f, const fake_ways *ways);

/* A plan of one task "toy" with n items, on this backend. */
typedef struct fake_plan {
    run_options options;
    run_plan plan;
    run_task task;
    su_protocol protocol;
    as_sample samples[200];
    char ids[200][8];
} fake_plan;

void fake_plan_init(fake_plan *p, fake *f, int n_items, bool is_chat);

#endif
