/*
 * methods_box.c — methods of dicts, lists, tuples, numbers, loops and cyclers; what the sandbox
 * hides; the global functions.
 */
#include "engine/template/impl.h"

#include "base/time.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

/* ---- dicts ----------------------------------------------------------------------------------- */

static bool m_get(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    if (!tp_dict_get(r, self.u.dict, a[0], out))
        return false;
    if (out->kind == TP_MISSING)
        *out = a[1].kind == TP_MISSING ? tp_none : a[1];
    return true;
}

static bool view(tp_run *r, tp_value self, int what, tp_value *out)
{
    tp_view *v = tp_alloc(r, 1, sizeof *v);
    if (v == NULL)
        return false;
    *v = (tp_view){self.u.dict, what};
    *out = (tp_value){.kind = TP_VIEW, .u.view = v};
    return true;
}

static bool m_keys(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return view(r, self, TP_KEYS, out);
}

static bool m_values(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return view(r, self, TP_VALUES, out);
}

static bool m_items(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)a;
    return view(r, self, TP_ITEMS, out);
}

static bool m_copy(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    *out = self; /* nothing can tell a copy of what cannot change */
    return true;
}

/* ---- lists and tuples ------------------------------------------------------------------------ */

static bool m_count(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.u.list->n; i++) {
        bool is_equal = false;
        if (!tp_step(r, 1) || !tp_equal(r, self.u.list->v[i], a[0], &is_equal))
            return false;
        n += is_equal;
    }
    *out = tp_int(n);
    return true;
}

static bool m_index(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    const int64_t n = (int64_t)self.u.list->n;
    int64_t from = 0, to = n;
    if ((a[1].kind != TP_MISSING && !tp_need_int(r, a[1], "index()", &from)) ||
        (a[2].kind != TP_MISSING && !tp_need_int(r, a[2], "index()", &to)))
        return false;
    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? to + n : to > n ? n : to;
    for (int64_t i = from; i < to; i++) {
        bool is_equal = false;
        if (!tp_step(r, 1) || !tp_equal(r, self.u.list->v[i], a[0], &is_equal))
            return false;
        if (is_equal) {
            *out = tp_int(i);
            return true;
        }
    }
    return tp_raise(r, "ValueError", "the value is not in the %s", tp_type_name(self));
}

/* Ranges: the same over their numbers. */
static bool m_range_count(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return tp_to_list(r, self, TP_LIST, &self) && m_count(r, self, a, out);
}

static bool m_range_index(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    return tp_to_list(r, self, TP_LIST, &self) && m_index(r, self, a, out);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool m_is_integer(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    *out = tp_bool(isfinite(self.u.f) && self.u.f == floor(self.u.f));
    return true;
}

static bool m_bit_length(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    int64_t v = 0, n = 0;
    (void)tp_as_int(self, &v);
    for (uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v; u != 0; u >>= 1)
        n++;
    *out = tp_int(n);
    return true;
}

/* ---- loops and cyclers ----------------------------------------------------------------------- */

static bool m_cycle(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    if (args->n_pos == 0)
        return tp_raise(r, "TypeError", "no items for cycling given");
    *out = args->pos[(size_t)self.u.loop->index0 % args->n_pos];
    return true;
}

static bool m_changed(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    tp_list *l = NULL;
    tp_value now;
    bool is_same = false;
    tp_loop *loop = self.u.loop;
    if (!tp_list_new(r, TP_TUPLE, args->n_pos, &l, &now))
        return false;
    for (size_t i = 0; i < l->n; i++)
        l->v[i] = args->pos[i];
    if (loop->changed.kind != TP_MISSING && !tp_equal(r, loop->changed, now, &is_same))
        return false;
    loop->changed = now;
    *out = tp_bool(!is_same);
    return true;
}

const tp_function tp_loop_methods[] = {
    {"cycle", NULL, 0, NULL, m_cycle},
    {"changed", NULL, 0, NULL, m_changed},
    {NULL, NULL, 0, NULL, NULL},
};

static bool m_next(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    tp_cycler *c = self.u.cycler;
    *out = c->items->v[c->pos];
    c->pos = (c->pos + 1) % c->items->n;
    return true;
}

static bool m_reset(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)r, (void)a;
    self.u.cycler->pos = 0;
    *out = tp_none;
    return true;
}

