#ifndef BACKEND_HTTP_PROMETHEUS_H
#define BACKEND_HTTP_PROMETHEUS_H
/*
 * prometheus.h — numbers out of a server's /metrics page (Prometheus text format).
 *
 * Lines      name{label="value",…} number [timestamp]; "#" begins a comment. Names may hold ":",
 *            label values may hold \" \\ \n.
 * Errors     none: a line that cannot be read is skipped; a name that is not there is NAN.
 * Threads    pure.
 */
#include "base/str.h"

/* The sum over all label sets of `name` or `name`_total; if model_label is not NULL only over those
 * where that label is missing or equals model. NAN: not there. */
double ht_prom_sum(as_str text, const char *name, const char *model_label, as_str model);
/* The value of a label of the first line of that name, as it is written; {NULL, 0}: none. */
as_str ht_prom_label(as_str text, const char *name, const char *label);

#endif
