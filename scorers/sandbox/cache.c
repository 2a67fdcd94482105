/*
 * cache.c — results by the hash of all that decides them: code, tests, limits, rule, tools, version.
 * One JSON file each. Not kept: failures of ours, what ran without a sandbox, what a callback
 * decided, jobs that want the output. A folder over its bound loses its oldest files at the start.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "scorers/sandbox/pool_impl.h"

static bool is_kept(const sb_ticket *t)
{
    return t->pool->verdict_dir[0] != '\0' && !t->pool->is_unsafe && !t->job.want_output &&
           t->job.rule != SB_CALLBACK;
}

static void add_number(as_sha256_state *h, int64_t v)
{
    char text[32];
    const int n = snprintf(text, sizeof text, "%lld", (long long)v);
    as_sha256_add_field(h, (as_str){text, (size_t)n});
}

void sb_verdict_key(sb_ticket *t)
{
    const sb_job *j = &t->job;
    as_sha256_state *h = is_kept(t) ? as_sha256_new() : NULL;
    if (h == NULL)
        return;
    const int64_t numbers[] = {
        SB_SCORER_VERSION,    j->language,         t->limits.cpu_ms,  t->limits.wall_ms,
        t->limits.memory_mb,  t->limits.stack_mb,  t->limits.tmp_mb,  t->limits.output_kb,
        t->limits.tasks,      t->limits.want_fork, j->rule,           j->checker_language,
        j->exit_code_is_fine, j->want_fresh,       j->want_all_tests, (int64_t)j->n_tests};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_number(h, numbers[i]);
    char tolerance[32];
    as_f64_text(tolerance, j->tolerance);
    const as_str texts[] = {j->code,
                            j->checker,
                            j->fn_name,
                            j->preamble,
                            j->runner,
                            as_str_of(tolerance),
                            as_str_of(t->pool->python),
                            as_str_of(t->pool->cpp),
                            as_str_of(t->pool->sandbox),
                            sb_server_text()};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        as_sha256_add_field(h, texts[i]);
    for (size_t i = 0; i < j->n_tests; i++) {
        as_sha256_add_field(h, j->tests[i].input);
        as_sha256_add_field(h, j->tests[i].expected);
    }
    t->key = as_sha256_end(h);
}

static bool path_of(char path[SB_PATH_BYTES], const sb_ticket *t)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, &t->key);
    const int n = snprintf(path, SB_PATH_BYTES, "%s/%s.json", t->pool->verdict_dir, hex);
    return n > 0 && n < SB_PATH_BYTES;
}

static bool find_verdict(as_str name, sb_verdict *out)
{
    for (int i = 0; i < SB_N_VERDICTS; i++)
        if (as_str_eq_z(name, sb_verdict_name((sb_verdict)i))) {
            *out = (sb_verdict)i;
            return true;
        }
    return false;
}

static bool read_text(const as_json *node, const char *key, as_str *out, as_arena *keep)
{
    as_str s;
    if (!as_json_str(as_json_get(node, key), &s))
        return false;
    *out = as_arena_str(keep, s);
    return true;
}

static bool read_test(const as_json *node, sb_test_result *x, as_arena *keep)
{
    as_str verdict;
    int64_t exit_code = 0, term_signal = 0;
    const bool is_fine = as_json_str(as_json_get(node, "verdict"), &verdict) &&
                         find_verdict(verdict, &x->verdict) &&
                         read_text(node, "detail", &x->detail, keep) &&
                         read_text(node, "errors", &x->errors, keep) &&
                         as_json_i64(as_json_get(node, "exit_code"), &exit_code) &&
                         as_json_i64(as_json_get(node, "signal"), &term_signal) &&
                         as_json_i64(as_json_get(node, "cpu_us"), &x->cpu_us) &&
                         as_json_i64(as_json_get(node, "wall_us"), &x->wall_us) &&
                         as_json_i64(as_json_get(node, "waited_us"), &x->waited_us) &&
                         as_json_i64(as_json_get(node, "peak_bytes"), &x->peak_bytes) &&
                         as_json_i64(as_json_get(node, "output_bytes"), &x->output_bytes);
    x->has_run = true;
    x->exit_code = (int)exit_code;
    x->term_signal = (int)term_signal;
    const as_json *runs = as_json_get(node, "run_cpu_us");
    if (as_json_type(runs) != AS_JSON_ARRAY || as_json_count(runs) > SB_MAX_RUNS)
        return false;
    for (const as_json *v = as_json_first(runs); v != NULL; v = as_json_next(v))
        if (!as_json_i64(v, &x->run_cpu_us[x->n_runs++]))
            return false;
    return is_fine;
}

/* All or nothing: a damaged file is as good as none. */
static bool read_result(const as_json *tree, sb_ticket *t)
{
    sb_result r = {.tests = t->result.tests, .n_tests = t->job.n_tests, .is_cached = true};
    as_str verdict;
    const as_json *tests = as_json_get(tree, "tests");
    if (!as_json_str(as_json_get(tree, "verdict"), &verdict) ||
        !find_verdict(verdict, &r.verdict) || !read_text(tree, "detail", &r.detail, &t->keep) ||
        as_json_type(tests) != AS_JSON_ARRAY || as_json_count(tests) > t->job.n_tests)
        return false;
    sb_test_result *results = as_new(&t->keep, sb_test_result, t->job.n_tests);
    if (results == NULL)
        return false;
    size_t i = 0;
    for (const as_json *x = as_json_first(tests); x != NULL; x = as_json_next(x), i++) {
        if (!read_test(x, &results[i], &t->keep))
            return false;
        r.n_run++;
        r.n_passed += results[i].verdict == SB_ACCEPTED;
    }
    r.tests = results;
    t->result = r;
    return true;
}

