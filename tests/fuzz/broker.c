// SPDX-License-Identifier: Apache-2.0
// broker: the broker's side of the handover with a relay that says anything: messages of any kind and order, of any
// length, with descriptors, and verdicts that nobody asked for, while the file and the links change. What it answers is
// well formed, every table that it offers is sealed and valid, and what is open in the end is what was. The input is a
// list of what happens.
#include <config.h>

#include "fuzz.h"

// Its requests are served by functions of its own.
#include "broker/broker.c" // NOLINT

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "machine.h"
#include "stats/layout.h"

static char config_path[80], stats_path[80], audit_path[80];

struct rig {
    struct broker broker;
    struct broker_options options;
    int relay; // the other end
    struct fuzz_input *in;
    uint32_t serial;    // of the last request
    uint32_t pool;      // serial of the request that the sockets for rings came with; 0: none yet
    uint64_t ids[4096]; // of the sockets that came
    size_t n_ids;
};

// --- the file --------------------------------------------------------------------------------------------------------

static void remove_files(void)
{
    static const char *const names[] = {"mcr.conf",
                                        "stats",
                                        "stats.new",
                                        "stats.back",
                                        "stats.back.new",
                                        "running.conf",
                                        "running.conf.new",
                                        "running.conf.back",
                                        "running.conf.back.new",
                                        "audit"};
    char path[96];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", fuzz_directory(), names[i]);
        unlink(path);
    }
}

static void write_config(uint8_t which)
{
    int fd = open(config_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, which & 16 ? 0666 : 0600);
    char text[8192];
    const char *config = machine_configs[(which & 7) % machine_n_configs];

    FUZZ_ASSERT(fd >= 0 && fchmod(fd, which & 16 ? 0666 : 0600) == 0);
    int n = snprintf(text, sizeof(text), "%suser=\"%s\";group=\"mcr\";stats_file=\"%s\";%s%s", config,
                     which & 32 ? "other" : "mcr", stats_path, which & 8 ? "trial={seconds=600;};" : "",
                     which & 64 ? "nonsense" : "");
    FUZZ_ASSERT(n > 0 && (size_t) n < sizeof(text) && write(fd, text, (size_t) n) == n);
    close(fd);
    if (which & 128)
        unlink(config_path);
}

// --- what the relay says ---------------------------------------------------------------------------------------------

static void say(struct rig *x, const struct handover_message *m, size_t size, size_t n_fds)
{
    const int fds[4] = {x->relay, x->relay, x->relay, x->relay};

    fuzz_say(x->relay, m, size, fds, n_fds);
}

static void request(struct rig *x, enum handover_type type)
{
    struct handover_message m = {.type = type, .serial = ++x->serial};

    if (type == HANDOVER_LOAD || type == HANDOVER_CONFIRM)
        m.asker.pid = fuzz_u8(x->in);
    else if (type == HANDOVER_LINKS)
        m.ring = fuzz_u8(x->in);
    say(x, &m, sizeof(m), 0);
}

static void verdict(struct rig *x, enum handover_type type)
{
    struct handover_message m = {.type = type, .serial = x->serial};

    say(x, &m, sizeof(m), 0);
}

static void say_anything(struct rig *x)
{
    struct handover_message m = {.type = fuzz_u8(x->in), .serial = x->serial};
    uint8_t n_fds = fuzz_u8(x->in);
    size_t size = sizeof(m);

    m.n_fds = n_fds & 3;
    fuzz_patch(x->in, &m, sizeof(m));
    if (m.probe_state == 0xee)
        size = fuzz_u16(x->in) % sizeof(m);
    say(x, &m, size, n_fds & 128 ? n_fds >> 2 & 3 : n_fds & 3);
}

// --- what the broker answers -----------------------------------------------------------------------------------------

