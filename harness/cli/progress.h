#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H
/*
 * progress.h — shows a run on standard error: one line that is redrawn on a terminal, a plain line
 * every few seconds elsewhere. Rate, time left, running score ± 95 % interval, anatomy.
 */
#include "run/run.h"

typedef struct cli_progress {
    bool is_terminal;
    bool is_off; /* --quiet */
    int64_t last_shown_ns;
    size_t last_width;
} cli_progress;

void cli_progress_init(cli_progress *p, bool is_off);
/* A run_execution.tick; user is a cli_progress. */
void cli_progress_tick(void *user, const run_tick *tick);

#endif
