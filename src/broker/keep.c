// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/keep.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/descriptors.h"
#include "common/service.h"
#include "handover/handover.h"
#include "log/log.h"
#include "trust/signatures.h"

#define TABLE_NAME  "table"
#define STATE_NAME  "state"
#define FILE_NAME   "file"
#define SIGNED_NAME "signatures" // of the file
#define HEAD_NAME   "head"       // of the records
#define END_MS      1000         // of TimeoutStopSec= of the unit, 10 s
#define END_STEP_MS 10
#define SEALED      (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

void keep_init(struct keep *k)
{
    *k = (struct keep){.store = {.manager = -1},
                       .table = -1,
                       .state = -1,
                       .file = -1,
                       .head = -1,
                       .signatures = -1,
                       .table_before = -1,
                       .state_before = -1,
                       .file_before = -1,
                       .in_order = true};
}

static void drop_table_before(struct keep *k)
{
    k->table_before = descriptors_close(k->table_before);
    k->state_before = descriptors_close(k->state_before);
    free(k->image_before.bytes);
    k->image_before.bytes = NULL;
}

static void drop_before(struct keep *k)
{
    drop_table_before(k);
    k->file_before = descriptors_close(k->file_before);
    file_free(&k->bytes_before);
    free(k->signatures_before);
    k->signatures_before = NULL;
    k->signatures_size = 0;
}

void keep_free(struct keep *k)
{
    drop_before(k);
    keep_table(k, -1, -1);
    k->file = descriptors_close(k->file);
    audit_head_unmap(k->audit);
    k->audit = NULL;
    k->head = descriptors_close(k->head);
    k->signatures = descriptors_close(k->signatures);
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
    if (k->table_before >= 0 || !is_sealed(fd, SEALED) || size <= 0 || size > (off_t) TABLE_BYTES_MAX)
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
    struct handover_state s;
    bool told = pread(fd, &s, sizeof(s), 0) == (ssize_t) sizeof(s) && s.magic == HANDOVER_STATE_MAGIC;
    k->in_order = !told || s.in_order;
    if (told)
        memcpy(k->returned, s.returned, sizeof(k->returned));
    return true;
}

// Copies the text and facts of a file. keep_inherit() checks that it is the one of the table.
static bool take_file(struct keep *k, int fd, const char **why)
{
    struct config_bytes *out = &k->bytes_before;
    off_t size = lseek(fd, 0, SEEK_END) - (off_t) sizeof(out->info);

    *why = "no sealed file of a config's size";
    if (out->text || !is_sealed(fd, SEALED) || size < 0 || size > (off_t) CONFIG_FILE_MAX)
        return false;
    out->size = (size_t) size;
    out->text = calloc(1, out->size + 1);
    if (out->text && pread(fd, &out->info, sizeof(out->info), 0) == (ssize_t) sizeof(out->info) &&
        pread(fd, out->text, out->size, sizeof(out->info)) == (ssize_t) out->size) {
        out->info.size = out->size;
        file_digest(out->text, out->size, out->info.sha256);
        k->file_before = fd;
        return true;
    }
    file_free(out);
    return false;
}

static bool take_head(struct keep *k, int fd, const char **why)
{
    *why = "another one came before";
    if (k->head >= 0 || !(k->audit = audit_head_map(fd, why)))
        return false;
    k->head = fd;
    return true;
}

// Copies the signatures of a file. Whoever takes that file verifies them.
static bool take_signatures(struct keep *k, int fd, const char **why)
{
    off_t size = lseek(fd, 0, SEEK_END);

    *why = "no sealed file of the size of signatures";
    if (k->signatures_before || !is_sealed(fd, SEALED) || size <= 0 || size > (off_t) SIGNATURES_TEXT_MAX)
        return false;
    k->signatures_before = malloc((size_t) size);
    if (k->signatures_before && pread(fd, k->signatures_before, (size_t) size, 0) == (ssize_t) size) {
        k->signatures_size = (size_t) size;
        k->signatures = fd;
        return true;
    }
    free(k->signatures_before);
    k->signatures_before = NULL;
    return false;
}

