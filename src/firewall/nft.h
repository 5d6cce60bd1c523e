// SPDX-License-Identifier: Apache-2.0
// nft: sets of flows, and what matches them, in the language of nft(8).
#ifndef MCR_FIREWALL_NFT_H
#define MCR_FIREWALL_NFT_H

#include <stdbool.h>
#include <stdio.h>

#include "firewall/flow.h"

// Where the headers are: nftables knows it, or, in a frame on its way out whose tag is among its bytes, does not.
enum nft_view { NFT_PACKET, NFT_TAGGED_FRAME };

struct nft_set {
    const char *direction; // begins the name: "in" or "out"
    enum nft_view view;
    const struct flow *first; // NULL before the first call of nft_next_set()
    size_t n;
    unsigned number;
};

// The next set of flows that were settled; false after the last.
bool nft_next_set(const struct flows *flows, struct nft_set *set);

// The set with an element for each flow; its comment names the rules.
void nft_write_set(const struct nft_set *set, FILE *to);

// The condition that a packet is of one of its flows, the interface and the tag left out. A set may need several rules,
// each with another condition: so many, and the i-th of them.
unsigned nft_n_matches(const struct nft_set *set);
void nft_write_match(const struct nft_set *set, unsigned i, FILE *to);

// Writes { "a", "b" } of n names.
void nft_write_names(const char *const *names, size_t n, FILE *to);

// Writes text that stays within its line, whatever is in it.
void nft_write_text(const char *text, FILE *to);

#endif
