// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/edits.h"

#include <limits.h>
#include <string.h>

#define LENGTH_MOST 31

unsigned edits_between(const char *a, const char *b)
{
    unsigned d[LENGTH_MOST + 1][LENGTH_MOST + 1];
    size_t n = strlen(a), m = strlen(b);

    if (n > LENGTH_MOST || m > LENGTH_MOST)
        return UINT_MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (unsigned) (i + j);
                continue;
            }
            unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

unsigned edits_most(const char *name)
{
    return (unsigned) (strlen(name) / 3);
}
