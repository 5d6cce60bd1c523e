// SPDX-License-Identifier: Apache-2.0
// witness: loaded into mcrd with LD_PRELOAD, tells on the standard error as which user mcrd gives a text to libconfig.
#include <dlfcn.h>
#include <libconfig.h>
#include <stdio.h>
#include <unistd.h>

int config_read_string(config_t *config, const char *text)
{
    char said[64];
    int (*libconfig)(config_t *, const char *) =
        (int (*)(config_t *, const char *)) dlsym(RTLD_NEXT, "config_read_string");

    // dprintf(3) would seek, which the sandbox refuses.
    int length = snprintf(said, sizeof(said), "witness: libconfig reads as uid %u\n", (unsigned) geteuid());
    if (write(STDERR_FILENO, said, (size_t) length) < 0)
        return CONFIG_FALSE;
    return libconfig(config, text);
}
