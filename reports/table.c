#include "reports/table.h"

#include <string.h>

#include "base/utf8.h"

void rp_table_init(rp_table *t, const rp_column *columns, int n_columns, as_arena *keep)
{
    *t = (rp_table){.columns = columns, .n_columns = n_columns, .keep = keep};
}

as_code rp_table_row(rp_table *t, const as_str *cells, as_err *err)
{
    const size_t width = (size_t)t->n_columns;
    if (t->n_rows == t->cap) {
        const int cap = t->cap == 0 ? 16 : t->cap * 2;
        as_str *more = as_new(t->keep, as_str, (size_t)cap * width);
        if (more == NULL)
            return as_nomem(err);
        if (t->n_rows > 0)
            memcpy(more, t->cells, (size_t)t->n_rows * width * sizeof *more);
        t->cells = more;
        t->cap = cap;
    }
    as_str *row = t->cells + (size_t)t->n_rows * width;
    for (size_t i = 0; i < width; i++) {
        row[i] = as_arena_str(t->keep, cells[i]);
        if (!as_str_is_set(row[i]))
            return as_nomem(err);
    }
    t->n_rows++;
    return AS_OK;
}

void rp_put_clean(as_buf *out, as_str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t code = 0;
        const size_t n = as_utf8_decode(as_str_sub(s, i, s.n), &code);
        const bool is_control = code < 0x20 || (code >= 0x7F && code < 0xA0) ||
                                (code >= 0x202A && code <= 0x202E) ||
                                (code >= 0x2066 && code <= 0x2069);
        if (n == 0)
            (void)as_buf_add_byte(out, '?');
        else if (is_control)
            (void)as_buf_add_byte(out, ' ');
        else
            (void)as_buf_add(out, as_str_sub(s, i, i + n));
        i += n == 0 ? 1 : n;
    }
}

/* The cell as the format wants it, without padding. */
static void put_cell(as_buf *out, as_str s, rp_format format)
{
    if (format == RP_CSV) {
        bool must_quote = false;
        for (size_t i = 0; i < s.n; i++)
            must_quote = must_quote || strchr(",\"\r\n", s.p[i]) != NULL;
        if (!must_quote) {
            (void)as_buf_add(out, s);
            return;
        }
        (void)as_buf_add_byte(out, '"');
        for (size_t i = 0; i < s.n; i++)
            (void)as_buf_add(out, s.p[i] == '"' ? AS_STR("\"\"") : as_str_sub(s, i, i + 1));
        (void)as_buf_add_byte(out, '"');
        return;
    }
    const size_t from = out->n;
    rp_put_clean(out, s);
    if (format != RP_MARKDOWN)
        return;
    for (size_t i = from; i < out->n; i++)
        if (out->p[i] == '|' && as_buf_reserve(out, 1) != NULL) {
            memmove(out->p + i + 1, out->p + i, out->n - i);
            out->p[i++] = '\\';
            out->p[++out->n] = '\0';
        }
}

static size_t width_of(as_str s, rp_format format)
{
    as_buf b;
    as_buf_init(&b, 0);
    put_cell(&b, s, format);
    const size_t width = as_utf8_width(as_buf_str(&b));
    as_buf_release(&b);
    return width;
}

static void put_blanks(as_buf *out, size_t n, char c)
{
    for (size_t i = 0; i < n; i++)
        (void)as_buf_add_byte(out, c);
}

static void put_padded(as_buf *out, as_str s, size_t width, rp_align align, rp_format format)
{
    const size_t is = width_of(s, format);
    const size_t pad = width > is ? width - is : 0;
    if (align == RP_RIGHT)
        put_blanks(out, pad, ' ');
    put_cell(out, s, format);
    if (align == RP_LEFT)
        put_blanks(out, pad, ' ');
}

static const as_str *row_of(const rp_table *t, int r)
{
    return t->cells + (size_t)r * (size_t)t->n_columns;
}

static as_str title_of(const rp_table *t, int c)
{
    return as_str_of(t->columns[c].title);
}

/* Widths of all columns in the arena; NULL out of memory. */
static size_t *measure(const rp_table *t, rp_format format)
{
    size_t *width = as_new(t->keep, size_t, t->n_columns);
    for (int c = 0; width != NULL && c < t->n_columns; c++) {
        width[c] = width_of(title_of(t, c), format);
        for (int r = 0; r < t->n_rows; r++) {
            const size_t w = width_of(row_of(t, r)[c], format);
            width[c] = w > width[c] ? w : width[c];
        }
    }
    return width;
}

static void print_text(const rp_table *t, int first, const size_t *width, as_buf *out)
{
    for (int r = -2; r < t->n_rows; r++) {
        const size_t from = out->n;
        for (int c = first; c < t->n_columns; c++) {
            if (c > first)
                (void)as_buf_add_z(out, "  ");
            if (r == -1)
                put_blanks(out, width[c], '-');
            else
                put_padded(out, r < 0 ? title_of(t, c) : row_of(t, r)[c], width[c],
                           t->columns[c].align, RP_TEXT);
        }
        while (out->n > from && out->p[out->n - 1] == ' ')
            out->n--;
        (void)as_buf_add_byte(out, '\n');
    }
}

/* Header names stand in the middle, as lm-eval's tables have it. */
static void put_centred(as_buf *out, as_str s, size_t width)
{
    const size_t is = width_of(s, RP_MARKDOWN);
    const size_t pad = width > is ? width - is : 0;
    put_blanks(out, pad / 2, ' ');
    put_cell(out, s, RP_MARKDOWN);
    put_blanks(out, pad - pad / 2, ' ');
}

static void print_markdown(const rp_table *t, int first, size_t *width, as_buf *out)
{
    enum { NARROWEST = 3 }; /* room for "--:" */
    for (int c = 0; c < t->n_columns; c++)
        width[c] = width[c] < NARROWEST ? NARROWEST : width[c];
    for (int r = -2; r < t->n_rows; r++) {
        (void)as_buf_add_byte(out, '|');
        for (int c = first; c < t->n_columns; c++) {
            const bool is_right = t->columns[c].align == RP_RIGHT;
            if (r == -2) {
                put_centred(out, title_of(t, c), width[c]);
            } else if (r == -1) {
                put_blanks(out, width[c] - (is_right ? 1 : 0), '-');
                (void)as_buf_add_z(out, is_right ? ":" : "");
            } else {
                put_padded(out, row_of(t, r)[c], width[c], t->columns[c].align, RP_MARKDOWN);
            }
            (void)as_buf_add_byte(out, '|');
        }
        (void)as_buf_add_byte(out, '\n');
    }
}

static void print_csv(const rp_table *t, int first, as_buf *out)
{
    for (int r = -1; r < t->n_rows; r++)
        for (int c = first; c < t->n_columns; c++) {
            put_cell(out, r < 0 ? title_of(t, c) : row_of(t, r)[c], RP_CSV);
            (void)as_buf_add_z(out, c + 1 < t->n_columns ? "," : "\n");
        }
}

void rp_table_print(const rp_table *t, rp_format format, as_buf *out)
{
    rp_table_print_from(t, 0, format, out);
}

void rp_table_print_from(const rp_table *t, int first_column, rp_format format, as_buf *out)
{
    if (format == RP_CSV) {
        print_csv(t, first_column, out);
        return;
    }
    size_t *width = measure(t, format);
    if (width == NULL)
        out->is_full = true;
    else if (format == RP_TEXT)
        print_text(t, first_column, width, out);
    else
        print_markdown(t, first_column, width, out);
}
