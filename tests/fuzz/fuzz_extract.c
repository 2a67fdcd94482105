/* Any bytes: the letter is one of the text's own bytes A … J and agrees with its rule, the number's
 * text stays inside its limits, and nothing outside the text is read. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scorers/scorers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_letter(as_str text)
{
    const sc_letter found = sc_mmlu_pro_find(text);
    if ((found.rule == 0) != (found.text.p == NULL) || found.rule < 0 || found.rule > 3)
        abort();
    if (found.rule == 0)
        return;
    if (found.text.n != 1 || found.text.p < text.p || found.text.p >= text.p + text.n ||
        found.text.p[0] < 'A' || found.text.p[0] > 'J')
        abort();
}

static void check_number(as_str text, as_arena *arena)
{
    sc_number found;
    if (sc_aime_find(&found, text, arena, NULL) != AS_OK)
        abort();
    if (found.rule < 0 || found.rule > 2 || (found.rule == 0) != (found.text.p == NULL) ||
        found.text.n > text.n + 20 || (found.rule == 2 && !found.is_number))
        abort();
}

static void check_scores(as_str text, as_arena *arena)
{
    static const sc_scorer *const scorers[] = {&sc_choice_mmlu_pro, &sc_choice_mmlu_pro_api,
                                               &sc_number_aime};
    const as_sample sample = {.target = AS_STR("7")};
    as_response r;
    as_response_init(&r);
    r.text = text;
    for (size_t i = 0; i < sizeof scorers / sizeof scorers[0]; i++) {
        as_score s;
        if (sc_judge(scorers[i], &sample, &r, &s, arena, NULL) != AS_OK)
            abort();
        if (s.verdict >= AS_N_VERDICTS || s.value < 0 || s.value > 1 ||
            (s.value > 0) != (s.verdict == AS_RIGHT))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that a read behind the end is seen. */
    char *copy = malloc(size != 0 ? size : 1);
    if (copy == NULL)
        return 0;
    if (size != 0)
        memcpy(copy, data, size);
    const as_str text = {copy, size};
    as_arena arena;
    as_arena_init(&arena, 0);
    check_letter(text);
    check_number(text, &arena);
    check_scores(text, &arena);
    as_arena_release(&arena);
    free(copy);
    return 0;
}
