// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "rig_text.h"

#include <criterion/criterion.h>

#include <ctype.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/digest.h"
#include "stats/counters.h"
#include "stats/layout.h"

// --- lines -----------------------------------------------------------------------------------------------------------

#define DIGEST 64 // hexadecimal digits

static size_t number_of(const char *digest)
{
    static char seen[256][DIGEST + 1];
    static size_t n;
    size_t i = 0;

    while (i < n && strncmp(seen[i], digest, DIGEST) != 0)
        i++;
    if (i == n) {
        cr_assert_lt(n, sizeof(seen) / sizeof(seen[0]));
        memcpy(seen[n++], digest, DIGEST);
    }
    return i + 1;
}

static bool is_word(const char *at, const char *line, const char *word, size_t length)
{
    return length > 0 && strncmp(at, word, length) == 0 && !isalnum((unsigned char) at[length]) &&
           (at == line || !isalnum((unsigned char) at[-1]));
}

void rig_text_write(FILE *to, const char *directory, const char *line)
{
    char pid[32], uid[32], owner[32], version[64];
    const struct {
        const char *word, *name;
    } names[] = {{directory, "DIR"},          {pid, "pid=SELF"},   {uid, "uid=ME"},
                 {owner, "owner=ME"},         {"uid=0", "uid=ME"}, {"owner=0", "owner=ME"},
                 {version, "version=VERSION"}};

    // Who runs the tests, or nobody: as root these are the same.
    snprintf(pid, sizeof(pid), "pid=%d", (int) getpid());
    snprintf(uid, sizeof(uid), "uid=%u", (unsigned) getuid());
    snprintf(owner, sizeof(owner), "owner=%u", (unsigned) getuid());
    snprintf(version, sizeof(version), "version=%s", PACKAGE_VERSION);
    for (const char *at = line; *at;) {
        // Of a process that lives the kernel tells it, whatever was said.
        if (strncmp(at, "loginuid=", 9) == 0) {
            fputs("loginuid=ITS", to);
            at += 9 + strspn(at + 9, "-0123456789");
            continue;
        }
        size_t hex = strspn(at, "0123456789abcdef"), i = 0;
        if (hex == DIGEST) {
            fprintf(to, "#%zu", number_of(at));
            at += hex;
            continue;
        }
        while (i < sizeof(names) / sizeof(names[0]) && !is_word(at, line, names[i].word, strlen(names[i].word)))
            i++;
        if (i < sizeof(names) / sizeof(names[0])) {
            fputs(names[i].name, to);
            at += strlen(names[i].word);
        } else {
            // A number ends where it ends.
            size_t n = hex > 0 ? hex : 1;
            fwrite(at, 1, n, to);
            at += n;
        }
    }
    fputc('\n', to);
}

// --- statistics ------------------------------------------------------------------------------------------------------

static void write_counters(FILE *to, const char *before, const struct stats_counter *c, const void *counters)
{
    for (; c->name; c++) {
        uint64_t n = stats_counter_value(c, counters);
        if (n > 0)
            fprintf(to, " %s%s=%llu", before, c->name, (unsigned long long) n);
    }
}

static void write_header(FILE *to, const char *directory, const struct stats_header *h, uint64_t now_ns)
{
    char line[4096], runs[DIGEST_TEXT_MAX], disk[DIGEST_TEXT_MAX], back[DIGEST_TEXT_MAX];

    snprintf(line, sizeof(line), "- %u: generation %llu of %s, serial %llu; on disk %s: %s %s", h->state,
             (unsigned long long) h->generation, digest_or_none(h->sha256, runs), (unsigned long long) h->serial,
             digest_or_none(h->disk_sha256, disk), stats_config_state_name(h->config_state), h->disk_error);
    rig_text_write(to, directory, line);
    snprintf(line, sizeof(line),
             "- asked %llu, answered %llu, verdict %u %s; broker %u; heartbeat %llu ms ago; loaded at %llu ms",
             (unsigned long long) h->asked, (unsigned long long) h->answered, h->verdict, h->refusal, h->broker_alive,
             (unsigned long long) ((now_ns - h->heartbeat_ns) / 1000000),
             (unsigned long long) (h->loaded_ns / 1000000 % 1000000000));
    rig_text_write(to, directory, line);
    snprintf(line, sizeof(line), "- timed %u, clock %u, valid from %llu until %llu, expired %u", h->timed, h->clock,
             (unsigned long long) h->valid_from, (unsigned long long) h->valid_until, h->expired);
    rig_text_write(to, directory, line);
    snprintf(line, sizeof(line), "- trial ends in %lld ms, goes back to %s; returned: %s",
             h->trial_ends_ns ? (long long) (h->trial_ends_ns - now_ns) / 1000000 : 0,
             digest_or_none(h->returns_to, back), h->returned);
    rig_text_write(to, directory, line);
    snprintf(line, sizeof(line), "- records %llu; instance %s, file %s, inputs %u, keeps %u, not kept %u, pid %u",
             (unsigned long long) h->audit.n, h->instance, h->file, h->inputs_most, h->keeps, h->not_kept, h->pid);
    rig_text_write(to, directory, line);
}

// A field, unless it is 0.
static void write_field(FILE *to, const char *name, uint64_t value)
{
    if (value > 0)
        fprintf(to, " %s=%llu", name, (unsigned long long) value);
}

#define FIELD(struct, name) write_field(to, #name, (struct)->name)