static void check_offer(const int *fds)
{
    const int sealed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    off_t size = lseek(fds[0], 0, SEEK_END);
    struct table_view v;
    struct stat st;
    const char *why;

    FUZZ_ASSERT((fcntl(fds[0], F_GET_SEALS) & sealed) == sealed && size > 0);
    void *memory = mmap(NULL, (size_t) size, PROT_READ, MAP_SHARED, fds[0], 0);
    FUZZ_ASSERT(memory != MAP_FAILED && table_attach(&v, memory, (size_t) size, &why));
    FUZZ_ASSERT(fstat(fds[1], &st) == 0);
    FUZZ_ASSERT(st.st_size == (off_t) stats_segment_size(v.n_interfaces, v.n_rules, v.n_inputs, v.n_counters));
    munmap(memory, (size_t) size);
}

// No socket comes twice, and no id is given twice.
static void check_sockets(struct rig *x, const struct handover_message *m)
{
    for (uint32_t i = 0; m->type == HANDOVER_SOCKETS && i < m->n_fds; i++) {
        for (size_t j = 0; j < x->n_ids; j++)
            FUZZ_ASSERT(x->ids[j] != m->sockets[i].id);
        FUZZ_ASSERT(m->sockets[i].kind <= HANDOVER_HOLD && x->n_ids < sizeof(x->ids) / sizeof(x->ids[0]));
        x->ids[x->n_ids++] = m->sockets[i].id;
    }
}

static void hear(struct rig *x)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    enum handover_result result;

    while ((result = handover_receive(x->relay, &m, fds)) != HANDOVER_EMPTY) {
        FUZZ_ASSERT(result == HANDOVER_GOT);
        FUZZ_ASSERT(m.type == HANDOVER_OFFER ? m.n_fds == HANDOVER_PLAIN || m.n_fds == HANDOVER_TRIAL
                    : m.type == HANDOVER_SOCKETS || m.type == HANDOVER_POOL ? m.n_fds > 0
                                                                            : m.n_fds == 0);
        // They come with the first table that is offered, whatever becomes of it.
        if (m.type == HANDOVER_POOL && x->pool == 0)
            x->pool = m.serial;
        FUZZ_ASSERT(m.type != HANDOVER_POOL || m.serial == x->pool);
        if (m.type == HANDOVER_OFFER)
            check_offer(fds);
        else if (m.type == HANDOVER_SOCKETS || m.type == HANDOVER_POOL)
            check_sockets(x, &m);
        else if (m.type == HANDOVER_REFUSED)
            FUZZ_ASSERT(memchr(m.text, '\0', sizeof(m.text)) && m.text[0]);
        else if (m.type == HANDOVER_PROBED)
            FUZZ_ASSERT(m.probe_state <= STATS_CONFIG_INVALID && memchr(m.text, '\0', sizeof(m.text)) &&
                        (m.probe_state == STATS_CONFIG_INVALID) == (m.text[0] != '\0'));
        else
            FUZZ_ASSERT(m.type == HANDOVER_COMMIT || m.type == HANDOVER_ADOPTED || m.type == HANDOVER_UNCHANGED ||
                        m.type == HANDOVER_KEPT);
        for (uint32_t i = 0; i < m.n_fds; i++)
            close(fds[i]);
    }
}

// One message of the queue, as serve() does it. False when the broker would end.
static bool serve_one(struct rig *x)
{
    struct broker *b = &x->broker;
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];
    enum handover_result result = handover_receive(b->relay, &m, fds);

    if (result == HANDOVER_EMPTY)
        return true;
    if (result != HANDOVER_GOT)
        return false;
    bool on_trial = b->trial.config != NULL, served = serve_request(b, &m);
    for (uint32_t i = 0; i < m.n_fds; i++)
        close(fds[i]);
    FUZZ_ASSERT(served == (m.type == HANDOVER_LOAD || m.type == HANDOVER_LINKS || m.type == HANDOVER_PROBE ||
                           m.type == HANDOVER_CONFIRM || (m.type == HANDOVER_RETURNED && on_trial)));
    FUZZ_ASSERT(!b->trial.config == !b->trial.image.bytes && (!b->trial.config || b->config));
    FUZZ_ASSERT(!b->config == !b->running.bytes);
    return served && !b->over;
}

