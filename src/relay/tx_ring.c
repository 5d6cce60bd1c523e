// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "relay/tx_ring.h"

#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAD TPACKET_ALIGN(sizeof(struct tpacket2_hdr)) // bytes of a slot before its frame

struct tx_ring {
    int fd;
    uint32_t slot_size;
    uint8_t *slots;
    uint32_t first; // slot of the first frame that waits
    uint32_t n;     // frames that wait
    uint32_t taken; // of these, frames that were taken back
    struct tx_frame frames[TABLE_TX_SLOTS];
};

struct tx_ring *tx_ring_new(int fd, uint32_t slot_size)
{
    struct tx_ring *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->fd = fd;
    r->slot_size = slot_size;
    r->slots = mmap(NULL, (size_t) TABLE_TX_SLOTS * slot_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (r->slots != MAP_FAILED)
        return r;
    free(r);
    return NULL;
}

void tx_ring_free(struct tx_ring *r)
{
    if (!r)
        return;
    munmap(r->slots, (size_t) TABLE_TX_SLOTS * r->slot_size);
    free(r);
}

static uint32_t place(const struct tx_ring *r, uint32_t i)
{
    return (r->first + i) % TABLE_TX_SLOTS;
}

// Returns slot i of those that wait. A block holds a whole number of slots (their size is a power of two), so all slots
// are adjacent.
static struct tpacket2_hdr *slot_at(const struct tx_ring *r, uint32_t i)
{
    return (struct tpacket2_hdr *) (void *) (r->slots + (size_t) place(r, i) * r->slot_size);
}

static bool has_status(const struct tpacket2_hdr *slot, uint32_t any)
{
    return (__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & any) != 0;
}

// A slot with one of these bits belongs to the kernel. The device returns it when it has sent the frame; other bits, as
// those of a time stamp, may then be set.
#define OF_KERNEL (TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING)
// A slot with one of these bits was left. The kernel stops at the first frame that it cannot send: it marks that slot
// as wrong or leaves it to be sent, and leaves all slots behind it.
#define LEFT (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)

uint8_t *tx_ring_room(struct tx_ring *r, size_t length)
{
    struct tpacket2_hdr *slot = slot_at(r, r->n);

    if (length > r->slot_size - LEAD || r->n == TABLE_TX_SLOTS || has_status(slot, OF_KERNEL))
        return NULL;
    return (uint8_t *) slot + LEAD;
}

void tx_ring_add(struct tx_ring *r, const struct tx_frame *frame)
{
    struct tpacket2_hdr *slot = slot_at(r, r->n);
    struct tx_frame *kept = &r->frames[place(r, r->n)];

    *kept = *frame;
    kept->bytes = (const uint8_t *) slot + LEAD;
    slot->tp_len = (uint32_t) frame->length;
    __atomic_store_n(&slot->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    r->n++;
}

uint32_t tx_ring_run(const struct tx_ring *r, const struct stats_output_counters *counters)
{
    const struct tx_frame *last = &r->frames[place(r, r->n - 1)];

    return r->n > 0 && last->counters == counters ? last->run : 0;
}

uint32_t tx_ring_waiting(const struct tx_ring *r)
{
    return r->n;
}

bool tx_ring_send(struct tx_ring *r)
{
    if (r->n == 0)
        return true;
    // The result is of no use: it is the error of one frame, or the bytes of some; the slots tell the result of each
    // frame. The address must be valid, because a sanitizer takes the result for the number of bytes read there.
    (void) !write(r->fd, r->slots, 0);
    if (!has_status(slot_at(r, r->n - 1), LEFT)) {
        r->first = place(r, r->n);
        r->n = 0;
        return true;
    }
    while (!has_status(slot_at(r, 0), LEFT)) {
        r->first = place(r, 1);
        r->n--;
    }
    return false;
}

bool tx_ring_take_back(struct tx_ring *r, struct tx_frame *frame)
{
    if (r->taken == r->n) {
        // The kernel continues at the slot where it stopped, and so does tx_ring_room().
        r->taken = r->n = 0;
        return false;
    }
    *frame = r->frames[place(r, r->taken)];
    __atomic_store_n(&slot_at(r, r->taken)->tp_status, TP_STATUS_AVAILABLE, __ATOMIC_RELEASE);
    r->taken++;
    return true;
}
