/* Any bytes as a stream, of events or of JSON lines, and as text with marks: what is read does not
 * depend on where the bytes were cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/http/markup.h"
#include "backend/http/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool hear(void *user, as_str name, as_str data)
{
    (void)as_buf_add(user, name);
    (void)as_buf_add_byte(user, '\1');
    (void)as_buf_add(user, data);
    (void)as_buf_add_byte(user, '\2');
    return true;
}

static void read_stream(as_buf *out, bool is_lines, as_str s, size_t piece)
{
    ht_sse r;
    ht_sse_init(&r, is_lines, hear, out);
    for (size_t at = 0; at < s.n; at += piece)
        if (ht_sse_feed(&r, as_str_sub(s, at, at + piece), NULL) != AS_OK)
            abort();
    if (ht_sse_end(&r, NULL) != AS_OK)
        abort();
    ht_sse_release(&r);
}

static void read_marks(as_buf *answer, as_buf *reasoning, as_str s, size_t piece)
{
    ht_markup m;
    ht_markup_init(&m);
    ht_markup_reset(&m, as_str_sub(s, 0, s.n / 8), true);
    for (size_t at = 0; at < s.n; at += piece)
        if (ht_markup_feed(&m, as_str_sub(s, at, at + piece), answer, reasoning) != AS_OK)
            abort();
    if (ht_markup_end(&m, answer, reasoning) != AS_OK || answer->n + reasoning->n > s.n)
        abort();
    ht_markup_release(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const size_t piece = 1 + data[0] % 16;
    const as_str s = {(const char *)data + 1, size - 1};
    as_buf a[2], b[2];
    for (int i = 0; i < 2; i++) {
        as_buf_init(&a[i], 0);
        as_buf_init(&b[i], 0);
    }
    for (int is_lines = 0; is_lines < 2; is_lines++) {
        read_stream(&a[is_lines], is_lines != 0, s, s.n + 1);
        read_stream(&b[is_lines], is_lines != 0, s, piece);
        if (!as_str_eq(as_buf_str(&a[is_lines]), as_buf_str(&b[is_lines])))
            abort();
        as_buf_reset(&a[is_lines]);
        as_buf_reset(&b[is_lines]);
    }
    read_marks(&a[0], &a[1], s, s.n + 1);
    read_marks(&b[0], &b[1], s, piece);
    for (int i = 0; i < 2; i++) {
        if (!as_str_eq(as_buf_str(&a[i]), as_buf_str(&b[i])))
            abort();
        as_buf_release(&a[i]);
        as_buf_release(&b[i]);
    }
    return 0;
}
