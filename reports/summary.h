#ifndef REPORTS_SUMMARY_H
#define REPORTS_SUMMARY_H
/*
 * summary.h — what a run found and under which circumstances, for people and for programs.
 *
 * Tables     scores (lm-eval's columns, then interval, n, repeats), anatomy, groups, metrics. The
 *            metrics of single groups are in rp_groups_table and the JSON only.
 * Intervals  95 %. Of a task: as its suite computed it. Of a group: Wilson, with its items (not its
 *            attempts) as trials.
 * JSON       the contract of `assay run --format json`; unknown numbers are null.
 * Errors     AS_NOMEM only.
 * Threads    pure.
 */
#include "base/stats.h"
#include "reports/table.h"
#include "store/query.h"

/* One sentence if programs of any of the runs had no sandbox, else nothing. */
void rp_unsafe_warning(const db_run_row *runs, int n_runs, rp_format format, as_buf *out);
/* That sentence, circumstances and all tables of one run. CSV: the score table alone. */
as_code rp_run_summary(const db_run_row *run, rp_format format, as_buf *out, as_err *err);
/* Single tables over several runs, for files: the first column is the run's number. */
as_code rp_scores_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                        as_err *err);
as_code rp_groups_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                        as_err *err);
as_code rp_metrics_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                         as_err *err);

/* One JSON object, no newline at its end. db_path: as the user can open it. */
as_code rp_run_json(const db_run_row *run, as_str db_path, as_buf *out, as_err *err);

/* `assay ls`: one line per run. */
as_code rp_runs_table(const db_run_row *runs, int n_runs, rp_format format, as_buf *out,
                      as_err *err);
/* The same as a JSON array of rp_run_json's objects. */
as_code rp_runs_json(const db_run_row *runs, int n_runs, as_str db_path, as_buf *out, as_err *err);

/* Interval of a group with n attempts in a task with `repeats` attempts per item. */
as_interval rp_group_interval(const as_group *group, int repeats);

#endif
