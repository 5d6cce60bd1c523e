// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/running.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "command/command.h"
#include "command/daemon.h"
#include "config/load.h"
#include "stats/reader.h"

// A reload replaces running.conf and the statistics one after the other, so they may not match for a moment.
#define MATCH_TRIES 40
#define MATCH_NS    25000000

#define OTHER_MAX (2 * DAEMON_WHY_MAX + PATH_MAX)

// Reads the daemon's copy. Returns NULL with the reasons in problems if it is not the config in force. *again: it may
// be during a reload.
static struct config *read_copy(const char *path, const struct daemon *d, struct config_problems *problems, bool *again)
{
    struct config_bytes bytes;
    struct config *c = NULL;

    *again = false;
    // Links are not followed: the owner of the directory could make a link to a file that only this process may read.
    if (!file_read(path, false, &bytes, problems)) {
        // the errors are in problems
    } else if (memcmp(bytes.info.sha256, d->header.sha256, sizeof(d->header.sha256)) != 0) {
        config_error(problems, 0, NULL, "is not what runs: the daemon (pid %u) names another sha256", d->header.pid);
        *again = true;
    } else if (bytes.info.owner != 0 && bytes.info.owner != d->owner) { // this process may have another user
        config_error(problems, 0, NULL, "owner is uid %u, allowed is root or uid %u, who owns the statistics",
                     (unsigned) bytes.info.owner, (unsigned) d->owner);
    } else {
        // Its warnings are left out: they were reported when it was loaded.
        struct config_problems own = {0};
        char first[1024];
        c = config_load_text(bytes.text, bytes.size, CONFIG_LOAD_OFFLINE_INTERFACES, &own);
        config_problems_first(&own, path, first, sizeof(first));
        if (c) {
            c->file = bytes.info;
            c->path = strdup(path);
            if (!c->path) {
                config_free(c);
                c = NULL;
                config_error(problems, 0, NULL, "cannot be read: %s", strerror(ENOMEM));
            }
        } else {
            config_error(problems, 0, NULL, "runs, but is not valid for this version: %s", first);
        }
        config_problems_free(&own);
    }
    file_free(&bytes);
    return c;
}

// Reads the copy of a file that a relay without a broker has gone back to. Returns NULL if that is not in force either.
static struct config *read_back(const char *path, const struct daemon *d)
{
    struct config_problems problems = {0};
    char back[PATH_MAX];
    bool again;

    snprintf(back, sizeof(back), "%s" STATS_BACK_SUFFIX, path);
    struct config *c = read_copy(back, d, &problems, &again);
    config_problems_free(&problems);
    return c;
}

// Writes that another file was given than that of the daemon: a new version of it, or one of another instance that does
// not say its own stats_file. Returns out.
static const char *other_text(const char *given, const char *stats_file, const struct daemon *d, char out[OTHER_MAX])
{
    char shown[DAEMON_WHY_MAX];

    snprintf(out, OTHER_MAX,
             "the daemon of %s (pid %d) runs %s, not %s: if that is another instance, a stats_file is missing here",
             stats_file, (int) d->pid, daemon_text(d->header.file, shown), given);
    return out;
}

// What to do where the file that was given is not that with which the daemon was started.
enum other { TELL, REFUSE };

// Tells why there is no answer, of a file that could not be read: first this, which may be all that is wrong. unread:
// why not.
static void tell_unread(const char *unread, const char *stats_file, const char *why)
{
    bool none = access(stats_file, F_OK) != 0 && errno == ENOENT;
    bool standard = strcmp(stats_file, STATS_DEFAULT_PATH) == 0;

    command_trouble("%s; %s%s%s was looked at instead: %s", unread, standard ? "the default stats_file, " : "",
                    stats_file, standard ? "," : "", none ? "it does not exist" : why);
}

// Loads the config in force. given: the file. unread: why it could not be read as far as its stats_file, or NULL.
// Returns NULL after a message on stderr.
static struct config *find(const char *stats_file, const char *given, enum other other, const char *unread,
                           struct running_facts *facts)
{
    static const struct timespec pause = {.tv_nsec = MATCH_NS};
    struct config *running = NULL;
    char path[CONFIG_RUNNING_PATH_MAX], why[DAEMON_WHY_MAX], shown[DAEMON_WHY_MAX], text[OTHER_MAX];
    struct daemon d;
    bool again = true;

    config_running_path(stats_file, path);
    for (unsigned i = 0; !running && again; i++) {
        struct config_problems problems = {0};
        if (daemon_wait(stats_file, &d, why) != DAEMON_RUNS) {
            if (unread)
                tell_unread(unread, stats_file, why);
            else
                command_trouble("%s", why);
            return NULL;
        }
        if (other != TELL && !daemon_is_of(&d, given)) {
            if (!unread) {
                command_trouble("%s; else name its own file with --config", other_text(given, stats_file, &d, text));
                return NULL;
            }
            snprintf(text, sizeof(text), "its daemon (pid %d) runs %s", (int) d.pid, daemon_text(d.header.file, shown));
            tell_unread(unread, stats_file, text);
            return NULL;
        }
        running = read_copy(path, &d, &problems, &again);
        if (again)
            running = read_back(path, &d);
        again = again && !running && i < MATCH_TRIES;
        if (running)
            ; // what the other copy is not does not matter
        else if (again)
            nanosleep(&pause, NULL);
        else
            config_problems_print(&problems, path, stderr);
        config_problems_free(&problems);
    }
    if (running && !daemon_is_of(&d, given))
        fprintf(stderr, "note: %s\n", other_text(given, stats_file, &d, text));
    facts->inputs_most = d.header.inputs_most;
    facts->on_trial = d.header.trial_ends_ns != 0;
    memcpy(facts->returns_to, d.header.returns_to, sizeof(facts->returns_to));
    return running;
}

struct config *running_load(const struct config *c, struct running_facts *facts)
{
    *facts = (struct running_facts){.inputs_most = 0};
    return find(c->stats_file, c->path, TELL, NULL, facts);
}

struct config *running_of(const char *path)
{
    struct config identity = {.stats_file = ""};
    struct config_problems problems = {0};
    struct config_bytes bytes;
    struct running_facts facts;
    bool known = config_identify(path, &identity, &problems, &bytes);
    char unread[PATH_MAX + 1024];

    // The file may be invalid, so its errors are not printed unless there is no answer.
    config_problems_first(&problems, path, unread, sizeof(unread));
    config_problems_free(&problems);
    file_free(&bytes);
    return find(*identity.stats_file ? identity.stats_file : STATS_DEFAULT_PATH, path, REFUSE, known ? NULL : unread,
                &facts);
}

json_t *running_note(const struct config *c, char hex[DIGEST_TEXT_MAX])
{
    char why[DAEMON_WHY_MAX], ours[DIGEST_TEXT_MAX];
    struct daemon d;

    *hex = '\0';
    if (daemon_wait(c->stats_file, &d, why) != DAEMON_RUNS || !daemon_is_of(&d, c->path))
        return NULL;
    digest_text(d.header.sha256, hex);
    if (strcmp(digest_text(c->file.sha256, ours), hex) == 0)
        return NULL;
    return json_sprintf("this file is not what runs: mcrd (pid %d) runs sha256 %s, generation %" PRIu64
                        "; --running asks that one, --diff tells the difference",
                        (int) d.pid, hex, d.header.generation);
}

struct config *running_or_file(const char *path, bool running, unsigned flags)
{
    return running ? running_of(path) : command_load(path, flags);
}
