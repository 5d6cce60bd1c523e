// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/statistics.h"
#include "common/clock.h"
#include "compile/compile.h"
#include "config/endpoint.h"
#include "config/problems.h"
#include "log/log.h"

// How long the broker waits for the relay's verdict, which takes less than a second. Longer than the watchdog of the
// unit (contrib/systemd) lets the relay hang.
#define VERDICT_MS 60000

// How long a record waits for room in standard error.
#define RECORD_MS 2000

// --- the file --------------------------------------------------------------------------------------------------------

struct reading {
    struct config *config; // NULL: the file is refused
    struct signatures signatures;
    char signed_by[SIGNATURES_NAMES_MAX];
    struct config_bytes bytes;
    struct handover_file file;
    char why[1024]; // reason of the refusal
};

static struct handover_file describe(const struct config_file_info *info, uint32_t login)
{
    struct handover_file f = {
        .size = info->size,
        .mtime_s = info->mtime.tv_sec,
        .mtime_ns = (uint32_t) info->mtime.tv_nsec,
        .owner = info->owner,
        .mode = info->mode,
        .loginuid = login,
    };

    memcpy(f.sha256, info->sha256, sizeof(f.sha256));
    return f;
}

// Adds to the reason why the file cannot be read. If its mode or owner denies access, a change of these suffices, and
// is needed before the next start; if Landlock denies it, mcrd must be restarted.
static void tell_denial(const struct broker *b, struct reading *r)
{
    const struct file_reader reader = {.user = b->as_user, .group = b->as_group, .uid = b->uid, .gid = b->gid};
    size_t used = strlen(r->why);
    char shut[FILE_WHY_MAX];

    if (r->bytes.open_error != EACCES)
        return;
    if (file_is_shut(b->options->config_path, &reader, shut))
        snprintf(r->why + used, sizeof(r->why) - used, "; %s", shut);
    else if (b->landlock)
        snprintf(r->why + used, sizeof(r->why) - used,
                 "; mcrd may only read directories that existed when it started: restart it to use this one");
}

