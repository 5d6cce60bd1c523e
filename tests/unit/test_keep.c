// SPDX-License-Identifier: Apache-2.0
// What a start takes up of what the service manager hands over: each allocation fails once, and each descriptor is
// forged. What is not taken is closed, and nothing is taken in part.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/keep.h"
#include "deny.h"
#include "handover/handover.h"
#include "log/log.h"
#include "rig.h"
#include "../make_table.h"

#define FIRST 900

enum { TABLE, STATE, FILE_, SIGNATURES, HEAD, RING, KINDS };
static const char names[] = "table:state:file:signatures:head:ring,index=5,ring_mib=1,mtu=1500,super_frames=0";

// As an mcrd has left them.
static int whole[KINDS];

static int sealed(const void *bytes, size_t size, int seals)
{
    int fd = memfd_create("kept", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert(fd >= 0 && write(fd, bytes, size) == (ssize_t) size && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static void make_whole(void)
{
    static char text[] = "version=1;rules=();";
    struct table_image image = make_table(text, &machine_none, FEATURE_TX_RING, NULL);
    struct config_bytes bytes = {.text = text, .size = strlen(text)};
    struct handover_state state = {.magic = HANDOVER_STATE_MAGIC, .in_order = 1, .returned = {7}};
    struct keep k;

    file_digest(text, strlen(text), ((struct table_header *) image.bytes)->sha256);
    keep_init(&k);
    k.store.manager = 0; // somebody keeps
    keep_file(&k, &bytes, "signed", 6);
    whole[TABLE] = table_image_seal(&image);
    whole[STATE] = keep_new_state();
    cr_assert_eq(pwrite(whole[STATE], &state, sizeof(state), 0), (ssize_t) sizeof(state));
    whole[FILE_] = k.file;
    whole[SIGNATURES] = k.signatures;
    whole[HEAD] = audit_head_new();
    whole[RING] = memfd_create("ring", MFD_CLOEXEC);
    for (int i = 0; i < KINDS; i++)
        cr_assert_geq(whole[i], 0);
    free(image.bytes);
}

static bool is_open(int kind)
{
    return fcntl(FIRST + kind, F_GETFD) >= 0;
}

static void inherit(struct keep *k, struct sockets *s, bool fresh)
{
    for (int i = 0; i < KINDS; i++)
        cr_assert_geq(dup2(whole[i], FIRST + i), 0);
    keep_init(k);
    keep_inherit(k, s, -1, FIRST, KINDS, names, fresh);
}

// Whether what is noted of each is open, and what is open is noted.
static void expect_consistent(const struct keep *k, bool ring)
{
    cr_expect((k->table_before == FIRST + TABLE) == is_open(TABLE));
    cr_expect((k->state_before == FIRST + STATE) == is_open(STATE));
    cr_expect(is_open(TABLE) == is_open(STATE), "one without the other is none");
    cr_expect((keep_before(k) != NULL) == is_open(TABLE));
    cr_expect((k->file_before == FIRST + FILE_) == is_open(FILE_));
    cr_expect((k->signatures == FIRST + SIGNATURES) == is_open(SIGNATURES));
    cr_expect((k->signatures_before != NULL) == is_open(SIGNATURES) &&
              (k->signatures_size == 6) == is_open(SIGNATURES));
    cr_expect((k->head == FIRST + HEAD) == is_open(HEAD) && (k->audit != NULL) == is_open(HEAD));
    cr_expect_eq(ring, is_open(RING));
}

static bool takes_up(void *context, FILE *to)
{
    struct sockets *s = sockets_new(&machine_none, 0);
    struct config_bytes bytes;
    struct keep k;

    (void) context;
    if (!s)
        return false;
    inherit(&k, s, false);
    expect_consistent(&k, is_open(RING));
    bool ok = is_open(TABLE) && is_open(FILE_) && is_open(SIGNATURES) && is_open(HEAD) && is_open(RING);
    if (ok && (ok = keep_file_before(&k, &bytes)))
        fprintf(to, "%s %d %d\n", bytes.text, k.in_order, k.returned[0]), file_free(&bytes);
    keep_free(&k);
    sockets_free(s);
    for (int i = 0; i < RING; i++)
        cr_expect_not(is_open(i), "%d", i);
    close(FIRST + RING); // the machine's
    return ok;
}

Test(keep, without_memory_nothing_is_taken_in_part)
{
    log_set_silent(true);
    rig_rings = true;
    make_whole();
    cr_expect_gt(deny_each(takes_up, NULL, false), 5);
}

Test(keep, fresh_takes_nothing)
{
    struct sockets *s = sockets_new(&machine_none, 0);
    struct keep k;

    rig_rings = true;
    make_whole();
    inherit(&k, s, true);
    for (int i = 0; i < KINDS; i++)
        cr_expect_not(is_open(i), "%d", i);
    cr_expect(!keep_before(&k) && !keep_goes_on(&k) && k.head < 0 && k.in_order);
    keep_free(&k);
    sockets_free(s);
}

// What is logged while this is taken up.
static void inherit_and_read(struct keep *k, struct sockets *s, char *text, size_t size)
{
    int log = memfd_create("log", MFD_CLOEXEC), before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

    cr_assert(log >= 0 && before >= 0 && dup2(log, STDERR_FILENO) == STDERR_FILENO);
    inherit(k, s, false);
    cr_assert(dup2(before, STDERR_FILENO) == STDERR_FILENO);
    ssize_t n = pread(log, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    close(before);
    close(log);
}

// One of them is another: which of all are then open, and what is said of it.
Test(keep, what_is_forged_is_closed)
{
    static const uint8_t zero[4096];
    static const struct {
        const char *what;
        int kind, seals;
        size_t size;
        const char *open; // of table, state, file, signatures, head, ring
        const char *why;
    } cases[] = {
        {"nothing", KINDS, 0, 0, "111111", ""},
        {"a table that is none", TABLE, SEALS, 4096, "001111", ""},
        {"an empty table", TABLE, SEALS, 0, "001111", "no sealed file of a table's size"},
        {"a table that may change", TABLE, SEALS & ~F_SEAL_WRITE, 4096, "001111", "no sealed file of a table's size"},
        {"a small state", STATE, F_SEAL_SHRINK | F_SEAL_SEAL, 4096, "001111", "no sealed file of the size of a state"},
        {"a file without its facts", FILE_, SEALS, sizeof(struct config_file_info) - 1, "110111",
         "no sealed file of a config's size"},
        {"another file", FILE_, SEALS, sizeof(struct config_file_info) + 3, "111111", ""},
        {"a file that may change", FILE_, SEALS & ~F_SEAL_GROW, sizeof(struct config_file_info), "110111",
         "no sealed file of a config's size"},
        {"no signatures", SIGNATURES, SEALS, 0, "111011", "no sealed file of the size of signatures"},
        {"signatures that may change", SIGNATURES, F_SEAL_SEAL, 6, "111011",
         "no sealed file of the size of signatures"},
        {"a head that is none", HEAD, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, sizeof(struct audit_head), "111101",
         "no sealed file of the head of records"},
        {"a head of another size", HEAD, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, sizeof(struct audit_head) + 1,
         "111101", "no sealed file of the head of records"},
    };

    rig_rings = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockets *s = sockets_new(&machine_none, 0);
        struct config_bytes bytes;
        struct keep k;
        char log[2048];
        make_whole();
        if (cases[i].kind < KINDS)
            whole[cases[i].kind] = sealed(zero, cases[i].size, cases[i].seals);
        inherit_and_read(&k, s, log, sizeof(log));
        cr_expect(strstr(log, cases[i].why), "%s: %s", cases[i].what, log);
        cr_expect_eq(strstr(log, "it is closed") != NULL, strchr(cases[i].open, '0') != NULL, "%s: %s", cases[i].what,
                     log);
        for (int j = 0; j < KINDS; j++)
            cr_expect_eq(is_open(j), cases[i].open[j] == '1', "%s: %d", cases[i].what, j);
        if (cases[i].kind != FILE_)
            expect_consistent(&k, true);
        // The text of another file is forgotten, whatever else there is.
        bool has = keep_file_before(&k, &bytes);
        cr_expect_eq(has, cases[i].kind != FILE_, "%s", cases[i].what);
        if (has)
            file_free(&bytes);
        keep_free(&k);
        sockets_free(s);
        close(FIRST + RING);
        for (int j = 0; j < KINDS; j++)
            close(whole[j]);
    }
}
