/*
 * print.c — str() and repr() of values.
 */
#include "engine/template/impl.h"

#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void tp_buf_start(tp_run *r, as_buf *b)
{
    as_buf_init(b, r->limits.max_out_bytes);
}

bool tp_buf_drop(as_buf *b)
{
    as_buf_release(b);
    return false;
}

bool tp_buf_end(tp_run *r, as_buf *b, bool is_safe, tp_value *out)
{
    bool is_ok = !b->is_full;
    if (!is_ok)
        (void)tp_raise(r, "LimitError", "a string grows beyond %zu bytes", r->limits.max_out_bytes);
    if (is_ok) {
        const as_str copy = as_arena_str(r->arena, as_buf_str(b));
        is_ok = copy.p != NULL ? tp_text_wrap(r, copy, is_safe, out) : tp_raise_nomem(r);
    }
    as_buf_release(b);
    return is_ok;
}

/* The fewest digits that read back equal; 1e+16 and beyond, and below 1e-4, with an exponent. */
void tp_float_repr(char z[40], double f)
{
    if (isnan(f) || isinf(f)) {
        (void)snprintf(z, 40, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    char e[40];
    for (int digits = 0; digits < 17; digits++) {
        (void)snprintf(e, sizeof e, "%.*e", digits, f);
        if (strtod(e, NULL) == f)
            break;
    }
    const int exponent = (int)strtol(strchr(e, 'e') + 1, NULL, 10);
    const int n_digits = (int)(strchr(e, 'e') - e) - (e[0] == '-') - (strchr(e, '.') != NULL);
    if (exponent >= -4 && exponent < 16) {
        const int decimals = n_digits - 1 - exponent;
        (void)snprintf(z, 40, "%.*f", decimals > 0 ? decimals : 1, f);
    } else {
        (void)snprintf(z, 40, "%s", e);
    }
}

static bool is_full(tp_run *r, const as_buf *out)
{
    return out->is_full &&
           !tp_raise(r, "LimitError", "a string grows beyond %zu bytes", r->limits.max_out_bytes);
}

static void repr_char(as_buf *out, uint32_t code, as_str bytes, char quote)
{
    const char *escape = code == '\n' ? "\\n" : code == '\t' ? "\\t" : code == '\r' ? "\\r" : NULL;
    if (escape != NULL)
        (void)as_buf_add_z(out, escape);
    else if (code == (uint32_t)quote || code == '\\')
        (void)as_buf_printf(out, "\\%c", (char)code);
    else if ((tp_classes(code) & TP_C_PRINT) != 0)
        (void)as_buf_add(out, bytes);
    else
        (void)as_buf_printf(out,
                            code < 0x100     ? "\\x%02x"
                            : code < 0x10000 ? "\\u%04x"
                                             : "\\U%08x",
                            code);
}

static bool repr_text(tp_run *r, tp_value v, as_buf *out)
{
    const as_str s = tp_str(v);
    const bool has_single = s.n > 0 && memchr(s.p, '\'', s.n) != NULL;
    const char quote = has_single && memchr(s.p, '"', s.n) == NULL ? '"' : '\'';
    if (v.u.text->is_safe)
        (void)as_buf_add_z(out, "Markup(");
    (void)as_buf_add_byte(out, quote);
    for (size_t i = 0; i < s.n && !out->is_full;) {
        size_t len = 0;
        const uint32_t code = tp_decode((as_str){s.p + i, s.n - i}, &len);
        repr_char(out, code, (as_str){s.p + i, len}, quote);
        i += len;
    }
    (void)as_buf_add_byte(out, quote);
    if (v.u.text->is_safe)
        (void)as_buf_add_z(out, ")");
    return !is_full(r, out) && tp_step(r, s.n / 16);
}

static bool repr_items(tp_run *r, const tp_value *v, size_t n, as_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            (void)as_buf_add_z(out, ", ");
        if (!tp_step(r, 1) || !tp_repr(r, v[i], out))
            return false;
    }
    return true;
}

static bool repr_dict(tp_run *r, const tp_dict *d, as_buf *out)
{
    (void)as_buf_add_byte(out, '{');
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            (void)as_buf_add_z(out, ", ");
        if (!tp_step(r, 1) || !tp_repr(r, d->keys[i], out))
            return false;
        (void)as_buf_add_z(out, ": ");
        if (!tp_repr(r, d->values[i], out))
            return false;
    }
    (void)as_buf_add_byte(out, '}');
    return true;
}

