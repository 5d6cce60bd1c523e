// SPDX-License-Identifier: Apache-2.0
// layout: the format of the rule table, which the broker compiles and seals, and the relay maps read-only.
//
// A table is one block of memory without pointers: a header, then arrays at the offsets (bytes from the start of the
// block) that the header gives. Addresses are in network byte order, all other fields in host byte order. A table never
// changes: a reload makes a new one.
#ifndef MCR_TABLE_LAYOUT_H
#define MCR_TABLE_LAYOUT_H

#include <net/if.h>
#include <stdint.h>

#include "common/addr.h"

#define TABLE_MAGIC   UINT64_C(0x313042415452434d) // "MCRTAB01" as little-endian bytes
#define TABLE_VERSION 12

#define TABLE_NAME_MAX         64
#define TABLE_NOTE_MAX         256
#define TABLE_REASON_MAX       128
#define TABLE_LEG_MAX          32
#define TABLE_NONE             UINT32_MAX
#define TABLE_BUSY_POLL_ALWAYS UINT32_MAX

// table_attach() refuses a table that exceeds these bounds. Those of the config file (config/model.h) are within them.
#define TABLE_INTERFACES_MAX    64
#define TABLE_RULES_MAX         10000
#define TABLE_RULE_INPUTS_MAX   8 // of one rule
#define TABLE_INPUTS_MAX        (TABLE_RULE_INPUTS_MAX * TABLE_RULES_MAX)
#define TABLE_MERGE_NUMBERS_MAX (1u << 20)
#define TABLE_BURST_MAX         64
#define TABLE_MERGE_HELD_MAX    9216 // bytes of a datagram that is held back
#define TABLE_OUTPUTS_MAX       65536
#define TABLE_EGRESS_MAX        (TABLE_OUTPUTS_MAX + TABLE_INTERFACES_MAX) // and a transmit ring of each interface
#define TABLE_SOURCES_MAX       (256u * TABLE_RULES_MAX)
#define TABLE_HOLDS_MAX         32768
#define TABLE_DESTINATIONS_MAX  20000
#define TABLE_RING_SOCKETS_MAX  (2 * TABLE_INTERFACES_MAX) // machine/ring_pool.h
#define TABLE_PATHS_MAX         (TABLE_DESTINATIONS_MAX + TABLE_RULES_MAX)
#define TABLE_BYTES_MAX         (256u << 20)

// The records have no padding: tables are compared byte by byte, and must not carry other memory of the broker.
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"

struct table_array {
    uint32_t offset; // bytes from the start of the table
    uint32_t n;      // elements
};

// Every array is declared here, once: X(name, type of an element, most of them). Header, view, compiler and checks
// follow. rules: in the order of the file. inputs: those of one rule side by side, in its order. outputs: those of one
// path side by side. own: addresses of an input interface and its subnets' broadcasts. holds: ids of descriptors that
// the relay only keeps open (memberships). slots: the hash index; a power of two, never full.
#define TABLE_ARRAYS(X)                                                                                                \
    X(interfaces, struct table_interface, TABLE_INTERFACES_MAX)                                                        \
    X(rules, struct table_rule, TABLE_RULES_MAX)                                                                       \
    X(inputs, struct table_input, TABLE_INPUTS_MAX)                                                                    \
    X(paths, struct table_path, TABLE_PATHS_MAX)                                                                       \
    X(outputs, struct table_output, TABLE_OUTPUTS_MAX)                                                                 \
    X(egress, struct table_egress, TABLE_EGRESS_MAX)                                                                   \
    X(sources, struct addr_prefix, TABLE_SOURCES_MAX)                                                                  \
    X(own, struct addr, UINT32_MAX)                                                                                    \
    X(holds, uint64_t, TABLE_HOLDS_MAX)                                                                                \
    X(destinations, struct table_destination, TABLE_DESTINATIONS_MAX)                                                  \
    X(slots, struct table_slot, 4 * TABLE_DESTINATIONS_MAX)

