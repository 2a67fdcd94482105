/* What is decided without a box: comparing, verdicts, limits, frames, cgroup texts. */
#include <errno.h>
#include <signal.h>

#include "scorers/sandbox/box/cgroup.h"
#include "scorers/sandbox/compare.h"
#include "scorers/sandbox/verdict.h"
#include "unit/cm.h"

static const struct {
    const char *why;
    sb_rule rule;
    double tolerance;
    as_str output, expected;
    bool want;
} pairs[] = {
    {"equal", SB_LINES, 0, AS_STR_INIT("7\n"), AS_STR_INIT("7\n"), true},
    {"no newline at the end", SB_LINES, 0, AS_STR_INIT("7"), AS_STR_INIT("7\n"), true},
    {"blanks at line ends, CRLF", SB_LINES, 0, AS_STR_INIT("1 2 3 \r\nYES  "),
     AS_STR_INIT("1 2 3\nYES\n"), true},
    {"blank lines around", SB_LINES, 0, AS_STR_INIT("\n\n7\n\n"), AS_STR_INIT("7"), true},
    {"a blank line within", SB_LINES, 0, AS_STR_INIT("7\n\n8"), AS_STR_INIT("7\n8"), false},
    {"one line more", SB_LINES, 0, AS_STR_INIT("7\n8"), AS_STR_INIT("7"), false},
    {"nothing", SB_LINES, 0, AS_STR_INIT(""), AS_STR_INIT("7"), false},
    {"nothing for nothing", SB_LINES, 0, AS_STR_INIT(" \n"), AS_STR_INIT(""), true},
    {"numbers with other blanks", SB_LINES, 0, AS_STR_INIT("1   2"), AS_STR_INIT("1 2"), true},
    {"words with other blanks", SB_LINES, 0, AS_STR_INIT("a   b"), AS_STR_INIT("a b"), false},
    {"1.0 is 1", SB_LINES, 0, AS_STR_INIT("1.0"), AS_STR_INIT("1"), true},
    {"1e3 is 1000", SB_LINES, 0, AS_STR_INIT("1e3"), AS_STR_INIT("1000"), true},
    {"+3 is 3", SB_LINES, 0, AS_STR_INIT("+3"), AS_STR_INIT("3"), true},
    {"007 is 7", SB_LINES, 0, AS_STR_INIT("007"), AS_STR_INIT("7"), true},
    {".5 is 0.50", SB_LINES, 0, AS_STR_INIT(".5"), AS_STR_INIT("0.50"), true},
    {"5. is 5", SB_LINES, 0, AS_STR_INIT("5."), AS_STR_INIT("5"), true},
    {"1_000 is 1000", SB_LINES, 0, AS_STR_INIT("1_000"), AS_STR_INIT("1000"), true},
    {"-0 is 0", SB_LINES, 0, AS_STR_INIT("-0"), AS_STR_INIT("0.00"), true},
    {"0e9 is 0", SB_LINES, 0, AS_STR_INIT("0e9"), AS_STR_INIT("0"), true},
    {"full-width digits", SB_LINES, 0, AS_STR_INIT("\xEF\xBC\x91\xEF\xBC\x92"), AS_STR_INIT("12"),
     true},
    {"inf is Infinity", SB_LINES, 0, AS_STR_INIT("inf"), AS_STR_INIT("Infinity"), true},
    {"-inf is not inf", SB_LINES, 0, AS_STR_INIT("-inf"), AS_STR_INIT("inf"), false},
    {"nan is not NaN", SB_LINES, 0, AS_STR_INIT("nan"), AS_STR_INIT("NaN"), false},
    {"nan is nan as text", SB_LINES, 0, AS_STR_INIT("nan"), AS_STR_INIT("nan"), true},
    {"YES is not Yes", SB_LINES, 0, AS_STR_INIT("YES"), AS_STR_INIT("Yes"), false},
    {"decimals are exact", SB_LINES, 0, AS_STR_INIT("50000000000000000"),
     AS_STR_INIT("50000000000000001"), false},
    {"no tolerance", SB_LINES, 0, AS_STR_INIT("0.3333333333"), AS_STR_INIT("0.33333333333"), false},
    {"a huge exponent is compared, not expanded", SB_LINES, 0, AS_STR_INIT("1e999999999"),
     AS_STR_INIT("10e999999998"), true},
    {"1e is no number", SB_LINES, 0, AS_STR_INIT("1e"), AS_STR_INIT("1"), false},
    {"1.2.3 is no number", SB_LINES, 0, AS_STR_INIT("1.2.3"), AS_STR_INIT("1.2.30"), false},
    {"0x10 is no number", SB_LINES, 0, AS_STR_INIT("0x10"), AS_STR_INIT("16"), false},
    {"NUL is text", SB_LINES, 0, AS_STR_INIT("7\0"), AS_STR_INIT("7"), false},
    {"invalid bytes stay distinct", SB_LINES, 0, AS_STR_INIT("\xFF"), AS_STR_INIT("\xFE"), false},
    {"a no-break space is a blank", SB_LINES, 0, AS_STR_INIT("7\xC2\xA0"), AS_STR_INIT("7"), true},
    {"tokens over lines", SB_TOKENS, 0, AS_STR_INIT("1\n2 3"), AS_STR_INIT("1 2\n3\n"), true},
    {"tokens are texts", SB_TOKENS, 0, AS_STR_INIT("1.0"), AS_STR_INIT("1"), false},
    {"a token more", SB_TOKENS, 0, AS_STR_INIT("1 2"), AS_STR_INIT("1"), false},
    {"within abs", SB_FLOAT, 1e-6, AS_STR_INIT("0.3333335"), AS_STR_INIT("0.3333333333"), true},
    {"beyond abs", SB_FLOAT, 1e-6, AS_STR_INIT("0.333336"), AS_STR_INIT("0.3333333333"), false},
    {"within rel", SB_FLOAT, 1e-6, AS_STR_INIT("1000000.5"), AS_STR_INIT("1000000"), true},
    {"usual tolerance", SB_FLOAT, 0, AS_STR_INIT("1.0000009"), AS_STR_INIT("1"), true},
    {"NaN equals nothing", SB_FLOAT, 1e-6, AS_STR_INIT("nan"), AS_STR_INIT("nan"), false},
    {"inf of the same sign", SB_FLOAT, 1e-6, AS_STR_INIT("inf"), AS_STR_INIT("Infinity"), true},
    {"inf against a number", SB_FLOAT, 1e-6, AS_STR_INIT("inf"), AS_STR_INIT("1e300"), false},
    {"words among floats", SB_FLOAT, 1e-6, AS_STR_INIT("YES 1.0"), AS_STR_INIT("YES 1"), true},
    {"other words among floats", SB_FLOAT, 1e-6, AS_STR_INIT("NO 1"), AS_STR_INIT("YES 1"), false},
    {"bytes", SB_EXACT, 0, AS_STR_INIT("7\n"), AS_STR_INIT("7"), false},
    {"JSON blanks", SB_JSON, 0, AS_STR_INIT("[1, 2]\n"), AS_STR_INIT("[1,2]"), true},
    {"JSON numbers", SB_JSON, 0, AS_STR_INIT("[1.0]"), AS_STR_INIT("[1]"), true},
    {"1 is not true", SB_JSON, 0, AS_STR_INIT("1"), AS_STR_INIT("true"), false},
    {"JSON members in any order", SB_JSON, 0, AS_STR_INIT("{\"a\":1,\"b\":2}"),
     AS_STR_INIT("{\"b\":2,\"a\":1}"), true},
    {"big integers by their digits", SB_JSON, 0, AS_STR_INIT("[50000000000000000]"),
     AS_STR_INIT("[ 50000000000000001]"), false},
    {"two values", SB_JSON, 0, AS_STR_INIT("7\n7"), AS_STR_INIT("7"), false},
    {"no value", SB_JSON, 0, AS_STR_INIT(""), AS_STR_INIT(""), false},
    {"JSON with tolerance", SB_JSON, 1e-6, AS_STR_INIT("0.30000001"), AS_STR_INIT("0.3"), true},
};