static bool repr_view(tp_run *r, tp_value v, as_buf *out)
{
    tp_value list;
    (void)as_buf_printf(out, "%s([", tp_type_name(v));
    if (!tp_to_list(r, v, TP_LIST, &list) || !repr_items(r, list.u.list->v, list.u.list->n, out))
        return false;
    (void)as_buf_add_z(out, "])");
    return true;
}

static bool repr_loop(tp_run *r, tp_value v, as_buf *out)
{
    size_t n = 0;
    if (!tp_length(r, v, &n))
        return false;
    (void)as_buf_printf(out, "<LoopContext %lld/%zu>", (long long)v.u.loop->index0 + 1, n);
    return true;
}

static void repr_range(const tp_range *range, as_buf *out)
{
    (void)as_buf_printf(out, "range(%lld, %lld", (long long)range->start, (long long)range->stop);
    if (range->step != 1)
        (void)as_buf_printf(out, ", %lld", (long long)range->step);
    (void)as_buf_add_byte(out, ')');
}

static bool repr_macro(tp_run *r, tp_value v, as_buf *out)
{
    tp_value name;
    if (v.u.macro->name.p == NULL) {
        (void)as_buf_add_z(out, "<Macro anonymous>");
        return true;
    }
    (void)as_buf_add_z(out, "<Macro ");
    if (!tp_text_wrap(r, v.u.macro->name, false, &name) || !repr_text(r, name, out))
        return false;
    (void)as_buf_add_byte(out, '>');
    return true;
}

static bool repr_box(tp_run *r, tp_value v, as_buf *out)
{
    switch (v.kind) {
    case TP_LIST:
    case TP_TUPLE:
        (void)as_buf_add_byte(out, v.kind == TP_LIST ? '[' : '(');
        if (!repr_items(r, v.u.list->v, v.u.list->n, out))
            return false;
        if (v.kind == TP_TUPLE && v.u.list->n == 1)
            (void)as_buf_add_byte(out, ',');
        (void)as_buf_add_byte(out, v.kind == TP_LIST ? ']' : ')');
        return true;
    case TP_DICT:
        return repr_dict(r, v.u.dict, out);
    case TP_NAMESPACE:
        (void)as_buf_add_z(out, "<Namespace ");
        if (!repr_dict(r, v.u.space, out))
            return false;
        (void)as_buf_add_byte(out, '>');
        return true;
    case TP_VIEW:
        return repr_view(r, v, out);
    case TP_LOOP:
        return repr_loop(r, v, out);
    case TP_MACRO:
        return repr_macro(r, v, out);
    default:
        /* Python shows an address here, which no two renderings share */
        (void)as_buf_printf(out, "<%s object>", tp_type_name(v));
        return true;
    }
}

bool tp_repr(tp_run *r, tp_value v, as_buf *out)
{
    char z[40];
    switch (v.kind) {
    case TP_UNDEFINED:
        (void)as_buf_add_z(out, "Undefined");
        break;
    case TP_NONE:
        (void)as_buf_add_z(out, "None");
        break;
    case TP_BOOL:
        (void)as_buf_add_z(out, v.u.b ? "True" : "False");
        break;
    case TP_INT:
        (void)as_buf_printf(out, "%lld", (long long)v.u.i);
        break;
    case TP_FLOAT:
        tp_float_repr(z, v.u.f);
        (void)as_buf_add_z(out, z);
        break;
    case TP_TEXT:
        return repr_text(r, v, out);
    case TP_RANGE:
        repr_range(v.u.range, out);
        break;
    default:
        if (!tp_enter(r) || !repr_box(r, v, out))
            return false;
        tp_leave(r);
    }
    return !is_full(r, out);
}

bool tp_print(tp_run *r, tp_value v, as_buf *out)
{
    if (v.kind == TP_UNDEFINED)
        return true;
    if (v.kind != TP_TEXT)
        return tp_repr(r, v, out);
    (void)as_buf_add(out, tp_str(v));
    return !is_full(r, out) && tp_step(r, v.u.text->n / 64);
}

bool tp_to_text(tp_run *r, tp_value v, tp_value *out)
{
    *out = v;
    if (v.kind == TP_TEXT)
        return true;
    as_buf b;
    tp_buf_start(r, &b);
    return tp_print(r, v, &b) ? tp_buf_end(r, &b, false, out) : tp_buf_drop(&b);
}