static bool step(struct rig *x)
{
    bool goes_on = true;

    switch (fuzz_u8(x->in) % 10) {
    case 0:
        say_anything(x);
        break;
    case 1:
        write_config(fuzz_u8(x->in));
        return true;
    case 2:
        machine_flapped = !machine_flapped;
        return true;
    case 3:
        verdict(x, HANDOVER_ADOPTED);
        return true;
    case 4:
        request(x, HANDOVER_PROBE);
        break;
    case 5:
        request(x, HANDOVER_LINKS);
        verdict(x, HANDOVER_ADOPTED);
        break;
    case 6:
        request(x, HANDOVER_LOAD);
        if (x->serial % 2)
            verdict(x, HANDOVER_SWAPPED);
        verdict(x, HANDOVER_ADOPTED);
        break;
    case 7:
        request(x, HANDOVER_LOAD);
        verdict(x, HANDOVER_REJECTED);
        break;
    case 8:
        request(x, HANDOVER_CONFIRM);
        verdict(x, HANDOVER_ADOPTED);
        break;
    case 9:
        request(x, HANDOVER_RETURNED);
        verdict(x, HANDOVER_ADOPTED);
        break;
    }
    goes_on = serve_one(x);
    hear(x);
    return goes_on;
}

// --- life ------------------------------------------------------------------------------------------------------------

static void open_rig(struct rig *x, struct fuzz_input *in, int inotify)
{
    struct broker *b = &x->broker;
    struct config_bytes bytes = {.text = NULL};
    int ends[2];

    remove_files();
    write_config(0);
    machine_flapped = false;
    FUZZ_ASSERT(handover_pair(ends));
    // Where nothing is said, nobody waits.
    FUZZ_ASSERT(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    x->relay = ends[0];
    x->in = in;
    x->options = (struct broker_options){
        .sandbox = SANDBOX_OFF, .config_path = config_path, .trust_path = "none", .inotify = inotify};
    *b = (struct broker){.options = &x->options, .relay = ends[1], .watch.inotify = inotify, .trial.fds = {-1, -1, -1}};
    keep_init(&b->keep);
    audit_init(&b->audit);
    audit_prepare(&b->audit, audit_path, getuid(), getgid());
    audit_open(&b->audit, NULL);
    b->sockets = sockets_new(&machine_any, 0);
    FUZZ_ASSERT(b->sockets && start_read_identity(b, &bytes) && start_judge(b, &bytes));
}

static void close_rig(struct rig *x)
{
    struct broker *b = &x->broker;

    keep_free(&b->keep);
    audit_free(&b->audit);
    sockets_free(b->sockets);
    free(b->running.bytes);
    trial_end(b);
    config_free(b->config);
    text_free(&b->text);
    close(b->relay);
    close(x->relay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int inotify = -1;
    static struct rig x;
    struct fuzz_input in = {.at = data, .left = size};
    char events[4096];
    bool goes_on = true;

    snprintf(config_path, sizeof(config_path), "%s/mcr.conf", fuzz_directory());
    snprintf(stats_path, sizeof(stats_path), "%s/stats", fuzz_directory());
    snprintf(audit_path, sizeof(audit_path), "%s/audit", fuzz_directory());
    if (inotify < 0)
        inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int open_before = fuzz_descriptors();
    memset(&x, 0, sizeof(x));
    open_rig(&x, &in, inotify);
    for (int i = 0; goes_on && in.left > 0 && i < 32; i++)
        goes_on = step(&x);
    shutdown(x.relay, SHUT_WR);
    if (goes_on)
        serve(&x.broker);
    hear(&x);
    close_rig(&x);
    while (read(inotify, events, sizeof(events)) > 0)
        ;
    FUZZ_ASSERT(fuzz_descriptors() == open_before);
    return 0;
}
