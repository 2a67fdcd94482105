#ifndef REPORTS_REPORT_H
#define REPORTS_REPORT_H
/*
 * report.h — a folder that tells a run: report.md, report.txt, CSV files, pictures.
 *
 * Files      report.md, report.txt, scores.csv, groups.csv, metrics.csv, and per task the files of
 *            plot.h. Each is written as a whole or not at all; others in the folder are left alone.
 * Errors     AS_IO names the file. Missing gnuplot is a line of the report.
 * Ownership  the list lives in the arena.
 */
#include "reports/samples.h"
#include "reports/summary.h"

typedef struct rp_files {
    const char **paths; /* folder/name, in the order written; report.md first */
    int n;
} rp_files;

/* runs: as db_run_find returns them, with groups. The store is asked for single answers to know the
 * level of chance; db may be NULL: no such line in the pictures. */
as_code rp_write(db_store *db, const db_run_row *runs, int n_runs, const char *folder,
                 rp_files *files, as_arena *keep, as_err *err);

#endif
