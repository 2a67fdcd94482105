#ifndef REPORTS_SERVICE_H
#define REPORTS_SERVICE_H
/*
 * service.h — how a server answered, and what was worth telling: tables of one run.
 *
 * Latency    nothing for runs of the built-in backends. What the numbers mean: db_latency.
 * Errors     AS_NOMEM only.
 * Threads    pure.
 */
#include "reports/table.h"
#include "store/query.h"

as_code rp_latency_table(const db_run_row *run, rp_format format, as_buf *out, as_err *err);
/* Warnings first; nothing where there are no events. */
as_code rp_events_table(const db_run_row *run, rp_format format, as_buf *out, as_err *err);

#endif