// Reads and checks the file that the mcrd before ran. The caller calls reading_free().
static void reading_take_kept(struct broker *b, uint32_t login, struct reading *r)
{
    struct config_problems problems = {0};

    *r = (struct reading){.config = NULL};
    if (keep_file_before(&b->keep, &r->bytes))
        r->config = config_load_text(r->bytes.text, r->bytes.size, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    if (r->config)
        approve_kept(b, &r->bytes, &r->signatures);
    r->file = describe(&r->bytes.info, login);
    if (r->config)
        r->config->file = r->bytes.info;
    snprintf(r->why, sizeof(r->why), "%s", r->config ? r->signatures.why : "the file that ran was not kept");
    config_problems_free(&problems);
}

// Reads and checks the file as it is now. print: write every problem to stderr; else only the first one
// is reported, to the relay. The caller calls reading_free().
static void reading_take(struct broker *b, bool print, uint32_t login, struct reading *r)
{
    struct config_problems problems = {0};

    *r = (struct reading){.config = NULL};
    watch_update(&b->watch, b->options->config_path);
    approve_look(b);
    r->config = config_load(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems, &r->bytes);
    r->file = describe(&r->bytes.info, login);
    if (!r->config) {
        if (print)
            record_problems(&problems, b->options->config_path);
        config_problems_first(&problems, b->options->config_path, r->why, sizeof(r->why));
        tell_denial(b, r);
    }
    config_problems_free(&problems);
    if (r->config &&
        (strcmp(r->config->user, b->user) != 0 || strcmp(r->config->group, b->group) != 0 ||
         strcmp(r->config->stats_file, b->stats_file) != 0 || strcmp(r->config->audit_file, b->audit_file) != 0)) {
        snprintf(r->why, sizeof(r->why),
                 "%s: user, group, stats_file and audit_file are fixed at the start (%s, %s, %s, %s): restart to "
                 "change them",
                 b->options->config_path, b->user, b->group, b->stats_file, b->audit_file[0] ? b->audit_file : "none");
        config_free(r->config);
        r->config = NULL;
    }
    if (!r->config)
        return;
    approve_disk(b, &r->bytes, &r->signatures);
    if (!r->signatures.enough) {
        snprintf(r->why, sizeof(r->why), "%s: %s", b->options->config_path, r->signatures.why);
        if (print)
            log_plain(LOG_LEVEL_ERR, r->why, strlen(r->why));
    }
}

static void reading_free(struct reading *r)
{
    signatures_free(&r->signatures);
    config_free(r->config);
    file_free(&r->bytes);
}

// --- requests --------------------------------------------------------------------------------------------------------

// Counts the rules that next adds, removes and changes. *before: what it is compared with at the start, or NULL. The
// caller frees the diff and *before, to which it points.
static bool compare(const struct broker *b, const struct config *next, struct attempt *a, struct diff *d,
                    struct config **before)
{
    static const struct config nothing;

    *before = b->config ? NULL : start_before(b, a->before, next);
    if (!diff_make(d, b->config ? b->config : *before ? *before : &nothing, next))
        return false;
    a->compared = b->config || *before;
    a->file.added = (uint32_t) d->n_added;
    a->file.removed = (uint32_t) d->n_removed;
    a->file.changed = (uint32_t) d->n_changed;
    return true;
}

// Opens the sockets for rings at the first load. Refuses a later load that needs more of them.
static bool make_room(struct broker *b, struct attempt *a, const struct config *c)
{
    size_t n = config_input_interfaces(c), most = sockets_inputs(b->sockets);
    const char *step = "";

    if (b->config && n > most)
        snprintf(a->why, sizeof(a->why),
                 "%s: %zu input interfaces, and sockets for %zu: mcrd opens them at its start only: restart it",
                 b->options->config_path, n, most);
    else if (!b->config && !sockets_open_pool(b->sockets, n, &step))
        snprintf(a->why, sizeof(a->why), "sockets for rings: %s: %s", step, strerror(errno));
    return a->why[0] == '\0';
}

// Loads what was read. Returns whether it is in force; if not, a->why has the reason, unless the relay has got none.
static bool load_reading(struct broker *b, struct attempt *a, struct reading *r)
{
    struct diff changes = {.rules = NULL};
    struct config *before = NULL;

    if (r->config) {
        approve_date(b, r->config);
        validity_set(b, r->config);
    }
    a->begins_trial = r->config && trial_begins(b, r->config);

    a->file = r->file;
    bool compared = r->config && compare(b, r->config, a, &changes, &before), adopted = false, start = !b->config;

    // At the start before its record; else nothing of a file counts that is not in force.
    if (r->config && r->signatures.enough && !b->config)
        b->audit.most = (uint64_t) r->config->audit_mib << 20;
    a->signed_by = signatures_names(&b->approval.trust, &r->signatures, false, r->signed_by);
    if (!r->config || !r->signatures.enough)
        memcpy(a->why, r->why, sizeof(a->why));
    else if (!trial_admit(b, a))
        ; // a->why has the reason
    else if (!compared)
        snprintf(a->why, sizeof(a->why), "%s", strerror(ENOMEM));
    else
        adopted = ((!b->config && b->goes_on) ||
                   (validity_admit(b, r->config, a->why) && validity_scheduled(b, r->config, a->why))) &&
                  make_room(b, a, r->config) && offer_config(b, a, r->config) == ADOPTED;
    if (adopted) {
        if (!start)
            b->left[0] = '\0';
        if (a->begins_trial)
            offer_save_running(b, true, &b->text.bytes);
        offer_save_running(b, false, &r->bytes);
        // Not at a start behind nothing, when every rule is new.
        if (a->compared)
            record_changes(b, &changes, a);
        if (a->begins_trial)
            trial_begin(b, r->config); // a start goes on with the file before
        else
            keep_file(&b->keep, &r->bytes, r->signatures.text, r->signatures.size);
        if (a->ends_trial)
            trial_end(b);
        memcpy(b->approval.signed_by, r->signed_by, sizeof(b->approval.signed_by));
        keep_settle(&b->keep, b->sockets, &b->view);
        config_free(b->config);
        b->config = r->config;
        r->config = NULL;
        text_free(&b->text);
        b->text = (struct text){r->bytes, r->signatures.text, r->signatures.size};
        r->bytes.text = r->signatures.text = NULL;
        b->audit.most = (uint64_t) b->config->audit_mib << 20;
        validity_tell(b);
    }
    diff_free(&changes);
    config_free(before);
    return adopted;
}

// Records why a start goes on with what ran before. Its errors have been printed.
static void record_disk(struct broker *b, const struct attempt *of)
{
    struct attempt a = *of;
    struct reading r;

    reading_take(b, false, asker_login(a.asker), &r);
    a.file = r.file;
    memcpy(a.why, r.why, sizeof(a.why));
    if (!r.config || !r.signatures.enough)
        record_refused(b, &a);
    reading_free(&r);
}

static void load(struct broker *b, uint32_t serial, const struct handover_asker *asker)
{
    const struct table_view *before = offer_before(b);
    struct attempt a = {.serial = serial,
                        .asker = asker,
                        .signed_by = "",
                        .began_ns = clock_monotonic_ns(),
                        .generation = before ? before->header->generation + 1 : 1};
    uint32_t login = asker_login(asker);
    struct reading r;

    keep_digest(&b->keep, before, a.before);
    if (!b->config && b->disk_refused)
        record_disk(b, &a);
    if (!b->config && b->goes_on)
        reading_take_kept(b, login, &r);
    else
        reading_take(b, true, login, &r);
    bool adopted = load_reading(b, &a, &r);
    reading_free(&r);
    // A restart is a reload: what a file is refused for at a start that goes on leaves what ran. And where what ran is
    // refused, as by a newer version, a start is a start.
    bool other = b->goes_on ? !b->disk_refused : start_kept_fits(b);
    if (!adopted && !b->config && !a.offered && !b->over && other) {
        char why[sizeof(a.why)];
        record_refused(b, &a);
        b->goes_on = !b->goes_on;
        memcpy(why, a.why, sizeof(why));
        a.why[0] = '\0';
        b->left[0] = '\0';
        if (b->goes_on)
            reading_take_kept(b, login, &r);
        else
            reading_take(b, true, login, &r);
        if (!b->goes_on && r.config && r.signatures.enough)
            start_leaves(b, r.file.sha256, why);
        adopted = load_reading(b, &a, &r);
        reading_free(&r);
    }
    if (a.why[0])
        offer_refuse(b, &a);
    if (b->config)
        b->goes_on = b->disk_refused = false;
    if (b->config && b->keep.trial_generation > 0)
        trial_ended_by_start(b);
    // A refused start ends both processes. The relay sees packets before its verdict. If it is compromised by then, it
    // must not get the sockets for rings a second time, at descriptors that it may write to.
    if (!b->config) {
        b->over = true;
        b->status = EXIT_FAILURE;
    }
}

void broker_follow(struct broker *b, uint32_t serial)
{
    struct handover_message unchanged = {.type = HANDOVER_UNCHANGED, .serial = serial};
    struct attempt a = {.serial = serial, .signed_by = b->approval.signed_by};

    if (!b->config) {
        offer_answer(b, &unchanged);
        return;
    }
    if (b->trial.over) {
        snprintf(a.why, sizeof(a.why), "the trial is over");
        offer_refuse(b, &a);
        return;
    }
    a.generation = b->view.header->generation;
    a.file = describe(&b->config->file, UINT32_MAX);
    validity_set(b, b->config);
    enum outcome outcome = offer_config(b, &a, b->config);
    if (outcome == REFUSED && !a.offered && !b->over && validity_leave_out(b, a.why)) {
        a.why[0] = '\0';
        outcome = offer_config(b, &a, b->config);
    }
    switch (outcome) {
    case ADOPTED:
        keep_settle(&b->keep, b->sockets, &b->view);
        validity_tell(b);
        break;
    case UNCHANGED:
        offer_answer(b, &unchanged);
        break;
    case REFUSED:
        if (a.why[0])
            offer_refuse(b, &a);
        break;
    }
}

// Judges the file on the disk. Its signatures may come for some time, during which a file that is valid counts as if it
// had them; the reason then says that it waits.
static enum stats_config_state judge(struct broker *b, struct reading *r)
{
    enum stats_config_state state = STATS_CONFIG_PENDING;

    if (!r->config)
        return STATS_CONFIG_INVALID;
    if (b->config && memcmp(r->file.sha256, b->config->file.sha256, sizeof(r->file.sha256)) == 0)
        state = STATS_CONFIG_CURRENT;
    else if (!validity_admit(b, r->config, r->why) || !validity_judge(b, r->config, r->why))
        return STATS_CONFIG_INVALID;
    bool waits = approve_waits(b, r->file.sha256, &r->signatures);
    if (r->signatures.enough)
        return state;
    snprintf(r->why, sizeof(r->why), "%s: %s%s", b->options->config_path, waits ? "waits for " : "", r->signatures.why);
    return waits ? state : STATS_CONFIG_INVALID;
}

static void probe(struct broker *b, uint32_t serial)
{
    struct handover_message m = {.type = HANDOVER_PROBED, .serial = serial};
    struct reading r;

    reading_take(b, false, UINT32_MAX, &r);
    m.file = r.file;
    m.probe_state = judge(b, &r);
    memcpy(m.text, r.why, sizeof(m.text));
    offer_answer(b, &m);
    reading_free(&r);
}

static bool serve_request(struct broker *b, const struct handover_message *m)
{
    switch (m->type) {
    case HANDOVER_LOAD:
        load(b, m->serial, &m->asker);
        return true;
    case HANDOVER_LINKS:
        sockets_give_up_ring(b->sockets, m->ring, clock_monotonic_ns());
        broker_follow(b, m->serial);
        return true;
    case HANDOVER_CONFIRM:
        trial_confirm(b, m);
        return true;
    case HANDOVER_RETURNED:
        if (!trial_returned(b, m))
            return false;
        broker_follow(b, m->serial);
        return true;
    case HANDOVER_PROBE:
        probe(b, m->serial);
        return true;
    default:
        return false;
    }
}

// Returns whether the relay has sent a request before the answer to its last one. It may only send its verdict on an
// offer meanwhile.
static bool asks_again(const struct broker *b)
{
    struct pollfd p = {.fd = b->relay, .events = POLLIN};

    return poll(&p, 1, 0) == 1 && !(p.revents & POLLHUP);
}

// How often the service manager is tried again that had no room for news of descriptors.
#define STORE_MS 100

// How often statistics are tried again that could not be put in their place.
#define PUBLISH_MS 1000

// Of two times to wait, the shorter; -1: for ever.
static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

// Waits for a request. Meanwhile it tells the service manager what it does not know yet, writes records that wait, puts
// statistics in their place that could not be, and closes what has ended.
static void wait_for_request(struct broker *b)
{
    struct pollfd p = {.fd = b->relay, .events = POLLIN};

    for (;;) {
        int wait_ms = sooner(validity_wait_ms(b), audit_wait_ms(&b->audit, clock_monotonic_ns()));
        if (!keep_tell(&b->keep))
            wait_ms = sooner(wait_ms, STORE_MS);
        wait_ms = sooner(wait_ms, trial_wait_ms(b));
        if (b->unpublished)
            wait_ms = sooner(wait_ms, PUBLISH_MS);
        validity_look(b);
        trial_look(b);
        if (poll(&p, 1, wait_ms) != 0)
            return;
        b->unpublished = b->unpublished && !statistics_publish(b->stats_file);
        audit_tick(&b->audit, clock_monotonic_ns());
    }
}

static int serve(struct broker *b)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];

    while (!b->over) {
        wait_for_request(b);
        enum handover_result result = handover_receive(b->relay, &m, fds);
        if (result == HANDOVER_CLOSED)
            return EXIT_SUCCESS;
        if (asks_again(b)) {
            log_error(EVENT_RELAY, "reason=\"asks again before it is answered: the broker ends\"");
            return EXIT_FAILURE;
        }
        asker_pace(&b->due_ns);
        if (result != HANDOVER_GOT || !serve_request(b, &m)) {
            log_error(EVENT_RELAY, "reason=\"bogus message: the broker ends\"");
            return EXIT_FAILURE;
        }
        log_sum_up();
    }
    return b->status;
}

int broker_run(const struct broker_options *options, int relay)
{
    struct broker b = {.options = options,
                       .relay = relay,
                       .watch.inotify = options->inotify,
                       .trial.fds = {-1, -1, -1},
                       .verdict_ms = VERDICT_MS};
    int status = EXIT_FAILURE;

    b.daemon = getppid();
    log_setup("broker", NULL);
    // Wait for room, because a hostile relay could keep standard error full to hide a record.
    log_wait_for_room(RECORD_MS);
    // The relay handles signals to the process group; the broker ends when the relay does.
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(STATS_CONFIRM_SIGNAL, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    keep_init(&b.keep);
    audit_init(&b.audit);
    b.sockets = sockets_new(options->machine, options->without);
    if (b.sockets && start_run(&b)) {
        status = serve(&b);
        if (status != EXIT_SUCCESS)
            validity_close(&b);
    }
    keep_end(&b.keep);
    audit_end(&b.audit);
    audit_free(&b.audit);
    keep_free(&b.keep);
    sockets_free(b.sockets);
    free(b.running.bytes);
    trial_end(&b);
    config_free(b.config);
    text_free(&b.text);
    return status;
}
