/*
 * judge.c — one test: run it in the slot's box, decide, compare; again if the fault was ours, again
 * alone if it was near the time limit.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "scorers/sandbox/compare.h"
#include "scorers/sandbox/pool_impl.h"
#include "scorers/sandbox/verdict.h"

enum { TRIES = 2, BOX_USES = 200 };

as_code sb_slot_helper(sb_slot *slot, sb_helper *h, as_err *err)
{
    if (atomic_load(&slot->pool->is_cancelled))
        return as_fail(err, AS_CANCELLED, "sandbox: cancelled");
    if (atomic_load(&h->fd) >= 0)
        return AS_OK;
    sb_helper_init(h);
    AS_TRY(sb_helper_start(h, slot->pool->helper_path, err));
    /* Either sb_cancel saw the new helper and kicked it, or this sees the cancellation. */
    if (!atomic_load(&slot->pool->is_cancelled))
        return AS_OK;
    sb_helper_stop(h);
    return as_fail(err, AS_CANCELLED, "sandbox: cancelled");
}

static void end_box(sb_slot *slot)
{
    if (slot->helper.has_box && sb_helper_close_box(&slot->helper, NULL) != AS_OK)
        sb_helper_stop(&slot->helper);
}

void sb_slot_end_box(sb_slot *slot)
{
    slot->box_owner = NULL;
    if (!slot->is_shared)
        end_box(slot);
}

static as_code no_box(const sb_helper *h, as_err *err)
{
    errno = (int)h->status.error;
    return as_fail_sys(err, "sandbox: %s", bx_step_name((bx_step)h->status.step));
}

/* The open box serves this ticket: its own, or one that loaded interpreter and limits fit. */
static bool box_fits(sb_slot *slot, const sb_ticket *t, bool is_shared, const as_sha256 *key)
{
    if (!slot->helper.has_box)
        return false;
    if (slot->box_owner == t)
        return true;
    if (!is_shared || !slot->is_shared || slot->n_box_uses >= BOX_USES ||
        memcmp(key, &slot->box_key, sizeof *key) != 0)
        return false;
    slot->box_owner = t;
    slot->n_box_uses++;
    return true;
}

/* A box for this ticket is open on the slot's helper, or the error says why not. */
static as_code ensure_box(sb_slot *slot, sb_ticket *t, as_err *err)
{
    AS_TRY(sb_slot_helper(slot, &slot->helper, err));
    const bx_limits limits = sb_limits_wire(&t->limits, slot->pool->is_unsafe);
    as_sha256 key = {{0}};
    const bool is_shared = sb_program_shares(&t->job, &limits, &key);
    if (box_fits(slot, t, is_shared, &key))
        return AS_OK;
    end_box(slot);
    AS_TRY(sb_slot_helper(slot, &slot->helper, err));
    slot->box_owner = t;
    slot->is_shared = is_shared;
    slot->box_key = key;
    slot->n_box_uses = 1;
    const as_str binary = t->binary != NULL ? (as_str){t->binary->p, t->binary->n} : (as_str){0};
    sb_program program;
    sb_program_init(&program, &t->job, &limits, binary);
    AS_TRY(sb_helper_open(&slot->helper, &program.spec, err));
    return slot->helper.has_box ? AS_OK : no_box(&slot->helper, err);
}

/* A fault of ours, not of the program: worth a fresh helper. */
static bool is_our_fault(as_code c, const bx_record *r)
{
    return c != AS_OK || (r->act == BX_ACT_NONE && r->step != BX_STEP_NONE);
}

