#include "scorers/number/aime.h"

#include <string.h>

#include "scorers/choice/word.h"
#include "scorers/think.h"

enum { MAX_BOX = 256, MAX_DIGITS = 18 };

/* ------------------------------------------------------------------------------- boxes */

/* Boxes that wait for their closing brace. Only the newest can still become the last box, so when
 * there are more than fit, the oldest is forgotten. */
enum { MAX_OPEN = 64 };
typedef struct box_scan {
    size_t start[MAX_OPEN]; /* of the content */
    int64_t depth[MAX_OPEN];
    int n_open;
    int64_t level; /* open braces so far */
} box_scan;

static void open_box(box_scan *b, size_t start)
{
    if (b->n_open == MAX_OPEN) {
        memmove(b->start, b->start + 1, (MAX_OPEN - 1) * sizeof b->start[0]);
        memmove(b->depth, b->depth + 1, (MAX_OPEN - 1) * sizeof b->depth[0]);
        b->n_open--;
    }
    b->start[b->n_open] = start;
    b->depth[b->n_open++] = b->level;
}

/* Bytes of "\boxed{" or "\fbox{" at the place, blanks before the brace allowed; 0 if none. */
static size_t box_at(as_str s, size_t at)
{
    static const as_str names[] = {AS_STR_INIT("\\boxed"), AS_STR_INIT("\\fbox")};
    const as_str rest = as_str_sub(s, at, s.n);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!as_str_starts(rest, names[i]))
            continue;
        size_t n = names[i].n;
        while (n < rest.n && n < names[i].n + 8 && rest.p[n] == ' ')
            n++;
        if (n < rest.n && rest.p[n] == '{')
            return n + 1;
    }
    return 0;
}

/* At a closing brace: the content if it closes a box, else {NULL, 0}. */
static as_str close_box(box_scan *b, as_str s, size_t at)
{
    if (b->level == 0)
        return (as_str){0};
    b->level--;
    if (b->n_open == 0 || b->depth[b->n_open - 1] != b->level)
        return (as_str){0};
    return as_str_sub(s, b->start[--b->n_open], at);
}

static bool find_box(as_str s, as_str *out)
{
    box_scan b = {0};
    *out = (as_str){0};
    for (size_t i = 0; i < s.n;) {
        const size_t box = s.p[i] == '\\' ? box_at(s, i) : 0;
        if (box != 0) {
            open_box(&b, i + box);
            b.level++;
            i += box;
        } else if (s.p[i] == '\\') {
            i += 2; /* \{ and \} are text */
        } else {
            if (s.p[i] == '{')
                b.level++;
            const as_str content = s.p[i] == '}' ? close_box(&b, s, i) : (as_str){0};
            if (as_str_trim(content).n != 0 && (out->p == NULL || content.p > out->p))
                *out = content;
            i++;
        }
    }
    return out->p != NULL;
}

/* ---------------------------------------------------------------------------- cleaning */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Behind \text or \mathrm: bytes of a {…} group without digits and braces, which is a unit or a
 * word; 0 otherwise. */
static size_t wordy_group(as_str s)
{
    if (s.n == 0 || s.p[0] != '{')
        return 0;
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '}')
            return i + 1;
        if (is_digit(s.p[i]) || s.p[i] == '{')
            return 0;
    }
    return 0;
}

/* Bytes that a LaTeX command contributes nothing with; 0 if it must stay. */
static size_t dropped_command(as_str s)
{
    static const as_str texts[] = {
        AS_STR_INIT("text"),   AS_STR_INIT("textbf"), AS_STR_INIT("textrm"), AS_STR_INIT("textit"),
        AS_STR_INIT("mathrm"), AS_STR_INIT("mathbf"), AS_STR_INIT("mbox"),
    };
    static const as_str styles[] = {
        AS_STR_INIT("displaystyle"), AS_STR_INIT("boldsymbol"), AS_STR_INIT("bf"),
        AS_STR_INIT("quad"),         AS_STR_INIT("left"),       AS_STR_INIT("right"),
        AS_STR_INIT("circ"),
    };
    if (s.n >= 2 && as_is_one_of(s.p[1], ",;:! $"))
        return 2;
    size_t n = 1;
    while (n < s.n && is_alpha(s.p[n]))
        n++;
    const as_str name = as_str_sub(s, 1, n);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (as_str_eq(name, texts[i]))
            return n + wordy_group(as_str_sub(s, n, s.n));
    for (size_t i = 0; i < sizeof styles / sizeof styles[0]; i++)
        if (as_str_eq(name, styles[i]))
            return n;
    return 0;
}

static size_t dropped(as_str s)
{
    if (as_is_one_of(s.p[0], "$~{}^ \t\n\v\f\r")) {
        const bool is_power =
            s.p[0] == '^' && !as_str_starts(s, AS_STR("^\\circ")) &&
            !as_str_starts(s, AS_STR("^{\\circ")); /* 2^{10} must not become 210 */
        return is_power ? 0 : 1;
    }
    if (as_str_starts(s, AS_STR("\xC2\xB0"))) /* degree sign */
        return 2;
    return s.p[0] == '\\' ? dropped_command(s) : 0;
}

/* Comma with a digit before it and exactly three behind it. */
static bool is_thousands(as_str s, size_t at)
{
    int n = 0;
    while (at + 1 + (size_t)n < s.n && n < 4 && is_digit(s.p[at + 1 + (size_t)n]))
        n++;
    return s.p[at] == ',' && at > 0 && is_digit(s.p[at - 1]) && n == 3;
}

