#ifndef TESTS_UNIT_ENGINE_SUPPORT_H
#define TESTS_UNIT_ENGINE_SUPPORT_H
/*
 * engine_support.h — models, golden files and feeding rows, for the tests of the engine.
 *
 * Errors     a call that fails ends the test with its sentence.
 * Ownership  paths live until the process ends.
 */
#include "cm.h"

#include "base/buf.h"
#include "base/json.h"
#include "engine/engine.h"
#include "engine/kernels/ops.h"

/* Built with a sanitizer: ten times slower, so tests take a smaller share. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_IS_SLOW_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_IS_SLOW_BUILD 1
#endif
#endif
#ifndef TEST_IS_SLOW_BUILD
#define TEST_IS_SLOW_BUILD 0
#endif

/* "<folder>/<name>" of tests/fixtures. */
const char *t_fixture(const char *name);
/* The folder of a golden set of golden/text: a fixture or under AS_SHARED; NULL: neither. */
const char *t_golden(const char *model);

g4_model *t_model(const char *path);
g4_session *t_session(const g4_model *m, g4_session_options options);
/* The same with a chosen kernel family. */
g4_session *t_session_ops(const g4_model *m, g4_session_options options, const k_ops *ops);

as_json *t_json(const char *path);
/* A file's floats; *n may be NULL. free it. */
float *t_floats(const char *path, size_t *n);
/* Arrays of numbers; malloc'ed. */
int32_t *t_ids(const as_json *array, int *n);
double *t_numbers(const as_json *array, int *n);
double t_number(const as_json *object, const char *key, double fallback);

int t_seq(g4_session *s);
g4_result t_decode(g4_session *s, const g4_row *rows, int n);

/* Feeds ids from first_position in pieces of `piece` rows. want[i] (NULL: all) asks for logits,
 * which are handed to `see` one row at a time, i being the index of the id. */
typedef void (*t_see)(void *user, int i, const float *logits);
void t_feed(g4_session *s, int seq, const int32_t *ids, int n, int32_t first_position, int piece,
            const bool *want, t_see see, void *user);

int32_t t_argmax(const float *logits, int n);

#endif
