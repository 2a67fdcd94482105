#include "backend/http/prometheus.h"

#include <math.h>
#include <string.h>

typedef struct sample {
    as_str name, labels; /* labels: between the braces */
    double value;
} sample;

/* The end of "…}" behind an opening brace, with quoted values skipped; SIZE_MAX: unclosed. */
static size_t labels_end(as_str s)
{
    bool is_quoted = false;
    for (size_t i = 0; i < s.n; i++) {
        if (is_quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            is_quoted = !is_quoted;
        else if (s.p[i] == '}' && !is_quoted)
            return i;
    }
    return SIZE_MAX;
}

static bool parse_value(as_str s, double *out)
{
    if (as_str_eq(s, AS_STR("NaN"))) {
        *out = (double)NAN;
        return true;
    }
    if (as_str_eq(s, AS_STR("+Inf")) || as_str_eq(s, AS_STR("-Inf"))) {
        *out = s.p[0] == '-' ? (double)-INFINITY : (double)INFINITY;
        return true;
    }
    if (s.n != 0 && s.p[0] == '+')
        s = as_str_sub(s, 1, s.n);
    return as_parse_f64(s, out);
}

static bool parse_line(as_str line, sample *out)
{
    line = as_str_trim(line);
    if (line.n == 0 || line.p[0] == '#')
        return false;
    size_t n = 0;
    while (n < line.n && line.p[n] != '{' && line.p[n] != ' ' && line.p[n] != '\t')
        n++;
    *out = (sample){.name = as_str_sub(line, 0, n)};
    as_str rest = as_str_sub(line, n, line.n);
    if (rest.n != 0 && rest.p[0] == '{') {
        rest = as_str_sub(rest, 1, rest.n);
        const size_t end = labels_end(rest);
        if (end == SIZE_MAX)
            return false;
        out->labels = as_str_sub(rest, 0, end);
        rest = as_str_sub(rest, end + 1, rest.n);
    }
    rest = as_str_trim(rest);
    size_t v = 0;
    while (v < rest.n && rest.p[v] != ' ' && rest.p[v] != '\t')
        v++;
    return parse_value(as_str_sub(rest, 0, v), &out->value);
}

static bool is_name(as_str found, const char *name)
{
    const as_str total = AS_STR("_total");
    return as_str_eq_z(found, name) || (as_str_ends(found, total) &&
                                        as_str_eq_z(as_str_sub(found, 0, found.n - total.n), name));
}

/* The value of a label, as it is written between the quotes. */
static as_str label_of(as_str labels, const char *label)
{
    while (labels.n != 0) {
        as_str key, rest;
        if (!as_str_cut(labels, '=', &key, &rest) || rest.n == 0 || rest.p[0] != '"')
            break;
        rest = as_str_sub(rest, 1, rest.n);
        size_t n = 0;
        while (n < rest.n && rest.p[n] != '"')
            n += rest.p[n] == '\\' ? 2 : 1;
        if (as_str_eq_z(as_str_trim(key), label))
            return as_str_sub(rest, 0, n);
        labels = as_str_trim(as_str_sub(rest, n + 1, rest.n));
        if (labels.n != 0 && labels.p[0] == ',')
            labels = as_str_sub(labels, 1, labels.n);
    }
    return (as_str){0};
}

double ht_prom_sum(as_str text, const char *name, const char *model_label, as_str model)
{
    double sum = (double)NAN;
    as_str line;
    sample s;
    while (text.n != 0) {
        (void)as_str_cut(text, '\n', &line, &text);
        if (!parse_line(line, &s) || !is_name(s.name, name))
            continue;
        const as_str of = model_label != NULL ? label_of(s.labels, model_label) : (as_str){0};
        if (as_str_is_set(of) && !as_str_eq(of, model))
            continue;
        sum = isnan(sum) ? s.value : sum + s.value;
    }
    return sum;
}

as_str ht_prom_label(as_str text, const char *name, const char *label)
{
    as_str line;
    sample s;
    while (text.n != 0) {
        (void)as_str_cut(text, '\n', &line, &text);
        if (parse_line(line, &s) && is_name(s.name, name))
            return label_of(s.labels, label);
    }
    return (as_str){0};
}
