// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "make_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"

struct table_image make_table(const char *text, const struct machine *machine, unsigned without,
                              const struct table_view *before)
{
    struct config_problems problems = {0};
    struct config *c = config_load_text(text, strlen(text), CONFIG_LOAD_OFFLINE_INTERFACES, &problems);
    struct sockets *sockets = sockets_new(machine, without);
    struct table_image table;
    char why[COMPILE_WHY_MAX] = "it has errors";
    const char *step;
    bool ok = c && sockets && sockets_open_pool(sockets, 1, &step);

    if (ok) {
        sockets_begin(sockets);
        ok = compile(c, before, 1, false, sockets, &table, why);
        sockets_settle(sockets, ok);
    }
    if (!ok) {
        config_problems_print(&problems, "config", stderr);
        fprintf(stderr, "a table cannot be made of this config: %s\n%s\n", why, text);
        abort();
    }
    sockets_free(sockets);
    config_free(c);
    config_problems_free(&problems);
    return table;
}

static bool every_link(struct link *links, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct link *l = &links[i];
        l->ifindex = (uint32_t) i + 1;
        l->up = l->ethernet = true;
        l->mtu = 1500;
        l->ipv4 = (struct addr){.family = ADDR_IPV4, .bytes = {198, 18, 255, (uint8_t) (i + 1)}};
        l->ipv6 = l->local6 = (struct addr){.family = ADDR_IPV6, .bytes = {0xfe, 0x80, [15] = (uint8_t) (i + 1)}};
    }
    return true;
}

void make_view(struct table_view *view, const struct table_view *before, const char *format, ...)
{
    struct machine machine = machine_none;
    const char *why = "out of memory";
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    machine.links = every_link;
    struct table_image table = make_table(text, &machine, FEATURE_TX_RING, before);
    free(text);
    // Page by page, as the relay maps it: what memcmp() costs depends on it.
    void *pages = aligned_alloc(4096, (table.size + 4095) & ~(size_t) 4095);
    if (!pages || !table_attach(view, memcpy(pages, table.bytes, table.size), table.size, &why)) {
        fprintf(stderr, "the table that was made is not valid: %s\n", why);
        abort();
    }
    free(table.bytes);
}
