// SPDX-License-Identifier: Apache-2.0
// nft: sets of flows, and rules that match them, in the language of nft(8).
#ifndef MCR_FIREWALL_NFT_H
#define MCR_FIREWALL_NFT_H

#include <stdbool.h>
#include <stdio.h>

#include "firewall/flow.h"

// Where a chain finds the tag of a flow: the interface is that of the tag; "vlan id" knows it; or, in a frame on its
// way out, it is among the bytes, where nftables does not know the headers behind it.
enum nft_tags { NFT_TAGS_BY_INTERFACE, NFT_TAGS_KNOWN, NFT_TAGS_IN_FRAMES };

// The caller fills in the first four, and nft_next_set() the others.
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

// Each set from here on, with an element for each flow; its comment names the rules.
void nft_write_sets(struct nft_set set, FILE *to);

// The rule, or several, for packets of the set: "interface" is the condition for theirs.
void nft_write_rule(const struct nft_set *set, const char *interface, const char *verdict, FILE *to);

#define NFT_TAG_MAX 8

// ".VLAN", or "" for 0; returns text.
const char *nft_tag(uint16_t vlan, char text[NFT_TAG_MAX]);

#endif
