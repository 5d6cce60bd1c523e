// SPDX-License-Identifier: Apache-2.0
// nft: sets of flows, and rules that match them, in the language of nft(8).
#ifndef MCR_FIREWALL_NFT_H
#define MCR_FIREWALL_NFT_H

#include <stdbool.h>
#include <stdio.h>

#include "firewall/flow.h"

// Where a chain finds the VLAN tag of a packet: the interface is a VLAN interface of that tag; nftables knows it as
// "vlan id"; or it is among the bytes of an outgoing frame, where nftables cannot name the headers behind it.
enum nft_tags { NFT_TAGS_BY_INTERFACE, NFT_TAGS_KNOWN, NFT_TAGS_IN_FRAMES };

// The caller sets the first four fields; nft_next_set() sets the others.
struct nft_set {
    const struct flows *flows; // collected
    const char *direction;     // begins the name: "in" or "out"
    enum nft_tags tags;
    bool (*wanted)(const struct flow *first); // NULL: all
    const struct flow *first;                 // NULL before the first call
    size_t n;
    unsigned number;
};

// Goes on to the next set that is wanted; false after the last.
bool nft_next_set(struct nft_set *set);

// Writes the remaining sets, an element for each flow. The comment of an element names its rules.
void nft_write_sets(struct nft_set set, FILE *to);

// Writes the nftables rule, or rules, that apply verdict to packets of the set; `interface` is the condition on the
// interface that stands in front.
void nft_write_rule(const struct nft_set *set, const char *interface, const char *verdict, FILE *to);

#define NFT_TAG_MAX 8

// ".VLAN", or "" for 0; returns text.
const char *nft_tag(uint16_t vlan, char text[NFT_TAG_MAX]);

#endif
