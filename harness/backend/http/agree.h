#ifndef BACKEND_HTTP_AGREE_H
#define BACKEND_HTTP_AGREE_H
/*
 * agree.h — do the servers of one run serve one model?
 *
 * Rule       every server that is up is asked what it is (no token is made). Another name, size or
 *            kind of weights is another model and fails: an average over two models is nobody's
 *            number. Another chat template or window is told in d->info.disagreement; the window
 *            becomes the smallest. What a server does not tell is not compared.
 * Errors     AS_RANGE for another model; a server that cannot be asked is left out.
 */
#include "backend/http/dialect.h"

/* After d->dialect->probe, before d->info is handed out. config: the one d was opened with. */
as_code ht_check_agreement(ht_driver *d, const be_config *config, as_err *err);

#endif