/* ---- look-up --------------------------------------------------------------------------------- */

static const tp_function dict_methods[] = {
    {"get", "key default /", 1, m_get, NULL},
    {"items", "", 0, m_items, NULL},
    {"keys", "", 0, m_keys, NULL},
    {"values", "", 0, m_values, NULL},
    {"copy", "", 0, m_copy, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
static const tp_function list_methods[] = {
    {"count", "value /", 1, m_count, NULL},
    {"index", "value start stop /", 1, m_index, NULL},
    {"copy", "", 0, m_copy, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
static const tp_function range_methods[] = {
    {"count", "value /", 1, m_range_count, NULL},
    {"index", "value /", 1, m_range_index, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
static const tp_function float_methods[] = {
    {"is_integer", "", 0, m_is_integer, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
static const tp_function int_methods[] = {
    {"bit_length", "", 0, m_bit_length, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
static const tp_function cycler_methods[] = {
    {"next", "", 0, m_next, NULL},
    {"reset", "", 0, m_reset, NULL},
    {NULL, NULL, 0, NULL, NULL},
};

const tp_function *tp_box_method(tp_value v, as_str name)
{
    switch (v.kind) {
    case TP_DICT:
        return tp_find_function(dict_methods, name);
    case TP_LIST:
        return tp_find_function(list_methods, name);
    case TP_TUPLE: /* all but copy */
        return as_str_eq_z(name, "copy") ? NULL : tp_find_function(list_methods, name);
    case TP_RANGE:
        return tp_find_function(range_methods, name);
    case TP_FLOAT:
        return tp_find_function(float_methods, name);
    case TP_INT:
    case TP_BOOL:
        return tp_find_function(int_methods, name);
    case TP_CYCLER:
        return tp_find_function(cycler_methods, name);
    default:
        return NULL;
    }
}

bool tp_is_mutator(tp_value v, as_str name)
{
    static const char *const of_dicts[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    static const char *const of_lists[] = {"append", "clear",  "pop",    "reverse", "insert",
                                           "sort",   "extend", "remove", NULL};
    const char *const *names = v.kind == TP_DICT ? of_dicts : v.kind == TP_LIST ? of_lists : NULL;
    for (; names != NULL && *names != NULL; names++)
        if (as_str_eq_z(name, *names))
            return true;
    return false;
}

/* ---- global functions ------------------------------------------------------------------------ */

enum { MAX_RANGE = 100000 };

static bool g_range(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)self;
    int64_t v[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++)
        if (a[i].kind != TP_MISSING && !tp_need_int(r, a[i], "range()", &v[i]))
            return false;
    if (a[1].kind == TP_MISSING) {
        v[1] = v[0];
        v[0] = 0;
    }
    if (v[2] == 0)
        return tp_raise(r, "ValueError", "range() arg 3 must not be zero");
    const bool is_empty = v[2] > 0 ? v[0] >= v[1] : v[0] <= v[1];
    const uint64_t span =
        v[2] > 0 ? (uint64_t)v[1] - (uint64_t)v[0] : (uint64_t)v[0] - (uint64_t)v[1];
    const uint64_t step = v[2] > 0 ? (uint64_t)v[2] : 0 - (uint64_t)v[2];
    const uint64_t n = is_empty ? 0 : (span - 1) / step + 1;
    if (n > MAX_RANGE)
        return tp_raise(r, "OverflowError",
                        "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                        MAX_RANGE);
    tp_range *range = tp_alloc(r, 1, sizeof *range);
    if (range == NULL)
        return false;
    *range = (tp_range){v[0], v[1], v[2], (int64_t)n};
    *out = (tp_value){.kind = TP_RANGE, .u.range = range};
    return true;
}

static bool g_dict(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    (void)self;
    tp_dict *d = NULL;
    if (!tp_dict_new(r, &d, out))
        return false;
    if (args->n_pos > 1)
        return tp_raise(r, "TypeError", "dict expected at most 1 argument, got %zu", args->n_pos);
    if (args->n_pos == 1 && !tp_dict_merge(r, d, args->pos[0]))
        return false;
    for (size_t i = 0; i < args->n_kw; i++) {
        tp_value key;
        if (!tp_text_wrap(r, args->names[i], false, &key) || !tp_dict_set(r, d, key, args->kw[i]))
            return false;
    }
    return true;
}

static bool g_namespace(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    tp_value v;
    if (!g_dict(r, self, args, &v))
        return false;
    for (size_t i = 0; i < v.u.dict->n; i++)
        if (v.u.dict->keys[i].kind == TP_TEXT &&
            as_str_starts(tp_str(v.u.dict->keys[i]), AS_STR("_")))
            return tp_raise(r, "SecurityError",
                            "an attribute of a namespace may not begin with an underscore");
    tp_dict *space = tp_alloc(r, 1, sizeof *space);
    if (space == NULL)
        return false;
    *space = *v.u.dict;
    *out = (tp_value){.kind = TP_NAMESPACE, .u.space = space};
    return true;
}

static bool cycler(tp_run *r, tp_kind kind, const tp_value *v, size_t n, tp_value *out)
{
    tp_list *l = NULL;
    tp_value list;
    tp_cycler *c = tp_alloc(r, 1, sizeof *c);
    if (c == NULL || !tp_list_new(r, TP_LIST, n, &l, &list))
        return false;
    memcpy(l->v, v, n * sizeof *v);
    *c = (tp_cycler){.items = l};
    *out = (tp_value){.kind = kind, .u.cycler = c};
    return true;
}

static bool g_cycler(tp_run *r, tp_value self, const tp_args *args, tp_value *out)
{
    (void)self;
    if (args->n_pos == 0)
        return tp_raise(r, "RuntimeError", "at least one item has to be provided");
    return cycler(r, TP_CYCLER, args->pos, args->n_pos, out);
}

static bool g_joiner(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)self;
    tp_value sep = a[0];
    if (sep.kind == TP_MISSING && !tp_text_wrap(r, AS_STR(", "), false, &sep))
        return false;
    return cycler(r, TP_JOINER, &sep, 1, out);
}

static bool g_raise_exception(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)self;
    tp_value text;
    if (!tp_to_text(r, a[0], &text))
        return false;
    *out = text;
    return tp_raise(r, "TemplateError", "%.*s", AS_ARG(tp_str(text)));
}

/* ---- dates ----------------------------------------------------------------------------------- */

static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                   "Thursday", "Friday", "Saturday"};
static const char *const months[] = {"January",   "February", "March",    "April",
                                     "May",       "June",     "July",     "August",
                                     "September", "October",  "November", "December"};

static int week_of_year(const struct tm *t, int first_day)
{
    return (t->tm_yday + 7 - (t->tm_wday + 7 - first_day) % 7) / 7;
}

static void add_number(as_buf *b, int v, int width, char flag)
{
    if (flag == '-')
        width = 1;
    (void)as_buf_printf(b, flag == '_' ? "%*d" : "%0*d", width, v);
}

/* One directive of strftime in the C locale; false for one that is not known. */
static bool add_directive(as_buf *b, char c, char flag, const struct tm *t, int micro)
{
    static const char *const wholes[] = {"c%a %b %e %H:%M:%S %Y",
                                         "D%m/%d/%y",
                                         "F%Y-%m-%d",
                                         "R%H:%M",
                                         "T%H:%M:%S",
                                         "X%H:%M:%S",
                                         "x%m/%d/%y",
                                         "r%I:%M:%S %p",
                                         "h%b"};
    for (size_t i = 0; i < sizeof wholes / sizeof wholes[0]; i++) {
        if (wholes[i][0] != c)
            continue;
        for (const char *z = wholes[i] + 1; *z != '\0'; z++) {
            if (*z == '%')
                (void)add_directive(b, *++z, '\0', t, micro);
            else
                (void)as_buf_add_byte(b, *z);
        }
        return true;
    }
    const int hour12 = t->tm_hour % 12 == 0 ? 12 : t->tm_hour % 12;
    const struct {
        char c, flag;
        int v, width;
    } numbers[] = {
        {'Y', 0, t->tm_year + 1900, 1},  {'m', 0, t->tm_mon + 1, 2},
        {'d', 0, t->tm_mday, 2},         {'e', '_', t->tm_mday, 2},
        {'H', 0, t->tm_hour, 2},         {'I', 0, hour12, 2},
        {'k', '_', t->tm_hour, 2},       {'l', '_', hour12, 2},
        {'M', 0, t->tm_min, 2},          {'S', 0, t->tm_sec, 2},
        {'y', 0, t->tm_year % 100, 2},   {'C', 0, (t->tm_year + 1900) / 100, 2},
        {'j', 0, t->tm_yday + 1, 3},     {'f', 0, micro, 6},
        {'w', 0, t->tm_wday, 1},         {'u', 0, t->tm_wday == 0 ? 7 : t->tm_wday, 1},
        {'U', 0, week_of_year(t, 0), 2}, {'W', 0, week_of_year(t, 1), 2},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (numbers[i].c == c) {
            add_number(b, numbers[i].v, numbers[i].width, flag != 0 ? flag : numbers[i].flag);
            return true;
        }
    }
    const char *text = c == 'A' || c == 'a'   ? days[t->tm_wday]
                       : c == 'B' || c == 'b' ? months[t->tm_mon]
                       : c == 'p'             ? (t->tm_hour < 12 ? "AM" : "PM")
                       : c == '%'             ? "%"
                       : c == 'n'             ? "\n"
                       : c == 't'             ? "\t"
                       : c == 'z' || c == 'Z' ? "" /* a time without a zone */
                                              : NULL;
    if (text == NULL)
        return false;
    (void)as_buf_add(b, (as_str){text, c == 'a' || c == 'b' ? 3 : strlen(text)});
    return true;
}

static bool g_strftime_now(tp_run *r, tp_value self, const tp_value *a, tp_value *out)
{
    (void)self;
    if (!tp_need_text(r, a[0], "strftime_now()"))
        return false;
    const int64_t ns = r->now_ns != 0 ? r->now_ns : as_wall_ns();
    const time_t seconds = (time_t)(ns / 1000000000 - (ns % 1000000000 < 0));
    const int micro = (int)((ns - (int64_t)seconds * 1000000000) / 1000);
    struct tm t = {0};
    if ((r->now_ns != 0 ? gmtime_r(&seconds, &t) : localtime_r(&seconds, &t)) == NULL)
        return tp_raise(r, "ValueError", "the time cannot be shown as a date");
    as_buf b;
    tp_buf_start(r, &b);
    const as_str s = tp_str(a[0]);
    for (size_t i = 0; i < s.n; i++) {
        size_t at = i + 1;
        const char flag = at < s.n && as_is_one_of(s.p[at], "-_0") ? s.p[at++] : '\0';
        if (s.p[i] == '%' && at < s.n && add_directive(&b, s.p[at], flag, &t, micro))
            i = at;
        else
            (void)as_buf_add_byte(&b, s.p[i]);
    }
    return tp_step(r, b.n / 8) ? tp_buf_end(r, &b, false, out) : tp_buf_drop(&b);
}

static const tp_function globals[] = {
    {"range", "start stop step /", 1, g_range, NULL},
    {"dict", NULL, 0, NULL, g_dict},
    {"namespace", NULL, 0, NULL, g_namespace},
    {"cycler", NULL, 0, NULL, g_cycler},
    {"joiner", "sep", 0, g_joiner, NULL},
    {"raise_exception", "message", 1, g_raise_exception, NULL},
    {"strftime_now", "format", 1, g_strftime_now, NULL},
    {NULL, NULL, 0, NULL, NULL},
};

const tp_function *tp_global(as_str name)
{
    return tp_find_function(globals, name);
}
