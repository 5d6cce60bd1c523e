// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "command/trusted.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/daemon.h"
#include "trust/signatures.h"

static bool is_same_file(const char *a, const char *b)
{
    char *of_a = realpath(a, NULL), *of_b = realpath(b, NULL);
    bool same = of_a && of_b && strcmp(of_a, of_b) == 0;

    free(of_a);
    free(of_b);
    return same;
}

// Whether both ask for the same; what cannot be read has been told.
static bool says_the_same(const char *trust, const struct stats_signatures *theirs)
{
    struct config_problems problems = {0};
    struct trustconf t;
    bool same =
        !signatures_trust(trust, &t, &problems) || memcmp(t.sha256, theirs->trust_sha256, sizeof(t.sha256)) == 0;

    config_problems_free(&problems);
    return same;
}

const char *trusted_as(const char *trust, const struct daemon *d)
{
    const struct stats_signatures *theirs = &d->header.signatures;
    char shown[DAEMON_WHY_MAX];

    // A cut name is none.
    if (theirs->trust_file[0] != '/' || strlen(theirs->trust_file) == sizeof(theirs->trust_file) - 1)
        return trust;
    if (!trust)
        return strcmp(theirs->trust_file, TRUSTCONF_DEFAULT_PATH) == 0 ? NULL : theirs->trust_file;
    if (is_same_file(trust, theirs->trust_file))
        return theirs->trust_file;
    if (!says_the_same(trust, theirs))
        fprintf(stderr, "note: mcrd (pid %d) goes by %s, not by %s\n", (int) d->pid,
                daemon_text(theirs->trust_file, shown), trust);
    return trust;
}