#define TABLE_HEADER_ARRAY(name, type, most) struct table_array name;

struct table_header {
    uint64_t magic;
    uint32_t version;
    uint32_t size; // bytes, of the whole table
    uint64_t generation;
    uint8_t sha256[32]; // of the config file
    char instance[TABLE_NAME_MAX];
    TABLE_ARRAYS(TABLE_HEADER_ARRAY) // the arrays lie in this order, each aligned to 8 bytes
    uint32_t longest_probe;          // a look-up inspects at most this many slots
    uint32_t flags;                  // enum table_flags
    uint32_t n_counters;             // of outputs, see struct table_output
    uint32_t coalesce_usecs;         // longest time between two passes under load
    uint32_t busy_poll_usecs;        // how long to poll after a frame, or TABLE_BUSY_POLL_ALWAYS
    uint32_t trial_seconds;          // until the relay goes back to the table before; 0: it is not on trial
    // Times in seconds since the epoch (CLOCK_REALTIME); 0: none.
    uint64_t serial;                  // 0: the file has none
    uint64_t valid_from, valid_until; // of the file
    uint64_t next_change;             // when the relay asks the broker for another table
    uint64_t clock_least;             // an earlier time is one of a clock that is not set
    uint8_t returns_to[32];           // sha256 of the file to go back to; zero: it is not on trial
};

enum table_flags {
    TABLE_RELOAD_ON_CHANGE = 1u << 0,  // a changed file is loaded without a signal
    TABLE_TIMED = 1u << 1,             // the file has times: a clock that is set concerns it
    TABLE_RETURN_ON_SILENCE = 1u << 2, // on trial: it goes back when a rule falls silent that relayed before
};

enum table_link {
    TABLE_LINK_ETHERNET, // frames begin with an Ethernet header
    TABLE_LINK_NONE,     // frames begin with the IP header (tun, WireGuard, ppp)
};

enum table_interface_state { TABLE_INTERFACE_UP, TABLE_INTERFACE_DOWN, TABLE_INTERFACE_MISSING };

// slot_size, n_slots and block_size describe the TPACKET_V2 ring (packet_mmap). ring_id is 0 if the interface is no
// input or is missing.
struct table_interface {
    char name[IFNAMSIZ];
    uint32_t ifindex;
    uint32_t state;        // enum table_interface_state when the table was compiled
    uint32_t link;         // enum table_link
    uint32_t super_frames; // 1: a virtio_net_hdr before each frame of the ring tells super-frames; 0: there is none
    uint64_t ring_id;
    uint32_t slot_size; // bytes
    uint32_t n_slots;
    uint32_t block_size;       // bytes
    uint32_t ring_socket;      // number of the ring's socket in the pool (machine/ring_pool.h)
    uint32_t first_own, n_own; // its addresses and its subnets' broadcasts, sorted by addr_compare()
    uint16_t loopback;         // 1: the loopback interface, where only this host sends
    uint8_t mac[6];            // that this host alone has; zero: it has none, or other hosts may have it, too
};

enum table_rule_flags {
    TABLE_RULE_ENABLED = 1u << 0,
    TABLE_RULE_WAITING = 1u << 1,    // an interface, address or route that it uses is missing
    TABLE_RULE_TTL_ANY = 1u << 2,    // some output decrements the ttl
    TABLE_RULE_TTL_ALL = 1u << 3,    // every output decrements the ttl
    TABLE_RULE_KEEPS = 1u << 4,      // some output keeps the sender's address or port
    TABLE_RULE_SHADOW = 1u << 5,     // matched and counted, never sent
    TABLE_RULE_PER_SOURCE = 1u << 6, // the limit applies to each sender separately
    TABLE_RULE_BROADCAST = 1u << 7,  // takes in broadcasts
    TABLE_RULE_MERGES = 1u << 9,     // its legs are merged
    TABLE_RULE_JUDGED = 1u << 10,   // a monitor, a merge, deadline_us, a limit or a trial stand between match and batch
    TABLE_RULE_MONITORS = 1u << 11, // what each leg brings is looked at
    TABLE_RULE_SCHEDULED = 1u << 12, // not ENABLED before active_from, or while the clock is not set
    TABLE_RULE_EXPIRED = 1u << 13,   // not ENABLED since active_until
    TABLE_RULE_DOWN = 1u << 8,       // an interface that it uses exists, but is not up
};

