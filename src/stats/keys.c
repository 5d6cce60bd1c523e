// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/keys.h"

#include <limits.h>
#include <string.h>

const char keys_help[] =
    "q, ^C       end\n"
    "space, p    stop and go on\n"
    "s           sort: as in the file, by rate, by drops, by name\n"
    "/           show only rules whose name, note or output contains a text;\n"
    "            Enter keeps it, Esc drops it\n"
    "up, down    scroll by a line (also k, j)\n"
    "PgUp, PgDn  by a page (also b, f)\n"
    "Home, g     to the top\n"
    "?, h        this help, and back\n";

// What scrolls: a letter, or a sequence that begins with ESC [ or ESC O (ECMA-48), by its last byte and the first one
// of its parameters, 0 for any.
static const struct move {
    char letter, last, parameter;
    int lines, pages;
} moves[] = {
    {'k', 'A', 0, -1, 0},        // up
    {'j', 'B', 0, 1, 0},         // down
    {'b', '~', '5', 0, -1},      // PgUp
    {'f', '~', '6', 0, 1},       // PgDn
    {'g', 'H', 0, INT_MIN, 0},   // Home
    {'g', '~', '1', INT_MIN, 0}, // Home
};

#define MOVES_END (moves + sizeof(moves) / sizeof(moves[0]))

static void scroll(struct keys *k, const struct move *move)
{
    k->scroll += move->lines + move->pages * k->page;
    if (k->scroll < 0)
        k->scroll = 0;
}

static void type(struct keys *k, char c)
{
    size_t length = strlen(k->filter);

    if (c == '\r' || c == '\n')
        k->typing = false;
    else if ((c == 0x7f || c == '\b') && length > 0)
        k->filter[length - 1] = '\0';
    else if (c >= ' ' && c < 0x7f && length + 1 < sizeof(k->filter))
        k->filter[length] = c;
    k->scroll = 0;
}

static void press(struct keys *k, char c)
{
    switch (c) {
    case 'q':
    case 'Q':
        k->quit = true;
        break;
    case ' ':
    case 'p':
        k->paused = !k->paused;
        break;
    case 's':
        k->sort = (k->sort + 1) % STATS_SORT_KINDS;
        k->scroll = 0;
        break;
    case '/':
        k->typing = true;
        memset(k->filter, 0, sizeof(k->filter));
        k->scroll = 0;
        break;
    case '?':
    case 'h':
        k->help = !k->help;
        break;
    default:
        for (const struct move *m = moves; m < MOVES_END; m++)
            if (m->letter == c)
                scroll(k, m);
        break;
    }
}

// A terminal sends a sequence at once: an ESC that nothing follows is the key.
static size_t take_escape(struct keys *k, const char *bytes, size_t n)
{
    size_t i = 2;

    if (n < 2 || (bytes[1] != '[' && bytes[1] != 'O')) {
        k->typing = k->help = false;
        memset(k->filter, 0, sizeof(k->filter));
        return 1;
    }
    while (i < n && bytes[i] >= 0x20 && bytes[i] < 0x40)
        i++;
    for (const struct move *m = moves; i < n && m < MOVES_END; m++)
        if (m->last == bytes[i] && (!m->parameter || m->parameter == bytes[2]))
            scroll(k, m);
    return i < n ? i + 1 : n;
}

void keys_take(struct keys *k, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n;) {
        if (bytes[i] == 0x1b) {
            i += take_escape(k, bytes + i, n - i);
            continue;
        }
        if (k->typing)
            type(k, bytes[i]);
        else
            press(k, bytes[i]);
        i++;
    }
}
