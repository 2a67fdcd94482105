#include "scorers/number/first.h"

#include "base/buf.h"
#include "scorers/think.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits from `at` on; a comma counts as part of the number before three digits and no more. */
static as_code read_number(as_str text, size_t at, as_str *out, as_arena *arena, as_err *err)
{
    as_buf b;
    as_buf_init(&b, 4096);
    for (size_t i = at; i < text.n; i++) {
        const bool is_thousands = text.p[i] == ',' && i + 3 < text.n && is_digit(text.p[i + 1]) &&
                                  is_digit(text.p[i + 2]) && is_digit(text.p[i + 3]) &&
                                  (i + 4 >= text.n || !is_digit(text.p[i + 4]));
        if (is_thousands)
            continue;
        if (!is_digit(text.p[i]))
            break;
        if (b.n != 0 || text.p[i] != '0')
            (void)as_buf_add_byte(&b, text.p[i]);
    }
    if (b.n == 0)
        (void)as_buf_add_byte(&b, '0');
    as_code c = as_buf_ok(&b, err);
    if (c == AS_OK) {
        *out = as_arena_str(arena, as_buf_str(&b));
        c = as_str_is_set(*out) ? AS_OK : as_nomem(err);
    }
    as_buf_release(&b);
    return c;
}

static as_code score(const as_sample *sample, const as_response *response, as_score *out,
                     as_arena *arena, as_err *err)
{
    as_str text;
    AS_TRY(sc_without_thinking(&text, response->text, arena, err));
    *out = (as_score){.verdict = AS_UNPARSED, .target = sample->target};
    size_t at = 0;
    while (at < text.n && !is_digit(text.p[at]))
        at++;
    if (at == text.n)
        return AS_OK;
    AS_TRY(read_number(text, at, &out->prediction, arena, err));
    const bool is_right = as_str_eq(out->prediction, sample->target);
    out->rule = 1;
    out->verdict = is_right ? AS_RIGHT : AS_WRONG;
    out->value = is_right ? 1 : 0;
    return AS_OK;
}

const sc_scorer sc_number_first = {.name = "number_first", .version = 1, .score = score};
