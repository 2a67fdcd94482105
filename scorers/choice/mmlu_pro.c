#include "scorers/choice/mmlu_pro.h"

#include <string.h>

#include "scorers/choice/word.h"
#include "scorers/think.h"

static bool is_letter(as_str s, size_t at)
{
    return at < s.n && s.p[at] >= 'A' && s.p[at] <= 'J';
}

static bool find_statement(as_str s, size_t *at)
{
    static const as_str needle = AS_STR_INIT("answer is ");
    for (size_t from = 0;;) {
        const size_t hit = as_str_find(as_str_sub(s, from, s.n), needle);
        if (hit == SIZE_MAX)
            return false;
        from += hit + needle.n;
        const size_t letter = from < s.n && s.p[from] == '(' ? from + 1 : from;
        if (is_letter(s, letter)) {
            *at = letter;
            return true;
        }
    }
}

/* Each mark's white space ends before the next mark, so all of them together are read once. */
static bool find_marked(as_str s, size_t *at)
{
    static const as_str needle = AS_STR_INIT("nswer:");
    bool is_found = false;
    size_t line_end = 0; /* of the line with the first match */
    for (size_t from = 0;;) {
        const size_t hit = as_str_find(as_str_sub(s, from, s.n), needle);
        if (hit == SIZE_MAX)
            return is_found;
        const size_t mark = from + hit;
        if (is_found && mark >= line_end)
            return true;
        from = mark + needle.n;
        if (mark == 0 || (s.p[mark - 1] != 'a' && s.p[mark - 1] != 'A'))
            continue;
        size_t letter = from;
        for (size_t n = 0; (n = sc_space_at(s, letter)) != 0;)
            letter += n;
        if (!is_letter(s, letter))
            continue;
        if (!is_found) {
            const char *nl = memchr(s.p + mark, '\n', s.n - mark);
            line_end = nl != NULL ? (size_t)(nl - s.p) : s.n;
            is_found = true;
        }
        *at = letter;
    }
}

static bool find_last_alone(as_str s, size_t *at)
{
    for (size_t i = s.n; i-- > 0;) {
        if (is_letter(s, i) && !sc_word_at(s, i + 1) && !sc_word_before(s, i)) {
            *at = i;
            return true;
        }
    }
    return false;
}

sc_letter sc_mmlu_pro_find(as_str answer)
{
    size_t at = 0;
    const int rule = find_statement(answer, &at)    ? 1
                     : find_marked(answer, &at)     ? 2
                     : find_last_alone(answer, &at) ? 3
                                                    : 0;
    return rule != 0 ? (sc_letter){rule, {answer.p + at, 1}} : (sc_letter){0};
}

static void judge(const as_sample *sample, as_str text, as_score *out)
{
    const sc_letter found = sc_mmlu_pro_find(text);
    *out = (as_score){
        .verdict = found.rule == 0                         ? AS_UNPARSED
                   : as_str_eq(found.text, sample->target) ? AS_RIGHT
                                                           : AS_WRONG,
        .prediction = found.text,
        .target = sample->target,
        .rule = found.rule,
    };
    out->value = out->verdict == AS_RIGHT ? 1 : 0;
}

static as_code score_plain(const as_sample *sample, const as_response *response, as_score *out,
                           as_arena *arena, as_err *err)
{
    (void)arena;
    (void)err;
    judge(sample, response->text, out);
    return AS_OK;
}

static as_code without_bold(as_str *out, as_str text, as_arena *arena, as_err *err)
{
    if (as_str_find(text, AS_STR("**")) == SIZE_MAX) {
        *out = text;
        return AS_OK;
    }
    char *to = as_arena_alloc(arena, text.n, 1);
    if (to == NULL)
        return as_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < text.n;) {
        if (text.p[i] == '*' && i + 1 < text.n && text.p[i + 1] == '*')
            i += 2;
        else
            to[n++] = text.p[i++];
    }
    *out = (as_str){to, n};
    return AS_OK;
}

static as_code score_api(const as_sample *sample, const as_response *response, as_score *out,
                         as_arena *arena, as_err *err)
{
    as_str text = {0};
    AS_TRY(sc_without_thinking(&text, response->text, arena, err));
    AS_TRY(without_bold(&text, text, arena, err));
    judge(sample, text, out);
    return AS_OK;
}

const sc_scorer sc_choice_mmlu_pro = {
    .name = "choice_mmlu_pro", .version = 1, .score = score_plain};
const sc_scorer sc_choice_mmlu_pro_api = {
    .name = "choice_mmlu_pro_api", .version = 1, .score = score_api};
