// SPDX-License-Identifier: Apache-2.0
// witness: loaded into mcrd with LD_PRELOAD, tells on the standard error as which user mcrd gives a text to libconfig.
#include <dlfcn.h>
#include <libconfig.h>
#include <stdio.h>
#include <unistd.h>

int config_read_string(config_t *config, const char *text)
{
    int (*libconfig)(config_t *, const char *) =
        (int (*)(config_t *, const char *)) dlsym(RTLD_NEXT, "config_read_string");

    dprintf(STDERR_FILENO, "witness: libconfig reads as uid %u\n", (unsigned) geteuid());
    return libconfig(config, text);
}
