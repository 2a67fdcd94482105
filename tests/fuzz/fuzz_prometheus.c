/* Any bytes as a metrics page: reading ends, and a label's value lies within the page. */
#include <stdint.h>
#include <stdlib.h>

#include "backend/http/prometheus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const as_str page = {(const char *)data, size};
    (void)ht_prom_sum(page, "a", "m", AS_STR("x"));
    (void)ht_prom_sum(page, "vllm:a", NULL, AS_STR(""));
    const as_str v = ht_prom_label(page, "a", "m");
    if (as_str_is_set(v) && (v.p < page.p || v.p + v.n > page.p + page.n))
        abort();
    return 0;
}
