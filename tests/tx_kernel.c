// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "tx_kernel.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "table/layout.h"

#define LEAD TPACKET_ALIGN(sizeof(struct tpacket2_hdr))

bool tx_kernel_open(struct tx_kernel *k, uint32_t slot_size)
{
    size_t size = (size_t) TABLE_TX_SLOTS * slot_size;
    int fd = memfd_create("transmit ring", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t) size) != 0)
        return false;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return false;
    *k = (struct tx_kernel){.fd = fd, .memory = memory, .slot_size = slot_size};
    return true;
}

void tx_kernel_close(struct tx_kernel *k)
{
    munmap(k->memory, (size_t) TABLE_TX_SLOTS * k->slot_size);
    close(k->fd);
}

static struct tpacket2_hdr *slot_at(const struct tx_kernel *k, uint32_t i)
{
    return (struct tpacket2_hdr *) (void *) (k->memory + (size_t) i * k->slot_size);
}

void tx_kernel_reset(struct tx_kernel *k)
{
    for (uint32_t i = 0; i < TABLE_TX_SLOTS; i++)
        slot_at(k, i)->tp_status = TP_STATUS_AVAILABLE;
    k->next = 0;
}

// What the kernel can make an skb of: a frame within its slot, and within it what virtio_net_hdr speaks of, with so
// much of it linear that the checksum can be written.
static bool makes_sense(const struct tx_kernel *k, const struct tpacket2_hdr *slot)
{
    struct virtio_net_hdr v;

    if (slot->tp_len > k->slot_size - LEAD || slot->tp_len < sizeof(v))
        return false;
    memcpy(&v, (const uint8_t *) slot + LEAD, sizeof(v));
    return v.hdr_len <= slot->tp_len - sizeof(v) && v.csum_start + v.csum_offset + 2u <= v.hdr_len;
}

void tx_kernel_send(struct tx_kernel *k)
{
    for (uint32_t i = 0; i < TABLE_TX_SLOTS; i++)
        if (slot_at(k, i)->tp_status == TP_STATUS_SENDING)
            slot_at(k, i)->tp_status = TP_STATUS_AVAILABLE | TP_STATUS_TS_SOFTWARE;
    for (;; k->next = (k->next + 1) % TABLE_TX_SLOTS) {
        struct tpacket2_hdr *slot = slot_at(k, k->next);
        if (slot->tp_status != TP_STATUS_SEND_REQUEST)
            return;
        int error = !makes_sense(k, slot) ? EINVAL : k->fails ? k->fails(k->context) : 0;
        if (error) {
            if (error == EINVAL)
                slot->tp_status = TP_STATUS_WRONG_FORMAT;
            return;
        }
        k->take(k->context, (const uint8_t *) slot + LEAD, slot->tp_len);
        slot->tp_status = k->slow ? TP_STATUS_SENDING : TP_STATUS_AVAILABLE;
    }
}
