// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/capture.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <pcap/pcap.h>
#include <pcap/sll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

// Largest frame from libpcap (MAXIMUM_SNAPLEN), and an Ethernet header in place of a cooked one.
#define FRAME_MAX (262144 + ETH_HLEN)

struct capture {
    pcap_t *pcap;
    const struct link_type *type;
    bool pcapng;
    uint64_t position;
    uint8_t frame[FRAME_MAX];
};

#ifdef MCR_LIBRARIES_TIME32
// struct pcap_pkthdr as the library was built.
struct record {
    struct {
        int32_t tv_sec, tv_usec;
    } ts;
    bpf_u_int32 caplen, len;
};
#else
#define record pcap_pkthdr
#endif

// --- the library -----------------------------------------------------------------------------------------------------

#define FUNCTIONS(X)                                                                                                   \
    X(pcap_fopen_offline_with_tstamp_precision)                                                                        \
    X(pcap_datalink)                                                                                                   \
    X(pcap_datalink_val_to_name)                                                                                       \
    X(pcap_next_ex)                                                                                                    \
    X(pcap_geterr)                                                                                                     \
    X(pcap_close)                                                                                                      \
    X(pcap_open_dead_with_tstamp_precision)                                                                            \
    X(pcap_dump_fopen)                                                                                                 \
    X(pcap_dump)                                                                                                       \
    X(pcap_dump_file)                                                                                                  \
    X(pcap_dump_close)

#define DECLARE(name) __typeof__(&(name)) name;
#define NAME(name)    {#name, offsetof(struct library, name)},

static struct library {
    FUNCTIONS(DECLARE)
} library;

bool capture_load(char why[CAPTURE_WHY_MAX])
{
    static const struct {
        const char *name;
        size_t at;
    } functions[] = {FUNCTIONS(NAME)};
    // The first name is Debian's, the second one that of other distributions.
    void *handle = dlopen("libpcap.so.0.8", RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        handle = dlopen("libpcap.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(why, CAPTURE_WHY_MAX, "capture files need libpcap, which is not installed (Debian: libpcap0.8)");
        return false;
    }
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(handle, functions[i].name);
        if (!function) {
            snprintf(why, CAPTURE_WHY_MAX, "libpcap has no %s: it is too old", functions[i].name);
            return false;
        }
        memcpy((char *) &library + functions[i].at, &function, sizeof(function));
    }
    return true;
}

// --- reading ---------------------------------------------------------------------------------------------------------

// Cooked headers: their size in bytes (0: none), and the offsets of packet type and protocol.
static const struct link_type {
    int link;
    size_t cooked, kind_at, protocol_at;
} link_types[] = {
    {.link = DLT_EN10MB},
    {DLT_LINUX_SLL, sizeof(struct sll_header), offsetof(struct sll_header, sll_pkttype) + 1, // its low byte
     offsetof(struct sll_header, sll_protocol)},
    {DLT_LINUX_SLL2, sizeof(struct sll2_header), offsetof(struct sll2_header, sll2_pkttype),
     offsetof(struct sll2_header, sll2_protocol)},
    {.link = DLT_RAW},
    {.link = DLT_IPV4},
    {.link = DLT_IPV6},
};

// What unpacks a file that begins with this byte, as no capture does; else NULL.
static const char *reader_of(int first)
{
    return first == 0x1f ? "zcat" : first == 0xfd ? "xzcat" : first == 0x28 ? "zstdcat" : NULL;
}

struct capture *capture_open(FILE *file, char why[CAPTURE_WHY_MAX])
{
    struct capture *c = calloc(1, sizeof(*c));
    char error[PCAP_ERRBUF_SIZE] = "";

    if (!c) {
        snprintf(why, CAPTURE_WHY_MAX, "%s", strerror(ENOMEM));
        fclose(file);
        return NULL;
    }
    int first = getc(file); // pcapng begins with 0a 0d 0d 0a
    ungetc(first, file);
    c->pcapng = first == '\n';
    c->pcap = library.pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error);
    if (!c->pcap) {
        const char *reader = reader_of(first);
        snprintf(why, CAPTURE_WHY_MAX, "is no capture file: %.128s%s%s%s", error, reader ? ": compressed? " : "",
                 reader ? reader : "", reader ? " FILE | mcrd --replay -" : "");
        fclose(file);
        free(c);
        return NULL;
    }
    int link = library.pcap_datalink(c->pcap);
    for (c->type = link_types; c->type < link_types + sizeof(link_types) / sizeof(link_types[0]); c->type++)
        if (c->type->link == link)
            return c;
    const char *name = library.pcap_datalink_val_to_name(link);
    snprintf(why, CAPTURE_WHY_MAX,
             "link type is %d (%s), allowed are EN10MB, LINUX_SLL, LINUX_SLL2, RAW, IPV4 and IPV6", link,
             name ? name : "unknown");
    capture_close(c);
    return NULL;
}

void capture_close(struct capture *c)
{
    if (!c)
        return;
    library.pcap_close(c->pcap);
    free(c);
}

