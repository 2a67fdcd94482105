/*
 * bulky.c — imports rows whose tests are too long to hold.
 *
 * A file is read in pieces of 64 KB, gzip'd or not. A row's object is followed byte by byte: names
 * and nesting are watched, the bytes of a value go to where they belong — the row's own text, or
 * the file SPLIT.tests with a hash over them. Nothing but the row's own text is kept.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "datasets/import_impl.h"

enum { PIECE_BYTES = 1 << 16, MAX_NAME = 256, MAX_DEPTH = 500, OUT_BYTES = 1 << 16 };

typedef struct bulky {
    ds_job *job;
    gzFile file;
    uint8_t piece[PIECE_BYTES];
    size_t at, n;
    as_buf small; /* the row without its bulky members */
    as_buf name;  /* of the member being read, with its quotes */
    /* the line of SPLIT.tests being written */
    as_str tests_name;
    ds_out_split *tests; /* NULL until a row has bulky members */
    as_sha256_state *hash;
    char out[OUT_BYTES];
    size_t n_out, line_bytes;
    bool is_bulky; /* where bytes go now */
    as_err *err;
} bulky;

static const int end_of_file = -1;

static as_code fill(bulky *b)
{
    const int n = gzread(b->file, b->piece, PIECE_BYTES);
    int code = 0;
    const char *why = gzerror(b->file, &code);
    if (n < 0 && code == Z_ERRNO)
        return as_fail_sys(b->err, "%s", b->job->path);
    if (n < 0 || (n == 0 && code != Z_OK && code != Z_STREAM_END))
        return as_fail(b->err, AS_PARSE, "damaged gzip data (%s)", why);
    b->at = 0;
    b->n = (size_t)n;
    return AS_OK;
}

/* The next byte without taking it, or end_of_file. */
static as_code peek(bulky *b, int *c)
{
    if (b->at == b->n)
        AS_TRY(fill(b));
    *c = b->n != 0 ? b->piece[b->at] : end_of_file;
    return AS_OK;
}

static as_code take(bulky *b, int *c)
{
    AS_TRY(peek(b, c));
    if (*c == end_of_file)
        return as_fail(b->err, AS_PARSE, "the file ends inside a row");
    b->at++;
    if (*c == '\n')
        b->job->line_no++;
    return AS_OK;
}

static as_code skip_blanks(bulky *b, int *c)
{
    for (;;) {
        AS_TRY(peek(b, c));
        if (*c != ' ' && *c != '\t' && *c != '\r' && *c != '\n')
            return AS_OK;
        AS_TRY(take(b, c));
    }
}

/* ---- where bytes go ------------------------------------------------------------------------ */

static as_code flush_line(bulky *b)
{
    as_sha256_add(b->hash, (as_str){b->out, b->n_out});
    if (fwrite(b->out, 1, b->n_out, b->tests->file) != b->n_out)
        return as_fail_sys(b->err, "%s", b->tests->path);
    b->n_out = 0;
    return AS_OK;
}

static as_code put_line(bulky *b, as_str s)
{
    if (s.n > (size_t)DS_MAX_BULKY - b->line_bytes)
        return as_fail(b->err, AS_RANGE, "the row's tests are longer than the limit of %d bytes",
                       DS_MAX_BULKY);
    b->line_bytes += s.n;
    while (s.n != 0) {
        const size_t n = s.n < OUT_BYTES - b->n_out ? s.n : OUT_BYTES - b->n_out;
        memcpy(b->out + b->n_out, s.p, n);
        b->n_out += n;
        s = as_str_sub(s, n, s.n);
        if (b->n_out == OUT_BYTES)
            AS_TRY(flush_line(b));
    }
    return AS_OK;
}

