/* Any bytes as a refusal (status, head, body): a kind, a message of at most 512 bytes, a wait that is
 * -1 or within its limit. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backend/http/errors.h"
#include "backend/http/hints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    static const int statuses[] = {0, 200, 400, 401, 404, 429, 500, 503, 999};
    const int status = statuses[data[0] % (sizeof statuses / sizeof statuses[0])];
    const as_str all = {(const char *)data + 2, size - 2};
    const size_t head_n = all.n * data[1] / 255;
    ht_error e;
    ht_error_parse(&e, status, as_str_sub(all, 0, head_n), as_str_sub(all, head_n, all.n),
                   1700000000000000000);
    if (e.kind == AS_ERROR_NONE || e.kind > AS_ERROR_UNSUPPORTED || strlen(e.message) == 0 ||
        strlen(e.message) > HT_MAX_ERROR_TEXT || e.retry_after_ms < -1 ||
        e.retry_after_ms > HT_MAX_HINT_MS)
        abort();
    return 0;
}
