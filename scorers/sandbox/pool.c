/*
 * pool.c — slots, the queue, and who does what next.
 *
 * A worker takes the oldest program that nobody has begun; if there is none, it helps with one that
 * has many tests left (a box of its own costs as much as several trivial tests). Tests are claimed
 * one by one under the lock and run outside it. Tests behind the first failure are not claimed any
 * more, and results that came from beyond it are dropped, so that the result does not depend on how
 * many slots there are.
 */
#define _GNU_SOURCE /* pthread_rwlockattr_setkind_np */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "scorers/sandbox/pool_impl.h"
#include "scorers/sandbox/verdict.h"

enum {
    HELP_TESTS = 6, /* tests left that are worth a second box */
    CACHE_BYTES = 256 << 20
};

/* ---- one program ---------------------------------------------------------------------------- */

static bool has_tests_left(const sb_ticket *t)
{
    return t->code == AS_OK && t->next_test < t->job.n_tests &&
           (t->job.want_all_tests || t->next_test < t->fail_at);
}

/* With the lock. The verdict of the program from those of its tests. */
static void sum_up(sb_ticket *t)
{
    sb_result *r = &t->result;
    if (r->verdict == SB_COMPILE_ERROR || t->code != AS_OK || r->is_cached)
        return;
    r->verdict = SB_ACCEPTED;
    r->detail = (as_str){0};
    r->n_passed = r->n_run = 0;
    bool has_failed = false;
    for (size_t i = 0; i < t->job.n_tests; i++) {
        sb_test_result *x = &r->tests[i];
        if (has_failed && !t->job.want_all_tests)
            *x = (sb_test_result){0};
        if (!x->has_run)
            continue;
        r->n_run++;
        r->n_passed += x->verdict == SB_ACCEPTED;
        if (x->verdict != SB_ACCEPTED && (!has_failed || (x->verdict == SB_SANDBOX_FAILURE &&
                                                          r->verdict != SB_SANDBOX_FAILURE))) {
            r->verdict = x->verdict;
            r->detail = x->detail;
        }
        has_failed |= x->verdict != SB_ACCEPTED;
    }
    sb_verdict_save(t);
}

/* With the lock. */
static void finish(sb_pool *pool, sb_ticket *t)
{
    for (sb_ticket **p = &pool->first; *p != NULL; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            pool->n_queued--;
            break;
        }
    sum_up(t);
    t->is_done = true;
    (void)pthread_cond_broadcast(&pool->has_done);
    (void)pthread_cond_signal(&pool->has_room);
}

