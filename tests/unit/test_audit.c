// SPDX-License-Identifier: Apache-2.0
// broker/audit.c, with files.
#include <config.h>

#include <criterion/criterion.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "broker/audit.h"
#include "common/clock.h"

static char directory[] = "/tmp/mcr-units-XXXXXX", path[64];

static void set_up(void)
{
    // The lines of the log are not looked at.
    log_set_silent(true);
    cr_assert(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/audit/log", directory);
}

static void tear_down(void)
{
    char command[100];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    cr_expect_eq(system(command), 0);
}

TestSuite(audit, .init = set_up, .fini = tear_down);

static void begin(struct audit *a, struct audit_head *kept)
{
    audit_init(a);
    audit_prepare(a, path, getuid(), getgid());
    audit_open(a, kept);
}

static void record(struct audit *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        audit_record(a, LOG_LEVEL_NOTICE, EVENT_RELOAD, "result=accepted i=%u", i);
    audit_flush(a);
}

// What a verifier finds.
static char said[2000];

static void found(void *context, const struct chain_finding *finding)
{
    chain_print(finding, context);
}

static void line_of(void *context, const char *line, size_t length)
{
    struct chain_record r;

    chain_check_line(context, chain_parse(line, length, &r) ? &r : NULL);
}

static const char *verify(const struct audit *a)
{
    FILE *to = fmemopen(said, sizeof(said), "w");
    struct chain_check c = {.whole = true, .anchor = a->head, .found = found, .context = to};
    struct trail t;
    uint64_t whole;
    bool cut = false;

    memset(said, 0, sizeof(said));
    cr_assert(trail_open(&t, path));
    c.complete = t.complete;
    for (unsigned i = 0; i < t.n; i++)
        cr_assert(trail_read(t.fds[i], line_of, &c, false, &whole, &cut));
    chain_check_end(&c, cut);
    trail_close(&t);
    fputc('\0', to);
    fclose(to);
    return said;
}

static unsigned files(void)
{
    struct trail t;
    unsigned n = trail_open(&t, path) ? t.n : 0;

    trail_close(&t);
    return n;
}

static void patch(const char *name, long at, const char *bytes)
{
    int fd = open(name, O_RDWR);

    cr_assert(fd >= 0 && pwrite(fd, bytes, strlen(bytes), at) == (ssize_t) strlen(bytes));
    close(fd);
}

static long size_of(const char *name)
{
    struct stat st;

    return stat(name, &st) == 0 ? (long) st.st_size : -1;
}

Test(audit, the_chain_goes_on_over_restarts_by_the_file)
{
    struct audit a;

    for (unsigned i = 1; i <= 3; i++) {
        begin(&a, NULL);
        record(&a, 4);
        cr_expect_eq(a.head.n, 4 * i);
        cr_expect_str_eq(verify(&a), "");
        audit_free(&a);
    }
    cr_expect_eq(files(), 1);
}

Test(audit, and_by_the_head_that_was_kept)
{
    const char *why;
    int fd = audit_head_new();
    struct audit_head *kept = audit_head_map(fd, &why);
    struct audit a;

    cr_assert(kept);
    path[0] = '\0'; // no file
    for (unsigned i = 1; i <= 3; i++) {
        begin(&a, kept);
        cr_expect_eq(a.mark, i == 1 ? CHAIN_BEGINS : CHAIN_NEXT);
        record(&a, 4);
        cr_expect_eq(audit_head_get(kept).n, 4 * i);
        audit_free(&a);
    }
    audit_head_unmap(kept);
    // Anything else is none.
    cr_expect(!audit_head_map(open("/dev/null", O_RDWR), &why));
    cr_assert((kept = audit_head_map(fd, &why)));
    kept->magic++;
    cr_expect(!audit_head_map(fd, &why));
    kept->magic--;
    kept->now = 2;
    cr_expect(!audit_head_map(fd, &why));
}

Test(audit, rotation_keeps_the_chain_and_a_bounded_number_of_files)
{
    struct audit a;
    char name[TRAIL_NAME_MAX];

    begin(&a, NULL);
    a.most = 2 * CHAIN_LINE_MAX;
    for (unsigned i = 0; i < 300; i++) {
        record(&a, 1);
        cr_expect_str_eq(verify(&a), "", "%u: %s", i, said);
        cr_expect_leq(size_of(path), (long) a.most);
    }
    cr_expect_eq(files(), TRAIL_OLD + 1);
    // The loss of any of them is told, but of the oldest as a whole.
    cr_assert_eq(unlink(trail_name(path, 3, name)), 0);
    cr_expect(strstr(verify(&a), "missing"), "%s", said);
    audit_free(&a);
    begin(&a, NULL);
    cr_expect_eq(a.head.n, 300);
    audit_free(&a);
}

Test(audit, a_kill_while_it_rotates_loses_nothing)
{
    struct audit a;
    char name[TRAIL_NAME_MAX];

    begin(&a, NULL);
    record(&a, 3);
    audit_free(&a);
    cr_assert_eq(rename(path, trail_name(path, 1, name)), 0);
    begin(&a, NULL);
    cr_expect_eq(a.head.n, 3);
    record(&a, 1);
    cr_expect_str_eq(verify(&a), "", "%s", said);
    audit_free(&a);
}

Test(audit, a_part_of_a_line_is_taken_off_at_the_start_and_told)
{
    struct audit a;

    begin(&a, NULL);
    record(&a, 3);
    long size = size_of(path);
    patch(path, size, "level=notice process=bro");
    audit_free(&a);
    begin(&a, NULL);
    cr_expect_eq(a.head.n, 4); // it says so
    record(&a, 1);
    cr_expect_str_eq(verify(&a), "", "%s", said);
    audit_free(&a);
}

Test(audit, a_file_that_does_not_verify_is_set_aside)
{
    const char *why;
    struct audit_head *kept = audit_head_map(audit_head_new(), &why);
    struct audit a;

    for (unsigned known = 0; known < 2; known++) {
        begin(&a, kept);
        record(&a, 3);
        uint64_t n = a.head.n;
        audit_free(&a);
        patch(path, 10, "X");
        begin(&a, known ? kept : NULL);
        cr_expect_eq(a.head.n, known ? n + 1 : 1);
        record(&a, 1);
        cr_expect_eq(files(), 2 + known);
        cr_expect(strstr(verify(&a), ": changed"), "%s", said);
        audit_free(&a);
        audit_head_set(kept, &a.head, path);
        if (!known) {
            begin(&a, NULL);
            audit_head_set(kept, &a.head, path);
            audit_free(&a);
        }
    }
}

Test(audit, what_is_done_to_the_file_while_mcrd_does_not_run_is_told_by_the_kept_head)
{
    const char *why;
    struct audit_head *kept = audit_head_map(audit_head_new(), &why);
    struct audit a;
    char copy[100], command[300];

    begin(&a, kept);
    record(&a, 3);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    snprintf(command, sizeof(command), "cp %s %s", path, copy);
    cr_assert_eq(system(command), 0);
    record(&a, 3);
    audit_free(&a);
    // An older file in its place.
    cr_assert_eq(rename(copy, path), 0);
    begin(&a, kept);
    cr_expect_eq(a.head.n, 7);
    record(&a, 1);
    cr_expect_str_eq(verify(&a), "records 4 to 6: missing\n", "%s", said);
    audit_free(&a);
    // None.
    cr_assert_eq(unlink(path), 0);
    begin(&a, kept);
    record(&a, 1);
    cr_expect_eq(a.head.n, 10);
    cr_expect_str_eq(verify(&a), "records 1 to 8: missing\n", "%s", said);
    audit_free(&a);
}

// Begins with `at` in place of audit_file, makes n records and ends.
static void run_at(struct audit *a, struct audit_head *kept, const char *at, unsigned n)
{
    snprintf(path, sizeof(path), "%s", at);
    begin(a, kept);
    record(a, n);
    audit_free(a);
}

Test(audit, a_first_file_says_from_which_record_on_it_is_kept)
{
    const char *why;
    struct audit_head *kept = audit_head_map(audit_head_new(), &why);
    char first[64], second[64];
    struct audit a;
    uint64_t n;

    snprintf(first, sizeof(first), "%s", path);
    snprintf(second, sizeof(second), "%s/second", directory);
    run_at(&a, kept, "", 3);
    run_at(&a, kept, first, 2); // and the record that says so
    cr_expect_eq(audit_head_get(kept).n, 6);
    a.head = audit_head_get(kept);
    cr_expect_str_eq(verify(&a), "begins with record 4: the ones before are in the log\n", "%s", said);
    // Another place is a first file, too; and its first record says which one has those before.
    run_at(&a, kept, second, 1);
    a.head = audit_head_get(kept);
    cr_expect_str_eq(verify(&a), "begins with record 7: the ones before are in the log\n", "%s", said);
    cr_expect_str_eq(audit_head_file(kept, &n), second);
    // It is so after a restart, and with files that rotation makes.
    begin(&a, kept);
    a.most = 1;
    record(&a, 2);
    audit_free(&a);
    a.head = audit_head_get(kept);
    cr_expect_str_eq(verify(&a), "begins with record 7: the ones before are in the log\n", "%s", said);
    // A file that was moved with its place goes on.
    cr_assert_eq(rename(second, first), 0);
    run_at(&a, kept, first, 1);
    a.head = audit_head_get(kept);
    cr_expect_eq(a.head.n, 11);
}

// To another file and back, or without one for a time: nobody has taken anything away.
Test(audit, a_file_that_cannot_be_set_aside_is_told_at_once)
{
    char command[3 * TRAIL_NAME_MAX], old[TRAIL_NAME_MAX], oldest[TRAIL_NAME_MAX];
    struct audit a;

    begin(&a, NULL);
    record(&a, 3);
    audit_free(&a);
    patch(path, 10, "X");
    snprintf(command, sizeof(command), "mkdir %s && touch %s", trail_name(path, TRAIL_OLD, oldest),
             trail_name(path, TRAIL_OLD - 1, old));
    cr_assert_eq(system(command), 0);
    begin(&a, NULL);
    cr_expect(a.failed && strstr(a.error, "Is a directory"), "%s", a.error);
    cr_expect_eq(rmdir(oldest), 0);
    record(&a, 1);
    cr_expect(!a.failed && files() == 3);
    audit_free(&a);
}

Test(audit, a_file_that_comes_back_goes_on_behind_a_gap)
{
    static const char *const between[] = {"", "second"};

    for (size_t i = 0; i < 2; i++) {
        const char *why;
        struct audit_head *kept = audit_head_map(audit_head_new(), &why);
        char first[64], second[64];
        struct audit a;

        snprintf(first, sizeof(first), "%s/first%zu", directory, i);
        snprintf(second, sizeof(second), "%s%s", *between[i] ? directory : "", *between[i] ? "/second" : "");
        run_at(&a, kept, first, 3);
        run_at(&a, kept, second, 2);
        run_at(&a, kept, first, 1);
        cr_expect_eq(a.n_changed, 0, "%zu: a change is told", i);
        a.head = audit_head_get(kept);
        cr_expect(strstr(verify(&a), "records 4 to ") && strstr(said, "in the log or in another file"), "%s", said);
        // It is so at the next starts, too.
        run_at(&a, kept, first, 1);
        cr_expect_eq(a.n_changed, 0, "%zu: the next start tells a change", i);
        run_at(&a, NULL, first, 1);
        cr_expect_eq(a.n_changed, 0, "%zu: a start without a kept head tells a change", i);
        cr_expect(!strstr(verify(&a), ": missing"), "%s", said);
        // What is missing of it all the same is.
        audit_head_unmap(kept);
    }
}

Test(audit, a_file_that_was_removed_is_no_first_one)
{
    const char *why, *missing;
    struct audit_head *kept = audit_head_map(audit_head_new(), &why);
    char first[64], other[64];
    struct audit a;

    snprintf(first, sizeof(first), "%s", path);
    snprintf(other, sizeof(other), "%s/other", directory);
    run_at(&a, kept, "", 3);
    run_at(&a, kept, first, 2);
    // A start without audit_file between makes no first one of it.
    for (unsigned between = 0; between < 2; between++) {
        cr_assert_eq(unlink(first), 0);
        if (between)
            run_at(&a, kept, "", 1);
        uint64_t n = audit_head_get(kept).n;
        run_at(&a, kept, first, 1);
        a.head = audit_head_get(kept);
        missing = verify(&a);
        cr_expect_eq(a.head.n, n + 2);
        cr_expect(strstr(missing, "records 1 to ") && strstr(missing, "missing") && !strstr(missing, "begins"), "%s",
                  said);
    }
    // Nor is one behind which older ones lie.
    char older[TRAIL_NAME_MAX];
    FILE *f = fopen(trail_name(other, 1, older), "w");
    cr_assert(f && fputs("something\n", f) >= 0 && fclose(f) == 0);
    run_at(&a, kept, other, 1);
    a.head = audit_head_get(kept);
    cr_expect(!strstr(verify(&a), "begins"), "%s", said);
}

Test(audit, a_first_file_that_could_not_be_written_is_one_at_the_next_start)
{
    const char *why;
    struct audit_head *kept = audit_head_map(audit_head_new(), &why);
    char first[64], shut[80];
    struct audit a;
    uint64_t n;

    snprintf(first, sizeof(first), "%s", path);
    run_at(&a, kept, "", 3);
    snprintf(shut, sizeof(shut), "%s/none/where/log", directory);
    run_at(&a, kept, shut, 1);
    cr_expect_str_eq(audit_head_file(kept, &n), "");
    run_at(&a, kept, first, 1);
    a.head = audit_head_get(kept);
    cr_expect_str_eq(verify(&a), "begins with record 6: the ones before are in the log\n", "%s", said);
}

Test(audit, what_is_done_to_the_file_while_mcrd_runs_is_told)
{
    struct audit a;
    char other[100];

    begin(&a, NULL);
    record(&a, 3);
    patch(path, size_of(path), "level=notice a line of somebody else\n");
    record(&a, 1);
    cr_expect_eq(a.head.n, 5);
    cr_expect_eq(files(), 2);
    cr_expect(strstr(verify(&a), "a line that is no record, behind record 3"), "%s", said);
    snprintf(other, sizeof(other), "%s/elsewhere", directory);
    cr_assert_eq(rename(path, other), 0); // as logrotate does
    record(&a, 1);
    cr_expect_eq(a.head.n, 7);
    cr_expect(strstr(verify(&a), "records 4 to 5: missing") || strstr(said, "record 5: missing"), "%s", said);
    audit_free(&a);
}

// RLIMIT_FSIZE answers as a full disk does, in the middle of a line, too.
Test(audit, a_full_disk_is_told_and_what_waits_is_written_later)
{
    struct audit a;
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    begin(&a, NULL);
    record(&a, 3);
    long size = size_of(path);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t was = limit.rlim_cur;
    for (long room = 0; room < 400; room += 57) {
        limit.rlim_cur = (rlim_t) (size + room);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        record(&a, 2);
        cr_expect(a.failed && strstr(a.error, "File too large"), "%s", a.error);
        cr_expect_eq(size_of(path), size);
        cr_expect_eq(audit_wait_ms(&a, clock_monotonic_ns()), AUDIT_RETRY_MS);
    }
    cr_expect_gt(a.n_late, 10);
    limit.rlim_cur = was;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    audit_tick(&a, clock_monotonic_ns());
    cr_expect(!a.failed && !a.error[0] && a.n_late == 0 && a.n_lost == 0);
    cr_expect_str_eq(verify(&a), "", "%s", said);
    // What memory does not hold is lost to the file, and counted.
    limit.rlim_cur = (rlim_t) size_of(path);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    record(&a, 5000);
    cr_expect_gt(a.n_lost, 0);
    limit.rlim_cur = was;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    record(&a, 1);
    cr_expect(!a.failed);
    cr_expect(strstr(verify(&a), "missing"), "%s", said);
    audit_free(&a);
}

Test(audit, a_place_that_cannot_be_written_is_tried_again)
{
    struct audit a;

    snprintf(path, sizeof(path), "%s/no/where/log", directory);
    begin(&a, NULL);
    record(&a, 2);
    cr_expect(a.failed && strstr(a.error, "No such file"), "%s", a.error);
    char command[100];
    snprintf(command, sizeof(command), "mkdir -p %s/no/where", directory);
    cr_assert_eq(system(command), 0);
    audit_tick(&a, clock_monotonic_ns());
    cr_expect(!a.failed);
    cr_expect_str_eq(verify(&a), "", "%s", said);
    audit_free(&a);
}

Test(audit, loads_that_change_nothing_are_recorded_at_a_bounded_pace)
{
    struct audit a;
    uint64_t now = 1000 * NS_PER_S, n = 0;

    begin(&a, NULL);
    record(&a, 1);
    // A day of a relay that asks 50 times a second, in steps of ten seconds.
    for (unsigned i = 0; i < 8640; i++, now += 10 * NS_PER_S) {
        for (unsigned j = 0; j < 500; j++)
            if (audit_admit(&a, j % 2, now)) {
                record(&a, 1);
                n++;
            }
        audit_tick(&a, now);
    }
    cr_expect_leq(n, AUDIT_IDLE_BURST + 86400 / 300 + 1);
    cr_expect_leq(a.head.n, 1 + 2 * (AUDIT_IDLE_BURST + 86400 / 300 + 1), "%" PRIu64, a.head.n);
    cr_expect_str_eq(verify(&a), "", "%s", said);
    // What was summed is told once there is room for it.
    while (audit_admit(&a, true, now))
        ;
    int wait = audit_wait_ms(&a, now);
    cr_expect(wait > 0 && wait <= 300001, "%d", wait);
    uint64_t before = a.head.n;
    audit_tick(&a, now);
    cr_expect_eq(a.head.n, before);
    audit_tick(&a, now + (uint64_t) wait * 1000000);
    cr_expect_eq(a.head.n, before + 1);
    cr_expect_eq(audit_wait_ms(&a, now), -1);
    audit_free(&a);
}

// What a relay that ends each time, and is started again, could write.
Test(audit, starts_of_the_same_file_are_bounded_over_restarts)
{
    struct audit a;
    uint64_t n = 0, summed = 0;
    static const char digest[] = "7777777777777777777777777777777777777777777777777777777777777777";

    for (unsigned i = 0; i < 200; i++) {
        begin(&a, NULL);
        cr_expect_str_eq(a.sha256, i == 0 ? "" : digest, "%s", a.sha256);
        if (i == 0 || audit_admit(&a, false, clock_monotonic_ns())) {
            audit_record(&a, LOG_LEVEL_NOTICE, EVENT_STARTED, "result=accepted file=\"x\" sha256=%s size=1", digest);
            n++;
        }
        uint64_t before = a.head.n;
        audit_end(&a);
        summed += a.head.n - before;
        cr_expect_leq(a.head.n, AUDIT_IDLE_BURST + 3, "%" PRIu64, a.head.n);
        audit_free(&a);
    }
    cr_expect_geq(n, AUDIT_IDLE_BURST);
    cr_expect_leq(summed, 2);
}

#define FILE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FILE_F "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

static void record_return(struct audit *a)
{
    audit_record(a, LOG_LEVEL_ERR, EVENT_RETURNED,
                 "generation=3 sha256=%s from_generation=2 from_sha256=%s reason=\"%s\"", FILE_A, FILE_F,
                 "it was not confirmed");
}

// A relay that was taken over may end as often as it likes: a start knows what the records before it have used up.
Test(audit, a_start_knows_what_returned_and_how_often)
{
    struct audit a;

    begin(&a, NULL);
    record_return(&a);
    audit_flush(&a);
    audit_free(&a);
    begin(&a, NULL);
    cr_expect_str_eq(a.sha256, FILE_A);
    cr_expect_str_eq(a.returned, FILE_F);
    cr_expect_leq(a.due_ns, clock_monotonic_ns(), "the first return changes what runs");
    audit_record(&a, LOG_LEVEL_NOTICE, EVENT_RELOAD, "result=accepted generation=4 sha256=%s", FILE_F);
    record_return(&a);
    audit_flush(&a);
    audit_free(&a);
    begin(&a, NULL);
    uint64_t ahead = a.due_ns - clock_monotonic_ns();
    cr_expect(ahead > AUDIT_IDLE_INTERVAL_NS && ahead <= 2 * AUDIT_IDLE_INTERVAL_NS, "%" PRIu64, ahead);
    audit_free(&a);
}

Test(audit, what_a_record_quotes_is_no_event)
{
    struct audit a;

    begin(&a, NULL);
    audit_record(&a, LOG_LEVEL_NOTICE, EVENT_RELOAD, "result=accepted generation=2 sha256=%s", FILE_A);
    audit_record(&a, LOG_LEVEL_ERR, EVENT_RELOAD, "result=refused generation=2 sha256=%s reason=\"%s from_sha256=%s\"",
                 FILE_F, "the relay: event=started event=returned event=reload result=accepted", FILE_F);
    audit_flush(&a);
    audit_free(&a);
    begin(&a, NULL);
    cr_expect_str_eq(a.sha256, FILE_A);
    cr_expect_str_eq(a.returned, "");
    audit_free(&a);
}
