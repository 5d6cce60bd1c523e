// SPDX-License-Identifier: Apache-2.0
// The statistics: the segment, its reader on files that no daemon wrote, and what is shown of it.
#include <config.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/utf8.h"
#include "config/schema.h"
#include "deny.h"
#include "stats/counters.h"
#include "stats/delta.h"
#include "stats/reader.h"
#include "stats/layout.h"
#include "stats/show.h"
#include "stats/text.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

#define INTERFACES 2
#define RULES      2
#define INPUTS     2
#define OUTPUTS    3

struct made {
    struct stats_segment at;
    void *memory;
    size_t size;
};

// A segment as the daemon would write it: rule 0 has two outputs, rule 1 one. To be freed.
static struct made make(void)
{
    struct made m = {.size = stats_segment_size(INTERFACES, RULES, INPUTS, OUTPUTS)};
    static const char *const to[OUTPUTS] = {"dmz0 239.20.0.1:6000", "wan0 203.0.113.5:7000", "wan0 [ff05::1]:7000"};

    m.memory = calloc(1, m.size);
    cr_assert_not_null(m.memory);
    stats_segment_place(&m.at, m.memory, INTERFACES, RULES, INPUTS);
    struct stats_header *h = m.at.header;
    *h = (struct stats_header){.magic = STATS_MAGIC,
                               .version = STATS_VERSION,
                               .size = (uint32_t) m.size,
                               .n_interfaces = INTERFACES,
                               .n_rules = RULES,
                               .n_inputs = INPUTS,
                               .n_outputs = OUTPUTS,
                               .state = STATS_LIVE,
                               .program_version = "0.1.0",
                               .instance = "dmz-relay-1",
                               .file = "/etc/mcr/mcr.conf",
                               .pid = 4711,
                               .generation = 3,
                               .loaded_ns = UINT64_C(1700000000) * 1000000000u,
                               .seccomp = STATS_SECCOMP_ENFORCE,
                               .broker_alive = 1};
    strcpy(m.at.interfaces[0].name, "ot0");
    strcpy(m.at.interfaces[1].name, "dmz0");
    m.at.interfaces[0].counters.received = 1234567;
    strcpy(m.at.rules[0].name, "plc-telemetry");
    strcpy(m.at.rules[0].note, "CHG0031337");
    m.at.rules[0].n_inputs = 1;
    strcpy(m.at.inputs[0].leg, "1");
    strcpy(m.at.inputs[0].to, "239.10.0.1:5000");
    m.at.inputs[0].vlan = 7;
    m.at.inputs[0].counters.packets = 1234;
    m.at.inputs[0].counters.bytes = 123456;
    m.at.rules[0].n_outputs = 2;
    m.at.rules[0].counters.packets = 1234;
    m.at.rules[0].counters.bytes = 123456;
    m.at.rules[0].counters.drops.rate = 77;
    strcpy(m.at.rules[1].name, "historian");
    m.at.rules[1].state = STATS_RULE_WAITING;
    strcpy(m.at.rules[1].reason, "no route to 203.0.113.5");
    m.at.rules[1].first_input = 1;
    m.at.rules[1].n_inputs = 1;
    strcpy(m.at.inputs[1].leg, "1");
    m.at.inputs[1].interface = 1;
    strcpy(m.at.inputs[1].to, "[ff15::1]:5000");
    m.at.rules[1].first_output = 2;
    m.at.rules[1].n_outputs = 1;
    for (unsigned i = 0; i < OUTPUTS; i++)
        strcpy(m.at.outputs[i].to, to[i]);
    return m;
}

static struct stats_snapshot snapshot_of(const struct made *m)
{
    return (struct stats_snapshot){.at = m->at,
                                   .memory = m->memory,
                                   .monotonic_ns = UINT64_C(100) * 1000000000u,
                                   .boottime_ns = UINT64_C(5000) * 1000000000u,
                                   .realtime_ns = UINT64_C(1700000060) * 1000000000u};
}

// --- segment ---------------------------------------------------------------------------------------------------------

Test(stats, size_and_place)
{
    static const uint32_t counts[][4] = {{0, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0},
                                         {0, 0, 0, 1}, {0, 0, 1, 0}, {64, 10000, 80000, 65536}};

    for (size_t i = 0; i < COUNT(counts); i++) {
        uint32_t n_interfaces = counts[i][0], n_rules = counts[i][1], n_inputs = counts[i][2], n_outputs = counts[i][3];
        size_t size = stats_segment_size(n_interfaces, n_rules, n_inputs, n_outputs);
        char *memory = malloc(size);
        struct stats_segment s;
        stats_segment_place(&s, memory, n_interfaces, n_rules, n_inputs);
        cr_expect((char *) s.header == memory);
        cr_expect((char *) s.interfaces == memory + sizeof(struct stats_header));
        cr_expect((char *) (s.interfaces + n_interfaces) == (char *) s.rules);
        cr_expect((char *) (s.rules + n_rules) == (char *) s.inputs);
        cr_expect((char *) (s.inputs + n_inputs) == (char *) s.outputs);
        cr_expect((char *) (s.outputs + n_outputs) == memory + size);
        free(memory);
    }
}

Test(stats, records_keep_their_alignment)
{
    cr_expect(sizeof(struct stats_header) % 8 == 0);
    cr_expect(sizeof(struct stats_interface) % 8 == 0);
    cr_expect(sizeof(struct stats_rule) % 8 == 0);
    cr_expect(sizeof(struct stats_input) % 8 == 0);
    cr_expect(sizeof(struct stats_output) % 8 == 0);
}

Test(stats, sequence_is_odd_while_written)
{
    uint32_t sequence = 0;

    stats_write_begin(&sequence);
    cr_expect(sequence == 1);
    stats_write_end(&sequence);
    cr_expect(sequence == 2);
}

// --- parsing ---------------------------------------------------------------------------------------------------------

static bool parses(struct made *m, size_t size)
{
    struct stats_segment at;
    char why[STATS_WHY_MAX] = "";
    // Exactly as long as it is said to be, for the sanitizer to see what is read beyond it.
    void *copy = malloc(size ? size : 1);

    memcpy(copy, m->memory, size);
    bool ok = stats_parse(&at, copy, size, why);
    cr_expect(ok == (why[0] == '\0'), "%s", why);
    free(copy);
    return ok;
}

Test(stats, parse_takes_what_the_daemon_writes)
{
    struct made m = make();

    cr_expect(parses(&m, m.size));
    free(m.memory);
}

Test(stats, parse_refuses_every_other_length)
{
    struct made m = make();

    for (size_t size = 0; size < m.size; size++)
        cr_expect_not(parses(&m, size), "%zu bytes", size);
    // As if the header knew of it.
    for (size_t size = sizeof(struct stats_header); size < m.size; size++) {
        m.at.header->size = (uint32_t) size;
        cr_expect_not(parses(&m, size), "%zu bytes", size);
    }
    m.memory = realloc(m.memory, m.size + 8);
    memset((char *) m.memory + m.size, 0, 8);
    ((struct stats_header *) m.memory)->size = (uint32_t) m.size + 8;
    cr_expect_not(parses(&m, m.size + 8));
    free(m.memory);
}

Test(stats, parse_refuses_wrong_numbers)
{
#define IN_HEADER(field) offsetof(struct stats_header, field)
#define IN_RULE(rule, field)                                                                                           \
    (sizeof(struct stats_header) + INTERFACES * sizeof(struct stats_interface) + (rule) * sizeof(struct stats_rule) +  \
     offsetof(struct stats_rule, field))
#define IN_INPUT(input, field)                                                                                         \
    (IN_RULE(RULES, name) - offsetof(struct stats_rule, name) + (input) * sizeof(struct stats_input) +                 \
     offsetof(struct stats_input, field))
    static const struct {
        const char *what;
        size_t at;
        uint32_t value;
    } cases[] = {
        {"magic", IN_HEADER(magic), 0},
        {"version", IN_HEADER(version), STATS_VERSION + 1},
        {"version 0", IN_HEADER(version), 0},
        {"size", IN_HEADER(size), 0},
        {"size", IN_HEADER(size), UINT32_MAX},
        {"interfaces", IN_HEADER(n_interfaces), INTERFACES + 1},
        {"interfaces", IN_HEADER(n_interfaces), UINT32_MAX},
        {"rules", IN_HEADER(n_rules), 0},
        {"rules", IN_HEADER(n_rules), UINT32_MAX},
        {"rules", IN_HEADER(n_rules), UINT32_MAX / sizeof(struct stats_rule) + 2},
        {"outputs", IN_HEADER(n_outputs), OUTPUTS - 1},
        {"outputs", IN_HEADER(n_outputs), UINT32_MAX},
        {"interface of an input", IN_INPUT(0, interface), INTERFACES},
        {"interface of an input", IN_INPUT(1, interface), UINT32_MAX},
        {"first input", IN_RULE(0, first_input), INPUTS},
        {"first input", IN_RULE(0, first_input), UINT32_MAX},
        {"first input of another rule", IN_RULE(1, first_input), 0},
        {"inputs of a rule", IN_RULE(1, n_inputs), 2},
        {"inputs of a rule that wrap", IN_RULE(1, n_inputs), UINT32_MAX},
        {"first output", IN_RULE(0, first_output), OUTPUTS - 1},
        {"first output", IN_RULE(0, first_output), UINT32_MAX},
        {"first output of another rule", IN_RULE(1, first_output), 1},
        {"outputs of a rule", IN_RULE(0, n_outputs), 3},
        {"outputs of a rule", IN_RULE(1, n_outputs), 2},
        {"outputs of a rule", IN_RULE(1, n_outputs), UINT32_MAX},
        {"outputs of a rule that wrap", IN_RULE(1, n_outputs), UINT32_MAX - 1},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct made m = make();
        memcpy((char *) m.memory + cases[i].at, &cases[i].value, sizeof(cases[i].value));
        cr_expect_not(parses(&m, m.size), "%s %u", cases[i].what, cases[i].value);
        free(m.memory);
    }
}

