// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "broker/confine.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "machine/feature.h"
#include "broker/watch.h"
#include "log/log.h"
#include "sandbox/sandbox.h"

// The directories of a path are told at most thrice, and /proc.
#define READ_MAX (3 * WATCH_MAX + 1)

struct directories {
    const char *names[READ_MAX];
    size_t n;
    bool failed;
};

static void remember(void *context, const char *directory)
{
    struct directories *d = context;
    char *name = d->n < READ_MAX ? strdup(directory) : NULL;

    if (name)
        d->names[d->n++] = name;
    else
        d->failed = true;
}

static bool lock_files(const struct broker_options *options, const char *stats_file, unsigned *abi)
{
    struct directories read = {.n = 0};
    char *run = strdup(stats_file);

    // Where the login of who asks for a reload is found. What matters there of other processes is ptrace's, which a
    // Landlock domain denies as well.
    remember(&read, "/proc");
    watch_directories(options->config_path, remember, &read);
    bool ok = run && !read.failed;
    if (ok) {
        struct sandbox_paths paths = {.read = read.names, .n_read = read.n, .write = run};
        char *slash = strrchr(run, '/'); // the schema wants an absolute path
        slash[slash == run] = '\0';
        ok = sandbox_landlock(SANDBOX_BROKER, options->sandbox, &paths, abi);
    } else {
        log_error("start", "reason=\"no memory, or too many links on the way to the config file\"");
    }
    for (size_t i = 0; i < read.n; i++)
        free((void *) read.names[i]);
    free(run);
    return ok;
}

bool confine(const struct broker_options *options, const char *stats_file, uid_t uid, gid_t gid, unsigned *landlock)
{
    return sandbox_drop(SANDBOX_BROKER, uid, gid) && sandbox_limit(SANDBOX_BROKER, options->sandbox) &&
           (options->without & FEATURE_LANDLOCK || lock_files(options, stats_file, landlock)) &&
           sandbox_filter(SANDBOX_BROKER, options->sandbox);
}
