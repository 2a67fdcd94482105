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
#include "scorers/rating/elo.h"

as_code cli_rate_cases(const char *path, bool is_arena, as_err *err);
void cli_put_estimate(as_jw *w, const char *name, const sc_estimate *e);
/* [[points, penalty, rating], …] */
as_code cli_read_standings(sc_standing **out, size_t *n, const as_json *list, as_arena *keep,
                           as_err *err);

#endif
