/*
 * compile.c — C++ becomes a program in a box, once: kept by the hash of code, flags and compiler, in
 * memory and, if the pool has a folder, on disk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "scorers/sandbox/pool_impl.h"
#include "scorers/sandbox/verdict.h"

static as_sha256 key_of(const sb_pool *pool, as_str code)
{
    as_sha256_state *h = as_sha256_new();
    if (h == NULL)
        return as_sha256_of(code);
    as_sha256_add_field(h, as_str_of(SB_CXX_FLAGS));
    as_sha256_add_field(h, as_str_of(pool->cpp));
    as_sha256_add_field(h, code);
    return as_sha256_end(h);
}

static bool path_of(char path[SB_PATH_BYTES], const sb_pool *pool, const as_sha256 *key)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, key);
    const int n = snprintf(path, SB_PATH_BYTES, "%s/%s", pool->compile_dir, hex);
    return pool->compile_dir[0] != '\0' && n > 0 && n < SB_PATH_BYTES;
}

/* With the pool's lock. */
static sb_binary *find(sb_pool *pool, const as_sha256 *key)
{
    for (size_t i = 0; i < SB_BINARIES; i++) {
        sb_binary *b = &pool->binaries[i];
        if (b->p != NULL && memcmp(&b->key, key, sizeof *key) == 0) {
            b->n_users++;
            b->used_at = ++pool->clock;
            return b;
        }
    }
    return NULL;
}

/* Takes a copy; NULL out of memory or if all places are in use. */
static sb_binary *put(sb_pool *pool, const as_sha256 *key, as_str bytes)
{
    (void)pthread_mutex_lock(&pool->lock);
    sb_binary *best = find(pool, key);
    if (best == NULL) {
        for (size_t i = 0; i < SB_BINARIES; i++) {
            sb_binary *b = &pool->binaries[i];
            if (b->n_users == 0 && (best == NULL || b->p == NULL || b->used_at < best->used_at)) {
                best = b;
                if (b->p == NULL)
                    break;
            }
        }
        char *copy = best != NULL ? malloc(bytes.n + 1) : NULL;
        if (copy != NULL) {
            memcpy(copy, bytes.p, bytes.n);
            free(best->p);
            *best = (sb_binary){
                .key = *key, .p = copy, .n = bytes.n, .n_users = 1, .used_at = ++pool->clock};
        } else {
            best = NULL;
        }
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return best;
}

void sb_binary_release(sb_pool *pool, sb_binary *b)
{
    if (b == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    b->n_users--;
    (void)pthread_mutex_unlock(&pool->lock);
}

static sb_binary *from_disk(sb_pool *pool, const as_sha256 *key)
{
    char path[SB_PATH_BYTES];
    if (!path_of(path, pool, key) || !as_file_exists(path))
        return NULL;
    as_buf b;
    as_buf_init(&b, SB_MAX_INPUT);
    sb_binary *found = NULL;
    if (as_read_file(&b, path, NULL) == AS_OK && b.n > 4 && memcmp(b.p, "\177ELF", 4) == 0)
        found = put(pool, key, as_buf_str(&b));
    as_buf_release(&b);
    return found;
}

static void to_disk(const sb_pool *pool, const as_sha256 *key, as_str bytes)
{
    char path[SB_PATH_BYTES];
    as_err err = {0};
    if (path_of(path, pool, key) && as_write_file(path, bytes, &err) != AS_OK)
        as_log_line(pool->log, AS_LOG_DEBUG, "sandbox: %s", err.text);
}

/* With the pool's lock: what the compiler said, and the verdict. */
static void keep_compiler_error(sb_ticket *t, const char *detail, as_str text)
{
    t->result.verdict = SB_COMPILE_ERROR;
    t->result.detail = as_arena_str(&t->keep, as_str_of(detail));
    t->result.compiler_text = as_arena_str(&t->keep, as_str_sub(text, 0, SB_COMPILER_TEXT));
}

as_code sb_compile_program(sb_slot *slot, sb_ticket *t, as_str code, sb_binary **out, as_err *err)
{
    sb_pool *pool = slot->pool;
    const as_sha256 key = key_of(pool, code);
    (void)pthread_mutex_lock(&pool->lock);
    *out = find(pool, &key);
    (void)pthread_mutex_unlock(&pool->lock);
    if (*out == NULL)
        *out = from_disk(pool, &key);
    if (*out != NULL)
        return AS_OK;
    const bx_limits limits = sb_limits_wire(&sb_compile, pool->is_unsafe);
    sb_program program;
    sb_program_compiler(&program, code, &limits);
    bx_record r;
    as_str output = {0}, errors = {0};
    (void)pthread_rwlock_rdlock(&pool->alone);
    as_code c =
        sb_slot_once(slot, &slot->checker, &program.spec, (as_str){0}, &r, &output, &errors, err);
    (void)pthread_rwlock_unlock(&pool->alone);
    if (c != AS_OK)
        return c;
    const char *detail;
    char text[64];
    const sb_verdict v = sb_decide(&r, &sb_compile, &detail, text);
    if (v == SB_SANDBOX_FAILURE) {
        c = as_fail(err, AS_IO, "sandbox: compiling: %s", detail);
    } else if (v == SB_ACCEPTED && output.n > 4 && memcmp(output.p, "\177ELF", 4) == 0) {
        to_disk(pool, &key, output);
        *out = put(pool, &key, output);
        if (*out == NULL)
            c = as_nomem(err);
    }
    (void)pthread_mutex_lock(&pool->lock);
    t->result.compile_cpu_us = (int64_t)r.cpu_us;
    if (c == AS_OK && *out == NULL)
        keep_compiler_error(t, v == SB_RUNTIME_ERROR || v == SB_ACCEPTED ? "compiler" : detail,
                            errors);
    (void)pthread_mutex_unlock(&pool->lock);
    if (slot->checker.has_box && sb_helper_close_box(&slot->checker, NULL) != AS_OK)
        sb_helper_stop(&slot->checker);
    return c;
}
