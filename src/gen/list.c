// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "gen/list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/arguments.h"

bool list_copy(const char *text, char copy[LIST_TEXT_MAX], char why[LIST_WHY_MAX])
{
    size_t length = strlen(text);

    if (length >= LIST_TEXT_MAX) {
        snprintf(why, LIST_WHY_MAX, "allowed are %d characters", LIST_TEXT_MAX - 1);
        return false;
    }
    memcpy(copy, text, length + 1);
    return true;
}

static void say_keys(const char *part, const struct list_key *keys, size_t n_keys, char why[LIST_WHY_MAX])
{
    int used = snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed are ", part);

    for (size_t i = 0; i < n_keys && used < LIST_WHY_MAX; i++)
        used += snprintf(why + used, (size_t) (LIST_WHY_MAX - used), "%s%s=",
                         i == 0            ? ""
                         : i + 1 == n_keys ? " and "
                                           : ", ",
                         keys[i].name);
}

static bool take_part(char *part, const struct list_key *keys, size_t n_keys, void *into, char why[LIST_WHY_MAX])
{
    size_t name = strcspn(part, "=");

    for (const struct list_key *k = keys; k < keys + n_keys; k++) {
        if (part[name] != '=' || strlen(k->name) != name || strncmp(k->name, part, name) != 0)
            continue;
        const char *value = part + name + 1;
        if (k->take ? k->take(value, into)
                    : arguments_number(value, k->least, k->most, (uint64_t *) (void *) ((uint8_t *) into + k->at)))
            return true;
        if (k->take)
            snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed is %s", part, k->allowed);
        else
            snprintf(why, LIST_WHY_MAX, "\"%.60s\": allowed is %" PRIu64 " to %" PRIu64, part, k->least, k->most);
        return false;
    }
    say_keys(part, keys, n_keys, why);
    return false;
}

bool list_take(char *rest, const struct list_key *keys, size_t n_keys, void *into, char why[LIST_WHY_MAX])
{
    for (char *part; (part = strsep(&rest, ","));)
        if (!take_part(part, keys, n_keys, into, why))
            return false;
    return true;
}
