// SPDX-License-Identifier: Apache-2.0
// place: whether the statistics may take the place of a file.
#ifndef MCR_STATS_PLACE_H
#define MCR_STATS_PLACE_H

// Returns NULL if there is no such file in the directory (an open one, or AT_FDCWD), or if it is an empty regular file
// or has statistics of any version. Else returns why not ("stats_file is ..."), with errno set: EEXIST for what is
// something else and would be lost, EISDIR for a directory, which cannot be replaced, or why the file cannot be opened.
const char *stats_place_taken(int directory, const char *name);

#endif
