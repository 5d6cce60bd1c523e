// SPDX-License-Identifier: Apache-2.0
// merge_copy(): a copy goes on as what was copied would have, whatever becomes of that one's memory.
#include <config.h>

#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "wire/merge.h"

#define MS UINT64_C(1000000)
#define T0 (1800000000 * NS_PER_S) // as of CLOCK_REALTIME

static struct merge *make(const struct merge_settings *s, void **memory)
{
    size_t size = (merge_bytes(s) + 63) / 64 * 64;

    *memory = aligned_alloc(64, size);
    cr_assert_not_null(*memory);
    memset(*memory, 0, size);
    return merge_place(s, *memory);
}

// Gives the n-th datagram of a stream with gaps, of which the second leg brings other parts, to m. Returns the verdict,
// and what left, as one number.
static uint64_t step(struct merge *m, uint32_t n)
{
    uint32_t leg = n % 2, number = n / 2 + (leg ? 0 : n % 3) + 65000;
    uint8_t p[40] = {0x80, 96, (uint8_t) (number >> 8), (uint8_t) number, 0, 0, 0, 0, 1, 2, 3, 4};
    uint64_t now = T0 + n * MS / 2, said;
    struct merge_held held;

    memset(p + 12, (uint8_t) number, sizeof(p) - 12);
    said = merge_take(m, leg, now, p, sizeof(p), number);
    while (merge_next(m, now, &held)) {
        said = said * 31 + held.tag + held.payload[held.length - 1];
        merge_sent(m);
    }
    if (n % 50 == 0)
        merge_look(m, now);
    return said;
}

Test(merge_copy, goes_on_without_what_was_copied)
{
    static const struct merge_settings all[] = {
        {.by = MERGE_RTP, .window_ms = 50},
        {.by = MERGE_RTP, .window_ms = 50, .reorder_ms = 20},
        {.by = MERGE_FIELD, .window_ms = 50, .reorder_ms = 20, .field = {.at = 2, .bytes = 2}},
        {.by = MERGE_PAYLOAD, .window_ms = 50},
        {.by = MERGE_ACTIVE, .switch_after_ms = 100},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct merge_settings s = all[i];
        void *memory[3];
        s.n_legs = 2, s.numbers = 1024, s.max_payload = 200;
        struct merge *straight = make(&s, &memory[0]), *from = make(&s, &memory[1]), *copy = make(&s, &memory[2]);
        for (uint32_t n = 0; n < 4000; n++) {
            if (n == 2001) {
                merge_copy(copy, from);
                memset(memory[1], 0xa5, merge_bytes(&s));
            }
            uint64_t wanted = step(straight, n), said = step(n < 2001 ? from : copy, n);
            cr_assert_eq(said, wanted, "%zu: datagram %u", i, n);
        }
        cr_expect_eq(memcmp(merge_counters(copy), merge_counters(straight), sizeof(struct merge_counters)), 0, "%zu",
                     i);
        for (size_t j = 0; j < 3; j++)
            free(memory[j]);
    }
}
