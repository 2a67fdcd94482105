/*
 * filters_text.c — filters that make text.
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

static bool f_upper(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, &v) && tp_change_case(r, v, TP_TO_UPPER, out);
}

static bool f_lower(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, &v) && tp_change_case(r, v, TP_TO_LOWER, out);
}

static bool f_capitalize(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, &v) && tp_capitalize(r, v, out);
}

/* Words begin behind blanks, hyphens and opening brackets: unlike str.title, not behind digits or
 * apostrophes. */
static bool f_title(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    as_buf b;
    if (!tp_to_text(r, v, &v))
        return false;
    const as_str s = tp_str(v);
    tp_buf_start(r, &b);
    size_t from = 0;
    while (from < s.n) {
        size_t end = from, len = 0;
        bool is_gap = false;
        for (size_t at = from; at < s.n; at += len) {
            const uint32_t code = tp_decode((as_str){s.p + at, s.n - at}, &len);
            const bool is_sep =
                tp_is_space(code) || (code < 0x80 && as_is_one_of((char)code, "-({[<"));
            if (at > from && is_sep != is_gap)
                break;
            is_gap = is_sep;
            end = at + len;
        }
        (void)tp_decode((as_str){s.p + from, s.n - from}, &len);
        tp_value first, rest;
        if (!tp_text_of(r, (as_str){s.p + from, len}, &first) ||
            !tp_text_of(r, (as_str){s.p + from + len, end - from - len}, &rest) ||
            !tp_change_case(r, first, TP_TO_UPPER, &first) ||
            !tp_change_case(r, rest, TP_TO_LOWER, &rest) || !tp_print(r, first, &b) ||
            !tp_print(r, rest, &b))
            return tp_buf_drop(&b);
        from = end;
    }
    return tp_buf_end(r, &b, false, out);
}

static bool f_trim(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    return tp_to_text(r, v, &v) && tp_strip(r, v, a[0], true, true, out);
}

static bool f_replace(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    tp_value from, to;
    int64_t count = -1;
    if (!tp_to_text(r, v, &v) || !tp_to_text(r, a[0], &from) || !tp_to_text(r, a[1], &to) ||
        (a[2].kind != TP_MISSING && a[2].kind != TP_NONE &&
         !tp_need_int(r, a[2], "replace", &count)))
        return false;
    return tp_replace(r, tp_str(v), tp_str(from), tp_str(to), count, false, out);
}

static bool f_string(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, out);
}

static bool f_safe(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, &v) && tp_text_wrap(r, tp_str(v), true, out);
}

static bool f_escape(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_escape_text(r, v, out);
}

static bool f_forceescape(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    return tp_to_text(r, v, &v) && tp_text_wrap(r, tp_str(v), false, &v) &&
           tp_escape_text(r, v, out);
}

static bool f_center(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t width = 80;
    if (!tp_to_text(r, v, &v) ||
        (a[0].kind != TP_MISSING && !tp_need_int(r, a[0], "center", &width)))
        return false;
    return tp_pad(r, v, width, AS_STR(" "), 2, out);
}

static bool flag_arg(tp_run *r, tp_value v, bool *out)
{
    *out = false;
    return v.kind == TP_MISSING || tp_truth(r, v, out);
}

static bool f_indent(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    bool first = false, blank = false;
    int64_t width = 4;
    tp_value unit, lines;
    if (!tp_need_text(r, v, "indent") || !flag_arg(r, a[1], &first) || !flag_arg(r, a[2], &blank))
        return false;
    if (a[0].kind == TP_TEXT)
        unit = a[0];
    else if ((a[0].kind != TP_MISSING && !tp_need_int(r, a[0], "indent", &width)) ||
             !tp_text_wrap(r, AS_STR(" "), false, &unit) ||
             !tp_binary(r, TP_MUL, unit, tp_int(width), &unit))
        return false;
    /* one more newline makes the last line count, also when it is empty */
    tp_value newline;
    if (!tp_text_wrap(r, AS_STR("\n"), v.u.text->is_safe, &newline) ||
        !tp_binary(r, TP_ADD, v, newline, &v) || !tp_split_lines(r, v, false, &lines))
        return false;
    as_buf b;
    tp_buf_start(r, &b);
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const as_str line = tp_str(lines.u.list->v[i]);
        if (i > 0)
            (void)as_buf_add_byte(&b, '\n');
        if (i == 0 ? first : blank || line.n > 0)
            (void)as_buf_add(&b, tp_str(unit));
        (void)as_buf_add(&b, line);
    }
    return tp_buf_end(r, &b, v.u.text->is_safe, out);
}