// Returns whether fd stays open.
static bool take(struct keep *k, struct sockets *sockets, const char *name, int fd, int own, size_t *rings,
                 const char **why)
{
    if (strcmp(name, TABLE_NAME) == 0)
        return take_table(k, fd, why);
    if (strcmp(name, STATE_NAME) == 0)
        return take_state(k, fd, why);
    if (strcmp(name, FILE_NAME) == 0)
        return take_file(k, fd, why);
    if (strcmp(name, HEAD_NAME) == 0)
        return take_head(k, fd, why);
    if (strcmp(name, SIGNED_NAME) == 0)
        return take_signatures(k, fd, why);
    enum sockets_inherited what = sockets_inherit(sockets, name, fd, own, why);
    *rings += what == SOCKETS_RING;
    return what != SOCKETS_REFUSED;
}

// Whether the table was made of this file, or was on trial against it.
static bool is_of(const struct config_bytes *bytes, const struct table_header *h)
{
    const uint8_t *sha256 = h->trial_seconds > 0 ? h->returns_to : h->sha256;

    return memcmp(bytes->info.sha256, sha256, sizeof(bytes->info.sha256)) == 0;
}

static bool had_rings(const struct table_view *t)
{
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (t->interfaces[i].ring_id != 0)
            return true;
    return false;
}

size_t keep_inherit(struct keep *k, struct sockets *sockets, int manager, int first, size_t n, const char *names,
                    bool fresh)
{
    const char *step = "";
    int own = n > 0 && !fresh ? ring_socket(&step) : -1;
    size_t rings = 0;

    k->store.manager = manager;
    k->store.most = manager >= 0 ? service_keeps() : 0;
    for (size_t i = 0; i < n; i++) {
        int fd = first + (int) i;
        const char *why = step;
        char name[STORE_NAME_MAX], quoted[4 * STORE_NAME_MAX];
        service_next_name(&names, name, sizeof(name));
        bool stays = own >= 0 && take(k, sockets, name, fd, own, &rings, &why);
        store_note(&k->store, name, stays ? fd : -1, sockets_told_first(name));
        if (stays)
            continue;
        if (!fresh)
            log_warn(EVENT_CONTINUED, "descriptor=%s reason=\"%s\" effect=\"it is closed\"",
                     log_quote(name, quoted, sizeof(quoted)), why);
        close(fd);
    }
    descriptors_close(own);
    // A state without its table, or without the rings that it was read from, is none; where no input was there, it had
    // none. The text of the file is what it is.
    if (k->table_before < 0 || k->state_before < 0 || (rings == 0 && had_rings(&k->before)))
        drop_table_before(k);
    else if (k->bytes_before.text && !is_of(&k->bytes_before, k->before.header))
        file_free(&k->bytes_before);
    if (k->image_before.bytes && k->before.header->trial_seconds > 0) {
        memcpy(k->returned, k->before.header->sha256, sizeof(k->returned));
        k->trial_generation = k->before.header->generation;
    }
    return rings;
}

const struct table_view *keep_before(const struct keep *k)
{
    return k->image_before.bytes ? &k->before : NULL;
}

bool keep_file_before(const struct keep *k, struct config_bytes *out)
{
    *out = k->bytes_before;
    out->text = out->text ? calloc(1, out->size + 1) : NULL;
    if (out->text)
        memcpy(out->text, k->bytes_before.text, out->size);
    return out->text != NULL;
}

void keep_digest(const struct keep *k, const struct table_view *running, uint8_t sha256[32])
{
    memset(sha256, 0, 32);
    if (running)
        memcpy(sha256, running->header->sha256, 32);
    else if (k->bytes_before.text)
        memcpy(sha256, k->bytes_before.info.sha256, 32);
}