// An address and port of an input: where the sender sends datagrams of a rule to.
struct table_destination {
    struct addr address;
    uint8_t leg;    // its place among the rule's inputs
    uint16_t port;  // host order
    uint16_t vlan;  // 0: untagged
    uint16_t flags; // enum table_destination_flags
    uint32_t interface;
    uint32_t path;
};

enum table_destination_flags {
    TABLE_DESTINATION_SOURCES = 1u << 0, // its input has sources
};

// The way of a rule's datagrams to its outputs, rule.n_outputs of them from first_output on. A rule has one, or, where
// an output is a range, one for each of its destinations.
struct table_path {
    uint32_t rule;
    uint32_t first_output;
};

// What a rule takes in by one leg.
struct table_input {
    char leg[TABLE_LEG_MAX];
    uint32_t rule;
    uint32_t interface;
    uint32_t first_destination, n_destinations;
    uint32_t first_source, n_sources; // none: every sender
    uint32_t carried_from;            // index of this leg of this rule under the table before, or TABLE_NONE
    // To be shown; datagrams are looked up by the destinations.
    struct addr to; // the first of a range
    uint8_t reserved;
    uint16_t port; // host order
    uint16_t n_addresses;
    uint16_t n_ports;
    uint16_t vlan; // 0: untagged
    uint16_t reserved2;
};

enum table_merge_by {
    TABLE_MERGE_NONE, // legs are not merged
    TABLE_MERGE_RTP,
    TABLE_MERGE_FIELD,
    TABLE_MERGE_PAYLOAD,
    TABLE_MERGE_ACTIVE,
};

// How the legs of a rule are merged, each path by itself (wire/merge.h).
struct table_merge {
    uint32_t by; // enum table_merge_by
    uint32_t window_ms, reorder_ms;
    uint32_t switch_after_ms, return_after_ms;
    uint32_t numbers;        // room, a power of two
    uint32_t at, session_at; // of a field: bytes
    uint8_t bytes, session_bytes;
    uint8_t little; // 1: the least byte is first
    uint8_t count_bytes;
    uint32_t count_at;
    uint32_t reserved;
};

enum table_monitor_as { TABLE_MONITOR_NONE, TABLE_MONITOR_RTP, TABLE_MONITOR_TS, TABLE_MONITOR_FIELD };

// As what each leg of a rule is looked at, each path by itself (wire/monitor.h).
struct table_monitor {
    uint32_t as; // enum table_monitor_as
    uint32_t clock_hz;
    uint32_t at, session_at; // of a field: bytes
    uint8_t bytes, session_bytes;
    uint8_t little; // 1: the least byte is first
    uint8_t reserved;
    uint32_t max_loss_ppm, max_jitter_us; // 0: no alarm
    uint32_t reserved2;
};

struct table_rule {
    char name[TABLE_NAME_MAX];
    char note[TABLE_NOTE_MAX];
    uint32_t first_input, n_inputs;
    uint32_t flags;
    uint32_t max_payload; // bytes
    uint32_t first_path, n_paths;
    uint32_t first_counter, n_outputs; // as many counters as outputs of a path
    uint32_t silence_ms;               // 0: no alarm
    uint32_t burst_ms;
    uint32_t max_residence_us;          // 0: no alarm
    uint32_t deadline_us;               // 0: none
    uint64_t packets_per_second;        // 0: no limit
    uint64_t bits_per_second;           // 0: no limit
    uint64_t min_packets_per_second;    // 0: no alarm
    uint64_t active_from, active_until; // seconds since the epoch; 0: none
    struct table_merge merge;
    struct table_monitor monitor;
    uint32_t carried_from;         // index of the rule of this name in the table before, or TABLE_NONE
    char reason[TABLE_REASON_MAX]; // what it lacks, as sentences: why TABLE_RULE_WAITING or TABLE_RULE_DOWN is set, or
                                   // a merge has one leg less
};

