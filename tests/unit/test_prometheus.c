// SPDX-License-Identifier: Apache-2.0
// Tests of stats/show_prometheus.c: what tests/net/test_prometheus.py cannot bring about by a config file.
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "stats/show.h"

static char *text_of(const struct stats_snapshot *s, const char *path)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    cr_expect(show_prometheus(s, path, to));
    fclose(to);
    return text;
}

static void expect_line(const char *text, const char *line)
{
    const char *found = strstr(text, line);

    cr_expect(found && (found == text || found[-1] == '\n') && found[strlen(line)] == '\n', "no line %s in %s", line,
              text);
}

Test(prometheus, no_daemon)
{
    char *text = text_of(NULL, STATS_DEFAULT_PATH);

    expect_line(text, "mcr_up 0");
    cr_expect_null(strchr(text, '{'));
    free(text);
    text = text_of(NULL, "/a \"b\"\\c\n\xff");
    expect_line(text, "mcr_up{stats_file=\"/a \\\"b\\\"\\\\c??\"} 0");
    free(text);
}

Test(prometheus, escapes_and_bounds)
{
    size_t size = stats_segment_size(1, 1, 1, 1);
    void *memory = calloc(1, size);
    struct stats_snapshot s = {
        .memory = memory, .monotonic_ns = 5000000000u, .realtime_ns = UINT64_C(1700000060) * 1000000000u};
    char why[STATS_WHY_MAX];

    cr_assert_not_null(memory);
    *(struct stats_header *) memory = (struct stats_header){.magic = STATS_MAGIC,
                                                            .version = STATS_VERSION,
                                                            .size = (uint32_t) size,
                                                            .n_interfaces = 1,
                                                            .n_rules = 1,
                                                            .n_inputs = 1,
                                                            .n_outputs = 1,
                                                            .seccomp = STATS_SECCOMP_ENFORCE,
                                                            .capabilities = 1,
                                                            .loaded_ns = UINT64_MAX};
    stats_segment_place(&s.at, memory, 1, 1, 1);
    strcpy(s.at.rules[0].name, "r\"\n\\");
    strcpy(s.at.interfaces[0].name, "\xff");
    strcpy(s.at.outputs[0].to, "dmz0 239.20.0.1:6000");
    s.at.rules[0].state = UINT32_MAX;
    s.at.rules[0].n_outputs = 1;
    s.at.rules[0].n_inputs = 1;
    strcpy(s.at.inputs[0].leg, "1");
    s.at.inputs[0].vlan = 5;
    strcpy(s.at.inputs[0].to, "239.10.0.1:5000");
    s.at.inputs[0].as = STATS_STREAM_TS;
    s.at.inputs[0].stream.lost = 3;
    s.at.inputs[0].stream.jitter_us = 1000042;
    s.at.inputs[0].stream.expected = 2;
    s.at.inputs[0].ts.sync_errors = 4;
    strcpy(s.at.rules[0].reason, "no \"route\"");
    s.at.rules[0].counters.packets = UINT64_MAX;
    s.at.rules[0].counters.last_packet_ns = 4750000000u;
    residence_add(&s.at.rules[0].residence, 900, 3);
    residence_add(&s.at.rules[0].residence, 1200, 2);
    residence_add(&s.at.rules[0].residence, UINT64_C(99000000000), 1);
    cr_assert(stats_parse(&s.at, memory, size, why), "%s", why);
    char *text = text_of(&s, "/run/mcr-b/stats");
#define OF "rule=\"r\\\"?\\\\\""
#define AT ",stats_file=\"/run/mcr-b/stats\"} "
    expect_line(text, "# TYPE mcr_rule_residence_seconds histogram");
    expect_line(text, "mcr_rule_residence_seconds_bucket{" OF ",le=\"0.000001024\"" AT "3");
    expect_line(text, "mcr_rule_residence_seconds_bucket{" OF ",le=\"0.000002048\"" AT "5");
    expect_line(text, "mcr_rule_residence_seconds_bucket{" OF ",le=\"17.179869184\"" AT "5");
    expect_line(text, "mcr_rule_residence_seconds_bucket{" OF ",le=\"+Inf\"" AT "6");
    expect_line(text, "mcr_rule_residence_seconds_sum{" OF AT "99.000005100");
    expect_line(text, "mcr_rule_residence_seconds_count{" OF AT "6");
    expect_line(text,
                "mcr_rule_received_packets_total{rule=\"r\\\"?\\\\\",stats_file=\"/run/mcr-b/stats\"} "
                "18446744073709551615");
    expect_line(text,
                "mcr_rule_last_packet_seconds{rule=\"r\\\"?\\\\\",stats_file=\"/run/mcr-b/stats\"} 1700000059.750");
    expect_line(text,
                "mcr_rule_input_info{rule=\"r\\\"?\\\\\",leg=\"1\",interface=\"?\",to=\"239.10.0.1:5000\",vlan=\"5\","
                "stats_file=\"/run/mcr-b/stats\"} 1");
    expect_line(text,
                "mcr_rule_reason{rule=\"r\\\"?\\\\\",reason=\"no \\\"route\\\"\",stats_file=\"/run/mcr-b/stats\"} 1");
#define OF_THE_LEG "{rule=\"r\\\"?\\\\\",leg=\"1\",stats_file=\"/run/mcr-b/stats\"} "
    expect_line(text, "mcr_rule_input_stream_expected_total" OF_THE_LEG "2");
    expect_line(text, "mcr_rule_input_stream_lost" OF_THE_LEG "3"); // a gauge: what comes late takes it back
    expect_line(text, "mcr_rule_input_stream_jitter_seconds" OF_THE_LEG "1.000042");
    expect_line(text, "mcr_rule_input_stream_ts_sync_errors_total" OF_THE_LEG "4");
    expect_line(text, "mcr_rule_input_stream_ts_pids" OF_THE_LEG "0");
    expect_line(text, "mcr_interface_up{interface=\"?\",stats_file=\"/run/mcr-b/stats\"} 1");
    expect_line(text, "mcr_sandbox_enforced{stats_file=\"/run/mcr-b/stats\"} 0");
    // A capability or an unknown state never looks like the good one.
    cr_expect_null(strstr(text, "state=\"active\",stats_file=\"/run/mcr-b/stats\"} 1"));
    free(text);
    free(memory);
}
