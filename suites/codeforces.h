#ifndef SUITES_CODEFORCES_H
#define SUITES_CODEFORCES_H
/*
 * codeforces.h — the rating of a run on contest problems, in detail: what `assay rate RUN` prints.
 *
 * Contests   CodeElo (arXiv:2501.01257): a contest's attempts in order; the first right one at index
 *            i gives max(0, points - 50 i) where the contest has points, else one problem solved and
 *            10 i of penalty; the place among the standings gives a rating (scorers/rating/elo.h).
 *            The run's rating is their mean, its interval normal over contests (two or more).
 *            Attempts that failed or could not be graded are left out, not counted as wrong.
 * Problems   likeliest rating given the problems' own ratings and the pass rates, plain and with the
 *            prior N(1500, 400²).
 * Official   upstream leaves out contests of 200 or fewer rated participants; n_small says how many
 *            of those are in the mean here.
 * Ownership  arrays live in the arena. A task of another suite is AS_RANGE.
 */
#include "scorers/rating/elo.h"
#include "suites/suite.h"

enum { SU_SMALL_CONTEST = 200 };

typedef struct su_contest_rating {
    as_str id;
    size_t n_participants, rank;
    int n_problems, n_unasked; /* problems of the contest that the run did not ask */
    double score, penalty;
    int rating;
} su_contest_rating;

typedef struct su_codeforces_rating {
    const su_contest_rating *contests;
    int n_contests, n_small;
    double rating, lo, hi; /* NAN: no contest; lo, hi: fewer than two */
    sc_estimate ml, map;   /* value NAN also when no problem has a rating */
    int n_rated;           /* problems with a rating and an answer */
} su_codeforces_rating;

as_code su_codeforces_rate(su_codeforces_rating *out, const su_task *task, const as_result *rows,
                           size_t n, as_arena *keep, as_err *err);

#endif