Test(stats, parse_refuses_strings_without_end)
{
    struct made m = make();
    const struct {
        char *field;
        size_t size;
    } cases[] = {
#define FIELD(f) {(f), sizeof(f)}
        FIELD(m.at.header->program_version),
        FIELD(m.at.header->instance),
        FIELD(m.at.header->file),
        FIELD(m.at.header->refusal),
        FIELD(m.at.header->disk_error),
        FIELD(m.at.interfaces[0].name),
        FIELD(m.at.interfaces[1].name),
        FIELD(m.at.rules[0].name),
        FIELD(m.at.rules[1].note),
        FIELD(m.at.outputs[0].to),
        FIELD(m.at.outputs[2].to),
        FIELD(m.at.rules[1].reason),
        FIELD(m.at.inputs[0].to),
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char kept[1024];
        memcpy(kept, cases[i].field, cases[i].size);
        memset(cases[i].field, 'x', cases[i].size);
        cr_expect_not(parses(&m, m.size), "string %zu", i);
        cases[i].field[cases[i].size - 1] = '\0';
        cr_expect(parses(&m, m.size), "string %zu", i);
        memcpy(cases[i].field, kept, cases[i].size);
    }
    free(m.memory);
}

// --- reading ---------------------------------------------------------------------------------------------------------

struct place {
    char directory[32], file[64];
};

static struct place make_place(void)
{
    struct place p = {.directory = "/tmp/mcr-stats-XXXXXX"};

    cr_assert_not_null(mkdtemp(p.directory));
    snprintf(p.file, sizeof(p.file), "%s/stats", p.directory);
    return p;
}

static int lock_fd = -1;

// Of the file that the relay locks.
static void lock_beside(const char *path, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    char name[128];

    if (lock_fd >= 0)
        close(lock_fd);
    snprintf(name, sizeof(name), "%s" STATS_LOCK_SUFFIX, path);
    lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    cr_assert(lock_fd >= 0 && fcntl(lock_fd, F_OFD_SETLK, &lock) == 0);
}

static void remove_place(const struct place *p)
{
    char name[128];

    snprintf(name, sizeof(name), "%s" STATS_LOCK_SUFFIX, p->file);
    unlink(name);
    unlink(p->file);
    rmdir(p->directory);
}

// Returns the descriptor. live: somebody holds the daemon's lock.
static int write_file(const char *path, const void *bytes, size_t size, bool live)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    cr_assert(fd >= 0);
    cr_assert(write(fd, bytes, size) == (ssize_t) size);
    lock_beside(path, live ? F_WRLCK : F_UNLCK);
    return fd;
}

// Expects a refusal that contains text.
static void expect_refused(const char *path, const char *text)
{
    struct stats_snapshot s;
    char why[STATS_WHY_MAX];

    cr_expect_not(stats_snapshot_take(&s, path, why), "%s", text);
    cr_expect_not_null(strstr(why, text), "\"%s\" and not \"%s\"", why, text);
    cr_expect_null(s.memory);
}

// A user who may not enter the directory does not know whether a daemon runs.
Test(stats, reader_may_not_enter)
{
    struct place p = make_place();
    struct made m = make();
    int fd = write_file(p.file, m.memory, m.size, true), status = -1;

    chmod(p.directory, 0600);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        struct stats_snapshot s;
        char why[STATS_WHY_MAX] = "";
        if (getuid() == 0 && setuid(65534) != 0)
            _exit(2);
        _exit(stats_snapshot_take(&s, p.file, why) || !strstr(why, "this user may not enter ") ||
              !strstr(why, p.directory) || stats_writer(p.file) != -1);
    }
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
    chmod(p.directory, 0700);
    close(fd);
    remove_place(&p);
}

Test(stats, reader_takes_a_live_file)
{
    struct place p = make_place();
    struct made m = make();
    int fd = write_file(p.file, m.memory, m.size, true);
    struct stats_snapshot s;
    char why[STATS_WHY_MAX] = "";

    cr_assert(stats_snapshot_take(&s, p.file, why), "%s", why);
    cr_expect(memcmp(s.memory, m.memory, m.size) == 0);
    cr_expect_str_eq(s.at.outputs[2].to, "wan0 [ff05::1]:7000");
    stats_snapshot_free(&s);
    stats_snapshot_free(&s);
    close(fd);
    remove_place(&p);
    free(m.memory);
}

Test(stats, reader_knows_a_daemon_that_is_gone)
{
    struct place p = make_place();
    struct made m = make();
    int fd = write_file(p.file, m.memory, m.size, false);
    expect_refused(p.file, "no daemon: mcrd (pid 4711) has ended");
    // Anyone may hold that one.
    lock_beside(p.file, F_RDLCK);
    expect_refused(p.file, "no daemon: mcrd (pid 4711) has ended");
    close(fd);
    m.at.header->state = STATS_STOPPED;
    fd = write_file(p.file, m.memory, m.size, true);
    expect_refused(p.file, "no daemon: mcrd (pid 4711) was stopped");
    close(fd);
    // A relay that was killed in the middle of a change.
    m.at.header->state = STATS_LIVE;
    m.at.header->sequence = 1;
    fd = write_file(p.file, m.memory, m.size, false);
    expect_refused(p.file, "no daemon: mcrd (pid 4711) has ended");
    close(fd);
    remove_place(&p);
    free(m.memory);
}

Test(stats, reader_refuses_what_is_no_statistics)
{
    struct place p = make_place();
    struct made m = make();
    char link[80];

    expect_refused(p.file, "does not exist");
    expect_refused(p.directory, "no regular file");
    expect_refused("/dev/null", "no regular file");
    cr_assert(mkfifo(p.file, 0600) == 0);
    expect_refused(p.file, "no regular file");
    unlink(p.file);

    close(write_file(p.file, "", 0, false));
    expect_refused(p.file, "too few");
    cr_assert(truncate(p.file, (off_t) 1 << 40) == 0);
    expect_refused(p.file, "too many");
    close(write_file(p.file, m.memory, m.size - 1, false));
    expect_refused(p.file, "cannot be 2 interfaces");
    snprintf(link, sizeof(link), "%s.link", p.file);
    cr_assert(symlink(p.file, link) == 0);
    expect_refused(link, "symbolic link");
    unlink(link);

    m.at.header->state = STATS_PREPARED;
    close(write_file(p.file, m.memory, m.size, false));
    expect_refused(p.file, "has ended");
    int fd = write_file(p.file, m.memory, m.size, true);
    expect_refused(p.file, "yet");
    close(fd);
    remove_place(&p);
    free(m.memory);
}

Test(stats, reader_gives_up_on_a_record_that_always_changes)
{
    struct place p = make_place();
    struct made m = make();

    m.at.outputs[OUTPUTS - 1].sequence = 1;
    int fd = write_file(p.file, m.memory, m.size, true);
    expect_refused(p.file, "changes all the time");
    close(fd);
    remove_place(&p);
    free(m.memory);
}

Test(stats, reader_follows_a_reload)
{
    struct place p = make_place();
    struct made m = make();
    struct stats_snapshot s;
    char why[STATS_WHY_MAX] = "", new[80], beside[96];

    m.at.header->state = STATS_SUPERSEDED;
    int old = write_file(p.file, m.memory, m.size, false);
    m.at.header->state = STATS_LIVE;
    m.at.header->generation++;
    snprintf(new, sizeof(new), "%s.new", p.file);
    int fd = write_file(new, m.memory, m.size, true);
    unlink(strcat(strcpy(beside, new), STATS_LOCK_SUFFIX));
    lock_beside(p.file, F_WRLCK);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        _exit(rename(new, p.file) != 0);
    }
    cr_expect(stats_snapshot_take(&s, p.file, why), "%s", why);
    cr_expect(s.memory && s.at.header->generation == 4);
    stats_snapshot_free(&s);
    waitpid(child, NULL, 0);
    close(old);
    close(fd);
    remove_place(&p);
    free(m.memory);
}

Test(stats, reader_tells_a_reload_that_was_not_published)
{
    struct place p = make_place();
    struct made m = make();

    m.at.header->state = STATS_SUPERSEDED;
    close(write_file(p.file, m.memory, m.size, true));
    expect_refused(p.file, "before the last reload");
    close(write_file(p.file, m.memory, m.size, false)); // nobody is there who would
    expect_refused(p.file, "has ended;");
    remove_place(&p);
    free(m.memory);
}

// --- JSON ------------------------------------------------------------------------------------------------------------

static char *json_text(const struct stats_snapshot *s, bool one_line)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    cr_expect(show_json(s, to, one_line));
    fclose(to);
    return text;
}

static json_t *json_of(const struct stats_snapshot *s)
{
    json_error_t error;
    char *text = json_text(s, false);
    json_t *root = json_loads(text, 0, &error);

    cr_assert_not_null(root, "%s in %s", error.text, text);
    free(text);
    return root;
}

