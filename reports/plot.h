#ifndef REPORTS_PLOT_H
#define REPORTS_PLOT_H
/*
 * plot.h — one picture per task: its score, its groups, its anatomy.
 *
 * Files      NAME.dat (numbers, tab-separated), NAME.gp (gnuplot script that makes the pictures
 *            again with "gnuplot NAME.gp"), NAME.svg, NAME.png.
 * gnuplot    runs as a child with a deadline. Where it is missing or fails, the pictures are
 *            missing, data and script stay, and *note says why: not an error.
 * Texts      names come from outside: quoted for gnuplot, no enhanced text, no control characters.
 * Errors     AS_IO with the path when a file cannot be written.
 * Threads    safe for different folders.
 */
#include "reports/summary.h"

typedef struct rp_plot_spec {
    const db_run_row *run;
    const db_task_row *task; /* with its summary */
    double chance;           /* share that guessing gets right, 0 … 1; NAN unknown */
    const char *folder;      /* there already */
    const char *name;        /* of the files; rp_plot_name makes one */
} rp_plot_spec;

/* "run3-mmlu_pro-official": letters, digits, ".", "_", "-". NULL out of memory. */
const char *rp_plot_name(const db_run_row *run, const db_task_row *task, as_arena *keep);
/* The script alone. */
as_code rp_plot_script(const rp_plot_spec *spec, as_buf *out, as_err *err);
/* Writes the files; *has_picture tells whether gnuplot did its part, else *note (in keep) why not.
 */
as_code rp_plot(const rp_plot_spec *spec, bool *has_picture, as_str *note, as_arena *keep,
                as_err *err);

#endif
