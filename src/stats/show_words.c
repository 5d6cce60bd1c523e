// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "stats/show.h"

#include <jansson.h>

#include "stats/counters.h"

static bool words_as_json(FILE *to)
{
    json_t *root = json_object();
    bool ok = true;

    for (const struct stats_word_list *l = stats_words; l->name; l++) {
        json_t *words = json_object();
        for (size_t i = 0; i < l->n; i++)
            ok &= json_object_set_new(words, l->words[i].word, json_string(l->words[i].help)) == 0;
        ok &= json_object_set_new(root, l->name, words) == 0;
    }
    ok = ok && json_dumpf(root, to, JSON_PRESERVE_ORDER | JSON_INDENT(2)) == 0;
    json_decref(root);
    fputc('\n', to);
    return ok;
}

bool show_words(bool json, FILE *to)
{
    bool ok = !json || words_as_json(to);

    for (const struct stats_word_list *l = stats_words; !json && l->name; l++) {
        fprintf(to, "%s%s\n", l == stats_words ? "" : "\n", l->name);
        for (size_t i = 0; i < l->n; i++)
            fprintf(to, "  %-16s %s\n", l->words[i].word, l->words[i].help);
    }
    return fflush(to) == 0 && ok;
}
