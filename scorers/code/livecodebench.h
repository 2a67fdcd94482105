#ifndef SCORERS_CODE_LIVECODEBENCH_H
#define SCORERS_CODE_LIVECODEBENCH_H
/*
 * livecodebench.h — is the program in an answer right? Judged by all tests of the problem.
 *
 * Answer     thinking is removed, then extract.h: the last block (LiveCodeBench), or the first, whose
 *            tag says the language (Codeforces).
 * Spec       of LiveCodeBench's sample.tests: {"fn"}; of Codeforces': {"time_limit_ms","memory_mb",
 *            "rule","tolerance"}.
 * Score      prediction: the verdict's name; target: "N tests"; rule: number of the first failed
 *            test from 1, 0 if none or before any; note: JSON {"results":[true,-2],"tests","detail",
 *            "mode"}; execs: a row for each process that ran (execs.h), with its costs, limits,
 *            sandbox and toolchain. No block: unparsed. No tests, or a sandbox that failed: ungraded.
 * Scorers    code_lcb: upstream's way of running (judge.h, official); code_lcb_script: as scripts;
 *            code_codeforces: one process a test, time and memory of the problem, C++ unless tagged
 *            otherwise, CPU time limit twice the problem's (the machine is not Codeforces').
 */
#include "scorers/scorer.h"

extern const sc_scorer sc_code_lcb;
extern const sc_scorer sc_code_lcb_script;
extern const sc_scorer sc_code_codeforces;

#endif