// The keys in their order, separated by blanks.
static void expect_keys(json_t *object, const char *expected)
{
    char keys[1024] = "";
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        strcat(keys, *keys ? " " : "");
        strcat(keys, key);
    }
    cr_expect_str_eq(keys, expected);
}

Test(stats, json_has_the_keys_of_the_contract)
{
#define KEY(name, help, key)                 " " #name
#define FEATURE_KEY(NAME, field, name, help) " " #field
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    json_t *root = json_of(&s);
    json_t *rule = json_array_get(json_object_get(root, "rules"), 0);

    expect_keys(root,
                "instance pid version generation config uptime_s continued not_kept sandbox features broker "
                "heartbeat_ms interfaces rules");
    expect_keys(json_object_get(root, "config"),
                "file sha256 loaded_at state trial_remaining_s returned not_continued last_error disk_sha256 last_load audit serial "
                "valid_from valid_until expired clock signed_by signatures_required trust_sha256");
    expect_keys(json_object_get(root, "sandbox"), "capabilities seccomp landlock network root");
    expect_keys(json_object_get(root, "features"), (STATS_FEATURES(FEATURE_KEY)) + 1);
    cr_expect(json_array_size(json_object_get(root, "interfaces")) == INTERFACES);
    expect_keys(json_array_get(json_object_get(root, "interfaces"), 0), "name state" STATS_INTERFACE_COUNTERS(KEY));
    cr_expect(json_array_size(json_object_get(root, "rules")) == RULES);
    expect_keys(rule,
                "name note state reason active_from active_until alarms packets bytes last_packet_ms drops inputs "
                "merge residence_us "
                "clock_steps outputs");
    expect_keys(json_object_get(rule, "residence_us"), "count p50 p90 p99 p999 max");
    cr_expect(json_array_size(json_object_get(rule, "inputs")) == 1);
    expect_keys(json_array_get(json_object_get(rule, "inputs"), 0),
                "leg interface to vlan state alarms packets bytes stream");
    expect_keys(json_object_get(rule, "drops"), (STATS_RULE_DROPS(KEY)) + 1);
    cr_expect(json_array_size(json_object_get(rule, "outputs")) == 2);
    expect_keys(json_array_get(json_object_get(rule, "outputs"), 0), "to" STATS_OUTPUT_COUNTERS(KEY) " largest_run");
    json_decref(root);
    free(m.memory);
}

Test(stats, json_of_a_stream)
{
    static const char *const keys = "as" STATS_STREAM_COUNTERS(KEY);
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    const char *as, *alarm;
    char with_ts[256];

    m.at.inputs[0].as = STATS_STREAM_TS;
    m.at.inputs[0].alarms = 1u << STATS_ALARM_LOSS;
    m.at.inputs[1].as = STATS_STREAM_RTP;
    json_t *root = json_of(&s), *rules = json_object_get(root, "rules"), *stream, *ts;
    cr_assert(
        json_unpack(json_array_get(rules, 0), "{s:[{s:o,s:[s]}]}", "inputs", "stream", &stream, "alarms", &alarm) == 0);
    cr_expect_str_eq(alarm, "loss");
    snprintf(with_ts, sizeof(with_ts), "%s ts", keys);
    expect_keys(stream, with_ts);
    cr_assert(json_unpack(stream, "{s:s,s:o}", "as", &as, "ts", &ts) == 0);
    cr_expect_str_eq(as, "ts");
    expect_keys(ts, (STATS_TS_COUNTERS(KEY)) + 1);
    cr_assert(json_unpack(json_array_get(rules, 1), "{s:[{s:o}]}", "inputs", "stream", &stream) == 0);
    expect_keys(stream, keys);
    json_decref(root);
    free(m.memory);
}

Test(stats, json_values)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    const char *loaded, *state, *broker, *capability, *to;
    json_int_t uptime, age, packets, rate, huge;

    m.at.header->capabilities = UINT64_C(1) << 13;
    m.at.header->started_boottime_ns = s.boottime_ns - 61000000000u;
    m.at.rules[0].counters.last_packet_ns = s.monotonic_ns - 12345678;
    m.at.rules[1].counters.packets = UINT64_MAX;
    json_t *root = json_of(&s), *rules = json_object_get(root, "rules");
    cr_assert(json_unpack(root, "{s:{s:s,s:s},s:I,s:s,s:{s:[s]}}", "config", "loaded_at", &loaded, "state", &state,
                          "uptime_s", &uptime, "broker", &broker, "sandbox", "capabilities", &capability) == 0);
    cr_expect_str_eq(loaded, "2023-11-14T22:13:20Z");
    cr_expect_str_eq(state, "current");
    cr_expect_str_eq(broker, "alive");
    cr_expect_str_eq(capability, "CAP_NET_RAW");
    cr_expect(uptime == 61);
    cr_expect(json_is_null(json_object_get(json_object_get(root, "config"), "last_error")));
    cr_assert(json_unpack(json_array_get(rules, 0), "{s:I,s:I,s:{s:I}}", "last_packet_ms", &age, "packets", &packets,
                          "drops", "rate", &rate) == 0);
    cr_expect(age == 12);
    cr_expect(packets == 1234);
    cr_expect(rate == 77);
    cr_expect(json_is_null(json_object_get(json_array_get(rules, 0), "reason")));
    const char *leg, *interface;
    json_int_t vlan, bytes;
    cr_assert(json_unpack(json_array_get(rules, 0), "{s:[{s:s,s:s,s:s,s:I,s:s,s:I,s:I}]}", "inputs", "leg", &leg,
                          "interface", &interface, "to", &to, "vlan", &vlan, "state", &state, "packets", &packets,
                          "bytes", &bytes) == 0);
    cr_expect_str_eq(leg, "1");
    cr_expect_str_eq(interface, "ot0");
    cr_expect_str_eq(to, "239.10.0.1:5000");
    cr_expect_str_eq(state, "up");
    cr_expect(vlan == 7 && packets == 1234 && bytes == 123456);
    const char *reason;
    json_t *none;
    cr_assert(json_unpack(json_array_get(rules, 1), "{s:s,s:[{s:o}]}", "reason", &reason, "inputs", "vlan", &none) ==
              0);
    cr_expect_str_eq(reason, "no route to 203.0.113.5");
    cr_expect(json_is_null(none));
    cr_assert(json_unpack(json_array_get(rules, 1), "{s:I,s:s,s:[{s:s}]}", "packets", &huge, "state", &state, "outputs",
                          "to", &to) == 0);
    cr_expect(huge == INT64_MAX);
    cr_expect_str_eq(state, "waiting");
    cr_expect_str_eq(to, "wan0 [ff05::1]:7000");
    cr_expect(json_is_null(json_object_get(json_array_get(rules, 1), "note")));
    cr_expect(json_is_null(json_object_get(json_array_get(rules, 1), "last_packet_ms")));
    json_decref(root);
    free(m.memory);
}

Test(stats, json_is_valid_whatever_the_segment_says)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    char why[STATS_WHY_MAX];

    strcpy(m.at.header->instance, "\x1b[2J\xff\xc0\xaf");
    memset(m.at.rules[0].note, 0x80, sizeof(m.at.rules[0].note) - 1);
    m.at.rules[0].state = m.at.interfaces[0].state = m.at.header->config_state = m.at.header->seccomp = UINT32_MAX;
    m.at.header->capabilities = UINT64_MAX;
    m.at.header->loaded_ns = m.at.header->started_ns = m.at.header->heartbeat_ns = UINT64_MAX;
    m.at.header->started_boottime_ns = UINT64_MAX;
    cr_assert(stats_parse(&s.at, m.memory, m.size, why), "%s", why);
    json_t *root = json_of(&s);
    cr_expect_str_eq(json_string_value(json_object_get(root, "instance")), "?[2J???");
    cr_expect(json_array_size(json_object_get(json_object_get(root, "sandbox"), "capabilities")) == 64);
    json_decref(root);
    char *text = json_text(&s, true);
    cr_expect(strchr(text, '\n') == text + strlen(text) - 1, "one line");
    cr_expect_null(strchr(text, '\x1b'));
    free(text);
    free(m.memory);
}

// --- table -----------------------------------------------------------------------------------------------------------

static char *table_in(const struct show_view *view, const struct show_style *style)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_assert_not_null(to);
    show_table(view, style, to);
    fclose(to);
    return text;
}

static char *table_text(const struct show_view *view, bool colour)
{
    return table_in(view, &(struct show_style){.columns = SHOW_COLUMNS, .colour = colour});
}

static void expect_lines_fit(const char *text, int columns)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        cr_expect(length <= (size_t) columns, "%d columns: %.*s", columns, (int) length, text);
        cr_expect(length == 0 || text[length - 1] != ' ', "%.*s|", (int) length, text);
        text += length + 1;
    }
}

