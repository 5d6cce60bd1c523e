// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3, as other implementations have it: these are CPython's (PYTHONHASHSEED=0 python3 -c
// 'print(hex(hash(bytes(range(n))) % 2**64))', where sys.hash_info.algorithm is siphash13), of the key 0.
#include <config.h>

#include <criterion/criterion.h>

#include "wire/merge_digest.h"

Test(merge, the_digest_is_siphash_1_3)
{
    static const struct {
        size_t n;
        uint64_t is;
    } known[] = {
        {1, UINT64_C(0x68a914128e01e473)},  {2, UINT64_C(0x10bac45c41e3669)},   {3, UINT64_C(0x4d4c9a4a8ef6e0ad)},
        {4, UINT64_C(0x7cc43f98813e4dbd)},  {5, UINT64_C(0x5abe2169dff36275)},  {6, UINT64_C(0xe3c25f87624f1cdb)},
        {7, UINT64_C(0x2f098ab0c751325a)},  {8, UINT64_C(0xead411e67ebe2eea)},  {9, UINT64_C(0x75927f9d95124362)},
        {15, UINT64_C(0xf30eb725bb91c9ea)}, {16, UINT64_C(0x8972188433a5c5b7)}, {17, UINT64_C(0x4883c49a2c009c1d)},
        {31, UINT64_C(0x169739443111d49b)}, {64, UINT64_C(0x75e05fd5bbc870c6)},
    };
    static const uint64_t zero[2], keys[][2] = {{1, 0}, {0, 1}, {1, 1}};
    uint8_t bytes[64];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t) i;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        cr_expect_eq(digest(zero, bytes, known[i].n), known[i].is, "%zu bytes", known[i].n);
    // Both halves of the key count, each in its own way.
    for (size_t i = 0; i < 3; i++) {
        cr_expect_neq(digest(keys[i], bytes, 8), digest(zero, bytes, 8));
        cr_expect_neq(digest(keys[i], bytes, 8), digest(keys[(i + 1) % 3], bytes, 8));
    }
}

// A copy is known by its length and the first 32 bytes behind the header, and by no more.
Test(merge, the_check_sees_length_and_the_first_32_bytes)
{
    static const uint64_t key[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    uint8_t bytes[64] = {0};

    for (size_t length = 0; length <= sizeof(bytes); length++) {
        uint16_t is = digest_check(key, bytes, length);
        cr_expect_eq(digest_check(key, bytes, length), is);
        if (length > 0)
            cr_expect_neq(digest_check(key, bytes, length - 1), is, "%zu", length);
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = 0x5a;
            cr_expect_eq(digest_check(key, bytes, length) != is, i < length && i < 32, "%zu of %zu", i, length);
            bytes[i] = 0;
        }
    }
}