static bool f_truncate(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t length = 255, leeway = 5;
    bool kill_words = false;
    tp_value end = a[2];
    size_t n = 0;
    if ((a[0].kind != TP_MISSING && !tp_need_int(r, a[0], "truncate", &length)) ||
        !flag_arg(r, a[1], &kill_words) ||
        (end.kind == TP_MISSING && !tp_text_wrap(r, AS_STR("..."), false, &end)) ||
        !tp_need_text(r, end, "truncate") ||
        (a[3].kind != TP_MISSING && a[3].kind != TP_NONE &&
         !tp_need_int(r, a[3], "truncate", &leeway)))
        return false;
    const int64_t n_end = (int64_t)end.u.text->n_chars;
    if (length < n_end || leeway < 0)
        return tp_raise(r, "AssertionError", "expected length >= %lld, got %lld", (long long)n_end,
                        (long long)length);
    if (!tp_length(r, v, &n))
        return false;
    *out = v;
    if ((int64_t)n <= length + leeway)
        return true;
    if (!tp_need_text(r, v, "truncate"))
        return false;
    as_str s = tp_str(v);
    s.n = tp_char_offset(s, v.u.text->n_chars, (size_t)(length - n_end));
    const size_t blank = as_str_rfind(s, AS_STR(" "));
    if (!kill_words && blank != SIZE_MAX)
        s.n = blank;
    return tp_text_wrap(r, s, v.u.text->is_safe, &v) && tp_binary(r, TP_ADD, v, end, out);
}

static bool f_wordcount(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    if (!tp_to_text(r, v, &v))
        return false;
    const as_str s = tp_str(v);
    int64_t n = 0;
    bool was_word = false;
    for (size_t i = 0; i < s.n;) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){s.p + i, s.n - i}, &len);
        const bool is_word =
            code == '_' ||
            (tp_classes(code) & (TP_C_ALPHA | TP_C_DECIMAL | TP_C_DIGIT | TP_C_NUMERIC)) != 0;
        n += is_word && !was_word;
        was_word = is_word;
        i += len;
    }
    *out = tp_int(n);
    return tp_step(r, s.n / 8);
}

/* One paragraph, filled greedily: words with the blanks in front of them, blanks at the ends of
 * lines dropped. Hyphens are not looked at. */
static void wrap_line(as_str s, size_t width, bool break_long, as_str sep, as_buf *b)
{
    size_t used = 0;
    bool is_first = true;
    while (s.n > 0 && !b->is_full) {
        size_t blanks = 0, word = 0;
        while (blanks < s.n && as_is_one_of(s.p[blanks], " \t\n\v\f\r"))
            blanks++;
        while (blanks + word < s.n && !as_is_one_of(s.p[blanks + word], " \t\n\v\f\r"))
            word++;
        as_str text = {s.p + blanks, word};
        const size_t n = tp_chars(text);
        if (word == 0)
            break;
        const bool is_start = used == 0;
        const bool fits = used + (is_start && !is_first ? 0 : blanks) + n <= width;
        if (fits) {
            if (!is_start || is_first)
                (void)as_buf_add(b, (as_str){s.p, blanks});
            (void)as_buf_add(b, text);
            used += (is_start && !is_first ? 0 : blanks) + n;
        } else if (n > width && break_long) {
            const size_t room = is_start                ? width
                                : used + blanks < width ? width - used - blanks
                                                        : 0;
            if (room > 0) {
                text.n = tp_char_offset(text, n, room);
                (void)as_buf_add(b, (as_str){s.p, is_start ? 0 : blanks});
                (void)as_buf_add(b, text);
                s = (as_str){text.p + text.n, s.n - blanks - text.n};
            } else {
                s = (as_str){s.p + blanks, s.n - blanks};
            }
            (void)as_buf_add(b, sep);
            used = 0;
            is_first = false;
            continue;
        } else {
            if (!is_start)
                (void)as_buf_add(b, sep);
            (void)as_buf_add(b, text);
            used = n;
        }
        is_first = false;
        s = (as_str){s.p + blanks + word, s.n - blanks - word};
    }
}

static bool f_wordwrap(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    int64_t width = 79;
    bool break_long = true;
    tp_value sep = a[2], lines;
    if (!tp_need_text(r, v, "wordwrap") ||
        (a[0].kind != TP_MISSING && !tp_need_int(r, a[0], "wordwrap", &width)) ||
        (a[1].kind != TP_MISSING && !tp_truth(r, a[1], &break_long)))
        return false;
    if ((sep.kind == TP_MISSING || sep.kind == TP_NONE) &&
        !tp_text_wrap(r, AS_STR("\n"), false, &sep))
        return false;
    if (width <= 0)
        return tp_raise(r, "ValueError", "invalid width %lld (must be > 0)", (long long)width);
    if (!tp_need_text(r, sep, "wordwrap") || !tp_split_lines(r, v, false, &lines))
        return false;
    as_buf b;
    tp_buf_start(r, &b);
    for (size_t i = 0; i < lines.u.list->n; i++) {
        if (i > 0)
            (void)as_buf_add(&b, tp_str(sep));
        wrap_line(tp_str(lines.u.list->v[i]), (size_t)width, break_long, tp_str(sep), &b);
    }
    return tp_step(r, b.n / 8) ? tp_buf_end(r, &b, false, out) : tp_buf_drop(&b);
}

