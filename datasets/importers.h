#ifndef DATASETS_IMPORTERS_H
#define DATASETS_IMPORTERS_H
/*
 * importers.h — which files become which datasets, and the fields of their rows.
 *
 * mmlu_pro   Rows  {"id","category","src","question","options":[…],"answer":"I","answer_index":8,
 *                  "cot_content"}; splits "test" and "validation" (the few-shot examples).
 *            Reads TIGER-Lab/MMLU-Pro's columns, "question_id" an integer. Rows with a
 *            "cot_content" are validation rows, and so are all rows of a file with "validation" in
 *            its name.
 *            Options "N/A" behind the others are padding of old revisions and dropped. "answer" is
 *            the key; "answer_index" is kept as it is, for the official random guess compares with
 *            it, and in one public row (3983) it names another option. Text stays as it is, blanks
 *            at both ends too.
 *
 * aime       Rows  {"id":"2024-I-1","year","part":"I","number":1,"problem","answer":204}; one split
 *                  a year, named by it.
 *            Reads this form and the columns of the usual Hugging Face sets (HuggingFaceH4,
 *            Maxwell-Jia, math-ai, yentinglin, opencompass, MathArena): problem, Problem or
 *            question; answer or Answer, integer or digits with leading zeros. The year comes from
 *            "year", else from the id or address, else from the file's name (aime_2025, aime24);
 *            part and number from their fields, the id, the address, or problem_idx (1–15 is I,
 *            16–30 is II). Where they cannot be known, part is empty, number 0, and the id ends in
 *            the row's own id or in a hash of the problem. A trailing line that only asks for a
 *            \boxed{} answer is no part of the problem.
 *
 * livecodebench  Rows  {"id","title","question","platform","contest","date":"2025-03-01","starter",
 *            "difficulty","fn","errata","tests":{"at","bytes","sha256"}}; fn is empty for problems that
 *            read standard input; errata is empty, or "several_answers", "interactive" or
 *            "broken_tests" as the upstream list has it (commit 28fef95e, ERRATA.md). Tests:
 *            split.tests, lines {"public_test_cases","private_test_cases","id"}, as they came.
 *            Reads the files of livecodebench/code_generation_lite (or code_generation): test.jsonl is
 *            split v1, testN.jsonl is vN, a name with the word vN too; other names: split "own".
 *
 * codeforces Rows of split "problems": {"id","contest","index","title","question","points","rating",
 *            "time_limit_ms","memory_mb","rule","tolerance","tests":{…}}; of "contests":
 *            {"id","name","standings":[[points, penalty, rating], …]}, best first, participants with
 *            a rating only. Reads this form: the file of problems has "tests":[{"input","output"}, …]
 *            in each row, rule is "tokens" (default), "lines", "float" or "exact", points and rating
 *            may be null. A file with "contest" in its name holds contests.
 */
#include "datasets/dataset.h"

extern const ds_importer ds_mmlu_pro;
extern const ds_importer ds_aime;
extern const ds_importer ds_livecodebench;
extern const ds_importer ds_codeforces;

#endif