static uint64_t time_of(const struct record *h)
{
    int64_t seconds = h->ts.tv_sec;

    // The time stamps of a damaged file may have any value.
    if (seconds < 0 || seconds > INT32_MAX * INT64_C(4) || h->ts.tv_usec < 0)
        return 0;
    return (uint64_t) seconds * NS_PER_S + (uint64_t) h->ts.tv_usec % NS_PER_S; // tv_usec has nanoseconds
}

// Replaces a cooked header by an Ethernet header.
static void take_link(struct capture *c, struct capture_frame *out)
{
    const struct link_type *t = c->type;

    out->meta.ethernet = out->stations = t->link == DLT_EN10MB;
    if (t->cooked == 0 || out->length < t->cooked)
        return;
    out->kind = out->bytes[t->kind_at];
    memset(c->frame, 0, 2 * ETH_ALEN);
    memcpy(c->frame + 2 * ETH_ALEN, out->bytes + t->protocol_at, 2);
    memcpy(c->frame + ETH_HLEN, out->bytes + t->cooked, out->length - t->cooked);
    out->bytes = c->frame;
    out->length = out->length - t->cooked + ETH_HLEN;
    out->meta.ethernet = true;
}

// Removes the outer tag, as the kernel does: libpcap has put it back into the frame.
static void take_tag(struct capture *c, struct capture_frame *out)
{
    uint16_t type, tag;

    if (!out->meta.ethernet || out->length < ETH_HLEN + 4)
        return;
    memcpy(&type, out->bytes + 2 * ETH_ALEN, sizeof(type));
    if (type != htons(ETH_P_8021Q) && type != htons(ETH_P_8021AD))
        return;
    memcpy(&tag, out->bytes + ETH_HLEN, sizeof(tag));
    out->meta.vlan = ntohs(tag) & 0xfff;
    if (type != htons(ETH_P_8021Q))
        out->meta.vlan |= 0x1000; // as in relay/ingress.c
    if (out->bytes != c->frame)
        memcpy(c->frame, out->bytes, 2 * ETH_ALEN);
    memmove(c->frame + 2 * ETH_ALEN, out->bytes + 2 * ETH_ALEN + 4, out->length - 2 * ETH_ALEN - 4);
    out->bytes = c->frame;
    out->length -= 4;
}

enum capture_result capture_next(struct capture *c, struct capture_frame *out, char why[CAPTURE_WHY_MAX])
{
    struct pcap_pkthdr *found = NULL;
    const u_char *bytes;
    int rc = library.pcap_next_ex(c->pcap, &found, &bytes);
    const struct record *header = (const void *) found;

    if (rc == PCAP_ERROR_BREAK)
        return CAPTURE_END;
    if (rc != 1 || header->caplen > FRAME_MAX - ETH_HLEN) {
        snprintf(why, CAPTURE_WHY_MAX, "%s", rc == 1 ? "a frame is too long" : library.pcap_geterr(c->pcap));
        return CAPTURE_DAMAGED;
    }
    // The size of a pcapng Enhanced Packet Block, padded to words, or of a pcap record.
    c->position += c->pcapng ? 32 + (header->caplen + 3) / 4 * 4 : 16 + header->caplen;
    *out = (struct capture_frame){.time_ns = time_of(header),
                                  .bytes = bytes,
                                  .length = header->caplen,
                                  .truncated = header->caplen < header->len,
                                  .kind = PACKET_HOST};
    take_link(c, out);
    take_tag(c, out);
    return CAPTURE_FRAME;
}

uint64_t capture_position(const struct capture *c)
{
    return c->position;
}

// --- writing ---------------------------------------------------------------------------------------------------------

struct pcap_dumper *capture_create(FILE *file, char why[CAPTURE_WHY_MAX])
{
    pcap_t *p = library.pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262144, PCAP_TSTAMP_PRECISION_NANO);
    pcap_dumper_t *w = p ? library.pcap_dump_fopen(p, file) : NULL; // closes the file if it fails

    if (!w)
        snprintf(why, CAPTURE_WHY_MAX, "%s", p ? library.pcap_geterr(p) : strerror(ENOMEM));
    if (p)
        library.pcap_close(p); // only the header of the file needs it
    else
        fclose(file);
    return w;
}

void capture_write(struct pcap_dumper *w, uint64_t time_ns, const uint8_t *bytes, size_t length)
{
    struct record header = {.caplen = (bpf_u_int32) length, .len = (bpf_u_int32) length};

    header.ts.tv_sec = (__typeof__(header.ts.tv_sec)) (time_ns / NS_PER_S);
    header.ts.tv_usec = (__typeof__(header.ts.tv_usec)) (time_ns % NS_PER_S); // nanoseconds, as in the file's header
    library.pcap_dump((u_char *) w, (const void *) &header, bytes);
}

bool capture_finish(struct pcap_dumper *w)
{
    FILE *file = library.pcap_dump_file(w);
    bool ok = fflush(file) == 0 && !ferror(file);

    library.pcap_dump_close(w);
    return ok;
}
