// SPDX-License-Identifier: Apache-2.0
// site: the rules of several relays, and who takes in what another one sends, where they share zones. Pure.
#ifndef MCR_CONFIG_SITE_H
#define MCR_CONFIG_SITE_H

#include "config/endpoint.h"
#include "config/problems.h"

#define SITE_FILES_MAX 16
#define SITE_TOLD_MAX  100 // problems of each kind: errors must keep their room

// A destination of an input or of an output in a zone: endpoint.interface is the name of the zone, and endpoint.vlan is
// 0, as another relay may be at an untagged port of the same network.
struct place {
    struct endpoint endpoint;
    uint32_t file, rule;
    uint32_t end; // index of the input or output
    uint16_t vlan;
};

struct places {
    struct place *list; // sorted
    size_t n;
};

struct site {
    const struct config *const *files;
    struct config_problems *problems; // of each file
    size_t n;
    bool counts[SITE_FILES_MAX];       // not the same as a file before it
    uint32_t base[SITE_FILES_MAX + 1]; // of a file's rules among those of all
    struct places inputs, outputs;     // of enabled rules; of those that send
};

// Fills in what follows from files and n; site_free() frees it. Returns false when out of memory.
bool site_collect(struct site *s);
void site_free(struct site *s);

const struct config_rule *site_rule(const struct site *s, const struct place *p);
const struct config_input *site_input(const struct site *s, const struct place *p);
const struct config_output *site_output(const struct site *s, const struct place *p);

// The index of the first place that is not before this one.
size_t site_find(const struct places *p, const struct endpoint *wanted);

// Whether an input of one relay takes in what an output of another one sends to the same destination, as far as tags
// and senders tell: perhaps, if the sender is the interface's own address, and the input has sources.
enum takes { TAKES_NOT, TAKES_PERHAPS, TAKES };
enum takes site_takes(const struct site *s, const struct place *in, const struct place *out);

// Whether two places may be in one VLAN: one of the relays may be at an untagged port.
bool site_same_tag(const struct place *a, const struct place *b);

#define SITE_WHERE_MAX (ENDPOINT_TEXT_MAX + CONFIG_NAME_MAX)

// Writes 'group 239.1.1.1, port 5000, zone "dmz"'. Returns text.
const char *site_where(const struct place *p, char text[SITE_WHERE_MAX]);

#endif
