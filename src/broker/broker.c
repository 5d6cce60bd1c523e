// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/compile.h"
#include "broker/sockets.h"
#include "broker/statistics.h"
#include "config/load.h"
#include "handover/handover.h"
#include "log/log.h"

struct broker {
    const struct broker_options *options;
    int relay;
    uid_t uid;
    gid_t gid;
    // Fixed at the start: what the process has become, and where others look for its statistics.
    char user[32], group[32], stats_file[108];
    struct sockets *sockets;
    struct compiled running; // the table in force; bytes is NULL before the first
    struct table_view view;  // of it
    uint64_t generation;
};

// --- start -----------------------------------------------------------------------------------------------------------

static bool find_user(struct broker *b)
{
    b->uid = geteuid();
    b->gid = getegid();
    if (geteuid() != 0)
        return true;

    const struct passwd *user = getpwnam(b->user);
    if (!user) {
        log_error("start", "reason=\"there is no user %s: make it (systemd-sysusers, adduser --system) or set user\"",
                  b->user);
        return false;
    }
    const struct group *group = getgrnam(b->group);
    if (!group) {
        log_error("start", "reason=\"there is no group %s: make it or set group\"", b->group);
        return false;
    }
    b->uid = user->pw_uid;
    b->gid = group->gr_gid;
    return true;
}

static bool prepare_statistics(const struct broker *b)
{
    const char *why;
    pid_t other;

    if (statistics_prepare(b->stats_file, b->uid, b->gid, &why, &other))
        return true;
    log_errno(LOG_LEVEL_ERR, "start", "stats_file=%s pid=%d reason=\"%s\"", b->stats_file, (int) other, why);
    return false;
}

