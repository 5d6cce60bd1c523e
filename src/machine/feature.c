// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "machine/feature.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "machine/option.h"
#include "common/descriptors.h"
#include "common/kernel.h"
#include "log/log.h"
#include "stats/counters.h"

#define ROW(NAME, field, name, help) {name, FEATURE_##NAME},
static const struct {
    const char *name;
    unsigned bit;
} features[] = {FEATURES(ROW, ROW)};

bool feature_parse(const char *text, unsigned *mask)
{
    while (*text) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < sizeof(features) / sizeof(features[0]) &&
               !(strlen(features[i].name) == length && strncmp(features[i].name, text, length) == 0))
            i++;
        if (i == sizeof(features) / sizeof(features[0]))
            return false;
        *mask |= features[i].bit;
        text += length;
        text += *text == ',';
    }
    return true;
}

bool feature_super_frames(int fd)
{
    int size;
    socklen_t length = sizeof(size);

    return getsockopt(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, &size, &length) == 0;
}

struct stats_features feature_probe(unsigned without)
{
    // With protocol 0 the socket receives nothing.
    int packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);
    struct stats_features f = {
        // A segment size of 0 bytes means off, which is the default.
        .udp_gso = !(without & FEATURE_UDP_GSO) && option_set(udp, IPPROTO_UDP, UDP_SEGMENT, 0),
        .ignore_outgoing =
            !(without & FEATURE_IGNORE_OUTGOING) && option_set(packet, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1),
        .super_frames = !(without & FEATURE_SUPER_FRAMES) && feature_super_frames(packet),
        .packet_gso = without & FEATURE_PACKET_GSO   ? STATS_FEATURE_NO
                      : feature_super_frames(packet) ? STATS_FEATURE_YES
                                                     : STATS_FEATURE_TRIED,
    };

    descriptors_close(packet);
    descriptors_close(udp);
    log_notice(EVENT_FEATURES, "packet_gso=%s udp_gso=%s ignore_outgoing=%s super_frames=%s",
               stats_feature_name(f.packet_gso), stats_feature_name(f.udp_gso), stats_feature_name(f.ignore_outgoing),
               stats_feature_name(f.super_frames));
    return f;
}
