#include "scorers/sandbox/verdict.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

const sb_limits sb_general = {.cpu_ms = 5000,
                              .wall_ms = 17000,
                              .memory_mb = 512,
                              .stack_mb = 256,
                              .tmp_mb = 64,
                              .output_kb = 16384,
                              .tasks = 64};
const sb_limits sb_livecodebench = {.cpu_ms = 6000,
                                    .wall_ms = 20000,
                                    .memory_mb = 4096,
                                    .stack_mb = 256,
                                    .tmp_mb = 64,
                                    .output_kb = 16384,
                                    .tasks = 64};
const sb_limits sb_codeforces = {.cpu_ms = 4000,
                                 .wall_ms = 14000,
                                 .memory_mb = 256,
                                 .stack_mb = 256,
                                 .tmp_mb = 64,
                                 .output_kb = 61440,
                                 .tasks = 64};
/* 10 s of CPU: enough for all of the standard library four times over, and a bomb made of templates
 * ends before the program's own wall limit would usually have. */
const sb_limits sb_compile = {.cpu_ms = 10000,
                              .wall_ms = 60000,
                              .memory_mb = 1024,
                              .stack_mb = 64,
                              .tmp_mb = 256,
                              .output_kb = 61440,
                              .tasks = 32};

static const char *const verdict_names[SB_N_VERDICTS] = {
    "accepted",      "wrong_answer",  "time_limit",         "memory_limit",   "output_limit",
    "runtime_error", "compile_error", "security_violation", "sandbox_failure"};

const char *sb_verdict_name(sb_verdict v)
{
    return (unsigned)v < SB_N_VERDICTS ? verdict_names[v] : "unknown";
}

static const char *const rule_names[SB_N_RULES] = {"lines", "tokens",  "float",   "exact",
                                                   "json",  "checker", "callback"};

const char *sb_rule_name(sb_rule rule)
{
    return (unsigned)rule < SB_N_RULES ? rule_names[rule] : "unknown";
}

bool sb_rule_parse(as_str name, sb_rule *out)
{
    for (int i = 0; i < SB_N_RULES; i++)
        if (as_str_eq_z(name, rule_names[i])) {
            *out = (sb_rule)i;
            return true;
        }
    return false;
}

/* ---- limits --------------------------------------------------------------------------------- */

static as_code fill(int64_t *out, int64_t in, int64_t usual, int64_t max, const char *name,
                    as_err *err)
{
    *out = in != 0 ? in : usual;
    if (*out < 1 || *out > max)
        return as_fail(err, AS_RANGE, "limits: %s is %lld, want 1 to %lld", name, (long long)in,
                       (long long)max);
    return AS_OK;
}

as_code sb_limits_fill(sb_limits *out, const sb_limits *in, double factor, as_err *err)
{
    const sb_limits *g = &sb_general;
    const int64_t max_ms = INT64_C(3600) * 1000;
    int64_t tasks = 0;
    *out = *in;
    AS_TRY(fill(&out->cpu_ms, in->cpu_ms, g->cpu_ms, max_ms, "cpu_ms", err));
    const int64_t usual_wall = in->cpu_ms != 0 ? 3 * out->cpu_ms + 2000 : g->wall_ms;
    AS_TRY(fill(&out->wall_ms, in->wall_ms, usual_wall, 4 * max_ms, "wall_ms", err));
    AS_TRY(fill(&out->memory_mb, in->memory_mb, g->memory_mb, 1 << 20, "memory_mb", err));
    AS_TRY(fill(&out->stack_mb, in->stack_mb, g->stack_mb, 1 << 20, "stack_mb", err));
    AS_TRY(fill(&out->tmp_mb, in->tmp_mb, g->tmp_mb, 1 << 14, "tmp_mb", err));
    AS_TRY(
        fill(&out->output_kb, in->output_kb, g->output_kb, SB_MAX_INPUT >> 10, "output_kb", err));
    AS_TRY(fill(&tasks, in->tasks, g->tasks, 4000, "tasks", err));
    out->tasks = (int)tasks;
    if (factor < 1 || factor > 100)
        return as_fail(err, AS_RANGE, "time factor %g: want 1 to 100", factor);
    out->cpu_ms = (int64_t)((double)out->cpu_ms * factor);
    out->wall_ms = (int64_t)((double)out->wall_ms * factor);
    return AS_OK;
}

