/* Any bytes in place of a frame: every decoder says no or gives values inside their limits, and the
 * texts lie inside the frame. */
#include <stdlib.h>

#include "scorers/sandbox/box/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const uint8_t *p, size_t n, const uint8_t *data, size_t size)
{
    if (n != 0 && (p < data || p > data + size || n > (size_t)(data + size - p)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bx_open open;
    bx_limits limits;
    bx_record record;
    bx_status status;
    const uint8_t *a = NULL, *b = NULL;
    size_t n = 0, m = 0;
    uint32_t length = 0;
    bx_type type;
    if (size >= BX_HEAD_BYTES && bx_head(data, &length, &type) && length > BX_MAX_FRAME)
        abort();
    if (bx_get_open(&open, data, size)) {
        if (open.n_files > BX_MAX_FILES || open.n_args > BX_MAX_ARGS || open.limits.tasks == 0)
            abort();
        for (uint32_t i = 0; i < open.n_files; i++)
            inside(open.files[i].p, open.files[i].n, data, size);
    }
    if (bx_get_test(&limits, &a, &n, &b, &m, data, size)) {
        inside(a, n, data, size);
        inside(b, m, data, size);
    }
    if (bx_get_result(&record, &a, &n, &b, &m, data, size)) {
        inside(a, n, data, size);
        inside(b, m, data, size);
        if (record.step >= BX_N_STEPS || record.act >= BX_N_ACTS || m > BX_STDERR_HEAD)
            abort();
    }
    if (bx_get_status(&status, data, size) && status.step >= BX_N_STEPS)
        abort();
    return 0;
}