static as_code run_once(sb_slot *slot, sb_ticket *t, size_t i, bx_record *r, as_str *output,
                        as_str *errors, as_err *err)
{
    bx_limits limits = sb_limits_wire(&t->limits, slot->pool->is_unsafe);
    if (t->job.want_more != NULL)
        limits.flags |= BX_STREAM;
    as_code c = AS_OK;
    for (int k = 0; k < TRIES; k++) {
        *r = (bx_record){0};
        c = ensure_box(slot, t, err);
        slot->helper.want_more = t->job.want_more;
        slot->helper.user = t->job.user;
        if (c == AS_OK)
            c = sb_helper_test(&slot->helper, &limits, t->job.tests[i].input, t->program, r, output,
                               errors, err);
        if (!is_our_fault(c, r) || c == AS_CANCELLED)
            return c;
        as_log_line(slot->pool->log, AS_LOG_DEBUG, "sandbox: test %zu: %s; trying a fresh helper",
                    i, c != AS_OK && err != NULL ? err->text : bx_step_name((bx_step)r->step));
        sb_helper_stop(&slot->helper);
        if (atomic_load(&slot->pool->is_cancelled))
            return as_fail(err, AS_CANCELLED, "sandbox: cancelled");
    }
    return c;
}

as_code sb_slot_once(sb_slot *slot, sb_helper *h, const sb_box_spec *spec, as_str input,
                     bx_record *r, as_str *output, as_str *errors, as_err *err)
{
    as_code c = AS_OK;
    for (int k = 0; k < TRIES; k++) {
        *r = (bx_record){0};
        c = sb_slot_helper(slot, h, err);
        if (c == AS_OK)
            c = sb_helper_open(h, spec, err);
        if (c == AS_OK && !h->has_box)
            c = no_box(h, err);
        if (c == AS_OK)
            c = sb_helper_test(h, &spec->limits, input, (as_str){0}, r, output, errors, err);
        if (!is_our_fault(c, r) || c == AS_CANCELLED)
            break;
        sb_helper_stop(h);
    }
    return c;
}

/* The end of the box of sb_slot_once; its texts must have been taken. */
static void end_once(sb_helper *h)
{
    if (h->has_box && sb_helper_close_box(h, NULL) != AS_OK)
        sb_helper_stop(h);
}

/* Ended by itself, but past the CPU limit by less than the helper's margin. */
static bool is_near(const bx_record *r, const sb_limits *l)
{
    return r->act == BX_ACT_NONE && r->step == BX_STEP_NONE &&
           r->cpu_us > (uint64_t)l->cpu_ms * 1000;
}

static as_code run_measured(sb_slot *slot, sb_ticket *t, size_t i, bx_record *r, as_str *output,
                            as_str *errors, sb_test_result *out, as_err *err)
{
    sb_pool *pool = slot->pool;
    (void)pthread_rwlock_rdlock(&pool->alone);
    as_code c = run_once(slot, t, i, r, output, errors, err);
    (void)pthread_rwlock_unlock(&pool->alone);
    out->run_cpu_us[out->n_runs++] = (int64_t)r->cpu_us;
    while (out->n_runs < SB_MAX_RUNS && c == AS_OK && is_near(r, &t->limits)) {
        (void)pthread_rwlock_wrlock(&pool->alone);
        c = run_once(slot, t, i, r, output, errors, err);
        (void)pthread_rwlock_unlock(&pool->alone);
        out->run_cpu_us[out->n_runs++] = (int64_t)r->cpu_us;
    }
    return c;
}

static as_code ask_checker(sb_slot *slot, sb_ticket *t, size_t i, as_str output, bool *is_same,
                           as_err *err)
{
    const sb_test *test = &t->job.tests[i];
    sb_limits l;
    AS_TRY(sb_limits_fill(&l, &(sb_limits){.cpu_ms = 10000, .wall_ms = 60000, .memory_mb = 1024}, 1,
                          err));
    const bx_limits limits = sb_limits_wire(&l, slot->pool->is_unsafe);
    const as_str binary = t->checker != NULL ? (as_str){t->checker->p, t->checker->n} : (as_str){0};
    sb_program program;
    sb_program_checker(&program, &t->job, &limits, binary, test->input, output, test->expected);
    bx_record r;
    as_str out = {0}, errors = {0};
    AS_TRY(sb_slot_once(slot, &slot->checker, &program.spec, (as_str){0}, &r, &out, &errors, err));
    const char *detail;
    char text[64];
    const sb_verdict v = sb_decide(&r, &l, &detail, text);
    *is_same = v == SB_ACCEPTED;
    const bool has_said_no = v == SB_RUNTIME_ERROR && WIFEXITED((int)r.status);
    as_code c = AS_OK;
    if (!*is_same && !has_said_no)
        c = as_fail(err, AS_IO, "sandbox: the checker ended with %s (%s)", sb_verdict_name(v),
                    detail);
    end_once(&slot->checker);
    return c;
}

