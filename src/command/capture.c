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

// The most that libpcap gives of one frame (MAXIMUM_SNAPLEN), and a link header of ours.
#define FRAME_MAX (262144 + ETH_HLEN)

struct capture {
    pcap_t *pcap;
    int link;
    uint8_t frame[FRAME_MAX];
};

struct capture_writer {
    pcap_t *pcap;
    pcap_dumper_t *dumper;
};

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
    // The name that Debian gives it, and everyone else's.
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

static bool link_is_known(int link)
{
    return link == DLT_EN10MB || link == DLT_LINUX_SLL || link == DLT_LINUX_SLL2 || link == DLT_RAW ||
           link == DLT_IPV4 || link == DLT_IPV6;
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
    c->pcap = library.pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, error);
    if (!c->pcap) {
        snprintf(why, CAPTURE_WHY_MAX, "is no capture file: %s", error);
        fclose(file);
        free(c);
        return NULL;
    }
    c->link = library.pcap_datalink(c->pcap);
    if (link_is_known(c->link))
        return c;
    const char *name = library.pcap_datalink_val_to_name(c->link);
    snprintf(why, CAPTURE_WHY_MAX,
             "link type is %d (%s), allowed are EN10MB, LINUX_SLL, LINUX_SLL2, RAW, IPV4 and IPV6", c->link,
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

static uint64_t time_of(const struct pcap_pkthdr *h)
{
    // A damaged file may say anything.
    if (h->ts.tv_sec < 0 || h->ts.tv_sec > INT32_MAX * INT64_C(4) || h->ts.tv_usec < 0)
        return 0;
    return (uint64_t) h->ts.tv_sec * NS_PER_S + (uint64_t) h->ts.tv_usec % NS_PER_S; // nanoseconds, as asked for
}

// Puts an Ethernet header in the place of a cooked one of `size` bytes.
static void make_ethernet(struct capture *c, struct capture_frame *out, size_t size, uint16_t protocol)
{
    memset(c->frame, 0, 2 * ETH_ALEN);
    memcpy(c->frame + 2 * ETH_ALEN, &protocol, sizeof(protocol));
    memcpy(c->frame + ETH_HLEN, out->bytes + size, out->length - size);
    out->bytes = c->frame;
    out->length = out->length - size + ETH_HLEN;
    out->meta.ethernet = true;
}

static void take_link(struct capture *c, struct capture_frame *out)
{
    struct sll_header sll;
    struct sll2_header sll2;

    switch (c->link) {
    case DLT_EN10MB:
        out->meta.ethernet = out->stations = true;
        break;
    case DLT_LINUX_SLL:
        if (out->length < sizeof(sll))
            break;
        memcpy(&sll, out->bytes, sizeof(sll));
        out->kind = (uint8_t) ntohs(sll.sll_pkttype);
        make_ethernet(c, out, sizeof(sll), sll.sll_protocol);
        break;
    case DLT_LINUX_SLL2:
        if (out->length < sizeof(sll2))
            break;
        memcpy(&sll2, out->bytes, sizeof(sll2));
        out->kind = sll2.sll2_pkttype;
        make_ethernet(c, out, sizeof(sll2), sll2.sll2_protocol);
        break;
    default: // begins with the IP header
        break;
    }
}

// The kernel takes the outer tag out of the frame; libpcap has put it back.
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
        out->meta.vlan |= 0x1000; // as ingress.c has it
    if (out->bytes != c->frame)
        memcpy(c->frame, out->bytes, 2 * ETH_ALEN);
    memmove(c->frame + 2 * ETH_ALEN, out->bytes + 2 * ETH_ALEN + 4, out->length - 2 * ETH_ALEN - 4);
    out->bytes = c->frame;
    out->length -= 4;
}

enum capture_result capture_next(struct capture *c, struct capture_frame *out, char why[CAPTURE_WHY_MAX])
{
    struct pcap_pkthdr *header;
    const u_char *bytes;
    int rc = library.pcap_next_ex(c->pcap, &header, &bytes);

    if (rc == PCAP_ERROR_BREAK)
        return CAPTURE_END;
    if (rc != 1 || header->caplen > FRAME_MAX - ETH_HLEN) {
        snprintf(why, CAPTURE_WHY_MAX, "%s", rc == 1 ? "a frame is too long" : library.pcap_geterr(c->pcap));
        return CAPTURE_DAMAGED;
    }
    *out = (struct capture_frame){.time_ns = time_of(header),
                                  .bytes = bytes,
                                  .length = header->caplen,
                                  .truncated = header->caplen < header->len,
                                  .kind = PACKET_HOST};
    take_link(c, out);
    take_tag(c, out);
    return CAPTURE_FRAME;
}

// --- writing ---------------------------------------------------------------------------------------------------------

struct capture_writer *capture_create(FILE *file, char why[CAPTURE_WHY_MAX])
{
    struct capture_writer *w = calloc(1, sizeof(*w));

    if (w)
        w->pcap = library.pcap_open_dead_with_tstamp_precision(DLT_EN10MB, 262144, PCAP_TSTAMP_PRECISION_NANO);
    if (w && w->pcap)
        w->dumper = library.pcap_dump_fopen(w->pcap, file);
    if (w && w->dumper)
        return w;
    snprintf(why, CAPTURE_WHY_MAX, "%s", w && w->pcap ? library.pcap_geterr(w->pcap) : strerror(ENOMEM));
    if (w && w->pcap)
        library.pcap_close(w->pcap); // the file went with pcap_dump_fopen()
    else
        fclose(file);
    free(w);
    return NULL;
}

void capture_write(struct capture_writer *w, uint64_t time_ns, const uint8_t *bytes, size_t length)
{
    struct pcap_pkthdr header = {.ts = {.tv_sec = (time_t) (time_ns / NS_PER_S),
                                        .tv_usec = (suseconds_t) (time_ns % NS_PER_S)}, // nanoseconds, as begun
                                 .caplen = (bpf_u_int32) length,
                                 .len = (bpf_u_int32) length};

    library.pcap_dump((u_char *) w->dumper, &header, bytes);
}

bool capture_finish(struct capture_writer *w)
{
    FILE *file = library.pcap_dump_file(w->dumper);
    bool ok = fflush(file) == 0 && !ferror(file);

    library.pcap_dump_close(w->dumper);
    library.pcap_close(w->pcap);
    free(w);
    return ok;
}