bool sb_verdict_load(sb_ticket *t)
{
    char path[SB_PATH_BYTES];
    if (!is_kept(t) || !path_of(path, t) || !as_file_exists(path))
        return false;
    as_buf b;
    as_buf_init(&b, (size_t)64 << 20);
    as_json *tree = NULL;
    const bool is_read = as_read_file(&b, path, NULL) == AS_OK &&
                         as_json_parse(&tree, as_buf_str(&b), NULL) == AS_OK &&
                         read_result(tree, t);
    as_json_free(tree);
    as_buf_release(&b);
    return is_read;
}

static void put_test(as_jw *w, const sb_test_result *x)
{
    as_jw_begin_object(w);
    as_jw_key(w, "verdict");
    as_jw_z(w, sb_verdict_name(x->verdict));
    as_jw_key(w, "detail");
    as_jw_str(w, x->detail);
    as_jw_key(w, "errors");
    as_jw_str(w, x->errors);
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {{"exit_code", x->exit_code},
                   {"signal", x->term_signal},
                   {"cpu_us", x->cpu_us},
                   {"wall_us", x->wall_us},
                   {"waited_us", x->waited_us},
                   {"peak_bytes", x->peak_bytes},
                   {"output_bytes", x->output_bytes}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        as_jw_put_i64(w, numbers[i].key, numbers[i].value);
    as_jw_key(w, "run_cpu_us");
    as_jw_begin_array(w);
    for (int i = 0; i < x->n_runs; i++)
        as_jw_i64(w, x->run_cpu_us[i]);
    as_jw_end_array(w);
    as_jw_end_object(w);
}

void sb_verdict_save(const sb_ticket *t)
{
    char path[SB_PATH_BYTES];
    const sb_result *r = &t->result;
    if (!is_kept(t) || t->code != AS_OK || r->verdict == SB_SANDBOX_FAILURE || !path_of(path, t))
        return;
    as_buf b;
    as_buf_init(&b, (size_t)64 << 20);
    as_jw w;
    as_jw_init(&w, &b);
    as_jw_begin_object(&w);
    as_jw_key(&w, "verdict");
    as_jw_z(&w, sb_verdict_name(r->verdict));
    as_jw_key(&w, "detail");
    as_jw_str(&w, r->detail);
    as_jw_key(&w, "tests");
    as_jw_begin_array(&w);
    for (size_t i = 0; i < r->n_tests && r->tests[i].has_run; i++)
        put_test(&w, &r->tests[i]);
    as_jw_end_array(&w);
    as_jw_end_object(&w);
    as_err err = {0};
    if (as_buf_ok(&b, &err) != AS_OK || as_write_file(path, as_buf_str(&b), &err) != AS_OK)
        as_log_line(t->pool->log, AS_LOG_DEBUG, "sandbox: %s", err.text);
    as_buf_release(&b);
}

/* ---- the folders ---------------------------------------------------------------------------- */

typedef struct entry {
    struct timespec at;
    int64_t bytes;
    char name[AS_SHA256_HEX + 16]; /* ours are not longer; others stay */
} entry;

static int by_age(const void *a, const void *b)
{
    const struct timespec *x = &((const entry *)a)->at, *y = &((const entry *)b)->at;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* malloc'ed, or NULL; *total: of all their bytes. */
static entry *list_folder(DIR *d, size_t *n, int64_t *total)
{
    size_t room = 0;
    entry *list = NULL;
    *n = 0;
    *total = 0;
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        if (strlen(e->d_name) >= sizeof list->name ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (*n == room) {
            room = 2 * room + 64;
            entry *grown = realloc(list, room * sizeof *list);
            if (grown == NULL)
                break;
            list = grown;
        }
        entry *x = &list[(*n)++];
        *x = (entry){.at = st.st_mtim, .bytes = st.st_size};
        memcpy(x->name, e->d_name, strlen(e->d_name) + 1);
        *total += x->bytes;
    }
    return list;
}

void sb_cache_bound(const char *dir, int64_t max_bytes)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    size_t n = 0;
    int64_t total = 0;
    entry *list = list_folder(d, &n, &total);
    if (total > max_bytes)
        qsort(list, n, sizeof *list, by_age);
    for (size_t i = 0; i < n && total > max_bytes; i++)
        if (unlinkat(dirfd(d), list[i].name, 0) == 0)
            total -= list[i].bytes;
    free(list);
    (void)closedir(d);
}