static bool quote_url(tp_run *r, tp_value v, bool is_query, as_buf *b)
{
    if (!tp_to_text(r, v, &v))
        return false;
    const as_str s = tp_str(v);
    for (size_t i = 0; i < s.n && !b->is_full; i++) {
        const unsigned char c = (unsigned char)s.p[i];
        const bool is_plain = (c < 0x80 && (tp_classes(c) & (TP_C_ALPHA | TP_C_DECIMAL)) != 0) ||
                              (c != 0 && strchr("_.-~", c) != NULL) || (c == '/' && !is_query);
        if (is_plain)
            (void)as_buf_add_byte(b, (char)c);
        else if (c == ' ' && is_query)
            (void)as_buf_add_byte(b, '+');
        else
            (void)as_buf_printf(b, "%%%02X", c);
    }
    return tp_step(r, s.n / 8);
}

static bool f_urlencode(tp_run *r, tp_value v, const tp_value *a, tp_value *out)
{
    (void)a;
    as_buf b;
    tp_value pairs;
    const bool is_text = v.kind == TP_TEXT || tp_is_number(v) || v.kind == TP_NONE;
    if (v.kind == TP_DICT) {
        tp_view *view = tp_alloc(r, 1, sizeof *view);
        if (view == NULL)
            return false;
        *view = (tp_view){v.u.dict, TP_ITEMS};
        v = (tp_value){.kind = TP_VIEW, .u.view = view};
    }
    if (!is_text && !tp_to_list(r, v, TP_LIST, &pairs))
        return false;
    tp_buf_start(r, &b);
    if (is_text)
        return quote_url(r, v, false, &b) ? tp_buf_end(r, &b, false, out) : tp_buf_drop(&b);
    for (size_t i = 0; i < pairs.u.list->n; i++) {
        tp_value pair = pairs.u.list->v[i];
        if (!tp_to_list(r, pair, TP_LIST, &pair))
            return tp_buf_drop(&b);
        if (pair.u.list->n != 2) {
            (void)tp_raise(r, "ValueError", "urlencode wants pairs");
            return tp_buf_drop(&b);
        }
        if (i > 0)
            (void)as_buf_add_byte(&b, '&');
        if (!quote_url(r, pair.u.list->v[0], true, &b))
            return tp_buf_drop(&b);
        (void)as_buf_add_byte(&b, '=');
        if (!quote_url(r, pair.u.list->v[1], true, &b))
            return tp_buf_drop(&b);
    }
    return tp_buf_end(r, &b, false, out);
}

static bool f_format(tp_run *r, tp_value v, const tp_args *args, tp_value *out)
{
    tp_value values;
    if (args->n_pos > 0 && args->n_kw > 0)
        return tp_raise(r, "FilterArgumentError",
                        "can't handle positional and keyword arguments at the same time");
    if (!tp_to_text(r, v, &v))
        return false;
    if (args->n_kw == 0) {
        tp_list *l = NULL;
        if (!tp_list_new(r, TP_TUPLE, args->n_pos, &l, &values))
            return false;
        if (l->n > 0)
            memcpy(l->v, args->pos, l->n * sizeof *l->v);
        return tp_percent(r, v, values, out);
    }
    tp_dict *d = NULL;
    if (!tp_dict_new(r, &d, &values))
        return false;
    for (size_t i = 0; i < args->n_kw; i++) {
        tp_value key;
        if (!tp_text_wrap(r, args->names[i], false, &key) || !tp_dict_set(r, d, key, args->kw[i]))
            return false;
    }
    return tp_percent(r, v, values, out);
}

const tp_function tp_filters_text[] = {
    {"capitalize", "", 0, f_capitalize, NULL},
    {"center", "width", 0, f_center, NULL},
    {"e", "", 0, f_escape, NULL},
    {"escape", "", 0, f_escape, NULL},
    {"forceescape", "", 0, f_forceescape, NULL},
    {"format", NULL, 0, NULL, f_format},
    {"indent", "width first blank", 0, f_indent, NULL},
    {"lower", "", 0, f_lower, NULL},
    {"replace", "old new count", 2, f_replace, NULL},
    {"safe", "", 0, f_safe, NULL},
    {"string", "", 0, f_string, NULL},
    {"title", "", 0, f_title, NULL},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, tp_f_tojson, NULL},
    {"trim", "chars", 0, f_trim, NULL},
    {"truncate", "length killwords end leeway", 0, f_truncate, NULL},
    {"upper", "", 0, f_upper, NULL},
    {"urlencode", "", 0, f_urlencode, NULL},
    {"wordcount", "", 0, f_wordcount, NULL},
    {"wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, f_wordwrap, NULL},
    {NULL, NULL, 0, NULL, NULL},
};
