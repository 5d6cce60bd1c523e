// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "wire/merge_digest.h"

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t digest(const uint64_t key[2], const uint8_t *bytes, size_t n)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t last = 0;
    size_t at = 0;

    for (; at + 8 <= n; at += 8) {
        uint64_t word = load64(bytes + at);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    if (at < n)
        memcpy(&last, bytes + at, n - at);
    last ^= (uint64_t) n << 56;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
