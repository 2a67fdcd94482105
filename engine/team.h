#ifndef ENGINE_TEAM_H
#define ENGINE_TEAM_H
/*
 * team.h — the compute threads of one session: the caller and n - 1 helpers.
 *
 * Use        g4_team_run hands out items 0 .. n_items-1 in runs of `grain` to whoever is free and
 *            returns when all are done. Which thread does an item is chance, so a job must not let
 *            results depend on it: each item writes its own outputs.
 * Cost       about a microsecond a call while the helpers spin, tens when they sleep: they spin
 *            for about 100 µs after a job, then wait.
 * Errors     none; fewer helpers than asked for if the system refuses threads.
 * Threads    one caller at a time.
 */
#include <stdint.h>

typedef struct g4_team g4_team;

/* thread: 0 .. n_threads-1, no two at once; items begin .. end-1. */
typedef void (*g4_job)(void *user, int thread, int64_t begin, int64_t end);

/* 0: one thread per processor. NULL out of memory. */
g4_team *g4_team_new(int n_threads);
void g4_team_free(g4_team *team);
int g4_team_size(const g4_team *team);
/* What g4_team_new(n_threads) would ask for. */
int g4_team_threads(int n_threads);

void g4_team_run(g4_team *team, int64_t n_items, int64_t grain, g4_job job, void *user);

#endif