Test(stats, a_narrow_terminal_has_fewer_columns_and_no_name_is_cut)
{
    static const char to[] = "dmz0 [ff3e:40:2001:db8::1]:6000", name[] = "substation-north-42-telemetry-primary";
    static const struct {
        int columns;
        bool rates;
        const char *rule, *output; // how their lines begin, and end
    } cases[] = {
        {200, true, "\nsubstation-north-42-telemetry-primary active             1,234          -         -   never\n",
         "\n  > dmz0 [ff3e:40:2001:db8::1]:6000                          0          -         -\n"},
        {80, true, "\nsubstation-north-42-telemetry-primary\n                           active             1,234",
         "\n  > dmz0 [ff3e:40:2001:db8::1]:6000               0          -         -\n"},
        {66, true, "primary\n             active             1,234          -         -   never\n",
         "::1]:6000\n                                    0          -         -\n"},
        {65, true, "primary\n                      active             1,234          -   never\n", "          -\n"},
        {41, true, "primary\n             active             -   never\n",
         "::1]:6000\n                                -\n"},
        {57, false, "primary\n             active               1,234    123 kB   never\n", "          0       0 B\n"},
        {56, false, "primary\n                      active               1,234   never\n", "          0\n"},
        {41, false, "primary\n               active               1,234\n", "          0\n"},
        {1, false, "primary\n              active               1,234\n", "          0\n"},
    };
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    strcpy(m.at.rules[0].name, name);
    strcpy(m.at.outputs[0].to, to);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct show_style style = {.columns = cases[i].columns, .terminal = true};
        char *text = table_in(&(struct show_view){.now = &s, .rates = cases[i].rates}, &style);
        cr_expect(strstr(text, name) && strstr(text, to) && strstr(text, cases[i].rule) &&
                      strstr(text, cases[i].output),
                  "%zu: %s", i, text);
        free(text);
    }
    // What is longer than a line goes on in the next one.
    strcpy(m.at.outputs[0].to, "dmz0 [ff3e:40:2001:db8:1234:5678:9abc:def0]:6000");
    char *text = table_in(&(struct show_view){.now = &s}, &(struct show_style){.columns = 40, .terminal = true});
    cr_expect_not_null(strstr(text, "  > dmz0\n    [ff3e:40:2001:db8:1234:5678:9abc:def\n    0]:6000\n"), "%s", text);
    free(text);
    // However narrow it is, there is an end.
    FILE *to_memory = fmemopen(NULL, 4096, "w");
    show_notice("mcrd is away", true, &(struct show_style){.columns = 1, .terminal = true}, to_memory);
    show_key("q", "end", &(struct show_style){.columns = 1, .terminal = true}, to_memory);
    cr_expect_eq(ftell(to_memory), 13 + 16);
    fclose(to_memory);
    // A note is wrapped; in a pipe it is cut, and so are names.
    memset(m.at.rules[0].note, 'x', sizeof(m.at.rules[0].note) - 1);
    strcpy(m.at.rules[0].note + 60, " to be called before you change anything");
    text = table_in(&(struct show_view){.now = &s}, &(struct show_style){.columns = 80, .terminal = true});
    cr_expect_not_null(strstr(text, "xxx to be called\n  before you change anything\n"), "%s", text);
    free(text);
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "xxx to be called bef~\n  < "), "%s", text);
    cr_expect_not_null(strstr(text, "\nsubstation-north-42-telemetry-prim~ active"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, a_terminal_is_told_how_many_rules_are_in_which_state)
{
    static const uint32_t second[] = {1};
    static const struct {
        uint32_t states[2], n;
        const uint32_t *rules; // those that are shown
        const char *summary;
    } cases[] = {
        {{STATS_RULE_ACTIVE, STATS_RULE_ACTIVE}, 2, NULL, "\n2 rules: 2 active\nRULE "},
        {{STATS_RULE_SILENT, STATS_RULE_WAITING}, 2, NULL, "\n2 rules: 1 waiting, 1 silent\nRULE "},
        {{STATS_RULE_SLOW, STATS_RULE_DISABLED}, 2, NULL, "\n2 rules: 1 slow, 1 disabled\nRULE "},
        {{UINT32_MAX, UINT32_MAX - 1}, 2, NULL, "\n2 rules: 2 unknown\nRULE "},
        {{STATS_RULE_SILENT, STATS_RULE_ACTIVE}, 2, second, "\n2 rules: 1 active, 1 silent (1 shown)\n"},
        {{STATS_RULE_SILENT, STATS_RULE_ACTIVE}, 1, NULL, "\n1 rule: 1 silent\nRULE "},
    };
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    for (size_t i = 0; i < COUNT(cases); i++) {
        m.at.rules[0].state = cases[i].states[0];
        m.at.rules[1].state = cases[i].states[1];
        m.at.header->n_rules = cases[i].n;
        struct show_view view = {.now = &s, .rules = cases[i].rules, .n_rules = 1};
        char *text = table_in(&view, &(struct show_style){.columns = 80, .terminal = true});
        cr_expect_not_null(strstr(text, cases[i].summary), "%zu: %s", i, text);
        free(text);
        text = table_text(&view, false);
        cr_expect_null(strstr(text, "rules:"), "in a pipe: %s", text);
        free(text);
    }
    free(m.memory);
}

Test(stats, what_is_pending_is_shown_beside_what_runs)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    memset(m.at.header->sha256, 0x11, sizeof(m.at.header->sha256));
    memset(m.at.header->disk_sha256, 0xab, sizeof(m.at.header->disk_sha256));
    for (uint32_t state = STATS_CONFIG_CURRENT; state < STATS_CONFIG_END; state++) {
        m.at.header->config_state = state;
        char *text = table_text(&(struct show_view){.now = &s}, false);
        cr_expect_not_null(strstr(text, ", sha256 111111111111, generation 3 of "), "%s", text);
        cr_expect_eq(strstr(text, "\npending  sha256 abababababab lies on disk: mcrd --diff ") != NULL,
                     state == STATS_CONFIG_PENDING, "%s", text);
        free(text);
    }
    m.at.header->config_state = STATS_CONFIG_TRIAL;
    m.at.header->disk_state = STATS_CONFIG_PENDING;
    char *text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "\npending  sha256 abababababab lies on disk"), "%s", text);
    free(text);
    m.at.header->disk_state = STATS_CONFIG_INVALID;
    strcpy(m.at.header->disk_error, "mcr.conf:1: no");
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "\ninvalid  mcr.conf:1: no"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, what_is_on_trial_and_what_has_returned_is_told)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    struct stats_header *h = m.at.header;

    h->config_state = STATS_CONFIG_TRIAL;
    h->trial_ends_ns = s.monotonic_ns + 89 * NS_PER_S + 1;
    json_t *root = json_of(&s), *config = json_object_get(root, "config");
    cr_expect_eq(json_integer_value(json_object_get(config, "trial_remaining_s")), 90, "rounded up");
    cr_expect(json_is_null(json_object_get(config, "returned")));
    json_decref(root);
    char *text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "\ntrial "), "%s", text);
    cr_expect_not_null(strstr(text, "mcrd --confirm keeps it"), "%s", text);
    free(text);
    h->trial_ends_ns = s.monotonic_ns;
    root = json_of(&s);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(root, "config"), "trial_remaining_s")), 0, "over");
    json_decref(root);
    h->trial_ends_ns = 0;
    h->config_state = STATS_CONFIG_RETURNED;
    strcpy(h->returned, "rule a fell silent");
    root = json_of(&s);
    config = json_object_get(root, "config");
    cr_expect_str_eq(json_string_value(json_object_get(config, "state")), "returned");
    cr_expect_str_eq(json_string_value(json_object_get(config, "returned")), "rule a fell silent");
    cr_expect(json_is_null(json_object_get(config, "trial_remaining_s")));
    json_decref(root);
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "the last trial was not kept: rule a fell silent"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, a_refusal_is_cleared_by_a_reload_only_with_a_broker)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    strcpy(m.at.header->refusal, "the broker is gone");
    m.at.header->config_state = STATS_CONFIG_CURRENT;
    for (uint32_t alive = 0; alive < 2; alive++) {
        m.at.header->broker_alive = alive;
        char *text = table_text(&(struct show_view){.now = &s}, false);
        cr_expect_not_null(strstr(text, "\nrefused  the broker is gone"), "%s", text);
        cr_expect_eq(strstr(text, "mcrd --reload clears this") != NULL, alive, "%s", text);
        free(text);
    }
    // Nor where what runs would be refused as well.
    m.at.header->expired = 1;
    char *text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_null(strstr(text, "mcrd --reload clears this"), "%s", text);
    free(text);
    m.at.header->expired = 0;
    strcpy(m.at.header->audit.error, "/a: No space left on device");
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_null(strstr(text, "mcrd --reload clears this"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, uptime_follows_no_step_of_the_wall_clock)
{
    static const int64_t steps_s[] = {0, 86400, -86400, 3600000};
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    const struct show_view view = {.now = &s};
    uint64_t then = s.realtime_ns;

    m.at.header->started_ns = then - 61000000000u;
    m.at.header->started_boottime_ns = s.boottime_ns - 61000000000u;
    for (size_t i = 0; i < COUNT(steps_s); i++) {
        s.realtime_ns = then + (uint64_t) (steps_s[i] * 1000000000);
        json_t *root = json_of(&s);
        cr_expect_eq(json_integer_value(json_object_get(root, "uptime_s")), 61, "%zu", i);
        json_decref(root);
        char *text = table_text(&view, false);
        cr_expect_not_null(strstr(text, "up 00:01:01"), "%zu: %s", i, text);
        free(text);
    }
    free(m.memory);
}

Test(stats, table_names_drops_only_where_there_are_any)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    char *text = table_text(&(struct show_view){.now = &s}, false);

    expect_lines_fit(text, SHOW_COLUMNS);
    cr_expect_not_null(strstr(text, "\n  dropped  rate 77\n"), "%s", text);
    cr_expect_null(strstr(text, "unreachable"));
    cr_expect_null(strstr(text, "ttl"));
    cr_expect_null(strstr(text, "ring_drops"));
    cr_expect_not_null(strstr(text, "1,234,567"));
    cr_expect_not_null(strstr(text, "CHG0031337"));
    cr_expect_not_null(strstr(text, "\n  < ot0 239.10.0.1:5000 vlan 7\n"), "%s", text);
    cr_expect_not_null(strstr(text, "\n  reason   no route to 203.0.113.5\n  < dmz0 [ff15::1]:5000\n"), "%s", text);
    cr_expect_null(strchr(text, '\x1b'));
    free(text);
    m.at.outputs[0].counters.unreachable = 12;
    s = snapshot_of(&m);
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "\n    answers  unreachable 12\n"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, table_names_what_a_stream_lacks_only_where_it_does)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    struct stats_input *in = &m.at.inputs[0];

    in->as = STATS_STREAM_TS;
    in->stream = (struct stats_stream_counters){.expected = 1000, .reordered = 5, .repeated = 6, .jitter_us = 7};
    in->ts.packets = 7000;
    char *calm = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_null(strstr(calm, "stream"), "%s", calm);
    in->stream.lost = 12;
    in->ts.continuity_errors = 3;
    in->alarms = 1u << STATS_ALARM_LOSS;
    char *text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "vlan 7\n    stream   lost 12  continuity_errors 3  alarm: loss\n"), "%s", text);
    free(calm);
    free(text);
    free(m.memory);
}

