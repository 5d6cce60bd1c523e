// SPDX-License-Identifier: Apache-2.0
// capture: command/capture.c and offline.c with a hostile capture file, as "mcrd --replay" takes it: every frame is
// told what becomes of it, every datagram is counted once, and what would leave is well formed. The input is the file.
#include <config.h>

#include "fuzz.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "command/capture.h"
#include "command/offline.h"
#include "config/load.h"
#include "machine.h"
#include "stats/counters.h"

#define FRAMES_MAX 500

static size_t get16(const uint8_t *at)
{
    return (size_t) (at[0] << 8 | at[1]);
}

static void take_ip(const uint8_t *ip, size_t n)
{
    bool v4 = ip[0] >> 4 == 4;
    size_t header = v4 ? 20 : 40;

    FUZZ_ASSERT(n >= header && n == (v4 ? get16(ip + 2) : 40 + get16(ip + 4)));
    FUZZ_ASSERT(!v4 || fuzz_sum(0, ip, 20) == 0xffff);
    if (v4 ? (get16(ip + 6) & 0x3fff) != 0 : ip[6] == IPPROTO_FRAGMENT)
        return;
    FUZZ_ASSERT(ip[v4 ? 9 : 6] == IPPROTO_UDP && n >= header + 8 && get16(ip + header + 4) == n - header);
    uint16_t sum = fuzz_sum((uint16_t) (n - header), ip + (v4 ? 12 : 8), v4 ? 8 : 32);
    sum = fuzz_sum(sum, (const uint8_t[]){0, IPPROTO_UDP}, 2);
    FUZZ_ASSERT(get16(ip + header + 6) != 0 && fuzz_sum(sum, ip + header, n - header) == 0xffff);
}

static void take_frame(void *context, const struct table_output *o, const uint8_t *frame, size_t length)
{
    size_t lead = length > 18 && get16(frame + 12) == 0x8100 ? 18 : 14;

    ++*(uint64_t *) context;
    FUZZ_ASSERT(length > lead && get16(frame + lead - 2) == (o->to.family == ADDR_IPV4 ? 0x0800u : 0x86ddu));
    take_ip(frame + lead, length - lead);
}

static void check_accounts(const struct offline *o)
{
    const struct table_view *t = &o->table;
    const struct stats_interface_counters *c = &o->ingress[offline_input(o, "in0")].counters;
    uint64_t known = fuzz_unclaimed(c);

    for (uint32_t i = 0; i < t->n_rules; i++) {
        const struct stats_rule_counters *r = &o->forward->flows[i].counters;
        uint64_t passed = r->packets - stats_drops_total(&r->drops);
        known += r->packets;
        for (uint32_t j = t->rules[i].first_counter; j < t->rules[i].first_counter + t->rules[i].n_outputs; j++) {
            const struct stats_output_counters *out = &o->forward->outputs[j];
            FUZZ_ASSERT(passed == out->packets + out->errors + out->too_big + out->expired);
        }
    }
    FUZZ_ASSERT(c->received == known);
}

static void replay(struct capture *c, struct offline *o, const struct config *config)
{
    struct capture_frame frame;
    struct offline_verdict verdict;
    char why[CAPTURE_WHY_MAX] = "";
    enum capture_result result = CAPTURE_FRAME;
    uint32_t interface = offline_input(o, "in0"), sum = 0;

    FUZZ_ASSERT(interface != TABLE_NONE);
    for (unsigned n = 0; n < FRAMES_MAX && (result = capture_next(c, &frame, why)) == CAPTURE_FRAME; n++) {
        for (size_t i = 0; i < frame.length; i++)
            sum += frame.bytes[i];
        memset(&verdict, 0, sizeof(verdict));
        offline_frame(o, interface, frame.time_ns, frame.bytes, frame.length, &frame.meta, frame.kind, &verdict);
        FUZZ_ASSERT(verdict.name && *verdict.name);
        FUZZ_ASSERT(!verdict.held_back || (!verdict.forwarded && !verdict.drop));
        FUZZ_ASSERT(verdict.path == TABLE_NONE || verdict.path < o->table.n_paths);
        FUZZ_ASSERT(offline_line(o, &verdict) >= 0 && config->n_rules > 0);
    }
    FUZZ_ASSERT(result != CAPTURE_DAMAGED || why[0]);
    FUZZ_ASSERT(sum + 1 > 0 || sum == UINT32_MAX); // read to the last byte
    offline_end(o);
    check_accounts(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *config;
    char why[CAPTURE_WHY_MAX > COMPILE_WHY_MAX ? CAPTURE_WHY_MAX : COMPILE_WHY_MAX] = "";
    uint64_t n_sent = 0;

    if (!config) {
        struct config_problems problems = {0};
        FUZZ_ASSERT(capture_load(why));
        config =
            config_load_text(machine_configs[0], strlen(machine_configs[0]), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
        config_problems_free(&problems);
    }
    FILE *file = size > 0 ? fmemopen((void *) data, size, "rb") : NULL;
    struct capture *c = file ? capture_open(file, why) : NULL;
    FUZZ_ASSERT(c || !file || why[0]);
    if (!c)
        return 0;
    struct offline *o = offline_open(config, take_frame, &n_sent, why);
    FUZZ_ASSERT(o);
    replay(c, o, config);
    offline_close(o);
    capture_close(c);
    return 0;
}
