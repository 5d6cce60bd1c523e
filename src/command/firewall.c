// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include <stdio.h>

#include "command/command.h"
#include "config/load.h"

int command_firewall(const char *path, enum firewall_role role)
{
    struct config *c = command_load(path);
    char why[FIREWALL_WHY_MAX];
    bool ok = false;

    if (!c)
        return 1;
    if (firewall_write(c, role, stdout, why))
        ok = command_flush(path, true);
    else
        fprintf(stderr, "%s: %s\n", path, why);
    config_free(c);
    return ok ? 0 : 1;
}