// In a pipe, and on terminals of many widths.
static void expect_table_fits(const struct show_view *view)
{
    for (int columns = SHOW_COLUMNS_LEAST - 1; columns <= 200; columns++) {
        bool pipe = columns < SHOW_COLUMNS_LEAST;
        struct show_style style = {.columns = pipe ? SHOW_COLUMNS : columns, .terminal = !pipe};
        char *text = table_in(view, &style);
        expect_lines_fit(text, style.columns);
        cr_expect_null(strchr(text, '\x1b'));
        free(text);
    }
}

Test(stats, table_fits_whatever_the_segment_says)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m), before = snapshot_of(&m);
    struct stats_delta d;
    char why[STATS_WHY_MAX];

#define FILL(field) memset(field, 'x', sizeof(field) - 1)
    FILL(m.at.header->program_version);
    FILL(m.at.header->instance);
    FILL(m.at.header->file);
    FILL(m.at.header->refusal);
    FILL(m.at.header->disk_error);
    FILL(m.at.interfaces[0].name);
    FILL(m.at.rules[0].name);
    FILL(m.at.rules[0].note);
    FILL(m.at.rules[0].reason);
    FILL(m.at.inputs[0].to);
    FILL(m.at.inputs[0].leg);
    m.at.rules[0].merge = m.at.rules[1].merge = STATS_MERGE_ACTIVE;
    FILL(m.at.outputs[0].to);
    m.at.rules[1].note[0] = '\x1b';
    m.at.header->state = m.at.header->config_state = m.at.header->pid = UINT32_MAX;
    m.at.header->generation = m.at.header->capabilities = m.at.header->loaded_ns = UINT64_MAX;
    memset(&m.at.interfaces[0].counters, 0xff, sizeof(m.at.interfaces[0].counters));
    memset(&m.at.rules[0].counters, 0xff, sizeof(m.at.rules[0].counters));
    memset(&m.at.outputs[0].counters, 0xff, sizeof(m.at.outputs[0].counters));
    memset(&m.at.inputs[0].merged, 0xff, sizeof(m.at.inputs[0].merged));
    memset(&m.at.inputs[1].merged, 0xff, sizeof(m.at.inputs[1].merged));
    memset(&m.at.rules[0].merged, 0xff, sizeof(m.at.rules[0].merged));
    m.at.inputs[0].skew_us = m.at.inputs[0].skew_count = m.at.inputs[0].skew_max_us = UINT64_MAX;
    m.at.inputs[1].skew_us = m.at.inputs[1].skew_max_us = UINT64_MAX;
    m.at.inputs[1].skew_count = 1;
    cr_assert(stats_parse(&s.at, m.memory, m.size, why), "%s", why);
    expect_table_fits(&(struct show_view){.now = &s});

    // As fast as they can grow.
    struct made old = make();
    before.at = old.at;
    before.monotonic_ns = s.monotonic_ns - 1;
    memcpy(old.at.header, m.at.header, sizeof(*m.at.header));
    memcpy(old.at.rules[0].name, m.at.rules[0].name, sizeof(m.at.rules[0].name));
    memcpy(old.at.outputs[0].to, m.at.outputs[0].to, sizeof(m.at.outputs[0].to));
    cr_assert(stats_delta_make(&d, &s, &before));
    expect_table_fits(&(struct show_view){.now = &s, .d = &d, .rates = true});
    stats_delta_free(&d);
    free(old.memory);
    free(m.memory);
}

// Two legs that merge: A is first, B misses a hundredth and lies behind.
static struct made make_merged(void)
{
    struct made m = make();

    m.at.rules[0].merge = STATS_MERGE_RTP;
    m.at.rules[0].active_leg = UINT32_MAX;
    m.at.rules[0].n_inputs = 2;
    m.at.rules[1].n_inputs = 0;
    strcpy(m.at.inputs[0].leg, "A");
    strcpy(m.at.inputs[1].leg, "B");
    m.at.inputs[0].counters.packets = 1000000;
    m.at.inputs[0].merged.first = 999900;
    m.at.inputs[0].merged.missing = 1;
    m.at.inputs[1].counters.packets = 990000;
    m.at.inputs[1].merged.first = 1;
    m.at.inputs[1].merged.missing = 10001;
    m.at.inputs[1].merged.reordered = 3;
    m.at.inputs[1].merged.repeated = 1234567;
    m.at.inputs[1].skew_us = UINT64_C(990000) * 1234;
    m.at.inputs[1].skew_count = 990000;
    m.at.inputs[1].skew_max_us = 40000;
    m.at.rules[0].merged.recovered = 10000;
    return m;
}

static bool writes_json(void *context, FILE *to)
{
    return show_json(context, to, false);
}

static bool writes_words(void *context, FILE *to)
{
    (void) context;
    return show_words(true, to);
}

Test(stats, json_is_whole_or_fails)
{
    struct made m = make_merged();
    struct stats_snapshot s = snapshot_of(&m);

    m.at.header->audit.n = 7;
    strcpy(m.at.header->audit.file, "/var/lib/mcr/audit.log");
    m.at.header->continued.rings = 1;
    m.at.inputs[1].as = STATS_STREAM_TS;
    cr_expect_gt(deny_each(writes_json, &s, true), 0);
    cr_expect_gt(deny_each(writes_words, NULL, true), 0);
    free(m.memory);
}

Test(stats, table_tells_what_each_leg_brings)
{
    struct made m = make_merged(), old = make_merged();
    struct stats_snapshot s = snapshot_of(&m), before = snapshot_of(&old);
    struct stats_delta d;

    char *text = table_text(&(struct show_view){.now = &s}, false);
    expect_lines_fit(text, SHOW_COLUMNS);
    cr_expect_not_null(strstr(text, "\n    first 999,900 (100 %)  missing 1 (<0.01 %)\n  < B: "), "%s", text);
    cr_expect_not_null(strstr(text,
                              "\n    first 1 (<0.01 %)  missing 10,001 (1.00 %)  skew 1.2 ms (max 40 ms)\n"
                              "    reordered 3  repeated 1.23 M\n"
                              "  merged   recovered 10,000\n  dropped  rate 77\n"),
                       "%s", text);
    free(text);
    text = table_text(&(struct show_view){.now = &s}, true);
    cr_expect_not_null(strstr(text, "  \x1b[1;31mmissing 10,001 (1.00 %)\x1b[0m  "), "it stands out: %s", text);
    cr_expect_not_null(strstr(text, ")  missing 1 (<0.01 %)\n"), "calm: %s", text);
    free(text);

    // What nobody can know of a merge without numbers is not shown; two encoders are.
    m.at.rules[0].merge = STATS_MERGE_PAYLOAD;
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_null(strstr(text, "missing"), "%s", text);
    cr_expect_null(strstr(text, "recovered"), "%s", text);
    free(text);
    m.at.rules[0].merge = STATS_MERGE_RTP;
    m.at.rules[0].two_streams = 1;
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_not_null(strstr(text, "no number in common"), "%s", text);
    free(text);
    m.at.rules[0].two_streams = 0;

    // With rates, shares are those of the last interval.
    before.monotonic_ns = s.monotonic_ns - NS_PER_S;
    old.at.inputs[0].counters.packets -= 50;
    old.at.inputs[0].merged.first -= 25;
    m.at.inputs[0].merged.missing = 9; // those that no leg brought, and one more
    old.at.inputs[0].merged.missing = 0;
    old.at.inputs[1].counters.packets -= 200;
    old.at.inputs[1].skew_us -= 200 * 800;
    old.at.inputs[1].skew_count -= 200;
    m.at.rules[0].merged.lost = 8;
    m.at.rules[0].merged.lost_together = old.at.rules[0].merged.lost_together = 1;
    cr_assert(stats_delta_make(&d, &s, &before));
    text = table_text(&(struct show_view){.now = &s, .d = &d, .rates = true}, true);
    cr_expect_not_null(strstr(text, "    first 999,900 (100 %)  \x1b[1;31mmissing 9 (26.5 %)\x1b[0m\n"), "%s", text);
    cr_expect_not_null(strstr(text, "    first 1  missing 10,001  skew 800 us (max 40 ms)"), "%s", text);
    cr_expect_not_null(strstr(text,
                              "  merged   recovered 10,000  \x1b[1;31mlost 8 (+8/s)\x1b[0m  "
                              "\x1b[33mlost_together 1\x1b[0m\n"),
                       "%s", text);
    free(text);
    stats_delta_free(&d);
    free(old.memory);
    free(m.memory);
}