static as_code put(bulky *b, int c)
{
    const char byte = (char)c;
    if (b->is_bulky)
        return put_line(b, (as_str){&byte, 1});
    if (as_buf_add_byte(&b->small, byte) == AS_OK)
        return AS_OK;
    return as_fail(b->err, AS_RANGE, "the row is longer than %d bytes without its tests",
                   DS_MAX_SMALL);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* Behind the opening quote; the closing one included. Long stretches without an escape are the
 * bulk of the bulk, and go in pieces. */
static as_code copy_string(bulky *b)
{
    for (int c = 0;;) {
        AS_TRY(peek(b, &c));
        size_t n = 0;
        while (b->at + n < b->n && b->piece[b->at + n] != '"' && b->piece[b->at + n] != '\\' &&
               b->piece[b->at + n] >= 0x20)
            n++;
        if (n != 0 && b->is_bulky)
            AS_TRY(put_line(b, (as_str){(const char *)b->piece + b->at, n}));
        for (size_t i = 0; i < n && !b->is_bulky; i++)
            AS_TRY(put(b, b->piece[b->at + i]));
        b->at += n;
        if (n != 0)
            continue;
        AS_TRY(take(b, &c));
        if (c < 0x20)
            return as_fail(b->err, AS_PARSE, "a control character stands inside a text");
        AS_TRY(put(b, c));
        if (c == '"')
            return AS_OK;
        AS_TRY(take(b, &c)); /* behind a backslash */
        AS_TRY(put(b, c));
    }
}

/* One value. Only nesting and texts are checked here: what is small is parsed afterwards, what is
 * bulky when it is used. Line ends outside of texts become blanks: a row is one line. */
static as_code copy_value(bulky *b)
{
    int depth = 0;
    int c = 0;
    AS_TRY(skip_blanks(b, &c));
    if (c == ',' || c == '}' || c == ']')
        return as_fail(b->err, AS_PARSE, "%.*s has no value", AS_ARG(as_buf_str(&b->name)));
    const bool is_nested = c == '{' || c == '[';
    for (;;) {
        AS_TRY(peek(b, &c));
        const bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (!is_nested && (is_blank || c == ',' || c == '}' || c == ']'))
            return AS_OK;
        AS_TRY(take(b, &c));
        AS_TRY(put(b, is_blank ? ' ' : c));
        if (c == '"')
            AS_TRY(copy_string(b));
        depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
        if (depth > MAX_DEPTH)
            return as_fail(b->err, AS_PARSE, "nested deeper than %d levels", MAX_DEPTH);
        if (depth == 0 && (is_nested || c == '"'))
            return AS_OK;
    }
}

/* "name" and the colon. */
static as_code read_name(bulky *b)
{
    int c = 0;
    as_buf_reset(&b->name);
    AS_TRY(skip_blanks(b, &c));
    AS_TRY(take(b, &c));
    if (c != '"')
        return as_fail(b->err, AS_PARSE, "want the name of a member, in quotes");
    do {
        (void)as_buf_add_byte(&b->name, (char)c);
        AS_TRY(take(b, &c));
        if (c == '\\' || b->name.n > MAX_NAME)
            return as_fail(b->err, AS_PARSE, "a member's name is longer than %d bytes or escaped",
                           MAX_NAME);
    } while (c != '"');
    (void)as_buf_add_byte(&b->name, (char)c);
    AS_TRY(skip_blanks(b, &c));
    AS_TRY(take(b, &c));
    if (c != ':')
        return as_fail(b->err, AS_PARSE, "want a colon behind %.*s", AS_ARG(as_buf_str(&b->name)));
    return as_buf_ok(&b->name, b->err);
}

static bool is_bulky_name(const bulky *b)
{
    const as_str name = as_str_sub(as_buf_str(&b->name), 1, b->name.n - 1);
    for (const char *const *k = b->job->importer->bulky; *k != NULL; k++)
        if (as_str_eq_z(name, *k))
            return true;
    return false;
}

static as_code read_members(bulky *b, size_t *n_bulky)
{
    *n_bulky = 0;
    size_t n_small = 0;
    int c = 0;
    AS_TRY(skip_blanks(b, &c));
    for (bool is_last = c == '}'; !is_last;) {
        AS_TRY(read_name(b));
        b->is_bulky = is_bulky_name(b);
        if (b->is_bulky && b->tests == NULL)
            AS_TRY(ds_job_split(b->job, b->tests_name, &b->tests, b->err));
        size_t *n = b->is_bulky ? n_bulky : &n_small;
        if ((*n)++ != 0)
            AS_TRY(put(b, ','));
        for (size_t i = 0; i < b->name.n; i++)
            AS_TRY(put(b, b->name.p[i]));
        AS_TRY(put(b, ':'));
        AS_TRY(copy_value(b));
        AS_TRY(skip_blanks(b, &c));
        is_last = c != ',';
        if (!is_last)
            AS_TRY(take(b, &c));
    }
    AS_TRY(take(b, &c));
    return c == '}' ? AS_OK : as_fail(b->err, AS_PARSE, "want a comma or the end of the row");
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* Ends the line of SPLIT.tests and tells where it lies. */
static as_code end_tests(bulky *b, as_str id, as_sha256 *sum)
{
    as_buf tail;
    as_jw w;
    as_buf_init(&tail, 1 << 16);
    (void)as_buf_add_z(&tail, ",\"id\":");
    as_jw_init(&w, &tail);
    as_jw_str(&w, id);
    (void)as_buf_add_byte(&tail, '}');
    as_code c = as_buf_ok(&tail, b->err);
    if (c == AS_OK)
        c = put_line(b, as_buf_str(&tail));
    as_buf_release(&tail);
    if (c == AS_OK)
        c = flush_line(b);
    *sum = as_sha256_end(b->hash);
    b->hash = NULL;
    if (c == AS_OK && fputc('\n', b->tests->file) == EOF)
        c = as_fail_sys(b->err, "%s", b->tests->path);
    return c;
}

/* job->line, an object, gets the member "tests". */
static void add_place(bulky *b, size_t at, const as_sha256 *sum)
{
    char hex[AS_SHA256_HEX];
    as_sha256_hex(hex, sum);
    b->job->line.n--;
    (void)as_buf_printf(&b->job->line, ",\"tests\":{\"at\":%zu,\"bytes\":%zu,\"sha256\":\"%s\"}}\n",
                        at, b->line_bytes, hex);
}

static as_code make_row(bulky *b, as_str *id)
{
    ds_job *job = b->job;
    as_json *tree = NULL;
    as_str split = {0};
    as_jw w;
    AS_TRY(as_json_parse(&tree, as_buf_str(&b->small), b->err));
    as_buf_reset(&job->line);
    as_jw_init(&w, &job->line);
    const size_t mark = as_arena_mark(&job->scratch);
    as_code c = job->importer->row(tree, job->path, &split, &w, &job->scratch, b->err);
    as_arena_rewind(&job->scratch, mark);
    as_json_free(tree);
    if (c == AS_OK)
        c = as_buf_ok(&job->line, b->err);
    return c == AS_OK ? ds_row_id(id, as_buf_str(&job->line), &job->keep, b->err) : c;
}

static as_code read_row(bulky *b, ds_out_split *rows)
{
    ds_job *job = b->job;
    size_t n_bulky = 0;
    int c = 0;
    as_str id;
    as_sha256 sum;
    AS_TRY(take(b, &c));
    if (c != '{')
        return as_fail(b->err, AS_PARSE, "want one JSON object after another (JSON Lines)");
    as_buf_reset(&b->small);
    b->line_bytes = 0;
    if (b->hash == NULL && (b->hash = as_sha256_new()) == NULL)
        return as_nomem(b->err);
    AS_TRY(put_line(b, AS_STR("{")));
    (void)as_buf_add_byte(&b->small, '{');
    AS_TRY(read_members(b, &n_bulky));
    (void)as_buf_add_byte(&b->small, '}');
    AS_TRY(as_buf_ok(&b->small, b->err));
    AS_TRY(make_row(b, &id));
    if (n_bulky != 0) {
        const size_t at = b->tests->bytes;
        AS_TRY(end_tests(b, id, &sum));
        AS_TRY(ds_job_remember(job, b->tests, id, b->line_bytes + 1, -1, b->err));
        add_place(b, at, &sum);
    } else {
        b->n_out = 0; /* the line that was begun is none */
        (void)as_buf_add_byte(&job->line, '\n');
    }
    AS_TRY(as_buf_ok(&job->line, b->err));
    AS_TRY(ds_job_remember(job, rows, id, job->line.n, -1, b->err));
    if (fwrite(job->line.p, 1, job->line.n, rows->file) != job->line.n)
        return as_fail_sys(b->err, "%s", rows->path);
    return AS_OK;
}

static as_code read_rows(bulky *b, as_str split, int64_t want)
{
    ds_job *job = b->job;
    ds_out_split *rows = NULL;
    int64_t n = 0;
    b->tests_name = as_arena_printf(&job->keep, "%.*s.tests", AS_ARG(split));
    if (!as_str_is_set(b->tests_name))
        return as_nomem(b->err);
    AS_TRY(ds_job_split(job, split, &rows, b->err));
    for (int c = 0;; n++) {
        AS_TRY(skip_blanks(b, &c));
        if (c == end_of_file)
            break;
        AS_TRY(read_row(b, rows));
    }
    if (n == 0)
        return as_fail(b->err, AS_RANGE, "holds no rows");
    if (want != 0 && n != want)
        (void)as_buf_printf(&job->notes, "%s: %lld rows, the published file of %.*s has %lld\n",
                            job->path, (long long)n, AS_ARG(split), (long long)want);
    return AS_OK;
}

as_code ds_job_bulky_file(ds_job *job, const char *path, as_err *err)
{
    bulky *b = calloc(1, sizeof *b);
    if (b == NULL)
        return as_nomem(err);
    b->job = job;
    b->err = err;
    as_buf_init(&b->small, DS_MAX_SMALL);
    as_buf_init(&b->name, MAX_NAME + 8);
    job->path = path;
    job->line_no = 1;
    job->row_no = 0;
    as_str split = {0};
    int64_t n_rows = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    as_code c = fd >= 0 ? AS_OK : as_fail_sys(err, "%s", path);
    if (c == AS_OK && (b->file = gzdopen(fd, "rb")) == NULL) {
        close(fd);
        c = as_nomem(err);
    }
    if (c == AS_OK)
        c = job->importer->split(path, &split, &n_rows, &job->keep, err);
    if (c == AS_OK && (c = read_rows(b, split, n_rows)) != AS_OK)
        as_wrap(err, "%s", ds_job_where(job).p);
    if (b->hash != NULL)
        (void)as_sha256_end(b->hash);
    if (b->file != NULL)
        gzclose(b->file);
    as_buf_release(&b->small);
    as_buf_release(&b->name);
    free(b);
    return c;
}
