// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/moment.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DAY_S     86400
#define LEAST_S   UINT64_C(946684800)    // MOMENT_LEAST
#define MOST_S    UINT64_C(253402300799) // MOMENT_MOST
#define YEAR_MOST 9999

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in(unsigned year, unsigned month)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && is_leap(year));
}

// Days from 1970-01-01 to the first of January of a year from 1970 on.
static uint64_t days_before(unsigned year)
{
    unsigned y = year - 1;

    return UINT64_C(365) * (year - 1970) + (y / 4 - 1969 / 4) - (y / 100 - 1969 / 100) + (y / 400 - 1969 / 400);
}

// Reads n digits.
static bool digits(const char **text, unsigned n, unsigned *value)
{
    *value = 0;
    for (; n > 0; n--, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        *value = *value * 10 + (unsigned) (**text - '0');
    }
    return true;
}

static bool mark(const char **text, const char *marks)
{
    if (**text == '\0' || !strchr(marks, **text))
        return false;
    (*text)++;
    return true;
}

static bool date(const char **text, uint64_t *seconds)
{
    unsigned year, month, day;

    if (!digits(text, 4, &year) || !mark(text, "-") || !digits(text, 2, &month) || !mark(text, "-") ||
        !digits(text, 2, &day) || year < 2000 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    uint64_t days = days_before(year) + day - 1;
    for (unsigned m = 1; m < month; m++)
        days += days_in(year, m);
    *seconds = days * DAY_S;
    return true;
}

bool moment_parse(const char *text, uint64_t *seconds)
{
    unsigned hour, minute, second;
    uint64_t day;

    if (!date(&text, &day) || !mark(&text, "T") || !digits(&text, 2, &hour) || !mark(&text, ":") ||
        !digits(&text, 2, &minute) || !mark(&text, ":") || !digits(&text, 2, &second) || !mark(&text, "Z") ||
        *text != '\0' || hour > 23 || minute > 59 || second > 59)
        return false;
    *seconds = day + hour * 3600 + minute * 60 + second;
    return true;
}

// "+01:00", "-0500", "Z", or nothing. Stores seconds east of UTC.
static bool offset(const char **text, int64_t *east)
{
    unsigned hour, minute = 0;

    *east = 0;
    mark(text, " ");
    bool west = **text == '-';
    if (**text == '\0' || mark(text, "Zz"))
        return true;
    if (!mark(text, "+-") || !digits(text, 2, &hour))
        return false;
    mark(text, ":");
    if (**text != '\0' && !digits(text, 2, &minute))
        return false;
    *east = (int64_t) (hour * 3600 + minute * 60) * (west ? -1 : 1);
    return hour <= 23 && minute <= 59;
}

bool moment_guess(const char *text, uint64_t *seconds)
{
    unsigned hour = 0, minute = 0, second = 0;
    uint64_t day;
    int64_t east;

    if (!date(&text, &day))
        return false;
    if (mark(&text, "Tt ")) {
        if (!digits(&text, 2, &hour) || !mark(&text, ":") || !digits(&text, 2, &minute) ||
            (mark(&text, ":") && !digits(&text, 2, &second)))
            return false;
        if (mark(&text, ".,"))
            text += strspn(text, "0123456789");
    }
    if (!offset(&text, &east) || *text != '\0' || hour > 23 || minute > 59 || second > 59)
        return false;
    *seconds = day + hour * 3600 + minute * 60 + second - (uint64_t) east;
    return *seconds >= LEAST_S && *seconds <= MOST_S;
}

const char *moment_format(uint64_t seconds, char text[MOMENT_TEXT_MAX])
{
    uint64_t all = seconds > MOST_S ? MOST_S : seconds, days = all / DAY_S;
    unsigned rest = (unsigned) (all % DAY_S), year = 1970 + (unsigned) (days / 366), month = 1;

    while (year < YEAR_MOST && days_before(year + 1) <= days)
        year++;
    days -= days_before(year);
    while (days >= days_in(year, month))
        days -= days_in(year, month++);
    snprintf(text, MOMENT_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02uZ", year % 10000, month % 100,
             (unsigned) (days + 1) % 100, rest / 3600 % 100, rest / 60 % 60, rest % 60);
    return text;
}
