#ifndef BACKEND_BRIDGE_CHILD_H
#define BACKEND_BRIDGE_CHILD_H
/*
 * child.h — a program with which lines are exchanged over its standard input and output.
 *
 * How it works
 *   Three non-blocking pipes. What is sent goes into a buffer of ours and leaves it as the child
 *   reads; what comes is cut into lines; standard error goes to the log line by line. All of it
 *   happens in child_pump. The child runs in a process group of its own, so that an interrupt at
 *   the terminal reaches us and not it; the end of its standard input tells it that we are gone.
 *   From the first start on, SIGPIPE is ignored in this process.
 *
 * Errors     a child that ends or closes its output is CHILD_GONE, one that sends more than
 *            CHILD_MAX_LINE bytes without a newline CHILD_TOO_LONG; both are final.
 * Ownership  lines are valid until the next call.
 * Threads    one.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"

enum { CHILD_MAX_LINE = 64 << 20 };

typedef enum child_state { CHILD_RUNS, CHILD_GONE, CHILD_TOO_LONG } child_state;

typedef struct child child;

/* argv ends in NULL; argv[0] is looked up in PATH. */
as_code child_start(child **out, const char *const *argv, const as_log *log, as_err *err);
/* Closes its input, gives it a moment to end, then kills it. NULL is fine. */
void child_stop(child *c);

/* Queues the line and a newline. Fails when more than 2 * CHILD_MAX_LINE bytes wait to be read. */
as_code child_send(child *c, as_str line, as_err *err);
/* Reads and writes what can be; waits up to wait_ms for something to do. */
child_state child_pump(child *c, int wait_ms);
/* The next whole line without its newline; false if there is none yet. Also works when gone. */
bool child_line(child *c, as_str *line);
/* "exit code 1: last line of its standard error", of one that is gone. */
const char *child_obituary(child *c);

#endif
