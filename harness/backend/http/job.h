#ifndef BACKEND_HTTP_JOB_H
#define BACKEND_HTTP_JOB_H
/*
 * job.h — the life of a job, for the driver alone; what dialects may call is in dialect.h.
 *
 * Threads    one thread, as the driver.
 */
#include "backend/http/dialect.h"

/* From the pool, or new; NULL out of memory. */
ht_job *ht_job_new(ht_driver *d, const as_request *rq);
void ht_job_recycle(ht_job *job);
void ht_job_free(ht_job *job);
/* What the reader knows of a call is forgotten; the answer so far stays. */
void ht_job_begin_call(ht_job *job);
/* Gives the caller what has come since the last time. */
void ht_job_tell(ht_job *job);
/* The response is whole: texts, times, counts. */
void ht_job_seal(ht_job *job, int64_t now_ns);

#endif