static as_str without_thousands(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++)
        if (!is_thousands((as_str){p, n}, i))
            p[to++] = p[i];
    return (as_str){p, to};
}

static as_code clean(as_str *out, as_str box, as_arena *arena, as_err *err)
{
    char *p = as_arena_alloc(arena, box.n, 1);
    if (p == NULL)
        return as_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < box.n;) {
        const size_t skip = dropped(as_str_sub(box, i, box.n));
        if (skip == 0)
            p[n++] = box.p[i++];
        i += skip;
    }
    as_str s = without_thousands(p, n);
    const size_t equals = as_str_rfind(s, AS_STR("="));
    if (equals != SIZE_MAX)
        s = as_str_sub(s, equals + 1, s.n);
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    *out = s.n != 0 ? s : as_str_trim(box); /* a word is an answer too */
    return AS_OK;
}

/* [+-]digits[.000], at most MAX_DIGITS digits without leading zeros. */
static bool parse_integer(as_str s, int64_t *out)
{
    const bool is_negative = s.n != 0 && s.p[0] == '-';
    if (s.n != 0 && (s.p[0] == '-' || s.p[0] == '+'))
        s = as_str_sub(s, 1, s.n);
    as_str whole = s;
    as_str tail = {0};
    (void)as_str_cut(s, '.', &whole, &tail);
    for (size_t i = 0; i < tail.n; i++)
        if (tail.p[i] != '0')
            return false;
    if (whole.n == 0)
        return false;
    while (whole.n > 1 && whole.p[0] == '0')
        whole = as_str_sub(whole, 1, whole.n);
    int64_t v = 0;
    if (whole.n > MAX_DIGITS || !is_digit(whole.p[0]) || !as_parse_i64(whole, 0, INT64_MAX, &v))
        return false;
    *out = is_negative ? -v : v;
    return true;
}

/* ----------------------------------------------------------------------- no box: numbers */

/* The end of the number token that starts at a digit: digits, thousands, decimals. */
static size_t number_end(as_str s, size_t at)
{
    size_t i = at;
    while (i < s.n && (is_digit(s.p[i]) || is_thousands(s, i)))
        i++;
    if (i + 1 < s.n && s.p[i] == '.' && is_digit(s.p[i + 1]))
        for (i++; i < s.n && is_digit(s.p[i]);)
            i++;
    return i;
}

/* A minus counts where it cannot be a hyphen or a difference: behind nothing, a blank or one of
 * = ( $ : */
static bool has_minus(as_str s, size_t at)
{
    return at > 0 && s.p[at - 1] == '-' && (at == 1 || as_is_one_of(s.p[at - 2], " \t\n=($:"));
}

static bool find_last_number(as_str s, sc_number *out)
{
    for (size_t i = 0; i < s.n;) {
        if (!is_digit(s.p[i])) {
            i++;
            continue;
        }
        const size_t end = number_end(s, i);
        const bool is_alone = !sc_word_before(s, i) && !sc_word_at(s, end);
        const as_str token = as_str_sub(s, i - (has_minus(s, i) ? 1 : 0), end);
        if (is_alone && token.n <= MAX_BOX) {
            char p[MAX_BOX];
            memcpy(p, token.p, token.n);
            int64_t v = 0;
            if (parse_integer(without_thousands(p, token.n), &v)) {
                out->value = v;
                out->is_number = true;
            }
        }
        i = end;
    }
    return out->is_number;
}

as_code sc_aime_find(sc_number *out, as_str answer, as_arena *arena, as_err *err)
{
    sc_number found = {0};
    as_str text = {0};
    as_str box = {0};
    AS_TRY(sc_without_thinking(&text, answer, arena, err));
    if (find_box(text, &box)) {
        found.rule = 1;
        found.text = as_str_trim(box);
        if (box.n <= MAX_BOX) {
            AS_TRY(clean(&found.text, box, arena, err));
            found.is_number = parse_integer(found.text, &found.value);
        }
    } else if (find_last_number(text, &found)) {
        found.rule = 2;
    }
    if (found.is_number) {
        found.text = as_arena_printf(arena, "%lld", (long long)found.value);
        if (!as_str_is_set(found.text))
            return as_nomem(err);
    }
    *out = found;
    return AS_OK;
}

static as_code score_aime(const as_sample *sample, const as_response *response, as_score *out,
                          as_arena *arena, as_err *err)
{
    sc_number found = {0};
    AS_TRY(sc_aime_find(&found, response->text, arena, err));
    *out = (as_score){.target = sample->target, .rule = found.rule};
    if (found.rule != 0)
        out->prediction = found.text;
    int64_t gold = 0;
    if (!parse_integer(sample->target, &gold) || gold < 0 || gold > 999) {
        out->verdict = AS_UNGRADED;
        out->note = AS_STR("the gold answer is not an integer from 0 to 999");
    } else if (found.rule == 0) {
        out->verdict = AS_UNPARSED;
    } else if (found.is_number && found.value == gold) {
        out->verdict = AS_RIGHT;
        out->value = 1;
    } else {
        out->verdict = AS_WRONG;
    }
    if (found.rule == 2)
        out->note = AS_STR("no box: the last number of the text");
    return AS_OK;
}

const sc_scorer sc_number_aime = {.name = "number_aime", .version = 1, .score = score_aime};
