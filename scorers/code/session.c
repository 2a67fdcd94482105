#include "scorers/code/session.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "scorers/sandbox/program.h"

/* Nothing of it changes once it is open, but the pool, which any number of threads may use. */
struct code_session {
    sb_pool *pool;
    int n_slots;
    char python_sha256[AS_SHA256_HEX], cpp_sha256[AS_SHA256_HEX]; /* "" unknown */
};

static void hash_tool(char hex[AS_SHA256_HEX], const char *path)
{
    as_sha256 sum;
    if (as_sha256_file(&sum, path, NULL) == AS_OK)
        as_sha256_hex(hex, &sum);
}

as_code sc_code_open(void **session, const sc_options *options, as_err *err)
{
    struct code_session *s = calloc(1, sizeof *s);
    as_arena scratch;
    as_arena_init(&scratch, 0);
    as_str dir = {0};
    *session = NULL;
    if (options->cache_dir != NULL)
        dir = as_arena_printf(&scratch, "%s/sandbox/programs", options->cache_dir);
    const sb_pool_options sb = {.n_slots = options->n_slots,
                                .is_unsafe = options->is_unsafe,
                                .compile_dir = dir.p,
                                .log = options->log};
    as_code c = s != NULL ? sb_pool_open(&s->pool, &sb, err) : as_nomem(err);
    as_arena_release(&scratch);
    /* Not the user's mistake: the machine's, like a backend that cannot be reached (exit code 5). */
    if (c == AS_UNSUPPORTED || c == AS_IO) {
        c = AS_TIMEOUT;
        if (err != NULL)
            err->code = c;
    }
    if (c != AS_OK) {
        free(s);
        return c;
    }
    const long n_cpus = sysconf(_SC_NPROCESSORS_ONLN); /* what the pool takes for 0 */
    s->n_slots = options->n_slots != 0 ? options->n_slots : n_cpus > 0 ? (int)n_cpus : 1;
    hash_tool(s->python_sha256, SB_PYTHON_PATH);
    hash_tool(s->cpp_sha256, SB_CXX_PATH);
    *session = s;
    return AS_OK;
}

void sc_code_close(void *session)
{
    struct code_session *s = session;
    if (s == NULL)
        return;
    sb_pool_close(s->pool);
    free(s);
}

sb_pool *sc_code_pool(void *session)
{
    return ((struct code_session *)session)->pool;
}

void sc_code_cancel(void *session)
{
    sb_cancel(sc_code_pool(session));
}

int sc_code_n_at_once(const void *session)
{
    return ((const struct code_session *)session)->n_slots;
}

void sc_code_put_results(as_jw *w, const sc_lcb_result *r)
{
    as_jw_key(w, "results");
    as_jw_begin_array(w);
    for (size_t i = 0; i < r->n_codes; i++) {
        if (r->codes[i] == 0 || r->codes[i] == 1)
            as_jw_bool(w, r->codes[i] == 1);
        else
            as_jw_i64(w, r->codes[i]);
    }
    as_jw_end_array(w);
}

static as_code write_note(as_str *out, const sc_lcb_result *r, size_t n_tests, const char *mode,
                          as_arena *arena, as_err *err)
{
    as_buf b;
    as_jw w;
    as_buf_init(&b, 8 << 20);
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    sc_code_put_results(&w, r);
    as_jw_put_i64(&w, "tests", (int64_t)n_tests);
    as_jw_put_str(&w, "detail", as_str_sub(r->note, 0, 1000));
    as_jw_put_z(&w, "mode", mode);
    as_jw_end_object(&w);
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(arena, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

as_code sc_code_score(as_score *out, const void *session, const sc_lcb_result *r, size_t n_tests,
                      const char *mode, as_arena *arena, as_err *err)
{
    const struct code_session *s = session;
    const as_verdict v = !r->is_graded ? AS_UNGRADED : r->passed ? AS_RIGHT : AS_WRONG;
    *out = (as_score){.verdict = v, .value = v == AS_RIGHT ? 1 : 0};
    out->prediction = as_str_of(sb_verdict_name(r->verdict));
    out->target = as_arena_printf(arena, "%zu tests", n_tests);
    if (v == AS_WRONG && r->n_codes != 0)
        out->rule = (int)r->n_codes;
    for (int i = 0; i < r->execs.n; i++)
        r->execs.of[i].tool_sha256 =
            as_str_of(r->language == SB_CPP ? s->cpp_sha256 : s->python_sha256);
    out->execs = r->execs.of;
    out->n_execs = r->execs.n;
    AS_TRY(write_note(&out->note, r, n_tests, mode, arena, err));
    return as_str_is_set(out->target) ? AS_OK : as_nomem(err);
}

bool sc_code_is_ungraded(as_code c)
{
    return c == AS_PARSE || c == AS_RANGE || c == AS_IO;
}

as_code sc_code_ungraded(as_score *out, const char *why, as_arena *arena, as_err *err)
{
    *out = (as_score){.verdict = AS_UNGRADED, .note = as_arena_str(arena, as_str_of(why))};
    return as_str_is_set(out->note) ? AS_OK : as_nomem(err);
}
