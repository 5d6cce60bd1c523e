// SPDX-License-Identifier: Apache-2.0
// A capture through the file's rules, as if it came in now.
#include <config.h>

#include "command/command.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <linux/if_packet.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/replay.h"
#include "common/exit.h"
#include "config/load.h"

static int __attribute__((format(printf, 2, 3))) trouble(const char *path, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "mcrd: %s: ", path);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_TROUBLE;
}

static void take_output(void *context, const struct table_output *o, const uint8_t *frame, size_t length)
{
    struct replay *r = context;

    (void) o;
    r->n_frames++;
    if (r->writer)
        capture_write(r->writer, r->frame.time_ns, frame, length);
}

// --- one packet ------------------------------------------------------------------------------------------------------

static const uint8_t no_station[6];

// Which way a frame went: where the capture does not tell, by the hardware address of the interface, if that is here.
static uint8_t kind_of(const struct replay *r)
{
    const struct link *l = &r->offline->links[r->interface];
    const struct capture_frame *f = &r->frame;

    if (!f->stations || f->length < 12 || l->assumed || memcmp(l->mac, no_station, sizeof(l->mac)) == 0)
        return f->kind;
    if (memcmp(f->bytes + 6, l->mac, sizeof(l->mac)) == 0)
        return PACKET_OUTGOING;
    return !(f->bytes[0] & 1) && memcmp(f->bytes, l->mac, sizeof(l->mac)) != 0 ? PACKET_OTHERHOST : PACKET_HOST;
}

static void tally(struct replay *r, const char *name)
{
    struct tally *t = r->verdicts;

    while (t < r->verdicts + VERDICTS_MAX - 1 && t->name && strcmp(t->name, name) != 0)
        t++;
    t->name = name;
    t->n++;
}

static void judge(struct replay *r)
{
    static const struct offline_verdict truncated = {.name = "truncated", .path = TABLE_NONE};
    struct capture_frame *f = &r->frame;

    r->parsed = PACKET_MALFORMED;
    if (f->truncated) {
        r->verdict = truncated;
        r->truncated++;
    } else {
        r->parsed = packet_parse(&r->packet, f->bytes, f->length, &f->meta);
        if (r->parsed == PACKET_OK && packet_checksum_unfinished(&r->packet)) {
            f->meta.checksum_vouched = true;
            r->unfinished++;
        }
        size_t headers = r->packet.source.family == ADDR_IPV4 ? 28 : 48;
        if (r->parsed == PACKET_OK && r->packet.length + headers > r->offline->links[r->interface].mtu)
            r->merged++;
        offline_frame(r->offline, r->interface, f->time_ns, f->bytes, f->length, &f->meta, kind_of(r), &r->verdict);
    }
    tally(r, r->verdict.name);
}

// --- all of them -----------------------------------------------------------------------------------------------------

static int run(struct replay *r)
{
    const struct replay_options *o = r->options;
    char why[CAPTURE_WHY_MAX];
    enum capture_result result;

    replay_show_head(r);
    while ((result = capture_next(r->capture, &r->frame, why)) == CAPTURE_FRAME) {
        if (r->n++ == 0)
            r->first_ns = r->frame.time_ns;
        judge(r);
        if (!o->quiet)
            replay_show_packet(r);
    }
    offline_end(r->offline);
    replay_show_end(r, result == CAPTURE_DAMAGED);
    if (result == CAPTURE_DAMAGED)
        trouble(o->capture, "is damaged behind packet %" PRIu64 ": %s", r->n, why);
    return result == CAPTURE_DAMAGED ? 1 : 0;
}

// --- files and rights ------------------------------------------------------------------------------------------------

// After this, nothing can be opened any more, and what a hostile capture may make of this process is of no use.
static bool give_up_rights(enum sandbox_mode mode)
{
    json_object_seed(0); // reads random bytes
    if (sandbox_capabilities() != 0 && !sandbox_drop(SANDBOX_RELAY, getuid(), getgid()))
        return false;
    return sandbox_filter(SANDBOX_RELAY, mode);
}

static bool is_same_file(FILE *capture, const char *out)
{
    struct stat a, b;

    return fstat(fileno(capture), &a) == 0 && stat(out, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int open_and_run(struct replay *r)
{
    const struct replay_options *o = r->options;
    FILE *capture = fopen(o->capture, "rbe"), *out = NULL;
    char why[CAPTURE_WHY_MAX];
    int status;

    if (!capture)
        return trouble(o->capture, "cannot be opened: %s", strerror(errno));
    if (o->out && is_same_file(capture, o->out)) {
        fclose(capture);
        return trouble(o->out, "is the capture itself");
    }
    if (o->out && !(out = fopen(o->out, "wbe"))) {
        status = trouble(o->out, "cannot be written: %s", strerror(errno));
        fclose(capture);
        return status;
    }
    if (!give_up_rights(o->sandbox))
        exit(EXIT_TROUBLE); // told; what is open goes with the process
    r->capture = capture_open(capture, why);
    if (!r->capture) {
        if (out)
            fclose(out);
        return trouble(o->capture, "%s", why);
    }
    if (out && !(r->writer = capture_create(out, why))) {
        capture_close(r->capture);
        return trouble(o->out, "%s", why);
    }
    status = run(r);
    if (r->writer && !capture_finish(r->writer)) {
        trouble(o->out, "cannot be written: %s", strerror(errno));
        status = 1;
    }
    capture_close(r->capture);
    return command_flush(r->config->path, true) ? status : 1;
}

static int choose_interface(struct replay *r)
{
    const struct table_view *t = &r->offline->table;
    const char *before = "", *name = r->options->interface;

    r->interface = offline_input(r->offline, name);
    if (r->interface != TABLE_NONE)
        return 0;
    fprintf(stderr, name ? "mcrd: --interface is \"%s\"" : "mcrd: --replay needs --interface", name);
    fputs(", allowed are the inputs of the file's rules: ", stderr);
    for (uint32_t i = 0; i < t->n_interfaces; i++)
        if (t->interfaces[i].ring_id != 0) {
            fprintf(stderr, "%s%s", before, t->interfaces[i].name);
            before = ", ";
        }
    fputs(*before ? "\n" : "none\n", stderr);
    return EXIT_TROUBLE;
}

int command_replay(const char *path, const struct replay_options *options)
{
    char why[COMPILE_WHY_MAX > CAPTURE_WHY_MAX ? COMPILE_WHY_MAX : CAPTURE_WHY_MAX];
    struct replay *r = calloc(1, sizeof(*r));
    int status = EXIT_TROUBLE;

    if (!r || !capture_load(why)) {
        fprintf(stderr, "mcrd: %s\n", r ? why : strerror(ENOMEM));
        free(r);
        return EXIT_TROUBLE;
    }
    r->options = options;
    r->config = command_load_anywhere(path);
    if (r->config && !(r->offline = offline_open(r->config, take_output, r, why)))
        trouble(path, "%s", why);
    if (r->offline && (status = choose_interface(r)) == 0)
        status = open_and_run(r);
    offline_close(r->offline);
    config_free(r->config);
    free(r);
    return status;
}