Test(stats, table_tells_which_leg_is_active)
{
    static const struct {
        uint32_t leg;
        const char *line;
    } cases[] = {
        {0, "\n  merged   leg A is active\n"},
        {1, "\n  merged   \x1b[33mleg\x1b[0m \x1b[33mB\x1b[0m \x1b[33mis\x1b[0m \x1b[33mactive\x1b[0m\n"},
        {2, NULL},
        {UINT32_MAX, NULL},
    };
    struct made m = make_merged();
    struct stats_snapshot s = snapshot_of(&m);

    m.at.rules[0].merge = STATS_MERGE_ACTIVE;
    m.at.rules[0].merged.recovered = 0;
    for (size_t i = 0; i < COUNT(cases); i++) {
        m.at.rules[0].active_leg = cases[i].leg;
        char *text = table_text(&(struct show_view){.now = &s}, true);
        cr_expect(cases[i].line ? strstr(text, cases[i].line) != NULL : !strstr(text, "merged"), "%zu: %s", i, text);
        free(text);
    }
    // What has brought nothing yet has nothing to tell, and no more has a rule that does not merge.
    memset(&m.at.inputs[0].counters, 0, sizeof(m.at.inputs[0].counters));
    m.at.inputs[0].merged.missing = 0;
    char *text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect(!strstr(text, "first 999,900") && strstr(text, "first 1 "), "%s", text);
    free(text);
    // Without numbers nobody knows what never came.
    for (uint32_t by = STATS_MERGE_RTP; by <= STATS_MERGE_ACTIVE; by++) {
        bool known = by == STATS_MERGE_RTP || by == STATS_MERGE_FIELD;
        m.at.rules[0].merge = by;
        char *json = json_text(&s, true);
        cr_expect_eq(strstr(json, "\"lost\":null") == NULL, known, "%u: %s", by, json);
        cr_expect_eq(strstr(json, "\"missing\":null") == NULL, known, "%u: %s", by, json);
        cr_expect_null(strstr(json, "\"repeated\":null"), "%u: %s", by, json);
        cr_expect_not_null(strstr(json, known ? "\"two_streams\":false" : "\"two_streams\":null"), "%u: %s", by, json);
        free(json);
    }
    m.at.rules[0].merge = STATS_MERGE_NONE;
    text = table_text(&(struct show_view){.now = &s}, false);
    cr_expect_null(strstr(text, "first "), "%s", text);
    free(text);
    free(m.memory);
}

// What a relay that was taken over may write into the segment: an escape sequence with ESC and with C1, a line end, a
// change of direction, a zero-width space, and bytes that are no UTF-8.
#define HOSTILE                                                                                                        \
    "\x1b[2J\xc2\x9b"                                                                                                  \
    "31m\n\xe2\x80\xae\xe2\x80\x8b\x9b\xff"

static void expect_visible(const char *form, const char *text)
{
    uint32_t code;

    for (size_t length; *text; text += length) {
        length = utf8_decode(text, UTF8_MAX, &code);
        cr_assert(length > 0, "%s: byte 0x%02x in %s", form, (unsigned char) *text, text);
        cr_assert(code == '\n' || !utf8_is_hidden(code), "%s: U+%04X in %s", form, code, text);
    }
}

Test(stats, no_form_shows_what_is_hidden_or_steers)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    char why[STATS_WHY_MAX], *text;
    size_t size;

    for (unsigned utf8 = 0; utf8 < 2; utf8++) {
        strcpy(m.at.header->program_version, "\x1b[2J");
        strcpy(m.at.header->instance, HOSTILE);
        strcpy(m.at.header->file, HOSTILE);
        strcpy(m.at.header->refusal, HOSTILE);
        strcpy(m.at.header->disk_error, HOSTILE);
        strcpy(m.at.interfaces[0].name,
               "\xc2\x9b"
               "31m\x1b");
        strcpy(m.at.rules[0].name, HOSTILE);
        strcpy(m.at.rules[0].note, HOSTILE);
        strcpy(m.at.rules[0].reason, HOSTILE);
        strcpy(m.at.inputs[0].to, HOSTILE);
        strcpy(m.at.inputs[0].leg,
               "\x1b[2J\xc2\x9b"
               "31m");
        m.at.rules[0].merge = STATS_MERGE_ACTIVE;
        m.at.rules[0].state = STATS_RULE_DOWN;
        strcpy(m.at.outputs[0].to, HOSTILE);
        cr_assert(stats_parse(&s.at, m.memory, m.size, why), "%s", why);
        cr_assert_not_null(setlocale(LC_CTYPE, utf8 ? "C.UTF-8" : "C"));
        for (unsigned form = 0; form < 5; form++) {
            static const char *const names[] = {"JSON", "JSON on one line", "Prometheus", "table", "check"};
            FILE *to = open_memstream(&text, &size);
            if (form < 2)
                show_json(&s, to, form == 1);
            else if (form == 2)
                show_prometheus(&s, "/run/" HOSTILE, to);
            else if (form == 4)
                show_check(&s, true, SHOW_OK, "", to);
            else
                show_table(&(struct show_view){.now = &s}, &(struct show_style){.columns = SHOW_COLUMNS}, to);
            fclose(to);
            cr_expect_not_null(strstr(text, "?[2J?31m"), "%s", names[form]);
            expect_visible(names[form], text);
            cr_expect(form != 1 || strchr(text, '\n') == text + size - 1);
            free(text);
        }
    }
    free(m.memory);
}

Test(stats, table_uses_colours_where_told)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    char *text = table_text(&(struct show_view){.now = &s}, true);

    cr_expect_not_null(strstr(text, "\x1b[33mrate 77\x1b[0m"), "%s", text);
    cr_expect_not_null(strstr(text, "\x1b[33mwaiting\x1b[0m"), "%s", text);
    free(text);
    free(m.memory);
}

Test(stats, table_shows_each_state_of_a_rule)
{
    static const char *const colours[STATS_RULE_END] = {
        [STATS_RULE_ACTIVE] = "",    [STATS_RULE_SHADOW] = "",     [STATS_RULE_WAITING] = "33",
        [STATS_RULE_DOWN] = "1;31",  [STATS_RULE_SILENT] = "1;31", [STATS_RULE_SLOW] = "1;31",
        [STATS_RULE_DISABLED] = "2", [STATS_RULE_SCHEDULED] = "",  [STATS_RULE_EXPIRED] = ""};
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    for (uint32_t state = 0; state < STATS_RULE_END; state++) {
        char word[64];
        m.at.rules[1].state = state;
        snprintf(word, sizeof(word), *colours[state] ? "\x1b[%sm%s\x1b[0m" : "%s%s ", colours[state],
                 stats_rule_state_name(state));
        char *text = table_text(&(struct show_view){.now = &s}, true);
        cr_expect_not_null(strstr(text, word), "%s: %s", word, text);
        cr_expect((strstr(text, "  reason   ") != NULL) == (state != STATS_RULE_DISABLED), "%s", text);
        free(text);
    }
    free(m.memory);
}

// --- which rules -----------------------------------------------------------------------------------------------------

Test(stats, select_by_name_and_by_state)
{
    static const struct {
        struct stats_selection only;
        bool found;
        const char *names[RULES];
    } cases[] = {
        {{NULL, STATS_RULE_END}, true, {"plc-telemetry", "historian"}},
        {{"historian", STATS_RULE_END}, true, {"historian"}},
        {{"hist", STATS_RULE_END}, false, {NULL}},
        {{NULL, STATS_RULE_WAITING}, true, {"historian"}},
        {{NULL, STATS_RULE_ACTIVE}, true, {"plc-telemetry"}},
        {{NULL, STATS_RULE_DOWN}, true, {NULL}},
        {{"historian", STATS_RULE_ACTIVE}, true, {NULL}},
    };
    char why[STATS_WHY_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct made m = make();
        struct stats_snapshot s = snapshot_of(&m);
        uint32_t n = 0;
        cr_expect(stats_snapshot_select(&s, &cases[i].only, why) == cases[i].found, "%zu", i);
        for (; n < RULES && cases[i].names[n]; n++)
            cr_expect_str_eq(s.at.rules[n].name, cases[i].names[n]);
        cr_expect(s.at.header->n_rules == n && s.left_out == RULES - n, "%zu", i);
        json_t *root = json_of(&s), *rules = json_object_get(root, "rules");
        cr_expect(json_array_size(rules) == n);
        // Its outputs are still its own.
        if (n == 1 && strcmp(s.at.rules[0].name, "historian") == 0)
            cr_expect_str_eq(s.at.outputs[s.at.rules[0].first_output].to, "wan0 [ff05::1]:7000");
        json_decref(root);
        char *text = table_text(&(struct show_view){.now = &s}, false);
        cr_expect((strstr(text, "none of those that run is selected") != NULL) == (n == 0), "%s", text);
        free(text);
        free(m.memory);
    }
}