bool keep_goes_on(const struct keep *k)
{
    return k->bytes_before.text && !k->in_order;
}

bool keep_went_back_from(const struct keep *k, const uint8_t sha256[32])
{
    static const uint8_t none[32];

    return memcmp(k->returned, none, sizeof(none)) != 0 && memcmp(k->returned, sha256, sizeof(none)) == 0;
}

struct audit_head *keep_audit(struct keep *k)
{
    const char *why;

    if (k->head < 0 && k->store.manager >= 0 && (k->head = audit_head_new()) >= 0)
        k->audit = audit_head_map(k->head, &why);
    return k->audit;
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

// Returns a sealed file of this head, which may be empty, and text, or -1.
static int seal(const char *name, const void *head, size_t head_size, const char *text, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (head_size == 0 || write(fd, head, head_size) == (ssize_t) head_size) &&
        write(fd, text, size) == (ssize_t) size && fcntl(fd, F_ADD_SEALS, SEALED) == 0)
        return fd;
    return descriptors_close(fd);
}

void keep_file(struct keep *k, const struct config_bytes *bytes, const char *signatures, size_t size)
{
    k->file = descriptors_close(k->file);
    k->signatures = descriptors_close(k->signatures);
    if (k->store.manager < 0)
        return;
    k->file = seal("mcr-file", &bytes->info, sizeof(bytes->info), bytes->text, bytes->size);
    if (size > 0)
        k->signatures = seal("mcr-signatures", NULL, 0, signatures, size);
}

static void note_table(struct keep *k)
{
    if (k->table < 0)
        return;
    store_keep(&k->store, TABLE_NAME, k->table, true);
    store_keep(&k->store, STATE_NAME, k->state, true);
}

void keep_at_once(struct keep *k)
{
    store_begin(&k->store, false);
    note_table(k);
    store_settle(&k->store);
    store_send(&k->store);
}

void keep_settle(struct keep *k, const struct sockets *sockets, const struct table_view *t)
{
    store_begin(&k->store, true);
    note_table(k);
    if (k->file >= 0)
        store_keep(&k->store, FILE_NAME, k->file, true);
    if (k->signatures >= 0)
        store_keep(&k->store, SIGNED_NAME, k->signatures, true);
    if (k->head >= 0)
        store_keep(&k->store, HEAD_NAME, k->head, true);
    sockets_keep(sockets, t, &k->store);
    store_settle(&k->store);
    keep_tell(k);
}

bool keep_tell(struct keep *k)
{
    bool told = store_send(&k->store);
    size_t over = store_over(&k->store);

    if (told && over > 0 && over != k->over)
        log_warn(EVENT_NOTIFY,
                 "reason=\"the service manager keeps %u descriptors at most\" over=%zu effect=\"a restart opens these "
                 "anew\"",
                 k->store.most, over);
    if (told)
        k->over = over;
    return told;
}

void keep_end(struct keep *k)
{
    bool told = keep_tell(k);

    for (int ms = 0; !told && ms < END_MS; ms += END_STEP_MS) {
        poll(NULL, 0, END_STEP_MS);
        told = keep_tell(k);
    }
    if (!told)
        log_warn(EVENT_NOTIFY,
                 "reason=\"the service manager has not taken all descriptors\" effect=\"a restart may begin "
                 "with an older table, or open these anew\"");
}

uint32_t keep_over(const struct keep *k, const struct sockets *sockets, bool is_signed)
{
    struct store all = {.manager = k->store.manager};

    if (k->store.most == 0)
        return 0;
    sockets_keep(sockets, NULL, &all);
    size_t n = all.n + 3 + (k->head >= 0) + is_signed; // table, state, file; head of the records; signatures
    store_free(&all);
    return n > k->store.most ? (uint32_t) (n - k->store.most) : 0;
}
