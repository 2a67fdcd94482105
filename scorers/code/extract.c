#include "scorers/code/extract.h"

bool sc_code_last(as_str *code, as_str text)
{
    const as_str fence = AS_STR("```");
    size_t start[2] = {0, 0}; /* of the last two lines with a fence, newest second */
    size_t end[2] = {0, 0};
    int n = 0;
    *code = AS_STR("");
    for (size_t at = 0; at <= text.n;) {
        const char *nl = at < text.n ? memchr(text.p + at, '\n', text.n - at) : NULL;
        const size_t stop = nl != NULL ? (size_t)(nl - text.p) : text.n;
        if (as_str_find(as_str_sub(text, at, stop), fence) != SIZE_MAX) {
            start[0] = start[1];
            end[0] = end[1];
            start[1] = at;
            end[1] = stop;
            n++;
        }
        at = stop + 1;
    }
    if (n < 2)
        return false;
    /* The lines between, joined: without the newline in front of the second fence line. */
    if (start[1] > end[0] + 1)
        *code = as_str_sub(text, end[0] + 1, start[1] - 1);
    return true;
}

/* \w of a language tag; letters beyond ASCII are none here. */
static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool sc_code_first(as_str *code, as_str *tag, as_str text)
{
    *code = *tag = AS_STR("");
    for (size_t at = 0; at < text.n;) {
        const size_t found = as_str_find(as_str_sub(text, at, text.n), AS_STR("```"));
        if (found == SIZE_MAX)
            return false;
        const size_t open = at + found + 3;
        size_t end = open;
        while (end < text.n && is_word(text.p[end]))
            end++;
        if (end < text.n && text.p[end] == '\n') {
            const as_str rest = as_str_sub(text, end + 1, text.n);
            const size_t close = as_str_find(rest, AS_STR("\n```"));
            if (close == SIZE_MAX)
                return false; /* no later block can be closed either */
            *code = as_str_sub(rest, 0, close);
            *tag = as_str_sub(text, open, end);
            return true;
        }
        at = at + found + 1;
    }
    return false;
}