bx_limits sb_limits_wire(const sb_limits *l, bool is_unsafe)
{
    return (bx_limits){
        .cpu_ms = (uint64_t)l->cpu_ms + (uint64_t)l->cpu_ms / 4 + 1,
        .wall_ms = (uint64_t)l->wall_ms,
        .memory_bytes = (uint64_t)l->memory_mb << 20,
        .stack_bytes = (uint64_t)l->stack_mb << 20,
        .tmp_bytes = (uint64_t)l->tmp_mb << 20,
        .output_bytes = (uint64_t)l->output_kb << 10,
        .file_bytes = (uint64_t)l->tmp_mb << 20,
        .tasks = (uint32_t)l->tasks,
        .files = 64,
        .flags = (l->want_fork ? BX_FORK : 0u) | (is_unsafe ? BX_UNSAFE : 0u),
    };
}

/* ---- verdicts ------------------------------------------------------------------------------- */

static sb_verdict acted(uint32_t act, const char **detail)
{
    static const struct {
        sb_verdict verdict;
        const char *detail;
    } rows[BX_N_ACTS] = {
        [BX_ACT_CPU] = {SB_TIME_LIMIT, "cpu"},
        [BX_ACT_WALL] = {SB_TIME_LIMIT, "wall"},
        [BX_ACT_MEMORY] = {SB_MEMORY_LIMIT, "memory"},
        [BX_ACT_OUTPUT] = {SB_OUTPUT_LIMIT, "standard output"},
        [BX_ACT_STDERR] = {SB_OUTPUT_LIMIT, "standard error"},
    };
    *detail = rows[act].detail;
    return rows[act].verdict;
}

sb_verdict sb_decide(const bx_record *r, const sb_limits *limits, const char **detail,
                     char text[64])
{
    const uint64_t memory = (uint64_t)limits->memory_mb << 20;
    const int status = (int)r->status;
    const int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const bool ended_badly = signal_number != 0 || WEXITSTATUS(status) != 0;
    *detail = "";
    if (r->act != BX_ACT_NONE && r->act < BX_N_ACTS)
        return acted(r->act, detail);
    if (r->step != BX_STEP_NONE) {
        *detail = bx_step_name((bx_step)r->step);
        return SB_SANDBOX_FAILURE;
    }
    if (signal_number == SIGXFSZ)
        return acted(BX_ACT_OUTPUT, detail);
    if (r->is_oom != 0 || r->peak_bytes > memory ||
        (ended_badly && r->peak_bytes > memory / 10 * 9 && signal_number != SIGSYS))
        return acted(BX_ACT_MEMORY, detail);
    if (r->cpu_us > (uint64_t)limits->cpu_ms * 1000 || signal_number == SIGXCPU)
        return acted(BX_ACT_CPU, detail);
    if (r->wall_us > bx_wall_allowed_us((uint64_t)limits->wall_ms, r->waited_us))
        return acted(BX_ACT_WALL, detail);
    if (!ended_badly)
        return SB_ACCEPTED;
    *detail = text;
    if (signal_number == SIGSYS) {
        *detail = "forbidden system call";
        return SB_SECURITY_VIOLATION;
    }
    if (signal_number != 0)
        (void)snprintf(text, 64, "signal %d", signal_number);
    else
        (void)snprintf(text, 64, "exit status %d", WEXITSTATUS(status));
    return SB_RUNTIME_ERROR;
}
