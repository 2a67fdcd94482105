#ifndef REPORTS_TABLE_H
#define REPORTS_TABLE_H
/*
 * table.h — tables with a header and aligned columns, as text, Markdown or CSV.
 *
 * Text       columns two blanks apart, a rule below the header; widths are display columns, so wide
 *            characters line up. Markdown: padded as lm-eval prints it. CSV: RFC 4180 but for lines
 *            that end in a plain newline.
 *            Cells are data from outside: control characters become blanks, "|" is escaped in
 *            Markdown.
 * Errors     out of memory shows as is_full of the buffer or as AS_NOMEM.
 * Ownership  cells are copied into the arena.
 * Threads    one table, one thread.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

typedef enum rp_format { RP_TEXT, RP_MARKDOWN, RP_CSV } rp_format;

typedef enum rp_align { RP_LEFT, RP_RIGHT } rp_align;

typedef struct rp_column {
    const char *title; /* may be empty */
    rp_align align;
} rp_column;

typedef struct rp_table {
    const rp_column *columns;
    int n_columns;
    as_str *cells; /* [n_rows, n_columns] */
    int n_rows, cap;
    as_arena *keep;
} rp_table;

/* columns must outlive the table. */
void rp_table_init(rp_table *t, const rp_column *columns, int n_columns, as_arena *keep);
/* Adds a row of n_columns cells. */
as_code rp_table_row(rp_table *t, const as_str *cells, as_err *err);
void rp_table_print(const rp_table *t, rp_format format, as_buf *out);
/* Without the first columns. */
void rp_table_print_from(const rp_table *t, int first_column, rp_format format, as_buf *out);

/* Text from outside without control characters: each becomes a blank; bad UTF-8 becomes "?". */
void rp_put_clean(as_buf *out, as_str s);

#endif
