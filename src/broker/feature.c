// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/feature.h"
#include "common/kernel.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "log/log.h"
#include "stats/counters.h"

static const struct {
    const char *name;
    unsigned bit;
} features[] = {
    {"packet-gso", FEATURE_PACKET_GSO},
    {"udp-gso", FEATURE_UDP_GSO},
    {"ignore-outgoing", FEATURE_IGNORE_OUTGOING},
    {"super-frames", FEATURE_SUPER_FRAMES},
    {"landlock", FEATURE_LANDLOCK},
};

bool feature_parse(const char *text, unsigned *mask, const char **names)
{
    *names = "packet-gso, udp-gso, ignore-outgoing, super-frames, landlock";
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

static bool takes(int domain, int type, int level, int name, int value)
{
    int fd = socket(domain, type | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && setsockopt(fd, level, name, &value, sizeof(value)) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool release_is_at_least(unsigned major, unsigned minor)
{
    struct utsname u;
    unsigned x, y;

    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &x, &y) == 2 && (x > major || (x == major && y >= minor));
}

struct stats_features feature_probe(unsigned without)
{
    struct stats_features f = {
        .packet_gso = release_is_at_least(6, 2) ? STATS_FEATURE_YES : STATS_FEATURE_TRIED,
        // Segments of 0 bytes: off, which a socket has to begin with.
        .udp_gso = takes(AF_INET, SOCK_DGRAM, IPPROTO_UDP, UDP_SEGMENT, 0),
        // Protocol 0: nothing is ever received.
        .ignore_outgoing = takes(AF_PACKET, SOCK_RAW, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1),
    };

    if (without & FEATURE_PACKET_GSO)
        f.packet_gso = STATS_FEATURE_NO;
    if (without & FEATURE_UDP_GSO)
        f.udp_gso = STATS_FEATURE_NO;
    if (without & FEATURE_IGNORE_OUTGOING)
        f.ignore_outgoing = STATS_FEATURE_NO;
    log_notice("features", "packet_gso=%s udp_gso=%s ignore_outgoing=%s", stats_feature_name(f.packet_gso),
               stats_feature_name(f.udp_gso), stats_feature_name(f.ignore_outgoing));
    return f;
}