#define TABLE_DSCP_PRESERVE 0xff
#define TABLE_LINK_MAX      18 // bytes: Ethernet 14, tag 4
#define TABLE_HEADER_MAX    76 // bytes: TABLE_LINK_MAX, IPv6 40, UDP 8, rounded up

enum table_output_flags {
    TABLE_OUTPUT_KEEP_SOURCE = 1u << 0, // the sender's address replaces the source address in header
    TABLE_OUTPUT_KEEP_PORT = 1u << 1,   // the sender's port replaces the source port in header
};

// How datagrams of one output are addressed. header is the prepared link, IP and UDP header: empty for a UDP socket,
// without a link header for a raw socket. header_fill() sets lengths, checksums, identification, ttl, dscp, and what is
// kept of the sender, for each send.
struct table_output {
    struct addr to;
    uint8_t ttl;    // 0: the ttl of the received datagram minus one
    uint8_t dscp;   // 0..63 or TABLE_DSCP_PRESERVE
    uint8_t ip_at;  // offset of the IP header in header
    uint16_t port;  // host order
    uint16_t flags; // enum table_output_flags
    uint32_t interface;
    uint32_t egress;       // TABLE_NONE while the output waits
    uint32_t counter;      // index of its counters, which the outputs of a range share
    uint32_t carried_from; // index of the same counters in the previous table, or TABLE_NONE
    uint16_t n_addresses;  // size of its range, which begins with the output of the rule's first path; 1: no range
    uint16_t n_ports;
    uint16_t vlan; // of the tag in header; 0: no tag
    uint16_t header_length;
    uint32_t burst; // most datagrams in one call, 1 to TABLE_BURST_MAX
    uint8_t header[TABLE_HEADER_MAX];
};

enum table_egress_kind {
    TABLE_EGRESS_FRAME,   // AF_PACKET with a virtio_net_hdr before each frame
    TABLE_EGRESS_SOCKET,  // a connected UDP socket
    TABLE_EGRESS_RAW,     // a connected raw socket: mcr writes the IP header, the kernel finds route and neighbour
    TABLE_EGRESS_TX_RING, // AF_PACKET with a transmit ring, beside a FRAME socket; outputs never refer to it
    TABLE_EGRESS_RAW_UDP  // a connected raw socket of UDP: mcr writes the UDP header, the kernel the IP header
};

// Number of slots of a transmit ring (TPACKET_V2), and the bounds of their size in bytes, which is a power of two.
#define TABLE_TX_SLOTS    256
#define TABLE_TX_SLOT_MIN 256
#define TABLE_TX_SLOT_MAX 4096

enum table_egress_flags {
    TABLE_EGRESS_GSO = 1u << 0, // the socket takes UDP_SEGMENT, or VIRTIO_NET_HDR_GSO_UDP_L4 for frames
};

struct table_egress {
    uint64_t id;
    uint32_t kind;
    uint32_t flags;
    uint32_t mtu;       // bytes, of the IP packet
    uint32_t tx_ring;   // of a FRAME socket: index of the transmit ring beside it, or TABLE_NONE
    uint32_t slot_size; // of a transmit ring: bytes
    uint32_t reserved;
};

// destination is TABLE_NONE in an empty slot.
struct table_slot {
    uint32_t hash;
    uint32_t destination;
};

#pragma GCC diagnostic pop

#endif