static void outputs_are_compared(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const bool got =
            sb_same(pairs[i].rule, pairs[i].tolerance, pairs[i].output, pairs[i].expected);
        if (got != pairs[i].want)
            fail_msg("%s (%s): got %d", pairs[i].why, sb_rule_name(pairs[i].rule), (int)got);
    }
}

static void the_difference_is_told(void **state)
{
    (void)state;
    as_buf b;
    as_buf_init(&b, 4096);
    sb_first_difference(&b, AS_STR("1\n2\n3\n"), AS_STR("1\n5\n3\n"));
    assert_string_equal(b.p, "line 2: \"2\", want \"5\"");
    as_buf_release(&b);
}

enum { MB = 1 << 20 };

static const struct {
    const char *why;
    bx_record r;
    sb_verdict want;
} ends[] = {
    {"ended well", {.cpu_us = 1000}, SB_ACCEPTED},
    {"by 1 ms too late", {.cpu_us = 1001000}, SB_TIME_LIMIT},
    {"exit status 3", {.status = 3 << 8}, SB_RUNTIME_ERROR},
    {"a signal", {.status = SIGSEGV}, SB_RUNTIME_ERROR},
    {"the filter", {.status = SIGSYS}, SB_SECURITY_VIOLATION},
    {"a file too large", {.status = SIGXFSZ}, SB_OUTPUT_LIMIT},
    {"the kernel's own CPU limit", {.status = SIGXCPU}, SB_TIME_LIMIT},
    {"memory at the end", {.peak_bytes = 101ull * MB}, SB_MEMORY_LIMIT},
    {"a refused allocation near the limit",
     {.status = SIGABRT, .peak_bytes = 95ull * MB},
     SB_MEMORY_LIMIT},
    {"an abort far from it", {.status = SIGABRT, .peak_bytes = 10ull * MB}, SB_RUNTIME_ERROR},
    {"the memory cgroup", {.status = SIGKILL, .is_oom = 1}, SB_MEMORY_LIMIT},
    {"acted on output first",
     {.act = BX_ACT_OUTPUT, .cpu_us = 9000000, .status = SIGKILL},
     SB_OUTPUT_LIMIT},
    {"acted on wall time", {.act = BX_ACT_WALL, .status = SIGKILL}, SB_TIME_LIMIT},
    {"too long by the clock on the wall", {.wall_us = 5001000}, SB_TIME_LIMIT},
    {"too long, but it stood in the queue",
     {.wall_us = 7900000, .waited_us = 3000000},
     SB_ACCEPTED},
    {"too long even so", {.wall_us = 8100000, .waited_us = 3000000}, SB_TIME_LIMIT},
    {"patience ends at ten times the limit",
     {.wall_us = 50100000, .waited_us = 90000000},
     SB_TIME_LIMIT},
    {"a step of ours failed",
     {.step = BX_STEP_EXEC, .error = ENOENT, .status = 127 << 8},
     SB_SANDBOX_FAILURE},
    {"memory before time", {.cpu_us = 9000000, .peak_bytes = 200ull * MB}, SB_MEMORY_LIMIT},
    {"time before a bad exit", {.cpu_us = 9000000, .status = 1 << 8}, SB_TIME_LIMIT},
};

