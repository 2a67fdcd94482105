#include "scorers/scorer.h"

#include <string.h>

/* What can be said without reading the answer; false when the scorer must. */
static bool settle(const as_response *r, as_score *out)
{
    const bool is_cut = r->finish == AS_FINISH_LENGTH;
    if (r->finish == AS_FINISH_ERROR || r->finish == AS_FINISH_CANCELLED ||
        r->error != AS_ERROR_NONE) {
        out->verdict = AS_ERROR;
        out->note = r->message;
    } else if (r->finish == AS_FINISH_BLOCKED) {
        out->verdict = AS_REFUSED;
        out->note = r->message;
    } else if (as_str_trim(r->text).n == 0) {
        out->verdict = is_cut ? AS_TRUNCATED : AS_EMPTY;
    } else {
        return false;
    }
    return true;
}

bool sc_is_settled(const as_response *response)
{
    as_score unused = {0};
    return settle(response, &unused);
}

as_code sc_judge(const sc_scorer *scorer, const as_sample *sample, const as_response *response,
                 as_score *out, as_arena *arena, as_err *err)
{
    return sc_judge_in(scorer, NULL, sample, response, out, arena, err);
}

as_code sc_judge_in(const sc_scorer *scorer, void *session, const as_sample *sample,
                    const as_response *response, as_score *out, as_arena *arena, as_err *err)
{
    as_sample keyed = *sample;
    if (as_str_is_set(response->recorded.target))
        keyed.target = response->recorded.target;
    if (response->recorded.n_choices > 0 && response->recorded.n_choices != keyed.n_choices) {
        keyed.n_choices = response->recorded.n_choices;
        keyed.choices = NULL; /* the recording's options are not these */
    }
    as_score score = {.target = keyed.target};
    if (!settle(response, &score)) {
        if (scorer->score_in != NULL)
            AS_TRY(scorer->score_in(session, &keyed, response, &score, arena, err));
        else
            AS_TRY(scorer->score(&keyed, response, &score, arena, err));
        if (response->finish == AS_FINISH_LENGTH &&
            (score.verdict == AS_WRONG || score.verdict == AS_UNPARSED)) {
            score.verdict = AS_TRUNCATED;
            score.value = 0;
        }
    }
    *out = score;
    return AS_OK;
}

const sc_scorer *sc_find(const sc_scorer *const *scorers, const char *name)
{
    for (; *scorers != NULL; scorers++)
        if (strcmp((*scorers)->name, name) == 0)
            return *scorers;
    return NULL;
}