/* The verdict of a program that ended well. */
static as_code compare(sb_slot *slot, sb_ticket *t, size_t i, as_str output, sb_test_result *out,
                       as_err *err)
{
    const sb_job *job = &t->job;
    bool is_same = false;
    if (job->rule == SB_CHECKER)
        AS_TRY(ask_checker(slot, t, i, output, &is_same, err));
    else if (job->rule == SB_CALLBACK)
        is_same = job->compare(job->user, output, &job->tests[i]);
    else
        is_same = sb_same(job->rule, job->tolerance, output, job->tests[i].expected);
    if (is_same)
        return AS_OK;
    out->verdict = SB_WRONG_ANSWER;
    as_buf b;
    as_buf_init(&b, 2048);
    sb_first_difference(&b, output, job->tests[i].expected);
    out->detail = as_arena_str(&slot->scratch, as_buf_str(&b));
    as_buf_release(&b);
    return AS_OK;
}

/* Past the 1 KB head nobody reads; what went wrong in Python stands at the end. */
static as_str tail(as_str s)
{
    return s.n > SB_ERRORS_KEPT ? as_str_sub(s, s.n - SB_ERRORS_KEPT, s.n) : s;
}

as_code sb_judge_test(sb_slot *slot, sb_ticket *t, size_t i, sb_test_result *out, as_err *err)
{
    *out = (sb_test_result){.has_run = true, .exit_code = -1};
    bx_record r = {0};
    as_str output = {0}, errors = {0};
    as_code c = run_measured(slot, t, i, &r, &output, &errors, out, err);
    if (c != AS_OK) {
        if (c == AS_CANCELLED)
            return c;
        out->verdict = SB_SANDBOX_FAILURE;
        out->detail = as_arena_str(&slot->scratch, as_str_of(err != NULL ? err->text : ""));
        return AS_OK;
    }
    const char *detail;
    char text[64];
    out->verdict = sb_decide(&r, &t->limits, &detail, text);
    out->detail = as_arena_str(&slot->scratch, as_str_of(detail));
    if (r.act == BX_ACT_NONE && r.step == BX_STEP_NONE) {
        out->exit_code = WIFEXITED((int)r.status) ? WEXITSTATUS((int)r.status) : -1;
        out->term_signal = WIFSIGNALED((int)r.status) ? WTERMSIG((int)r.status) : 0;
    }
    out->cpu_us = (int64_t)r.cpu_us;
    out->wall_us = (int64_t)r.wall_us;
    out->waited_us = (int64_t)r.waited_us;
    out->peak_bytes = (int64_t)r.peak_bytes;
    out->output_bytes = (int64_t)r.output_bytes;
    out->errors = as_arena_str(&slot->scratch, tail(errors));
    if (t->job.want_output)
        out->output = as_arena_str(&slot->scratch, output);
    if (out->verdict == SB_ACCEPTED)
        c = compare(slot, t, i, output, out, err);
    if (c != AS_OK && c != AS_CANCELLED) { /* the checker could not be asked */
        out->verdict = SB_SANDBOX_FAILURE;
        out->detail = as_arena_str(&slot->scratch, as_str_of(err != NULL ? err->text : ""));
        c = AS_OK;
    }
    return c;
}
