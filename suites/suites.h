#ifndef SUITES_SUITES_H
#define SUITES_SUITES_H
/*
 * suites.h — all suites, their protocols and metrics.
 *
 * mmlu_pro      dataset mmlu_pro. Protocols: official (completion as in evaluate_from_local.py),
 *               official-api (one chat message as in evaluate_from_api.py), own-shots (the form
 *               of official around smoke_choice's examples: comparable with nothing). Metrics,
 *               shares in 0…1: level1, level2 (no answer is wrong), level1_random, level2_random
 *               (compute_accuracy.py: a random letter A…J for no answer, seed 12345, one stream
 *               through level 1 and then level 2 in row order), save_res
 *               (evaluate_from_local.py: level 2, randint over the question's options, subjects
 *               sorted, each scored twice and the second one counts; over all subjects the
 *               denominator is n + 0.000001, as there), macro (mean of the subjects' level2).
 *               Counts: level1_right, level2_right, save_res_right, level1_none, level2_none. The
 *               groups are subjects and have the same metrics but macro: their part of the streams.
 * aime          dataset aime. Protocols: 2026, 2025, 2024, all (MathArena's prompt in one chat
 *               message, four runs), and the same with -completion for models without a chat
 *               template. Metrics: mean (over problems, of the mean over runs), maj@k (the most
 *               frequent answer of a problem's k runs is right; of equally frequent ones that which
 *               occurs first; runs without an answer do not vote), pass@k (any run is right), k.
 *               The groups are the papers ("2026-I").
 * livecodebench dataset livecodebench. Protocols: v6 (175 problems, one sample, as Gemma 4), vN, vA_vB,
 *               release_vN, own, each with @FROM..TO (inclusive dates) or FROM..TO alone; behind any
 *               of them -official (upstream's n = 10, temperature 0.2, 2000 tokens, stop "###") or
 *               -script (programs run as scripts). Metrics: pass@1, pass@k, k (5 as upstream, or all
 *               samples if fewer). Groups: difficulty, month of the contest, and "errata: …" where
 *               upstream knows a problem to be faulty (they count all the same).
 * codeforces    dataset codeforces. Protocols: codeelo (8 attempts), once. Metrics: pass@1, pass@k, k,
 *               rating with rating_lo and _hi (codeforces.h: mean over contests), contests and
 *               small_contests, rating_ml and rating_map with _lo and _hi (over problem ratings).
 *               Groups: contests.
 * needle        made by the program: one sentence hidden in a long text. Protocols 1k … 256k
 *               (nominal tokens of 4 characters); the groups are depths.
 *
 * smoke_choice  24 built-in questions; protocols 5shot (completion), chat.
 * smoke_number  10 built-in problems; protocols 4shot (completion), chat.
 */
#include "suites/suite.h"

extern const su_suite su_mmlu_pro;
extern const su_suite su_aime;
extern const su_suite su_livecodebench;
extern const su_suite su_codeforces;
extern const su_suite su_needle;
extern const su_suite su_smoke_choice;
extern const su_suite su_smoke_number;

#endif
