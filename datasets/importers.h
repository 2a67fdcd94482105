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
 */
#include "datasets/dataset.h"

extern const ds_importer ds_mmlu_pro;
extern const ds_importer ds_aime;

#endif