static void ends_become_verdicts(void **state)
{
    (void)state;
    const sb_limits l = {.cpu_ms = 1000, .wall_ms = 5000, .memory_mb = 100};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const char *detail = NULL;
        char text[64];
        const sb_verdict got = sb_decide(&ends[i].r, &l, &detail, text);
        if (got != ends[i].want || detail == NULL)
            fail_msg("%s: got %s", ends[i].why, sb_verdict_name(got));
    }
}

static void limits_are_filled_and_scaled(void **state)
{
    (void)state;
    sb_limits l;
    assert_int_equal(sb_limits_fill(&l, &(sb_limits){.cpu_ms = 1000}, 2, NULL), AS_OK);
    assert_int_equal(l.cpu_ms, 2000);
    assert_int_equal(l.wall_ms, 10000); /* (3 × cpu + 2000) × 2 */
    assert_int_equal(l.memory_mb, sb_general.memory_mb);
    const bx_limits w = sb_limits_wire(&l, false);
    assert_int_equal(w.cpu_ms, 2501); /* a quarter on top, for near misses */
    const sb_limits bad[] = {{.cpu_ms = -1}, {.output_kb = 1 << 20}, {.tasks = 5000}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sb_limits_fill(&l, &bad[i], 1, NULL), AS_RANGE);
    assert_int_equal(sb_limits_fill(&l, &(sb_limits){0}, 0.5, NULL), AS_RANGE);
}

