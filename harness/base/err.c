#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts a text that filled its buffer at a UTF-8 border and marks the cut. */
static void mark_cut(char *text, size_t cap)
{
    size_t n = cap - 4;
    while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    memcpy(text + n, "...", 4);
}

static void put_text(as_err *err, const char *fmt, va_list ap) AS_PRINTF(2, 0);

static void put_text(as_err *err, const char *fmt, va_list ap)
{
    const int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    if (n < 0)
        err->text[0] = '\0';
    else if ((size_t)n >= sizeof err->text)
        mark_cut(err->text, sizeof err->text);
}

as_code(as_fail)(as_err *err, as_code code, const char *fmt, ...)
{
    if (err != NULL) {
        err->code = code;
        err->sys = 0;
        va_list ap;
        va_start(ap, fmt);
        put_text(err, fmt, ap);
        va_end(ap);
    }
    return code;
}

as_code(as_fail_sys)(as_err *err, const char *fmt, ...)
{
    const int sys = errno;
    if (err != NULL) {
        va_list ap;
        va_start(ap, fmt);
        put_text(err, fmt, ap);
        va_end(ap);
        err->code = AS_IO;
        err->sys = sys;
        const size_t used = strlen(err->text);
        char why[128];
        const char *text = strerror_r(sys, why, sizeof why) == 0 ? why : "unknown error";
        const size_t room = sizeof err->text - used;
        const int n = snprintf(err->text + used, room, ": %s", text);
        if (n < 0 || (size_t)n >= room)
            mark_cut(err->text, sizeof err->text);
    }
    return AS_IO;
}

as_code as_wrap(as_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return AS_BUG;
    char inner[sizeof err->text];
    memcpy(inner, err->text, sizeof inner);
    va_list ap;
    va_start(ap, fmt);
    put_text(err, fmt, ap);
    va_end(ap);
    const size_t used = strlen(err->text);
    const size_t room = sizeof err->text - used;
    const int n = snprintf(err->text + used, room, ": %s", inner);
    if (n < 0 || (size_t)n >= room)
        mark_cut(err->text, sizeof err->text);
    return err->code;
}

const char *as_code_name(as_code code)
{
    static const char *const names[] = {
        [AS_OK] = "ok",           [AS_NOMEM] = "nomem",         [AS_IO] = "io",
        [AS_PARSE] = "parse",     [AS_RANGE] = "range",         [AS_UNSUPPORTED] = "unsupported",
        [AS_TIMEOUT] = "timeout", [AS_CANCELLED] = "cancelled", [AS_INTEGRITY] = "integrity",
        [AS_BUG] = "bug",
    };
    if ((size_t)code >= sizeof names / sizeof names[0])
        return "unknown";
    return names[code];
}