// --- a monitoring plugin ---------------------------------------------------------------------------------------------

static void expect_check(const struct stats_snapshot *s, bool whole, enum show_status status, const char *line)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    cr_expect(show_check(s, whole, SHOW_UNKNOWN, "a|b\nc", to) == status, "%s", line);
    fclose(to);
    cr_expect(strncmp(text, line, strlen(line)) == 0, "%s, not %s", text, line);
    cr_expect(strchr(text, '\n') == text + size - 1, "%s", text);
    cr_expect(!s || strchr(text, '|') == strrchr(text, '|'), "%s", text);
    free(text);
}

Test(stats, check_of_each_state)
{
    static const struct {
        enum stats_rule_state state;
        enum show_status status;
        const char *line;
    } cases[] = {
        {STATS_RULE_ACTIVE, SHOW_OK,
         "MCR OK - 2 rules active | packets=1234c bytes=123456c sent=5c dropped=77c "
         "errors=9c\n"},
        {STATS_RULE_SHADOW, SHOW_OK, "MCR OK - 1 rule active, 1 shadow |"},
        {STATS_RULE_DISABLED, SHOW_OK, "MCR OK - 1 rule active, 1 disabled |"},
        {STATS_RULE_SCHEDULED, SHOW_OK, "MCR OK - 1 rule active, 1 scheduled |"},
        {STATS_RULE_EXPIRED, SHOW_OK, "MCR OK - 1 rule active, 1 expired |"},
        {STATS_RULE_SLOW, SHOW_WARNING, "MCR WARNING - historian is slow: because; 1 rule active, 1 slow |"},
        {STATS_RULE_WAITING, SHOW_CRITICAL, "MCR CRITICAL - historian is waiting: because; 1 rule active, 1 waiting |"},
        {STATS_RULE_DOWN, SHOW_CRITICAL, "MCR CRITICAL - historian is down: because; 1 rule active, 1 down |"},
        {STATS_RULE_SILENT, SHOW_CRITICAL, "MCR CRITICAL - historian is silent: because; 1 rule active, 1 silent |"},
        {STATS_RULE_END, SHOW_CRITICAL, "MCR CRITICAL - historian is unknown: because; 1 rule active, 1 unknown |"},
    };
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    cr_assert(COUNT(cases) == STATS_RULE_END + 1, "a state has no case");
    m.at.header->heartbeat_ns = s.monotonic_ns;
    m.at.outputs[0].counters.packets = 2;
    m.at.outputs[2].counters.packets = 3;
    m.at.outputs[0].counters.errors = 4;
    m.at.outputs[2].counters.too_big = 5;
    strcpy(m.at.rules[1].reason, "because");
    for (size_t i = 0; i < COUNT(cases); i++) {
        m.at.rules[1].state = cases[i].state;
        expect_check(&s, true, cases[i].status, cases[i].line);
    }
    // The file has had its time, and the clock is not set.
    m.at.rules[1].state = STATS_RULE_ACTIVE;
    m.at.header->expired = 1;
    m.at.header->valid_until = 1700000000;
    m.at.header->clock = STATS_CLOCK_UNSET;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - the file that runs was valid until 2023-11-14T22:13:20Z, the clock is unset; 2 rules");
    m.at.header->expired = m.at.header->clock = 0;
    // The worst comes first.
    m.at.rules[0].state = STATS_RULE_SLOW;
    m.at.rules[1].state = STATS_RULE_DOWN;
    strcpy(m.at.rules[1].reason, "dmz|0 is down");
    expect_check(&s, true, SHOW_CRITICAL, "MCR CRITICAL - historian is down: dmz/0 is down, plc-telemetry is slow: ;");
    free(m.memory);
}

// They are in no state: the rule relays what comes.
Test(stats, check_of_alarms_of_legs)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);

    m.at.header->heartbeat_ns = s.monotonic_ns;
    m.at.rules[1].state = STATS_RULE_ACTIVE;
    snprintf(m.at.rules[1].reason, sizeof(m.at.rules[1].reason), "net-b is down (1 of 2 inputs)");
    m.at.rules[1].alarms = m.at.inputs[1].alarms = 1u << STATS_ALARM_LEG;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - historian: net-b is down (1 of 2 inputs), silence on leg 1; 2 rules active |");
    m.at.rules[1].reason[0] = '\0';
    m.at.rules[1].alarms = m.at.inputs[1].alarms = 1u << STATS_ALARM_LOSS | 1u << STATS_ALARM_LEG;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - historian: silence on leg 1, loss on leg 1; 2 rules active |");
    m.at.rules[1].alarms = m.at.inputs[1].alarms = 1u << STATS_ALARM_JITTER;
    m.at.rules[0].alarms = 1u << STATS_ALARM_RESIDENCE;
    expect_check(
        &s, true, SHOW_WARNING,
        "MCR WARNING - plc-telemetry: datagrams stay here too long, historian: jitter on leg 1; 2 rules active |");
    m.at.rules[0].alarms = 0;
    m.at.rules[1].state = STATS_RULE_SHADOW;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - historian: jitter on leg 1; 1 rule active, 1 shadow |");
    m.at.rules[1].state = STATS_RULE_DOWN;
    strcpy(m.at.rules[1].reason, "because");
    expect_check(&s, true, SHOW_CRITICAL, "MCR CRITICAL - historian is down: because;");
    free(m.memory);
}

// Beside alarms of legs, after them or alone.
Test(stats, check_of_two_streams)
{
    struct made m = make_merged();
    struct stats_snapshot s = snapshot_of(&m);

    m.at.header->heartbeat_ns = s.monotonic_ns;
    m.at.rules[1].state = STATS_RULE_ACTIVE;
    expect_check(&s, true, SHOW_OK, "MCR OK - 2 rules active |");
    m.at.rules[0].two_streams = 1;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - plc-telemetry: the legs have no number in common: they are two streams, and both "
                 "leave; 2 rules active |");
    m.at.rules[0].alarms = m.at.inputs[1].alarms = 1u << STATS_ALARM_LOSS;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - plc-telemetry: the legs have no number in common: they are two streams, and both "
                 "leave, loss on leg B; 2 rules active |");
    char *json = json_text(&s, true);
    cr_expect_not_null(strstr(json, "\"two_streams\":true"), "%s", json);
    free(json);
    free(m.memory);
}

Test(stats, check_of_the_relay)
{
    struct made m = make();
    struct stats_snapshot s = snapshot_of(&m);
    struct stats_header *h = m.at.header;

    m.at.rules[1].state = STATS_RULE_ACTIVE;
    h->heartbeat_ns = s.monotonic_ns;
    h->broker_alive = 0;
    expect_check(&s, true, SHOW_CRITICAL, "MCR CRITICAL - the broker is gone: mcrd --check, then restart mcrd; 2 rules active |");
    // Where one rule is asked for, that is another service's matter.
    expect_check(&s, false, SHOW_OK, "MCR OK - 2 rules active |");
    h->verdict = STATS_VERDICT_REFUSED;
    expect_check(&s, true, SHOW_CRITICAL,
                 "MCR CRITICAL - the broker is gone: mcrd --check, then restart mcrd, the last load was refused; 2 rules active |");
    h->verdict = STATS_VERDICT_ACCEPTED;
    h->config_state = STATS_CONFIG_TRIAL;
    expect_check(&s, true, SHOW_CRITICAL,
                 "MCR CRITICAL - the broker is gone: put the file before back (running.conf.back, else running.conf), then "
                 "restart mcrd; 2 rules active |");
    h->config_state = STATS_CONFIG_CURRENT;
    h->verdict = STATS_VERDICT_REFUSED;
    h->broker_alive = 1;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - the last load was refused, the file on disk is what runs: mcrd --reload clears this;");
    h->verdict = STATS_VERDICT_ACCEPTED;
    h->config_state = STATS_CONFIG_PENDING;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - the file on disk is pending;");
    // The worst comes first, whatever it is about.
    m.at.rules[1].state = STATS_RULE_DOWN;
    strcpy(m.at.rules[1].reason, "x");
    expect_check(&s, true, SHOW_CRITICAL, "MCR CRITICAL - historian is down: x, the file on disk is pending;");
    m.at.rules[1].state = STATS_RULE_ACTIVE;
    h->config_state = STATS_CONFIG_INVALID;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - the file on disk is invalid;");
    // What is confirmed would not be what a boot reads.
    h->config_state = STATS_CONFIG_TRIAL;
    h->trial_ends_ns = s.monotonic_ns + 59 * NS_PER_S;
    h->disk_state = STATS_CONFIG_CURRENT;
    expect_check(&s, true, SHOW_OK, "MCR OK - on trial for another 00:00:59;");
    h->disk_state = STATS_CONFIG_PENDING;
    expect_check(&s, true, SHOW_WARNING,
                 "MCR WARNING - the file on disk is pending: not what is on trial, on trial for another 00:00:59;");
    h->disk_state = STATS_CONFIG_INVALID;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - the file on disk is invalid: not what is on trial, on trial");
    h->trial_ends_ns = 0;
    h->config_state = STATS_CONFIG_CURRENT;
    h->capabilities = 1;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - the sandbox is not in force;");
    h->capabilities = 0;
    h->heartbeat_ns = s.monotonic_ns - UINT64_C(6000000000);
    expect_check(&s, false, SHOW_CRITICAL, "MCR CRITICAL - no sign of life for 6.0 s;");
    expect_check(NULL, true, SHOW_UNKNOWN, "MCR UNKNOWN - a/b?c\n");
    h->n_rules = 0;
    h->heartbeat_ns = s.monotonic_ns;
    expect_check(&s, true, SHOW_WARNING, "MCR WARNING - there is no rule: nothing is relayed; no rules | packets=0c");
    free(m.memory);
}

