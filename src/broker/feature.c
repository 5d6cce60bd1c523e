// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/feature.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned bit;
} features[] = {
    {"packet-gso", FEATURE_PACKET_GSO},
    {"udp-gso", FEATURE_UDP_GSO},
    {"ignore-outgoing", FEATURE_IGNORE_OUTGOING},
    {"super-frames", FEATURE_SUPER_FRAMES},
};

bool feature_parse(const char *text, unsigned *mask, const char **names)
{
    *names = "packet-gso, udp-gso, ignore-outgoing, super-frames";
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
