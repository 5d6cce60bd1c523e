// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/keep.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/service.h"
#include "handover/handover.h"
#include "log/log.h"

#define TABLE_NAME "table"
#define STATE_NAME "state"

void keep_init(struct keep *k)
{
    *k = (struct keep){.store = {.manager = -1}, .table = -1, .state = -1, .table_before = -1, .state_before = -1};
}

static void drop_before(struct keep *k)
{
    k->table_before = descriptors_close(k->table_before);
    k->state_before = descriptors_close(k->state_before);
    free(k->image_before.bytes);
    k->image_before.bytes = NULL;
}

void keep_free(struct keep *k)
{
    drop_before(k);
    keep_table(k, -1, -1);
    descriptors_close(k->store.manager);
    store_free(&k->store);
}

// --- what was left ---------------------------------------------------------------------------------------------------

static bool is_sealed(int fd, int seals)
{
    int has = fcntl(fd, F_GET_SEALS);

    return has >= 0 && (has & seals) == seals && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

// Copies a table that can no longer be changed, and checks all of it.
static bool take_table(struct keep *k, int fd, const char **why)
{
    off_t size = lseek(fd, 0, SEEK_END);

    *why = "no sealed file of a table's size";
    if (k->table_before >= 0 || !is_sealed(fd, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) || size <= 0 ||
        size > (off_t) TABLE_BYTES_MAX)
        return false;
    k->image_before = (struct table_image){.bytes = malloc((size_t) size), .size = (size_t) size};
    if (k->image_before.bytes && pread(fd, k->image_before.bytes, (size_t) size, 0) == (ssize_t) size &&
        table_attach(&k->before, k->image_before.bytes, (size_t) size, why)) {
        k->table_before = fd;
        return true;
    }
    free(k->image_before.bytes);
    k->image_before.bytes = NULL;
    return false;
}

// The relay checks the content.
static bool take_state(struct keep *k, int fd, const char **why)
{
    *why = "no sealed file of the size of a state";
    if (k->state_before >= 0 || !is_sealed(fd, F_SEAL_SHRINK | F_SEAL_SEAL) ||
        lseek(fd, 0, SEEK_END) != (off_t) HANDOVER_STATE_BYTES)
        return false;
    k->state_before = fd;
    return true;
}

// Returns whether fd stays open. *urgent: `first` of store_note().
static bool take(struct keep *k, struct sockets *sockets, const char *name, int fd, int own, size_t *rings,
                 bool *urgent, const char **why)
{
    if (strcmp(name, TABLE_NAME) == 0)
        return take_table(k, fd, why);
    if (strcmp(name, STATE_NAME) == 0)
        return take_state(k, fd, why);
    enum sockets_inherited what = sockets_inherit(sockets, name, fd, own, why);
    *rings += what == SOCKETS_RING;
    *urgent = what != SOCKETS_HELD;
    return what != SOCKETS_REFUSED;
}

size_t keep_inherit(struct keep *k, struct sockets *sockets, int manager, int first, size_t n, const char *names,
                    bool fresh)
{
    const char *step = "";
    int own = n > 0 && !fresh ? ring_socket(&step) : -1;
    size_t rings = 0;

    k->store.manager = manager;
    for (size_t i = 0; i < n; i++) {
        int fd = first + (int) i;
        const char *why = step;
        char name[STORE_NAME_MAX], quoted[4 * STORE_NAME_MAX];
        service_next_name(&names, name, sizeof(name));
        bool urgent = true, stays = own >= 0 && take(k, sockets, name, fd, own, &rings, &urgent, &why);
        store_note(&k->store, name, stays ? fd : -1, urgent);
        if (stays)
            continue;
        if (!fresh)
            log_warn(EVENT_CONTINUED, "descriptor=%s reason=\"%s\" effect=\"it is closed\"",
                     log_quote(name, quoted, sizeof(quoted)), why);
        close(fd);
    }
    descriptors_close(own);
    // A state without its table, or without the rings that it was read from, is none.
    if (rings == 0 || k->table_before < 0 || k->state_before < 0)
        drop_before(k);
    return rings;
}

const struct table_view *keep_before(const struct keep *k)
{
    return k->image_before.bytes ? &k->before : NULL;
}

// --- what is kept ----------------------------------------------------------------------------------------------------

int keep_new_state(void)
{
    int fd = memfd_create("mcr-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 ||
        (ftruncate(fd, (off_t) HANDOVER_STATE_BYTES) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0))
        return fd;
    return descriptors_close(fd);
}

void keep_table(struct keep *k, int table, int state)
{
    descriptors_close(k->table);
    descriptors_close(k->state);
    k->table = table;
    k->state = state;
    drop_before(k);
}

void keep_settle(struct keep *k, const struct sockets *sockets)
{
    store_begin(&k->store);
    sockets_keep(sockets, &k->store);
    if (k->table >= 0) {
        store_keep(&k->store, TABLE_NAME, k->table, true);
        store_keep(&k->store, STATE_NAME, k->state, true);
    }
    store_settle(&k->store);
    keep_tell(k);
}

bool keep_tell(struct keep *k)
{
    return store_send(&k->store);
}