// However many fail, the line stays short.
Test(stats, check_names_five_rules)
{
    enum { MANY = 300 };
    void *memory = calloc(1, stats_segment_size(1, MANY, 0, 0));
    struct stats_snapshot s = {.memory = memory, .monotonic_ns = 1};

    cr_assert_not_null(memory);
    stats_segment_place(&s.at, memory, 1, MANY, 0);
    s.at.header->n_rules = MANY;
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(s.at.rules[i].name, sizeof(s.at.rules[i].name), "%u", i);
        s.at.rules[i].state = STATS_RULE_DOWN;
        strcpy(s.at.rules[i].reason, "x");
    }
    expect_check(&s, false, SHOW_CRITICAL,
                 "MCR CRITICAL - 0 is down: x, 1 is down: x, 2 is down: x, 3 is down: x, 4 is down: x, and 295 more; "
                 "300 rules down |");
    free(memory);
}

Test(stats, words_are_told_once_in_each_list)
{
    char *text = NULL;
    size_t size, n = 0;
    FILE *to = open_memstream(&text, &size);

    cr_assert(show_words(true, to));
    fclose(to);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(root, "%s", text);
    for (const struct stats_word_list *l = stats_words; l->name; l++, n++) {
        json_t *words = json_object_get(root, l->name);
        cr_expect(l->n > 1 && json_object_size(words) == l->n, "%s", l->name);
    }
    cr_expect(json_object_size(root) == n);
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(root, "rule_states"), "disabled")),
                     "enabled = false");
    json_decref(root);
    free(text);
}

// --- delta -----------------------------------------------------------------------------------------------------------

Test(stats, delta_finds_records_by_name)
{
    struct made a = make(), b = make();
    struct stats_snapshot before = snapshot_of(&a), now = snapshot_of(&b);
    struct stats_delta d;

    before.monotonic_ns -= 2000000000;
    // The reload has swapped the interfaces, and given the second rule's name to the first.
    strcpy(b.at.interfaces[0].name, "dmz0");
    strcpy(b.at.interfaces[1].name, "ot0");
    strcpy(b.at.rules[0].name, "historian");
    strcpy(b.at.rules[1].name, "new");
    strcpy(b.at.outputs[0].to, "wan0 [ff05::1]:7000");
    cr_assert(stats_delta_make(&d, &now, &before));
    cr_expect(d.interfaces[0] == &a.at.interfaces[1] && d.interfaces[1] == &a.at.interfaces[0]);
    cr_expect(d.rules[0] == &a.at.rules[1] && d.rules[1] == NULL);
    cr_expect(d.outputs[0] == &a.at.outputs[2]);
    cr_expect(d.outputs[1] == NULL && d.outputs[2] == NULL);
    cr_expect(stats_delta_rate(&d, 300, 100) == 100);
    cr_expect(stats_delta_rate(&d, 100, 300) == 0);
    stats_delta_free(&d);
    free(a.memory);
    free(b.memory);
}

Test(stats, delta_of_nothing)
{
    struct made a = make(), b = make();
    struct stats_snapshot before = snapshot_of(&a), now = snapshot_of(&b);
    struct stats_delta d;

    cr_expect_not(stats_delta_make(&d, &now, &before), "no time between them");
    before.monotonic_ns--;
    cr_expect(stats_delta_make(&d, &now, &before));
    stats_delta_free(&d);
    b.at.header->started_ns++;
    cr_expect_not(stats_delta_make(&d, &now, &before), "another daemon");
    free(a.memory);
    free(b.memory);
}

// --- text ------------------------------------------------------------------------------------------------------------

Test(stats, text_numbers)
{
    static const struct {
        uint64_t value;
        int width;
        const char *text;
    } counts[] = {
        {0, 16, "0"},
        {999, 16, "999"},
        {1000, 16, "1,000"},
        {1234567, 16, "1,234,567"},
        {1234567, 9, "1,234,567"},
        {1234567, 8, "1.23 M"},
        {UINT64_MAX, 16, "18.4 E"},
    };
    static const struct {
        double value;
        const char *text;
    } scaled[] = {
        {0, "0"},       {0.25, "0.25"},    {7, "7"},        {12.34, "12.3"},    {999, "999"},      {999.6, "1.00 k"},
        {99.96, "100"}, {12345, "12.3 k"}, {1e6, "1.00 M"}, {4.4e10, "44.0 G"}, {999499, "999 k"}, {999500, "1.00 M"},
    };
    static const struct {
        uint64_t ms;
        const char *text;
    } ages[] = {
        {0, "0 ms"},       {999, "999 ms"},   {1000, "1.0 s"},      {9999, "9.9 s"},  {10000, "10 s"},
        {119999, "119 s"}, {120000, "2 min"}, {7199999, "119 min"}, {7200000, "2 h"}, {172800000, "2 d"},
    };
    char out[TEXT_NUMBER_MAX];

    for (size_t i = 0; i < COUNT(counts); i++)
        cr_expect_str_eq(text_count(out, counts[i].value, counts[i].width), counts[i].text);
    for (size_t i = 0; i < COUNT(scaled); i++)
        cr_expect_str_eq(text_scaled(out, scaled[i].value, ""), scaled[i].text);
    for (size_t i = 0; i < COUNT(ages); i++)
        cr_expect_str_eq(text_age(out, ages[i].ms), ages[i].text);
    cr_expect_str_eq(text_scaled(out, 1500, "B"), "1.50 kB");
    cr_expect_str_eq(text_scaled(out, 15, "B"), "15 B");
    cr_expect_str_eq(text_duration(out, 59), "00:00:59");
    cr_expect_str_eq(text_duration(out, 3 * 86400 + 3723), "3 d 01:02:03");
    cr_expect_str_eq(text_time(out, 0), "1970-01-01T00:00:00Z");
}

Test(stats, text_repairs_utf8)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"abc", "abc"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"a\xff"
         "b",
         "a?b"},
        {"\xc3", "?"},
        {"\xe2\x82", "??"},
        {"\xc0\xaf", "??"},           // overlong
        {"\xe0\x80\xaf", "???"},      // overlong
        {"\xed\xa0\x80", "???"},      // a surrogate
        {"\xf4\x90\x80\x80", "????"}, // beyond U+10FFFF
        {"\xf8\x88\x80\x80\x80", "?????"},
        {"\xc3\xc3\xbc", "?\xc3\xbc"},
        // One '?' for a character that is hidden or steers, and what follows moves up.
        {"\x1b[2J\x07\t\n\x7f", "?[2J????"},
        {"a\xc2\x9b"
         "31mb\xc2\x80\xc2\xa0",
         "a?31mb?\xc2\xa0"},
        {"\xe2\x80\x8b\xe2\x80\xae\xe2\x81\xa6\xef\xbb\xbf\xf3\xa0\x81\x81z", "?????z"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[32];
        strcpy(text, cases[i][0]);
        text_repair(text);
        cr_expect_str_eq(text, cases[i][1]);
    }
}

// In the C locale, which tests run in.
Test(stats, text_shows_no_control_characters)
{
    static const struct {
        const char *text, *shown;
        int columns;
    } cases[] = {
        {"plain", "plain", 10},
        {"plain", "plain", 5},
        {"plain", "pla~", 4},
        {"plain", "~", 1},
        {"plain", "", 0},
        {"\x1b[31mred\x7f\n", "?[31mred??", 10},
        {"gr\xc3\xbc\xc3\x9f", "gr??", 10},
        {"gr\xc3\xbc\xc3\x9f", "gr~", 3},
        {"\xff\xfe", "??", 10},
    };
    char out[64];

    for (size_t i = 0; i < COUNT(cases); i++) {
        int taken = text_show(out, sizeof(out), cases[i].text, cases[i].columns);
        cr_expect_str_eq(out, cases[i].shown);
        cr_expect(taken == (int) strlen(out));
    }
    // Too little memory rather than too few columns.
    cr_expect(text_show(out, 4, "plain", 10) == 3);
    cr_expect_str_eq(out, "pl~");
    cr_expect(text_show(out, 1, "plain", 10) == 0);
    cr_expect_str_eq(out, "");
}

static void expect_keys_of_schema(const struct stats_counter *c)
{
    for (; c->name; c++) {
        bool known = !c->key;
        for (size_t i = 0; i < schema_n_keys; i++)
            known |= c->key && strcmp(c->key, schema_keys[i].name) == 0;
        cr_expect(known, "%s: no key \"%s\"", c->name, c->key);
    }
}

Test(stats, keys_that_decide_are_in_the_schema)
{
    expect_keys_of_schema(stats_interface_counters);
    expect_keys_of_schema(stats_rule_drops);
    expect_keys_of_schema(stats_stream_counters);
    expect_keys_of_schema(stats_ts_counters);
    expect_keys_of_schema(stats_output_counters);
}
