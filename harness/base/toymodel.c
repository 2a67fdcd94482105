#include "base/toymodel.h"

#include <stdio.h>
#include <string.h>

int32_t as_toy_greedy(int32_t prev)
{
    return (int32_t)(((int64_t)prev + 1) & 255);
}

static int distance(int32_t prev, int32_t id)
{
    const uint64_t mixed = 31 * (uint64_t)(uint32_t)prev + 17 * (uint64_t)(uint32_t)id;
    return 1 + (int)(mixed % 97);
}

double as_toy_logprob(int32_t prev, int32_t id)
{
    return id == as_toy_greedy(prev) ? -1.0 / 32 : -distance(prev, id) / 16.0;
}

int as_toy_rank(int32_t prev, int32_t id)
{
    return id == as_toy_greedy(prev) ? 1 : 1 + distance(prev, id);
}

int as_toy_piece(char z[16], int32_t id)
{
    if (id >= 0 && id < 256) {
        z[0] = (char)id;
        z[1] = '\0';
        return 1;
    }
    if (id == AS_TOY_BOS || id == AS_TOY_EOS)
        memcpy(z, id == AS_TOY_BOS ? "<bos>" : "<eos>", 6);
    else
        (void)snprintf(z, 16, "<%d>", (int)id);
    return (int)strlen(z);
}
