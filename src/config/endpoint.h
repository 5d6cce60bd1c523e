// SPDX-License-Identifier: Apache-2.0
// endpoint: the input or an output of a rule, in a form that can be sorted, looked up and, if it is a range, split into
// its destinations. Pure.
#ifndef MCR_CONFIG_ENDPOINT_H
#define MCR_CONFIG_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model.h"

struct endpoint {
    const char *interface;
    struct addr address;
    enum config_destination kind;
    uint16_t port;
    uint16_t n_addresses, n_ports; // sizes of a range; else 1
    uint16_t vlan;
    uint32_t index; // of an input (ENDPOINT_INDEX()) or within the rule (output)
};

// The name of a rule's input, counted from 0; returns text.
const char *config_leg(const struct config_rule *rule, size_t input, char text[CONFIG_LEG_MAX]);

// The name of the zone that an interface is in, or "": it is not listed, or has a zone of its own.
const char *config_zone(const struct config *c, const char *interface);

// A prefix among the senders: with one, the group is joined as without senders. NULL: there is none.
const struct addr_prefix *config_source_prefix(const struct config_input *in);

// Returns whether its group is source-specific (RFC 4607), and not each allowed sender is a single address: what it
// joins then no router brings.
bool config_joins_nobody(const struct config_input *in);

// Among those of all rules: CONFIG_INPUTS_MAX for each.
#define ENDPOINT_INDEX(rule, input) ((uint32_t) (rule) *CONFIG_INPUTS_MAX + (uint32_t) (input))
#define ENDPOINT_RULE(index)        ((index) / CONFIG_INPUTS_MAX)
#define ENDPOINT_INPUT(index)       ((index) % CONFIG_INPUTS_MAX)

// Returns the number of different input interfaces of all rules, enabled or not.
size_t config_input_interfaces(const struct config *c);

struct endpoint endpoint_of_input(const struct config_input *in, uint32_t index);
struct endpoint endpoint_of_output(const struct config_output *out, uint32_t index);

// How many destinations an input has in the table: those of its range; a broadcast has two for each port.
uint32_t endpoint_destinations(const struct config_input *in);

// The same of all outputs of a rule, with ranges split.
size_t endpoint_outputs(const struct config_rule *rule);

// How many destinations it is: its addresses times its ports.
uint32_t endpoint_span(const struct endpoint *e);

// Returns the i-th destination, i < endpoint_span(): first all ports of the first address, then those of the next.
struct endpoint endpoint_at(const struct endpoint *e, uint32_t i);

// Writes all destinations to list. Returns their number: 0 if the endpoint is not complete.
uint32_t endpoint_take_apart(const struct endpoint *e, struct endpoint *list);

// Returns where the output `to` sends datagrams of the i-th destination of the input `from`. In each dimension in which
// `to` is a range, which is as large as that of `from`, it is the counterpart.
struct endpoint endpoint_counterpart(const struct endpoint *to, const struct endpoint *from, uint32_t i);

// Returns the number of paths of a rule: one, or, if an output is a range, one for each destination of its input. A
// disabled rule, which only appears in the statistics, has one.
uint32_t endpoint_paths(const struct config_rule *rule);

// Returns false if a part was refused and is unknown.
bool endpoint_is_complete(const struct endpoint *e);

// Returns ADDR_IPV4 or ADDR_IPV6 of a complete endpoint. A broadcast is IPv4.
uint8_t endpoint_family(const struct endpoint *e);

// Compares interface, kind, address, port and vlan; of a range, the first address and port. Returns 0 if datagrams of
// one are those of the other.
int endpoint_compare(const struct endpoint *a, const struct endpoint *b);

// Returns whether `one`, which is no range, is among the destinations of range.
bool endpoint_contains(const struct endpoint *range, const struct endpoint *one);

// Sorts by endpoint_compare(), then by index.
void endpoint_sort(struct endpoint *list, size_t n);

// Returns the first element of the sorted list that equals wanted, or NULL.
const struct endpoint *endpoint_find(const struct endpoint *list, size_t n, const struct endpoint *wanted);

#define ENDPOINT_TEXT_MAX 128

// Writes 'group 239.1.1.1, port 5000, interface "ot0"', with ', vlan 200' if it has one; of a range, the first address
// and port. Returns text.
const char *endpoint_format(const struct endpoint *e, char text[ENDPOINT_TEXT_MAX]);

#endif