static bool parse_open(const bx_out *o, bx_open *spec)
{
    return bx_get_open(spec, o->p + BX_HEAD_BYTES, o->n - BX_HEAD_BYTES);
}

static void put_open(bx_out *o, const char *name, const bx_limits *l)
{
    bx_begin(o, BX_OPEN);
    bx_put_u32(o, BX_EXEC);
    bx_put_limits(o, l);
    bx_put_u32(o, 1);
    bx_put_u32(o, 1);
    bx_put_bytes(o, name, strlen(name));
    bx_put_u32(o, 0444);
    bx_put_bytes(o, "text", 4);
    bx_put_bytes(o, "/bin/true", 9);
    assert_true(bx_end(o));
}

static void frames_hold_what_they_say(void **state)
{
    (void)state;
    sb_limits filled;
    assert_int_equal(sb_limits_fill(&filled, &(sb_limits){0}, 1, NULL), AS_OK);
    const bx_limits l = sb_limits_wire(&filled, false);
    bx_open spec;
    bx_out o;
    put_open(&o, "main.py", &l);
    uint32_t length = 0;
    bx_type type;
    assert_true(bx_head(o.p, &length, &type));
    assert_int_equal(length, o.n - BX_HEAD_BYTES);
    assert_int_equal(type, BX_OPEN);
    assert_true(parse_open(&o, &spec));
    assert_string_equal(spec.files[0].name, "main.py");
    assert_string_equal(spec.args[0], "/bin/true");
    assert_int_equal(spec.limits.memory_bytes, l.memory_bytes);
    for (size_t n = 0; n < o.n - BX_HEAD_BYTES; n++) /* cut anywhere */
        assert_false(bx_get_open(&spec, o.p + BX_HEAD_BYTES, n));
    bx_out_free(&o);
    static const char *const bad[] = {"", "..", "a/b", ".hidden", "a b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_open(&o, bad[i], &l);
        assert_false(parse_open(&o, &spec));
        bx_out_free(&o);
    }
    const uint8_t long_head[BX_HEAD_BYTES] = {0xFF, 0xFF, 0xFF, 0xFF, BX_RESULT};
    const uint8_t odd_head[BX_HEAD_BYTES] = {1, 0, 0, 0, 99};
    assert_false(bx_head(long_head, &length, &type));
    assert_false(bx_head(odd_head, &length, &type));
}

static void cgroup_texts_are_read(void **state)
{
    (void)state;
    const char *own = "9:name=systemd:/\n4:cpu,cpuacct:/a/b\n3:memory:/m\n0::/user.slice/x.scope\n";
    const char *mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
                         "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup "
                         "cgroup rw,cpu,cpuacct\n"
                         "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    char out[64];
    uint64_t v = 0;
    assert_true(bx_cgroup_own_path(own, "cpuacct", out, sizeof out));
    assert_string_equal(out, "/a/b");
    assert_true(bx_cgroup_own_path(own, "", out, sizeof out));
    assert_string_equal(out, "/user.slice/x.scope");
    assert_false(bx_cgroup_own_path(own, "pids", out, sizeof out));
    assert_false(bx_cgroup_own_path(own, "", out, 5));
    assert_true(bx_cgroup_mount(mounts, "cpuacct", out, sizeof out));
    assert_string_equal(out, "/sys/fs/cgroup/cpu,cpuacct");
    assert_true(bx_cgroup_mount(mounts, "", out, sizeof out));
    assert_string_equal(out, "/sys/fs/cgroup/unified");
    assert_false(bx_cgroup_mount(mounts, "memory", out, sizeof out));
    assert_true(bx_cgroup_field("low 0\noom 3\noom_kill 2\n", "oom_kill", &v));
    assert_int_equal(v, 2);
    assert_true(bx_cgroup_field("usage_usec 1234567\nuser_usec 1\n", "usage_usec", &v));
    assert_int_equal(v, 1234567);
    assert_false(bx_cgroup_field("oom_killer 1\n", "oom_kill", &v));
    assert_false(bx_cgroup_field("oom_kill x\n", "oom_kill", &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_compared),      cmocka_unit_test(the_difference_is_told),
        cmocka_unit_test(ends_become_verdicts),      cmocka_unit_test(limits_are_filled_and_scaled),
        cmocka_unit_test(frames_hold_what_they_say), cmocka_unit_test(cgroup_texts_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
