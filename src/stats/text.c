// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/text.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "common/utf8.h"

// --- UTF-8 -----------------------------------------------------------------------------------------------------------

void text_repair(char *text)
{
    const char *from = text;
    uint32_t code;

    while (*from) {
        size_t length = utf8_decode(from, UTF8_MAX, &code);
        if (length > 0 && !utf8_is_hidden(code)) {
            memmove(text, from, length);
            text += length;
        } else {
            *text++ = '?';
        }
        from += length ? length : 1;
    }
    *text = '\0';
}

// Returns the columns of a character, or -1 if a '?' replaces it.
static int width_of(uint32_t code, bool utf8)
{
    if (utf8_is_hidden(code))
        return -1;
    return code < 0x80 ? 1 : utf8 ? wcwidth((wchar_t) code) : -1;
}

// Copies the part of *text that fits columns and size, and moves *text behind it. Returns the columns that it takes.
static int copy(char *out, size_t size, const char **text, int columns, bool utf8)
{
    size_t used = 0;
    int taken = 0;

    while (**text) {
        uint32_t code;
        const char *from = *text;
        size_t length = utf8_decode(from, UTF8_MAX, &code), bytes = length;
        int width = length ? width_of(code, utf8) : -1;
        if (width < 0) {
            from = "?";
            bytes = 1;
            width = 1;
        }
        if (taken + width > columns || used + bytes >= size)
            break;
        memcpy(out + used, from, bytes);
        used += bytes;
        taken += width;
        *text += length ? length : 1;
    }
    out[used] = '\0';
    return taken;
}

static bool is_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int text_show(char *out, size_t size, const char *text, int columns)
{
    bool utf8 = is_utf8();
    const char *ellipsis = utf8 ? "\u2026" : "~", *rest = text;
    int taken = copy(out, size, &rest, columns, utf8);

    if (!*rest || columns < 1 || size <= strlen(ellipsis))
        return taken;
    taken = copy(out, size - strlen(ellipsis), &text, columns - 1, utf8);
    strcat(out, ellipsis);
    return taken + 1;
}

int text_take(char *out, size_t size, const char **text, int columns)
{
    return copy(out, size, text, columns, is_utf8());
}

// --- numbers ---------------------------------------------------------------------------------------------------------

const char *text_scaled(char out[TEXT_NUMBER_MAX], double value, const char *unit)
{
    static const char prefixes[] = " kMGTPEZY";
    size_t i = 0;

    while (value >= 999.5 && i + 2 < sizeof(prefixes)) {
        value /= 1000;
        i++;
    }
    if (value > 999)
        value = 999;
    // Three digits; a whole number without a prefix has none after the point.
    int places = value >= 99.95 || (i == 0 && value == (double) (uint64_t) value) ? 0 : value >= 9.995 ? 1 : 2;
    const char prefix[] = {prefixes[i], '\0'};
    snprintf(out, TEXT_NUMBER_MAX, "%.*f%s%s%s", places, value, i > 0 || *unit ? " " : "", i > 0 ? prefix : "", unit);
    return out;
}

const char *text_count(char out[TEXT_NUMBER_MAX], uint64_t value, int width)
{
    char digits[TEXT_NUMBER_MAX];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, value), used = 0;

    if (n + (n - 1) / 3 > width)
        return text_scaled(out, (double) value, "");
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[used++] = ',';
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

const char *text_age(char out[TEXT_NUMBER_MAX], uint64_t ms)
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    // Units from minutes up are used from 2 up: 119 s is more exact than 1 min.
    while (i < 4 && ms < units[i].ms * (units[i].ms > 1000 ? 2 : 1))
        i++;
    if (i == 3 && ms < 10000)
        snprintf(out, TEXT_NUMBER_MAX, "%.1f s", (double) (ms / 100) / 10);
    else
        snprintf(out, TEXT_NUMBER_MAX, "%" PRIu64 " %s", ms / units[i].ms, units[i].unit);
    return out;
}

const char *text_span(char out[TEXT_NUMBER_MAX], uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double value = (double) ns;
    size_t i = 0;

    while (value >= 999.5 && i < 3) {
        value /= 1000;
        i++;
    }
    snprintf(out, TEXT_NUMBER_MAX, "%.*f %s", i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, units[i]);
    return out;
}

const char *text_duration(char out[TEXT_NUMBER_MAX], uint64_t seconds)
{
    uint64_t days = seconds / 86400;
    int n = days ? snprintf(out, TEXT_NUMBER_MAX, "%" PRIu64 " d ", days) : 0;

    snprintf(out + n, TEXT_NUMBER_MAX - (size_t) n, "%02u:%02u:%02u", (unsigned) (seconds / 3600 % 24),
             (unsigned) (seconds / 60 % 60), (unsigned) (seconds % 60));
    return out;
}

const char *text_time(char out[TEXT_NUMBER_MAX], uint64_t realtime_ns)
{
    time_t seconds = (time_t) (realtime_ns / 1000000000u);
    struct tm t;

    if (!gmtime_r(&seconds, &t) || strftime(out, TEXT_NUMBER_MAX, "%Y-%m-%dT%H:%M:%SZ", &t) == 0)
        snprintf(out, TEXT_NUMBER_MAX, "?");
    return out;
}
