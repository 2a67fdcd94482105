#include "engine/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* How it works: the caller writes the job, then raises `round`. A helper that sees a new round
 * takes runs of items from `next` until none is left, then lowers `busy`; the caller does the same
 * and waits for busy to be 0. The raise publishes the job (release), the drop publishes the
 * results. A helper that has spun in vain sleeps on the condition; `sleepers` tells the caller to
 * wake it. */

enum { MAX_THREADS = 256, SPINS = 4000, SPINS_BEFORE_YIELD = 2000 };

struct g4_team {
    int n_threads;
    int n_started; /* helpers that run */
    pthread_t threads[MAX_THREADS];
    struct helper {
        g4_team *team;
        int thread;
    } helpers[MAX_THREADS];

    /* the job; written by the caller before the round is raised */
    g4_job job;
    void *user;
    int64_t n_items, grain;

    _Atomic int64_t next;
    _Atomic unsigned round;
    _Atomic int busy; /* helpers not done with this round */
    _Atomic int sleepers;
    _Atomic bool is_ending;
    pthread_mutex_t mutex; /* guards nothing but the sleep */
    pthread_cond_t wake;
};

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work(g4_team *t, int thread)
{
    for (;;) {
        const int64_t begin = atomic_fetch_add_explicit(&t->next, t->grain, memory_order_relaxed);
        if (begin >= t->n_items)
            return;
        const int64_t end = t->n_items - begin < t->grain ? t->n_items : begin + t->grain;
        t->job(t->user, thread, begin, end);
    }
}

static unsigned wait_for_round(g4_team *t, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        const unsigned round = atomic_load_explicit(&t->round, memory_order_acquire);
        if (round != seen)
            return round;
        relax();
    }
    pthread_mutex_lock(&t->mutex);
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->round) == seen)
        pthread_cond_wait(&t->wake, &t->mutex);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->mutex);
    return atomic_load(&t->round);
}

static void *help(void *user)
{
    const struct helper *h = user;
    g4_team *t = h->team;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_round(t, seen);
        if (atomic_load_explicit(&t->is_ending, memory_order_acquire))
            return NULL;
        work(t, h->thread);
        atomic_fetch_sub_explicit(&t->busy, 1, memory_order_release);
    }
}

static void raise_round(g4_team *t)
{
    atomic_fetch_add(&t->round, 1);
    if (atomic_load(&t->sleepers) > 0) {
        pthread_mutex_lock(&t->mutex);
        pthread_cond_broadcast(&t->wake);
        pthread_mutex_unlock(&t->mutex);
    }
}

int g4_team_threads(int n_threads)
{
    if (n_threads <= 0) {
        const long n = sysconf(_SC_NPROCESSORS_ONLN);
        n_threads = n > 0 && n < MAX_THREADS ? (int)n : 1;
    }
    return n_threads < MAX_THREADS ? n_threads : MAX_THREADS;
}

g4_team *g4_team_new(int n_threads)
{
    g4_team *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->wake, NULL);
    n_threads = g4_team_threads(n_threads);
    t->n_threads = 1;
    for (int i = 1; i < n_threads; i++) {
        struct helper *h = &t->helpers[t->n_started];
        *h = (struct helper){.team = t, .thread = i};
        if (pthread_create(&t->threads[t->n_started], NULL, help, h) != 0)
            break;
        t->n_started++;
        t->n_threads++;
    }
    return t;
}

void g4_team_free(g4_team *team)
{
    if (team == NULL)
        return;
    atomic_store_explicit(&team->is_ending, true, memory_order_release);
    raise_round(team);
    for (int i = 0; i < team->n_started; i++)
        pthread_join(team->threads[i], NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->mutex);
    free(team);
}

int g4_team_size(const g4_team *team)
{
    return team->n_threads;
}

void g4_team_run(g4_team *team, int64_t n_items, int64_t grain, g4_job job, void *user)
{
    if (n_items <= 0)
        return;
    if (team->n_started == 0 || n_items <= grain) {
        job(user, 0, 0, n_items);
        return;
    }
    team->job = job;
    team->user = user;
    team->n_items = n_items;
    team->grain = grain > 0 ? grain : 1;
    atomic_store_explicit(&team->next, 0, memory_order_relaxed);
    atomic_store_explicit(&team->busy, team->n_started, memory_order_relaxed);
    raise_round(team);
    work(team, 0);
    for (int i = 0; atomic_load_explicit(&team->busy, memory_order_acquire) > 0; i++) {
        if (i < SPINS_BEFORE_YIELD)
            relax();
        else
            sched_yield(); /* the helper we wait for may need this processor */
    }
}
