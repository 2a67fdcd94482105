#include "base/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"

enum { READ_BYTES = 1 << 16 };
static const size_t default_max_line = (size_t)256 << 20;

struct as_jsonl {
    gzFile file;
    char *path;
    size_t line;
    size_t at; /* start of the next line in text */
    bool is_eof;
    as_buf text; /* bytes read and not yet given out */
};

as_code as_jsonl_open(as_jsonl **out, const char *path, size_t max_line_bytes, as_err *err)
{
    *out = NULL;
    const bool is_stdin = strcmp(path, "-") == 0;
    const int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return as_fail_sys(err, "%s", path);
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return as_fail(err, AS_IO, "%s: is a folder, want a file", path);
    }
    as_jsonl *in = calloc(1, sizeof *in);
    char *name = strdup(is_stdin ? "standard input" : path);
    gzFile file = gzdopen(fd, "rb");
    if (in == NULL || name == NULL || file == NULL) {
        free(in);
        free(name);
        if (file != NULL)
            gzclose(file);
        else
            close(fd);
        return as_fail(err, AS_NOMEM, "%s: out of memory", path);
    }
    (void)gzbuffer(file, READ_BYTES);
    in->file = file;
    in->path = name;
    const size_t max = max_line_bytes != 0 ? max_line_bytes : default_max_line;
    as_buf_init(&in->text, max + READ_BYTES);
    if (as_buf_reserve(&in->text, READ_BYTES) == NULL) {
        as_jsonl_close(in);
        return as_fail(err, AS_NOMEM, "%s: out of memory", path);
    }
    *out = in;
    return AS_OK;
}

void as_jsonl_close(as_jsonl *in)
{
    if (in == NULL)
        return;
    gzclose(in->file);
    as_buf_release(&in->text);
    free(in->path);
    free(in);
}

static as_code read_more(as_jsonl *in, as_err *err)
{
    as_buf_drop(&in->text, in->at);
    in->at = 0;
    char *to = as_buf_reserve(&in->text, READ_BYTES);
    if (to == NULL)
        return as_fail(err, AS_NOMEM, "%s: line %zu: longer than the limit of %zu bytes", in->path,
                       in->line + 1, in->text.max_bytes - READ_BYTES);
    const int n = gzread(in->file, to, READ_BYTES);
    if (n < 0) {
        int code = 0;
        const char *why = gzerror(in->file, &code);
        if (code == Z_ERRNO)
            return as_fail_sys(err, "%s: line %zu", in->path, in->line + 1);
        return as_fail(err, AS_PARSE, "%s: line %zu: damaged gzip data (%s)", in->path,
                       in->line + 1, why);
    }
    if (n == 0) {
        int code = 0;
        const char *why = gzerror(in->file, &code);
        if (code != Z_OK && code != Z_STREAM_END)
            return as_fail(err, AS_PARSE, "%s: line %zu: gzip data end too early (%s)", in->path,
                           in->line + 1, why);
        in->is_eof = true;
    }
    in->text.n += (size_t)n;
    in->text.p[in->text.n] = '\0';
    return AS_OK;
}

as_code as_jsonl_next_text(as_jsonl *in, as_str *out, bool *is_end, as_err *err)
{
    *out = (as_str){0};
    *is_end = false;
    size_t seen = 0; /* bytes behind in->at already searched */
    for (;;) {
        const as_str rest = {in->text.p + in->at, in->text.n - in->at};
        const char *nl = rest.n > seen ? memchr(rest.p + seen, '\n', rest.n - seen) : NULL;
        if (nl != NULL || (in->is_eof && rest.n != 0)) {
            const size_t n = nl != NULL ? (size_t)(nl - rest.p) : rest.n;
            in->at += n + (nl != NULL ? 1 : 0);
            in->line++;
            as_str line = {rest.p, n};
            if (in->line == 1 && as_str_starts(line, AS_STR("\xEF\xBB\xBF")))
                line = as_str_sub(line, 3, line.n);
            if (as_str_trim(line).n == 0) {
                seen = 0;
                continue;
            }
            *out = line;
            return AS_OK;
        }
        if (in->is_eof) {
            *is_end = true;
            return AS_OK;
        }
        seen = rest.n;
        AS_TRY(read_more(in, err));
    }
}

as_code as_jsonl_next(as_jsonl *in, as_json **out, as_err *err)
{
    *out = NULL;
    as_str line;
    bool is_end = false;
    AS_TRY(as_jsonl_next_text(in, &line, &is_end, err));
    if (is_end)
        return AS_OK;
    const as_code c = as_json_parse(out, line, err);
    return c == AS_OK ? AS_OK : as_jsonl_wrap(in, err);
}

size_t as_jsonl_line(const as_jsonl *in)
{
    return in->line;
}

const char *as_jsonl_path(const as_jsonl *in)
{
    return in->path;
}

as_code as_jsonl_wrap(const as_jsonl *in, as_err *err)
{
    return as_wrap(err, "%s: line %zu", in->path, in->line);
}