// The first reading, with the rights of the start, only tells whom to become and where the statistics lie; it prints
// what is wrong as --check does.
static bool read_identity(struct broker *b)
{
    struct config_problems problems = {0};
    struct config *c = config_load(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    bool ok = c != NULL;

    config_problems_print(&problems, b->options->config_path, stderr);
    config_problems_free(&problems);
    if (ok) {
        log_setup("broker", c->instance);
        snprintf(b->user, sizeof(b->user), "%s", c->user);
        snprintf(b->group, sizeof(b->group), "%s", c->group);
        snprintf(b->stats_file, sizeof(b->stats_file), "%s", c->stats_file);
    }
    config_free(c);
    return ok;
}

static bool say_hello(const struct broker *b)
{
    struct handover_message m = {.type = HANDOVER_HELLO, .hello = {.uid = b->uid, .gid = b->gid}};

    return handover_send(b->relay, &m, NULL);
}

// --- load ------------------------------------------------------------------------------------------------------------

static void refuse(const struct broker *b, uint32_t serial, const char *why)
{
    struct handover_message m = {.type = HANDOVER_REFUSED, .serial = serial};

    snprintf(m.text, sizeof(m.text), "%s", why);
    if (!handover_send(b->relay, &m, NULL))
        log_errno(LOG_LEVEL_ERR, "relay", "reason=\"cannot be answered\"");
}

static struct config *read_config(const struct broker *b, char *why, size_t size)
{
    struct config_problems problems = {0};
    struct config *c = config_load(b->options->config_path, CONFIG_LOAD_OFFLINE_INTERFACES, &problems);

    if (!c) {
        config_problems_print(&problems, b->options->config_path, stderr);
        config_problems_first(&problems, b->options->config_path, why, size);
    }
    config_problems_free(&problems);
    if (c && (strcmp(c->user, b->user) != 0 || strcmp(c->group, b->group) != 0 ||
              strcmp(c->stats_file, b->stats_file) != 0)) {
        snprintf(why, size, "%s: user, group and stats_file are fixed at the start (%s, %s, %s): restart to change them",
                 b->options->config_path, b->user, b->group, b->stats_file);
        config_free(c);
        return NULL;
    }
    return c;
}

// The table as a sealed memory file. Returns its descriptor or -1 with errno set.
static int seal(const struct compiled *table)
{
    int fd = memfd_create("mcr-table", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t written = 0;

    if (fd < 0)
        return -1;
    while (written < table->size) {
        ssize_t n = write(fd, (const char *) table->bytes + written, table->size - written);
        if (n <= 0)
            goto fail;
        written += (size_t) n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
        return fd;
fail:;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

// Sends table, statistics and new sockets, and waits for the relay's verdict. Whether it runs the table now.
static bool hand_over(struct broker *b, uint32_t serial, int table_fd, int stats_fd)
{
    struct handover_message m = {.type = HANDOVER_OFFER, .serial = serial, .n_fds = 2};
    int fds[HANDOVER_FDS_MAX] = {table_fd, stats_fd};
    struct handover_message end = {.type = HANDOVER_COMMIT, .serial = serial};

    if (!handover_send(b->relay, &m, fds) || !sockets_send_new(b->sockets, b->relay, serial) ||
        !handover_send(b->relay, &end, NULL)) {
        log_errno(LOG_LEVEL_ERR, "relay", "reason=\"a table cannot be handed over\"");
        return false;
    }
    // Nothing else is due from the relay now: it asks for one load at a time.
    if (handover_receive(b->relay, &m, fds) != HANDOVER_GOT || m.serial != serial)
        return false;
    return m.type == HANDOVER_ADOPTED;
}

// Offers a compiled table. Whether it is in force; else *why says what is wrong, or is empty when the relay has
// refused by itself.
static bool offer(struct broker *b, uint32_t serial, const struct compiled *table, char *why, size_t size)
{
    struct table_view view;
    const char *bad;
    int table_fd = -1, stats_fd = -1;
    bool adopted = false;

    why[0] = '\0';
    if (!table_attach(&view, table->bytes, table->size, &bad)) {
        snprintf(why, size, "internal: the compiled table is not valid: %s", bad);
        return false;
    }
    table_fd = seal(table);
    stats_fd = table_fd < 0 ? -1 : statistics_create(b->stats_file, b->options->config_path, &view);
    if (stats_fd < 0) {
        snprintf(why, size, "%s: %s", table_fd < 0 ? "the table cannot be sealed" : b->stats_file, strerror(errno));
        goto done;
    }
    // What both tables take in, until the relay has changed over.
    if (!sockets_set_filters(b->sockets, &view, b->running.bytes ? &b->view : NULL)) {
        snprintf(why, size, "ingress filter: %s", strerror(errno));
        goto done;
    }
    adopted = hand_over(b, serial, table_fd, stats_fd);
done:
    if (table_fd >= 0)
        close(table_fd);
    if (stats_fd >= 0)
        close(stats_fd);
    if (!adopted) {
        statistics_discard(b->stats_file);
        return false;
    }
    if (!statistics_publish(b->stats_file))
        log_errno(LOG_LEVEL_ERR, "statistics", "file=%s", b->stats_file);
    return true;
}

static void run_table(struct broker *b, const struct compiled *table)
{
    const char *why;

    free(b->running.bytes);
    b->running = *table;
    // Attached before it was offered; the bytes are the same.
    table_attach(&b->view, b->running.bytes, b->running.size, &why);
    b->generation = b->view.header->generation;
}

static void load(struct broker *b, uint32_t serial)
{
    struct compiled table = {.bytes = NULL};
    char why[1024] = "";
    bool adopted = false;
    struct config *c = read_config(b, why, sizeof(why));

    sockets_begin(b->sockets);
    if (c) {
        char reason[COMPILE_WHY_MAX] = "";
        if (compile(c, b->running.bytes ? &b->view : NULL, b->generation + 1, b->sockets, &table, reason))
            adopted = offer(b, serial, &table, why, sizeof(why));
        else
            snprintf(why, sizeof(why), "%s: %s", b->options->config_path, reason);
    }
    config_free(c);
    if (adopted)
        run_table(b, &table);
    else
        free(table.bytes);
    // One commit point; failing leaves exactly what the table in force uses. Without a file there is nothing to settle
    // that was wanted, and nothing new.
    sockets_settle(b->sockets, adopted);
    if (b->running.bytes && !sockets_set_filters(b->sockets, &b->view, NULL))
        log_errno(LOG_LEVEL_WARNING, "filter", "reason=\"an ingress filter stays wider than needed\"");
    if (!adopted && why[0])
        refuse(b, serial, why);
}

static int serve(struct broker *b)
{
    struct handover_message m;
    int fds[HANDOVER_FDS_MAX];

    for (;;) {
        switch (handover_receive(b->relay, &m, fds)) {
        case HANDOVER_CLOSED:
            return EXIT_SUCCESS;
        case HANDOVER_GOT:
            if (m.n_fds == 0 && m.type == HANDOVER_LOAD) {
                load(b, m.serial);
                break;
            }
            // fall through
        case HANDOVER_EMPTY:
        case HANDOVER_BOGUS:
            log_error("relay", "reason=\"bogus message: the broker ends\"");
            return EXIT_FAILURE;
        }
    }
}

int broker_run(const struct broker_options *options, int relay)
{
    struct broker b = {.options = options, .relay = relay};
    int status = EXIT_FAILURE;

    log_setup("broker", NULL);
    // A signal to the whole group is the relay's business; the broker ends when the relay does.
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    b.sockets = sockets_new(options->without);
    if (b.sockets && read_identity(&b) && find_user(&b) && prepare_statistics(&b) && say_hello(&b) &&
        sandbox_drop(SANDBOX_BROKER, b.uid, b.gid) && sandbox_filter(SANDBOX_BROKER, options->sandbox))
        status = serve(&b);
    sockets_free(b.sockets);
    free(b.running.bytes);
    return status;
}
