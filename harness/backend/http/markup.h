#ifndef BACKEND_HTTP_MARKUP_H
#define BACKEND_HTTP_MARKUP_H
/*
 * markup.h — thinking that a server left in the text, split from the answer as it comes.
 *
 * Form       a leading `<|channel>thought … <channel|>` (Gemma 4) or `<think> … </think>`, white
 *            space before it allowed, white space behind it dropped. Only the first block, only at
 *            the start. A block that is never closed is all thinking.
 * Use        ht_markup_feed hands out what can be told by now; the ends of texts that may be the
 *            beginning of a mark are held back until ht_markup_end.
 * Prefill    text that the server repeats in front of its reply (the request's last message) is
 *            dropped, if the reply really begins with it.
 * Ownership  the outputs are appended to the caller's buffers.
 * Threads    one splitter, one thread at a time.
 */
#include "base/buf.h"

typedef enum ht_markup_state {
    HT_MARKUP_PREFILL, /* the reply may begin with the prefill */
    HT_MARKUP_START,   /* it may begin with a mark */
    HT_MARKUP_INSIDE,
    HT_MARKUP_BEHIND, /* white space between the block and the answer */
    HT_MARKUP_TEXT,
} ht_markup_state;

typedef struct ht_markup {
    ht_markup_state state;
    as_str prefill;
    bool is_split;
    int kind;    /* of the block inside */
    as_buf held; /* not told apart yet */
} ht_markup;

void ht_markup_init(ht_markup *m);
void ht_markup_release(ht_markup *m);
/* For a new reply. prefill is borrowed until the end, empty: none; is_split false: only the prefill
 * is looked at. */
void ht_markup_reset(ht_markup *m, as_str prefill, bool is_split);
as_code ht_markup_feed(ht_markup *m, as_str text, as_buf *answer, as_buf *reasoning);
as_code ht_markup_end(ht_markup *m, as_buf *answer, as_buf *reasoning);

#endif