static void prepare(sb_slot *slot, sb_ticket *t)
{
    sb_pool *pool = slot->pool;
    as_err err = {0};
    as_code c = AS_OK;
    sb_verdict_key(t);
    const bool is_known = sb_verdict_load(t);
    if (!is_known && t->job.language == SB_PYTHON) {
        t->program = sb_program_text(&t->job, &t->keep); /* nobody else has the ticket yet */
        if (!as_str_is_set(t->program))
            c = as_nomem(&err);
    }
    if (!is_known && t->job.language == SB_CPP)
        c = sb_compile_program(slot, t, t->job.code, &t->binary, &err);
    if (!is_known && c == AS_OK && t->job.rule == SB_CHECKER && t->job.checker_language == SB_CPP &&
        t->result.verdict != SB_COMPILE_ERROR) {
        c = sb_compile_program(slot, t, t->job.checker, &t->checker, &err);
        if (c == AS_OK && t->checker == NULL)
            c = as_fail(&err, AS_PARSE, "sandbox: the checker does not compile: %.*s",
                        AS_ARG(t->result.compiler_text));
    }
    (void)pthread_mutex_lock(&pool->lock);
    t->is_prepared = true;
    t->n_workers = 1;
    if (c != AS_OK) {
        t->code = c;
        t->err = err;
    }
    if (is_known || t->result.verdict == SB_COMPILE_ERROR)
        t->next_test = t->job.n_tests;
    else if (t->job.n_tests - t->next_test > HELP_TESTS)
        (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* With the lock: copies a result's texts from the worker's scratch memory. */
static void keep_result(sb_ticket *t, size_t i, const sb_test_result *from)
{
    sb_test_result *to = &t->result.tests[i];
    *to = *from;
    to->detail = as_arena_str(&t->keep, from->detail);
    to->errors = as_arena_str(&t->keep, from->errors);
    to->output = as_arena_str(&t->keep, from->output);
    if (!as_str_is_set(to->detail) || !as_str_is_set(to->errors) || !as_str_is_set(to->output))
        t->code = as_nomem(&t->err);
}

static void work_on(sb_slot *slot, sb_ticket *t)
{
    sb_pool *pool = slot->pool;
    (void)pthread_mutex_lock(&pool->lock);
    while (has_tests_left(t)) {
        const size_t i = t->next_test++;
        (void)pthread_mutex_unlock(&pool->lock);
        as_arena_rewind(&slot->scratch, 0);
        sb_test_result r;
        as_err err = {0};
        const as_code c = sb_judge_test(slot, t, i, &r, &err);
        (void)pthread_mutex_lock(&pool->lock);
        if (c != AS_OK) {
            t->code = c;
            t->err = err;
            break;
        }
        keep_result(t, i, &r);
        if (r.verdict != SB_ACCEPTED && i < t->fail_at)
            t->fail_at = i;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    sb_slot_end_box(slot);
    (void)pthread_mutex_lock(&pool->lock);
    if (--t->n_workers == 0)
        finish(pool, t);
    (void)pthread_mutex_unlock(&pool->lock);
}

/* With the lock: the next ticket worth a worker, or NULL. */
static sb_ticket *choose(const sb_pool *pool)
{
    for (sb_ticket *t = pool->first; t != NULL; t = t->next)
        if (!t->is_preparing)
            return t;
    for (sb_ticket *t = pool->first; t != NULL; t = t->next) {
        const size_t end =
            t->job.want_all_tests || t->fail_at > t->job.n_tests ? t->job.n_tests : t->fail_at;
        if (t->is_prepared && has_tests_left(t) && end - t->next_test > HELP_TESTS)
            return t;
    }
    return NULL;
}

static void *worker(void *user)
{
    sb_slot *slot = user;
    sb_pool *pool = slot->pool;
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        sb_ticket *t = choose(pool);
        if (t == NULL) {
            if (pool->is_closing)
                break;
            (void)pthread_cond_wait(&pool->has_work, &pool->lock);
            continue;
        }
        const bool is_new = !t->is_preparing;
        t->is_preparing = true;
        if (!is_new)
            t->n_workers++;
        (void)pthread_mutex_unlock(&pool->lock);
        if (is_new)
            prepare(slot, t);
        work_on(slot, t);
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- the pool ------------------------------------------------------------------------------- */

static void init_locks(sb_pool *pool)
{
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->has_work, NULL);
    (void)pthread_cond_init(&pool->has_room, NULL);
    (void)pthread_cond_init(&pool->has_done, NULL);
    pthread_rwlockattr_t attr;
    (void)pthread_rwlockattr_init(&attr);
    (void)pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&pool->alone, &attr);
    (void)pthread_rwlockattr_destroy(&attr);
}

static void set_dir(char out[SB_PATH_BYTES], const char *dir, int64_t max_bytes, const as_log *log)
{
    as_err err = {0};
    if (dir == NULL || strlen(dir) >= SB_PATH_BYTES - 80)
        return;
    if (as_make_dirs(dir, &err) != AS_OK) { /* a cache is a convenience */
        as_log_line(log, AS_LOG_DEBUG, "sandbox: no cache: %s", err.text);
        return;
    }
    memcpy(out, dir, strlen(dir) + 1);
    sb_cache_bound(out, max_bytes != 0 ? max_bytes : CACHE_BYTES);
}

static as_code start_threads(sb_pool *pool, as_err *err)
{
    for (int i = 0; i < pool->n_slots; i++) {
        if (pthread_create(&pool->slots[i].thread, NULL, worker, &pool->slots[i]) != 0)
            return as_fail(err, AS_NOMEM, "sandbox: cannot start a thread");
        pool->slots[i].has_thread = true;
    }
    return AS_OK;
}

as_code sb_pool_open(sb_pool **out, const sb_pool_options *options, as_err *err)
{
    *out = NULL;
    const long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    const int n = options->n_slots != 0 ? options->n_slots : (int)n_cpus;
    if (n < 1 || options->n_slots > SB_MAX_SLOTS)
        return as_fail(err, AS_RANGE, "sandbox: %d slots, want 1 to %d", n, SB_MAX_SLOTS);
    if (options->is_unsafe && geteuid() == 0)
        return as_fail(err, AS_RANGE,
                       "--unsafe-no-sandbox is refused for root: model-written code would own the "
                       "machine; run as an ordinary user");
    sb_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return as_nomem(err);
    init_locks(pool);
    pool->n_slots = n < SB_MAX_SLOTS ? n : SB_MAX_SLOTS;
    pool->time_factor = options->time_factor > 0 ? options->time_factor : 1;
    pool->is_unsafe = options->is_unsafe;
    pool->log = options->log;
    atomic_init(&pool->is_cancelled, false);
    for (int i = 0; i < pool->n_slots; i++) {
        pool->slots[i].pool = pool;
        sb_helper_init(&pool->slots[i].helper);
        sb_helper_init(&pool->slots[i].checker);
        as_arena_init(&pool->slots[i].scratch, (size_t)256 << 20);
    }
    set_dir(pool->compile_dir, options->compile_dir, options->cache_bytes, pool->log);
    set_dir(pool->verdict_dir, options->verdict_dir, options->cache_bytes, pool->log);
    as_code c = sb_find_helper(pool->helper_path, options->helper, err);
    if (c == AS_OK)
        c = sb_prove(&pool->slots[0], err);
    if (c == AS_OK) {
        sb_find_tools(pool);
        c = start_threads(pool, err);
    }
    if (c != AS_OK)
        sb_pool_close(pool);
    else
        *out = pool;
    return c;
}

void sb_cancel(sb_pool *pool)
{
    atomic_store(&pool->is_cancelled, true);
    for (int i = 0; i < pool->n_slots; i++) {
        sb_helper_kick(&pool->slots[i].helper);
        sb_helper_kick(&pool->slots[i].checker);
    }
}

void sb_pool_close(sb_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_closing = true;
    (void)pthread_cond_broadcast(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < pool->n_slots; i++) {
        sb_slot *s = &pool->slots[i];
        if (s->has_thread)
            (void)pthread_join(s->thread, NULL);
        sb_helper_stop(&s->helper);
        sb_helper_stop(&s->checker);
        as_arena_release(&s->scratch);
    }
    for (size_t i = 0; i < SB_BINARIES; i++)
        free(pool->binaries[i].p);
    (void)pthread_rwlock_destroy(&pool->alone);
    (void)pthread_cond_destroy(&pool->has_done);
    (void)pthread_cond_destroy(&pool->has_room);
    (void)pthread_cond_destroy(&pool->has_work);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

/* ---- jobs ----------------------------------------------------------------------------------- */

static bool is_name(as_str s)
{
    if (s.n == 0 || s.n > 120 || (s.p[0] >= '0' && s.p[0] <= '9'))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
              (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_'))
            return false;
    return true;
}

static as_code check_job(const sb_job *job, as_err *err)
{
    if (job->code.n > SB_MAX_CODE)
        return as_fail(err, AS_RANGE, "sandbox: a program of %zu bytes, at most %d", job->code.n,
                       SB_MAX_CODE);
    if (job->n_tests == 0 || job->n_tests > SB_MAX_TESTS)
        return as_fail(err, AS_RANGE, "sandbox: %zu tests, want 1 to %d", job->n_tests,
                       SB_MAX_TESTS);
    for (size_t i = 0; i < job->n_tests; i++)
        if (job->tests[i].input.n > SB_MAX_INPUT)
            return as_fail(err, AS_RANGE, "sandbox: test %zu: an input of %zu bytes, at most %d", i,
                           job->tests[i].input.n, SB_MAX_INPUT);
    const bool is_functional = job->fn_name.n != 0;
    if (is_functional && (!is_name(job->fn_name) || job->language != SB_PYTHON))
        return as_fail(err, AS_RANGE, "sandbox: \"%.*s\" is not the name of a Python function",
                       AS_ARG(job->fn_name));
    if ((unsigned)job->rule >= SB_N_RULES || (job->rule == SB_CALLBACK && job->compare == NULL) ||
        (job->rule == SB_CHECKER && job->checker.n == 0) || (is_functional && job->runner.n != 0))
        return as_fail(err, AS_BUG, "sandbox: a job that contradicts itself");
    return AS_OK;
}

static as_code new_ticket(sb_pool *pool, const sb_job *job, sb_ticket **out, as_err *err)
{
    AS_TRY(check_job(job, err));
    sb_ticket *t = calloc(1, sizeof *t);
    if (t == NULL)
        return as_nomem(err);
    t->pool = pool;
    t->job = *job;
    t->fail_at = SIZE_MAX;
    as_arena_init(&t->keep, 0);
    as_code c = sb_limits_fill(&t->limits, &job->limits, pool->time_factor, err);
    t->result.tests = as_new(&t->keep, sb_test_result, job->n_tests);
    t->result.n_tests = job->n_tests;
    if (c == AS_OK && t->result.tests == NULL)
        c = as_nomem(err);
    if (c != AS_OK) {
        as_arena_release(&t->keep);
        free(t);
        return c;
    }
    *out = t;
    return AS_OK;
}

as_code sb_submit(sb_pool *pool, const sb_job *job, sb_ticket **out, as_err *err)
{
    *out = NULL;
    sb_ticket *t = NULL;
    AS_TRY(new_ticket(pool, job, &t, err));
    (void)pthread_mutex_lock(&pool->lock);
    while (pool->n_queued >= SB_MAX_QUEUED)
        (void)pthread_cond_wait(&pool->has_room, &pool->lock);
    sb_ticket **last = &pool->first;
    while (*last != NULL)
        last = &(*last)->next;
    *last = t;
    pool->n_queued++;
    (void)pthread_cond_signal(&pool->has_work);
    (void)pthread_mutex_unlock(&pool->lock);
    *out = t;
    return AS_OK;
}

static as_code copy_result(sb_result *out, const sb_ticket *t, as_arena *keep, as_err *err)
{
    const sb_pool *pool = t->pool;
    *out = t->result;
    out->detail = as_arena_str(keep, t->result.detail);
    out->compiler_text = as_arena_str(keep, t->result.compiler_text);
    out->sandbox = as_arena_str(keep, as_str_of(pool->sandbox));
    out->toolchain =
        as_arena_str(keep, as_str_of(t->job.language == SB_CPP ? pool->cpp : pool->python));
    out->tests = as_new(keep, sb_test_result, t->job.n_tests);
    if (out->tests == NULL || !as_str_is_set(out->toolchain))
        return as_nomem(err);
    for (size_t i = 0; i < t->job.n_tests; i++) {
        const sb_test_result *from = &t->result.tests[i];
        sb_test_result *to = &out->tests[i];
        *to = *from;
        to->detail = as_arena_str(keep, from->detail);
        to->errors = as_arena_str(keep, from->errors);
        to->output = as_arena_str(keep, from->output);
        if (!as_str_is_set(to->output))
            return as_nomem(err);
    }
    return AS_OK;
}

as_code sb_wait(sb_ticket *t, sb_result *out, as_arena *keep, as_err *err)
{
    sb_pool *pool = t->pool;
    (void)pthread_mutex_lock(&pool->lock);
    while (!t->is_done)
        (void)pthread_cond_wait(&pool->has_done, &pool->lock);
    (void)pthread_mutex_unlock(&pool->lock);
    as_code c = t->code;
    if (c != AS_OK && err != NULL)
        *err = t->err;
    if (c == AS_OK)
        c = copy_result(out, t, keep, err);
    sb_binary_release(pool, t->binary);
    sb_binary_release(pool, t->checker);
    as_arena_release(&t->keep);
    free(t);
    return c;
}

as_code sb_judge(sb_pool *pool, const sb_job *job, sb_result *out, as_arena *keep, as_err *err)
{
    sb_ticket *t = NULL;
    AS_TRY(sb_submit(pool, job, &t, err));
    return sb_wait(t, out, keep, err);
}
