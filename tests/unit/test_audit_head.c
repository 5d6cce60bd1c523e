// SPDX-License-Identifier: Apache-2.0
// The head of the records in memory: whenever its writer is killed, one of its two places is whole.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/audit_head.h"

static struct chain_head numbered(uint64_t n)
{
    struct chain_head head = {.n = n};

    memset(head.hash, (int) n, sizeof(head.hash));
    return head;
}

Test(audit, a_new_head_leaves_the_last_one_whole)
{
    const char *why;
    int fd = audit_head_new();
    struct audit_head *h = audit_head_map(fd, &why);
    uint64_t n = 7;

    cr_assert(h, "%s", why);
    cr_expect_eq(audit_head_get(h).n, 0);
    cr_expect_str_eq(audit_head_file(h, &n), "");
    cr_expect_eq(n, 0);
    for (uint64_t i = 1; i <= 4; i++) {
        struct chain_head head = numbered(i);
        struct audit_place before = h->places[h->now];
        audit_head_set(h, &head, i == 2 ? "/var/log/second" : NULL);
        // Had the writer been killed before the last step, this one would still count.
        cr_expect_eq(memcmp(&h->places[!h->now], &before, sizeof(before)), 0, "%d", (int) i);
        cr_expect_eq(memcmp(&h->places[h->now].head, &head, sizeof(head)), 0, "%d", (int) i);
        cr_expect_eq(audit_head_get(h).n, i);
        // The file stays known until there is another.
        cr_expect_str_eq(audit_head_file(h, &n), i < 2 ? "" : "/var/log/second");
        cr_expect_eq(n, i < 2 ? 0 : 2);
    }
    audit_head_unmap(h);
    close(fd);
}

Test(audit, without_a_head_nothing_is_kept)
{
    struct chain_head head = numbered(3);
    uint64_t n = 7;

    audit_head_set(NULL, &head, "file");
    cr_expect_eq(audit_head_get(NULL).n, 0);
    cr_expect_str_eq(audit_head_file(NULL, &n), "");
    cr_expect_eq(n, 0);
    audit_head_unmap(NULL);
}

// Returns whether it is taken for a head.
static bool is_head(int fd)
{
    const char *why = "";
    struct audit_head *h = audit_head_map(fd, &why);

    cr_expect(h || why[0]);
    audit_head_unmap(h);
    return h != NULL;
}

Test(audit, only_a_sealed_file_of_its_size_is_a_head)
{
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    static const struct {
        int seals;
        off_t more;
    } wrong[] = {
        {0, 0},
        {F_SEAL_SHRINK | F_SEAL_GROW, 0},
        {F_SEAL_SHRINK | F_SEAL_SEAL, 0},
        {F_SEAL_GROW | F_SEAL_SEAL, 0},
        {seals, 1},
        {seals, -1},
    };
    const char *why;
    int whole = audit_head_new();
    struct audit_head *h = audit_head_map(whole, &why);

    cr_assert(h);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int fd = memfd_create("head", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        cr_assert(write(fd, h, sizeof(*h)) == sizeof(*h));
        cr_assert(ftruncate(fd, (off_t) sizeof(*h) + wrong[i].more) == 0 &&
                  fcntl(fd, F_ADD_SEALS, wrong[i].seals) == 0);
        cr_expect(!is_head(fd), "%zu", i);
        close(fd);
    }
    // One that is inherited over a restart does not go on to other programs.
    cr_assert(fcntl(whole, F_SETFD, 0) == 0);
    cr_expect(is_head(whole));
    cr_expect_eq(fcntl(whole, F_GETFD), FD_CLOEXEC);
    for (uint32_t now = 0; now < 2; now++) {
        h->now = now;
        memset(h->places[now].file, 'x', sizeof(h->places[now].file));
        cr_expect(!is_head(whole), "a name without end");
        h->places[now].file[sizeof(h->places[now].file) - 1] = '\0';
        cr_expect(is_head(whole), "the longest name");
    }
    audit_head_unmap(h);
    close(whole);
}
