// SPDX-License-Identifier: Apache-2.0
// What a broker offers is mapped whole, or refused with a reason; what is refused, or dropped, leaves nothing mapped.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/keep.h"
#include "relay/mapping.h"
#include "table/image.h"
#include "../make_table.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static unsigned mappings(void)
{
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    unsigned n = 0;

    cr_assert_not_null(f);
    while (fgets(line, sizeof(line), f))
        n += strstr(line, "/memfd:") != NULL;
    fclose(f);
    return n;
}

static int file_of(const void *bytes, size_t size, int seals)
{
    int fd = memfd_create("offered", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert(fd >= 0 && (!bytes || write(fd, bytes, size) == (ssize_t) size) && ftruncate(fd, (off_t) size) == 0);
    cr_assert(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static struct table_image table;
static int offered[HANDOVER_OFFER_FDS];

static void make_offer(void)
{
    static const char text[] =
        "version=1;rules=({name=\"r\";input={interface=\"in0\";group=\"239.255.0.0\";port=5000;};"
        "outputs=({interface=\"out0\";group=\"239.255.0.0\";port=6000;});});";
    struct table_view v;
    const char *why;

    table = make_table(text, &machine_none, FEATURE_TX_RING, NULL);
    cr_assert(table_attach(&v, table.bytes, table.size, &why), "%s", why);
    offered[HANDOVER_TABLE] = offered[HANDOVER_TABLE_BEFORE] = table_image_seal(&table);
    offered[HANDOVER_STATS] = file_of(NULL, stats_segment_size(v.n_interfaces, v.n_rules, v.n_inputs, v.n_counters), 0);
    offered[HANDOVER_STATE] = offered[HANDOVER_STATE_BEFORE] = keep_new_state();
}

// One of the descriptors is another. why: "": it is accepted.
static void expect(bool resumed, int at, int fd, const char *why)
{
    unsigned before = mappings();
    int whole = offered[at];
    char found[MAPPING_WHY_MAX] = "";

    offered[at] = fd;
    struct forward *f = resumed ? mapping_resume(offered, 1, found) : mapping_new(offered, 1, found);
    cr_expect_eq(f == NULL, why[0] != '\0', "%s, wanted %s", found, why);
    cr_expect(strstr(found, why) && (why[0] || !found[0]), "%s, wanted %s", found, why);
    cr_expect_eq(mappings() - before, f ? resumed ? 2 : 3 : 0, "%s: %u", why, mappings() - before);
    mapping_drop(f);
    cr_expect_eq(mappings(), before, "%s", why);
    offered[at] = whole;
    if (fd != whole)
        close(fd);
}

Test(table, an_offer_is_mapped_whole_or_not_at_all, .init = make_offer)
{
    static const struct {
        int seals;
        long more;
        const char *why;
    } tables[] = {
        {SEALS & ~F_SEAL_WRITE, 0, "not sealed"},
        {SEALS & ~F_SEAL_GROW, 0, "not sealed"},
        {SEALS & ~F_SEAL_SHRINK, 0, "not sealed"},
        {SEALS & ~F_SEAL_SEAL, 0, "not sealed"},
        {SEALS, 0, ""},
        {SEALS, -1, "not valid"},
    };
    size_t stats = (size_t) lseek(offered[HANDOVER_STATS], 0, SEEK_END);

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        expect(false, HANDOVER_TABLE, file_of(table.bytes, table.size + (size_t) tables[i].more, tables[i].seals),
               tables[i].why);
    expect(false, HANDOVER_TABLE, file_of(NULL, 0, SEALS), "size is out of bounds");
    expect(false, HANDOVER_TABLE, file_of(NULL, TABLE_BYTES_MAX + 1, SEALS), "size is out of bounds");
    expect(false, HANDOVER_TABLE, file_of(NULL, 4096, SEALS), "not valid");
    expect(false, HANDOVER_TABLE, open("/dev/null", O_RDWR | O_CLOEXEC), "not sealed");
    expect(false, HANDOVER_STATS, file_of(NULL, stats - 1, 0), "statistics do not fit");
    expect(false, HANDOVER_STATS, file_of(NULL, stats + 1, 0), "statistics do not fit");
    expect(false, HANDOVER_STATE, file_of(NULL, HANDOVER_STATE_BYTES, 0), "no such file");
    expect(false, HANDOVER_STATE, file_of(NULL, HANDOVER_STATE_BYTES, F_SEAL_SHRINK), "no such file");
    expect(false, HANDOVER_STATE, file_of(NULL, HANDOVER_STATE_BYTES, F_SEAL_SEAL), "no such file");
    expect(false, HANDOVER_STATE, file_of(NULL, HANDOVER_STATE_BYTES - 1, F_SEAL_SHRINK | F_SEAL_SEAL), "no such file");
    expect(false, HANDOVER_STATE, offered[HANDOVER_STATE], "");
}

Test(table, what_was_left_is_mapped_whole_or_not_at_all, .init = make_offer)
{
    // The first one has left nothing yet.
    expect(true, HANDOVER_STATE_BEFORE, keep_new_state(), "of another version of mcrd, or of another table");
    expect(false, HANDOVER_STATE, offered[HANDOVER_STATE], "");
    expect(true, HANDOVER_STATE_BEFORE, offered[HANDOVER_STATE], "");
    expect(true, HANDOVER_TABLE_BEFORE, file_of(table.bytes, table.size, 0), "not sealed");
    expect(true, HANDOVER_STATE_BEFORE, file_of(NULL, 4096, F_SEAL_SHRINK | F_SEAL_SEAL), "no such file");
    expect(true, HANDOVER_STATE_BEFORE, open("/dev/null", O_RDWR | O_CLOEXEC), "no such file");
}
