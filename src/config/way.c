// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/way.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *phrase;
    const char *kinds[2]; // in JSON
} ways[CONFIG_WAYS] = {
    [CONFIG_WAY_FRAME] = {"frame", "as a frame", {"frame"}},
    [CONFIG_WAY_SOCKET] = {"socket", "by a socket", {"socket"}},
    [CONFIG_WAY_PORT] = {"socket or raw UDP", "by a socket or a raw UDP one", {"socket", "raw_udp"}},
    [CONFIG_WAY_RAW_UDP] = {"raw UDP", "by a raw UDP socket", {"raw_udp"}},
    [CONFIG_WAY_RAW_IP] = {"raw IP", "by a raw IP socket", {"raw_ip"}},
};

static uint16_t lowest_source_port(const struct config_output *o)
{
    return o->source_port ? o->source_port : o->port;
}

enum config_way config_way(const struct config_output *o, bool framed)
{
    if (o->kind != CONFIG_ADDRESS && (o->mode == CONFIG_MODE_FRAME || (o->mode == CONFIG_MODE_AUTO && framed)))
        return CONFIG_WAY_FRAME;
    if (o->keep_source)
        return CONFIG_WAY_RAW_IP;
    if (o->keep_source_port)
        return CONFIG_WAY_RAW_UDP;
    return lowest_source_port(o) < CONFIG_RESERVED_PORTS ? CONFIG_WAY_PORT : CONFIG_WAY_SOCKET;
}

enum config_way config_way_of_file(const struct config_output *o, enum config_way *otherwise)
{
    bool tagged = o->vlan != 0; // needs Ethernet headers

    *otherwise = config_way(o, tagged);
    return config_way(o, tagged || strcmp(o->interface, CONFIG_LOOPBACK) != 0);
}

const char *config_way_name(enum config_way way)
{
    return ways[way].name;
}

const char *config_way_phrase(enum config_way way)
{
    return ways[way].phrase;
}

const char *config_way_text(const struct config_output *o, char text[CONFIG_WAY_TEXT_MAX])
{
    enum config_way otherwise, way = config_way_of_file(o, &otherwise);
    char why[64] = "";

    if (otherwise == CONFIG_WAY_PORT)
        snprintf(why, sizeof(why), " (source port %" PRIu16 " is below %d)", lowest_source_port(o),
                 CONFIG_RESERVED_PORTS);
    else if (otherwise == CONFIG_WAY_RAW_UDP || otherwise == CONFIG_WAY_RAW_IP)
        snprintf(why, sizeof(why), " (%s = \"preserve\")", o->keep_source ? "source" : "source_port");
    if (way == otherwise)
        snprintf(text, CONFIG_WAY_TEXT_MAX, "%s%s", ways[way].name, why);
    else
        snprintf(text, CONFIG_WAY_TEXT_MAX, "%s; without Ethernet headers: %s%s", ways[way].name, ways[otherwise].name,
                 why);
    return text;
}

json_t *config_way_tree(const struct config_output *o)
{
    enum config_way otherwise, way = config_way_of_file(o, &otherwise);
    json_t *kinds = json_array();
    char text[CONFIG_WAY_TEXT_MAX];

    if (way != otherwise)
        json_array_append_new(kinds, json_string(ways[way].kinds[0]));
    for (size_t i = 0; i < 2 && ways[otherwise].kinds[i]; i++)
        json_array_append_new(kinds, json_string(ways[otherwise].kinds[i]));
    return json_pack("{s:o, s:s}", "ways", kinds, "text", config_way_text(o, text));
}
