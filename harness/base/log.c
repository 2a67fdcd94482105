#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

void as_log_line(const as_log *log, as_log_level level, const char *fmt, ...)
{
    if (log == NULL || log->sink == NULL || level > log->level)
        return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    const size_t full = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    log->sink(log->user, level, as_utf8_cut((as_str){line, full}, full));
}

const char *as_log_level_name(as_log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return (size_t)level < sizeof names / sizeof names[0] ? names[level] : "?";
}
