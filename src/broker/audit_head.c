// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/audit_head.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/descriptors.h"

#define MAGIC UINT64_C(0x334441454848434d) // "MCHHEAD3" as little-endian bytes
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BYTES (sizeof(struct audit_head))

static struct audit_head *map(int fd)
{
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int audit_head_new(void)
{
    int fd = memfd_create("mcr-head", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct audit_head *h = NULL;

    if (fd >= 0 && ftruncate(fd, (off_t) BYTES) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
        h = map(fd);
    if (!h)
        return descriptors_close(fd);
    h->magic = MAGIC;
    audit_head_unmap(h);
    return fd;
}

struct audit_head *audit_head_map(int fd, const char **why)
{
    int seals = fcntl(fd, F_GET_SEALS);

    *why = "no sealed file of the head of records";
    if (seals < 0 || (seals & SEALS) != SEALS || lseek(fd, 0, SEEK_END) != (off_t) BYTES ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
        return NULL;
    struct audit_head *h = map(fd);
    if (h &&
        (h->magic != MAGIC || h->now > 1 || !memchr(h->places[h->now].file, '\0', sizeof(h->places[h->now].file)))) {
        audit_head_unmap(h);
        h = NULL;
    }
    return h;
}

void audit_head_unmap(struct audit_head *h)
{
    if (h)
        munmap(h, BYTES);
}

void audit_head_set(struct audit_head *h, const struct chain_head *head, const char *file)
{
    if (!h)
        return;
    const struct audit_place *before = &h->places[h->now & 1];
    uint32_t next = !h->now;
    struct audit_place *place = &h->places[next];
    place->head = *head;
    if (file)
        snprintf(place->file, sizeof(place->file), "%s", file);
    else
        memcpy(place->file, before->file, sizeof(place->file));
    place->file_n = file ? head->n : before->file_n;
    // A kill must find the head whole before it is the one that counts.
    __atomic_thread_fence(__ATOMIC_RELEASE);
    h->now = next;
}

struct chain_head audit_head_get(const struct audit_head *h)
{
    return h ? h->places[h->now & 1].head : (struct chain_head){.n = 0};
}

const char *audit_head_file(const struct audit_head *h, uint64_t *n)
{
    *n = h ? h->places[h->now & 1].file_n : 0;
    return h ? h->places[h->now & 1].file : "";
}
