#ifndef CLI_RATE_H
#define CLI_RATE_H
/*
 * rate.h — what the files of `assay rate` share.
 *
 * cli_rate_cases prints a JSON array, one object a case in the same order: rank and rating for
 * {"standings","score","penalty"}; ml and map_mu1500_sd400 with _se and _interval for
 * {"difficulty","solved"} (null and "ml_open": "above" or "below" where no finite value exists);
 * unweighted and reweighted for {"models","battles"}. A case without an answer is {"error": why}.
 */
#include "base/json.h"
#include "cli/cli.h"
#include "scorers/rating/arena_rank.h"
#include "scorers/rating/elo.h"

as_code cli_rate_cases(const char *path, bool is_arena, as_err *err);
void cli_put_estimate(as_jw *w, const char *name, const sc_estimate *e);
/* [[points, penalty, rating], …] */
as_code cli_read_standings(sc_standing **out, size_t *n, const as_json *list, as_arena *keep,
                           as_err *err);

/* "models", "unweighted" and "reweighted" as an object; the same as a table. */
as_code cli_put_arena(as_buf *b, const char *const *names, int n_models, const sc_battles *rows,
                      size_t n, as_arena *keep, as_err *err);
as_code cli_put_arena_text(as_buf *b, const char *const *names, int n_models,
                           const sc_battles *rows, size_t n, as_arena *keep, as_err *err);

/* One run: its Codeforces rating. Several: Bradley–Terry over the items they share. */
as_code cli_rate_runs(const char *const *which, int n, const char *db_flag, const char *format_name,
                      cli_env *env, as_err *err);

#endif