static void write_rest(FILE *to, const char *directory, const struct stats_header *h)
{
    const struct stats_continued *c = &h->continued;
    char line[2048];

    snprintf(line, sizeof(line),
             "- signatures %u of %s by %s; records in %s: %llu wait, %llu lost, %llu changes: %s %s",
             h->signatures.required, h->signatures.trust_file, h->signatures.signed_by, h->audit.file,
             (unsigned long long) h->audit.waiting, (unsigned long long) h->audit.lost,
             (unsigned long long) h->audit.changes, h->audit.changed, h->audit.error);
    rig_text_write(to, directory, line);
    fputs("- continued", to);
    FIELD(c, from_pid);
    FIELD(c, rings);
    FIELD(c, kept);
    FIELD(c, replaced);
    FIELD(c, ended_ns);
    FIELD(c, gap_ns);
    FIELD(c, waiting);
    FIELD(c, dropped);
    fprintf(to, "; started %llu, up since %llu; sequence %u\n", (unsigned long long) (h->started_ns / 1000000),
            (unsigned long long) (h->started_boottime_ns / 1000000), h->sequence % 2);
}

static void write_rule(FILE *to, const struct stats_segment *s, const struct stats_rule *r, uint64_t now_ns)
{
    fprintf(to, "- rule %s (%s): %s %s; alarms %x; packets=%llu bytes=%llu", r->name, r->note,
            stats_rule_state_name(r->state), r->reason, r->alarms, (unsigned long long) r->counters.packets,
            (unsigned long long) r->counters.bytes);
    if (r->counters.last_packet_ns)
        fprintf(to, " last %llu ms ago", (unsigned long long) ((now_ns - r->counters.last_packet_ns) / 1000000));
    write_counters(to, "dropped_", stats_rule_drops, &r->counters.drops);
    write_counters(to, "", stats_merge_counters, &r->merged);
    FIELD(r, merge);
    if (r->merge)
        fprintf(to, " active_leg=%d", (int) r->active_leg);
    FIELD(r, two_streams);
    FIELD(r, reorder_ms);
    FIELD(r, messages);
    FIELD(r, active_from);
    FIELD(r, active_until);
    FIELD(&r->residence, sum_ns);
    FIELD(&r->residence, max_ns);
    FIELD(&r->residence, clock_steps);
    fputc('\n', to);
    for (uint32_t i = r->first_input; i < r->first_input + r->n_inputs; i++) {
        const struct stats_input *in = &s->inputs[i];
        fprintf(to, "-   %s %s %s vlan %u: alarms %x", in->leg, s->interfaces[in->interface].name, in->to, in->vlan,
                in->alarms);
        write_counters(to, "", stats_input_counters, &in->counters);
        write_counters(to, "", stats_leg_counters, &in->merged);
        write_counters(to, "", stats_stream_counters, &in->stream);
        write_counters(to, "ts_", stats_ts_counters, &in->ts);
        FIELD(in, as);
        FIELD(in, skew_us);
        FIELD(in, skew_count);
        FIELD(in, skew_max_us);
        fputc('\n', to);
    }
    for (uint32_t i = r->first_output; i < r->first_output + r->n_outputs; i++) {
        fprintf(to, "-   %s:", s->outputs[i].to);
        write_counters(to, "", stats_output_counters, &s->outputs[i].counters);
        FIELD(&s->outputs[i].counters, largest_run);
        fputc('\n', to);
    }
}

void rig_text_statistics(FILE *to, const char *directory, const char *path, uint64_t now_ns)
{
    struct stats_segment s;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        fputs("- no statistics\n", to);
        return;
    }
    cr_assert(fstat(fd, &st) == 0 && (size_t) st.st_size >= sizeof(struct stats_header));
    const struct stats_header *h = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(h != MAP_FAILED && h->size == st.st_size);
    close(fd);
    stats_segment_place(&s, (void *) h, h->n_interfaces, h->n_rules, h->n_inputs);
    write_header(to, directory, h, now_ns);
    write_rest(to, directory, h);
    for (uint32_t i = 0; i < h->n_interfaces; i++) {
        fprintf(to, "- %s %s:", s.interfaces[i].name, stats_interface_state_name(s.interfaces[i].state));
        write_counters(to, "", stats_interface_counters, &s.interfaces[i].counters);
        fputc('\n', to);
    }
    for (uint32_t i = 0; i < h->n_rules; i++)
        write_rule(to, &s, &s.rules[i], now_ns);
    munmap((void *) h, (size_t) st.st_size);
}

// --- transcripts -----------------------------------------------------------------------------------------------------

static char *read_golden(const char *path)
{
    char *text = calloc(1, 1 << 20);
    FILE *f = fopen(path, "r");

    cr_assert_not_null(text);
    if (f) {
        cr_assert_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
        fclose(f);
    }
    return text;
}

void rig_text_compare(const char *text, size_t size, const char *name)
{
    const char *top = getenv("srcdir");
    char path[512];

    snprintf(path, sizeof(path), "%s/tests/unit/transcripts/%s.txt", top ? top : ".", name);
    if (getenv("UPDATE")) {
        FILE *f = fopen(path, "w");
        cr_assert(f && fwrite(text, 1, size, f) == size);
        fclose(f);
        return;
    }
    char *wanted = read_golden(path);
    unsigned line = 1;
    size_t i = 0, begin = 0;
    for (; wanted[i] && wanted[i] == text[i]; i++)
        if (wanted[i] == '\n') {
            begin = i + 1;
            line++;
        }
    cr_expect(wanted[i] == text[i], "%s:%u: not\n%.*s\nbut\n%.*s", path, line, (int) strcspn(wanted + begin, "\n"),
              wanted + begin, (int) strcspn(text + begin, "\n"), text + begin);
    free(wanted);
}
