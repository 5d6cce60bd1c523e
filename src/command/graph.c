// SPDX-License-Identifier: Apache-2.0
// Prints the zones and conduits of one file or of a whole site.
#include <config.h>

#include "command/command.h"

#include <stdio.h>

#include "command/running.h"
#include "common/arguments.h"
#include "common/exit.h"
#include "config/load.h"
#include "config/times.h"
#include "graph/graph.h"

// Most of a site's files are of other machines.
#define FLAGS CONFIG_LOAD_OFFLINE_INTERFACES

struct pair {
    struct config *now, *before;
};

// Loads the i-th file, and what it is compared with. Returns the exit status after a message, 0 for none.
static int load(const struct graph_options *o, unsigned i, struct pair *p)
{
    struct running_facts facts;

    p->now = running_or_file(o->paths->texts[i], o->running, FLAGS);
    if (!p->now)
        return EXIT_FAILURE;
    if (o->against)
        p->before = command_load(o->against->texts[i], FLAGS);
    else if (o->diff)
        p->before = running_load(p->now, &facts);
    if (p->before || !(o->against || o->diff))
        return EXIT_SUCCESS;
    return o->against ? EXIT_FAILURE : EXIT_TROUBLE;
}

int command_graph(const struct graph_options *o)
{
    const uint64_t now = command_time(o->at);
    struct pair pairs[ARGUMENT_LIST_MOST] = {{NULL, NULL}};
    struct graph_file files[ARGUMENT_LIST_MOST];
    int status = EXIT_SUCCESS;
    unsigned n = o->paths->n;

    _Static_assert(ARGUMENT_LIST_MOST <= GRAPH_FILES_MAX, "more files than a picture holds");
    for (unsigned i = 0; i < n; i++) {
        int loaded = load(o, i, &pairs[i]); // all of them, so that each is told
        status = status ? status : loaded;
        if (pairs[i].now)
            times_apply(pairs[i].now, now, true);
        if (pairs[i].before)
            times_apply(pairs[i].before, now, true);
        files[i] = (struct graph_file){pairs[i].now, pairs[i].before};
    }
    if (status == EXIT_SUCCESS && !graph_write(files, n, o->detail, stdout)) {
        fprintf(stderr, "%s: out of memory\n", o->paths->texts[0]);
        status = EXIT_FAILURE;
    }
    if (status == EXIT_SUCCESS && !command_flush(o->paths->texts[0], true))
        status = EXIT_FAILURE;
    for (unsigned i = 0; i < n; i++) {
        config_free(pairs[i].now);
        config_free(pairs[i].before);
    }
    return status;
}
