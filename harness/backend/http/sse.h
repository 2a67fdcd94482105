#ifndef BACKEND_HTTP_SSE_H
#define BACKEND_HTTP_SSE_H
/*
 * sse.h — event streams (text/event-stream) and JSON lines, fed with bytes as they come.
 *
 * Events     a line ends at LF, CR LF or CR; "data" lines of one event are joined by LF, "event"
 *            names it, "id" and "retry" are ignored, a line that begins with ":" is a comment. An
 *            empty line ends the event; an event without data is none. ht_sse_end dispatches what
 *            was not closed by an empty line: some servers leave it out.
 * JSON lines one value a line, ended by LF (a CR before it is dropped); blank lines are skipped.
 * Errors     AS_RANGE when a line (or the data of one event) is longer than HT_MAX_LINE;
 *            AS_CANCELLED when the callback returned false. The reader is then of no more use.
 * Ownership  name and data are valid in the callback only.
 * Threads    one reader, one thread at a time.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* A reply with the log-probabilities of many tokens is one line. */
enum { HT_MAX_LINE = 16 << 20 };

/* name is empty for events without one, and for JSON lines. False stops the reading. */
typedef bool (*ht_on_event)(void *user, as_str name, as_str data);

typedef struct ht_sse {
    ht_on_event on_event;
    void *user;
    as_buf line; /* the part of a line that has come, when it is not whole */
    as_buf data;
    as_buf name;
    bool has_data;
    bool skip_lf;     /* the last byte was a CR */
    bool has_started; /* something came: no byte order mark from here on */
    bool is_json_lines;
} ht_sse;

void ht_sse_init(ht_sse *s, bool is_json_lines, ht_on_event on_event, void *user);
void ht_sse_release(ht_sse *s);
/* Empty again; keeps capacity. */
void ht_sse_reset(ht_sse *s);
as_code ht_sse_feed(ht_sse *s, as_str bytes, as_err *err);
as_code ht_sse_end(ht_sse *s, as_err *err);

#endif
