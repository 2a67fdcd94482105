#include "base/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

enum { MATCH_LIMIT = 2000000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 64 * 1024 };

struct as_regex {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

as_code as_regex_new(as_regex **out, const char *pattern, unsigned flags, as_err *err)
{
    *out = NULL;
    uint32_t options = 0;
    if ((flags & AS_RE_BYTES) == 0)
        options |= PCRE2_UTF | PCRE2_MATCH_INVALID_UTF;
    if ((flags & AS_RE_CASELESS) != 0)
        options |= PCRE2_CASELESS;
    if ((flags & AS_RE_DOTALL) != 0)
        options |= PCRE2_DOTALL;
    if ((flags & AS_RE_MULTILINE) != 0)
        options |= PCRE2_MULTILINE;
    if ((flags & AS_RE_UCP) != 0)
        options |= PCRE2_UCP;
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &code, &at, NULL);
    if (re == NULL) {
        PCRE2_UCHAR why[120];
        (void)pcre2_get_error_message(code, why, sizeof why);
        return as_fail(err, AS_PARSE, "regular expression %s: at character %zu: %s", pattern,
                       (size_t)at, (const char *)why);
    }
    as_regex *made = calloc(1, sizeof *made);
    if (made != NULL) {
        made->code = re;
        made->data = pcre2_match_data_create_from_pattern(re, NULL);
        made->limits = pcre2_match_context_create(NULL);
    }
    if (made == NULL || made->data == NULL || made->limits == NULL) {
        if (made == NULL)
            pcre2_code_free(re);
        as_regex_free(made);
        return as_fail(err, AS_NOMEM, "regular expression %s: out of memory", pattern);
    }
    (void)pcre2_set_match_limit(made->limits, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(made->limits, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(made->limits, HEAP_LIMIT_KIB);
    *out = made;
    return AS_OK;
}

void as_regex_free(as_regex *re)
{
    if (re == NULL)
        return;
    pcre2_match_data_free(re->data);
    pcre2_match_context_free(re->limits);
    pcre2_code_free(re->code);
    free(re);
}

as_code as_regex_find(as_regex *re, as_str text, size_t from, as_match *out, bool *found,
                      as_err *err)
{
    *found = false;
    if (from > text.n)
        return AS_OK;
    const char *p = text.p != NULL ? text.p : "";
    const int rc = pcre2_match(re->code, (PCRE2_SPTR)p, text.n, from, 0, re->data, re->limits);
    if (rc == PCRE2_ERROR_NOMATCH)
        return AS_OK;
    if (rc < 0) {
        PCRE2_UCHAR why[120];
        (void)pcre2_get_error_message(rc, why, sizeof why);
        return as_fail(err, AS_RANGE, "regular expression gave up on a text of %zu bytes: %s",
                       text.n, (const char *)why);
    }
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(re->data);
    *out = (as_match){.start = at[0], .end = at[1]};
    const uint32_t pairs = pcre2_get_ovector_count(re->data);
    out->n_groups = (int)(pairs < AS_RE_GROUPS ? pairs : AS_RE_GROUPS);
    for (int i = 0; i < out->n_groups; i++, at += 2) {
        const size_t a = at[0];
        const size_t b = at[1];
        if (i < rc && a != PCRE2_UNSET && b >= a)
            out->group[i] = (as_str){p + a, b - a};
    }
    *found = true;
    return AS_OK;
}
