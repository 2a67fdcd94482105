#include "backend/http/hints.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

as_str ht_head_get(as_str head, const char *name)
{
    as_str found = {0};
    const size_t n = strlen(name);
    as_str line;
    for (as_str rest = head; rest.n != 0;) {
        (void)as_str_cut(rest, '\n', &line, &rest);
        if (line.n > n && line.p[n] == ':' && strncasecmp(line.p, name, n) == 0)
            found = as_str_trim(as_str_sub(line, n + 1, line.n));
    }
    return found;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number at the start of *s in thousandths; false if there is none. Whatever lies beyond the
 * largest hint is cut to it. */
static bool take_number(as_str *s, int64_t *thousandths)
{
    size_t i = 0;
    int64_t v = 0;
    for (; i < s->n && is_digit(s->p[i]); i++)
        v = v < HT_MAX_HINT_MS ? v * 10 + (s->p[i] - '0') : v;
    bool has_digits = i != 0;
    v = v < HT_MAX_HINT_MS ? v * 1000 : (int64_t)HT_MAX_HINT_MS * 1000;
    if (i < s->n && s->p[i] == '.') {
        int64_t unit = 100;
        for (i++; i < s->n && is_digit(s->p[i]); i++, unit /= 10) {
            v += (s->p[i] - '0') * unit;
            has_digits = true;
        }
    }
    *thousandths = v;
    *s = as_str_sub(*s, i, s->n);
    return has_digits;
}

static bool take_unit(as_str *s, int64_t *ms_per_unit)
{
    static const struct {
        as_str name;
        int64_t ms;
    } units[] = {
        {AS_STR_INIT("ms"), 1},
        {AS_STR_INIT("s"), 1000},
        {AS_STR_INIT("m"), 60000},
        {AS_STR_INIT("h"), 3600000},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (as_str_starts(*s, units[i].name)) {
            *s = as_str_sub(*s, units[i].name.n, s->n);
            *ms_per_unit = units[i].ms;
            return true;
        }
    return false;
}

static int64_t at_most(int64_t ms)
{
    return ms < HT_MAX_HINT_MS ? ms : HT_MAX_HINT_MS;
}

int64_t ht_duration_ms(as_str text)
{
    int64_t total = 0, v = 0, unit = 0;
    as_str s = as_str_trim(text);
    if (s.n == 0)
        return -1;
    for (bool is_first = true; s.n != 0; is_first = false) {
        if (!take_number(&s, &v))
            return -1;
        if (s.n == 0 && is_first)
            return at_most(v); /* a bare number: seconds */
        if (!take_unit(&s, &unit))
            return -1;
        total = at_most(total + v / 1000 * unit + v % 1000 * unit / 1000);
    }
    return total;
}

/* Days since 1970 of a date of the Gregorian calendar (Howard Hinnant's days_from_civil). */
static int64_t days_since_1970(int64_t y, int m, int d)
{
    y -= m <= 2 ? 1 : 0;
    const int64_t era = (y >= 0 ? y : y - 399) / 400;
    const int64_t yoe = y - era * 400;
    const int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool digits_at(as_str s, size_t at, size_t n, int *out)
{
    int64_t v = 0;
    if (at + n > s.n || !as_parse_i64(as_str_sub(s, at, at + n), 0, 9999, &v))
        return false;
    *out = (int)v;
    return true;
}

int64_t ht_http_date(as_str text)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const as_str s = as_str_trim(text);
    int day = 0, year = 0, hour = 0, minute = 0, second = 0, month = 0;
    if (s.n != 29 || s.p[3] != ',' || s.p[19] != ':' || s.p[22] != ':' ||
        !as_str_ends(s, AS_STR(" GMT")) || !digits_at(s, 5, 2, &day) ||
        !digits_at(s, 12, 4, &year) || !digits_at(s, 17, 2, &hour) ||
        !digits_at(s, 20, 2, &minute) || !digits_at(s, 23, 2, &second))
        return -1;
    for (int i = 0; i < 12; i++)
        if (memcmp(months + (size_t)i * 3, s.p + 8, 3) == 0)
            month = i + 1;
    if (month == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 || year < 1970)
        return -1;
    return ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

static int64_t retry_after_ms(as_str value, int64_t wall_ns)
{
    const int64_t plain = ht_duration_ms(value);
    if (plain >= 0)
        return plain;
    const int64_t at = ht_http_date(value);
    if (at < 0)
        return -1;
    const int64_t ms = at * 1000 - wall_ns / 1000000;
    return ms > 0 ? at_most(ms) : 0;
}

/* Google's: "details": [{"@type": "…RetryInfo", "retryDelay": "37s"}]. */
static int64_t retry_info_ms(const as_json *error)
{
    const as_json *details = as_json_get(error, "details");
    if (as_json_type(details) != AS_JSON_ARRAY)
        return -1;
    for (const as_json *d = as_json_first(details); d != NULL; d = as_json_next(d)) {
        as_str delay;
        if (as_json_type(d) == AS_JSON_OBJECT && as_json_str(as_json_get(d, "retryDelay"), &delay))
            return ht_duration_ms(delay);
    }
    return -1;
}

/* "… Please retry in 36.96s." */
static int64_t words_ms(as_str message)
{
    static const as_str mark = AS_STR_INIT("retry in ");
    const size_t at = as_str_find(message, mark);
    if (at == SIZE_MAX)
        return -1;
    as_str s = as_str_sub(message, at + mark.n, message.n);
    int64_t v = 0, unit = 0;
    if (!take_number(&s, &v))
        return -1;
    s = as_str_trim(s);
    if (!take_unit(&s, &unit))
        unit = 1000;
    return at_most(v / 1000 * unit + v % 1000 * unit / 1000);
}

int64_t ht_retry_hint_ms(as_str head, const as_json *error, as_str message, int64_t wall_ns)
{
    int64_t ms = -1, number = 0;
    const as_str after = ht_head_get(head, "retry-after");
    if (as_str_is_set(after))
        ms = retry_after_ms(after, wall_ns);
    if (ms < 0 && as_parse_i64(ht_head_get(head, "retry-after-ms"), 0, INT64_MAX, &number))
        ms = at_most(number);
    if (ms < 0)
        ms = retry_info_ms(error);
    if (ms < 0)
        ms = words_ms(message);
    if (ms < 0)
        ms = ht_duration_ms(ht_head_get(head, "x-ratelimit-reset-requests"));
    if (ms < 0)
        ms = ht_duration_ms(ht_head_get(head, "x-ratelimit-reset-tokens"));
    return ms;
}
