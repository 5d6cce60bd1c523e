// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "common/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/addr.h"
#include "common/edits.h"
#include "common/exit.h"

#define COLUMNS  80  // width of --help
#define INDENT   24  // column at which the help of an option begins
#define TEXT_MAX 512 // bytes of the help of an option, and of a list of commands

int arguments_wrong(const struct arguments *a, const char *format, ...)
{
    va_list list;

    fprintf(stderr, "%s: ", a->program);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "; %s --help tells more\n", a->program);
    return EXIT_USAGE;
}

// Writes the names of these commands: "--diff, --explain and --print". last: the text before the last name.
static const char *names_of(const struct arguments *a, unsigned commands, const char *last, char text[TEXT_MAX])
{
    size_t used = 0;

    text[0] = '\0';
    for (const struct argument *r = a->rows; r < a->rows + a->n_rows; r++) {
        if (!(r->is & commands))
            continue;
        commands &= ~r->is;
        const char *separator = commands ? ", " : last;
        bool word = r->kind == ARGUMENT_WORD;
        used += (size_t) snprintf(text + used, TEXT_MAX - used, "%s--%s%s%s", used ? separator : "", r->name,
                                  word ? " " : "", word ? r->value : "");
    }
    return text;
}

// Writes the bounds of a number, or "" for other kinds.
static const char *bounds_of(const struct argument *r, char text[TEXT_MAX])
{
    text[0] = '\0';
    if (r->kind == ARGUMENT_NUMBER)
        snprintf(text, TEXT_MAX, "%" PRIu64 " to %" PRIu64, r->least, r->most);
    else if (r->kind == ARGUMENT_DECIMAL)
        snprintf(text, TEXT_MAX, "%.10g to %.10g", (double) r->least / 1000, (double) r->most / 1000);
    return text;
}

// --- help ------------------------------------------------------------------------------------------------------------

// Prints text from column INDENT on, broken at spaces.
static void print_wrapped(const char *text)
{
    int at = INDENT;

    while (*text) {
        int length = (int) strcspn(text, " ");
        if (at + 1 + length > COLUMNS && at > INDENT)
            at = printf("\n%*s", INDENT, "") - 1;
        at += printf("%s%.*s", at > INDENT ? " " : "", length, text);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_row(const struct arguments *a, const struct argument *r)
{
    char names[TEXT_MAX], bounds[TEXT_MAX], text[3 * TEXT_MAX], letter[4] = "";
    int at;

    if (r->heading)
        printf("\n%s\n", r->heading);
    if (r->letter)
        snprintf(letter, sizeof(letter), "-%c,", r->letter);
    at = printf("  %3s --%s%s%s", letter, r->name, r->value ? " " : "", r->value ? r->value : "");
    if (at >= INDENT)
        at = printf("\n") - 1;
    printf("%*s", INDENT - at, "");
    bounds_of(r, bounds);
    bool bounded = *bounds && r->most <= UINT32_MAX; // larger bounds are of no interest
    snprintf(text, sizeof(text), "%s%s%s%s%s%s", r->with ? "with " : "", names_of(a, r->with, " and ", names),
             r->with ? ": " : "", r->help, bounded ? "; " : "", bounded ? bounds : "");
    print_wrapped(text);
}

static int print_help(const struct arguments *a)
{
    const struct argument common[] = {
        {.name = "help", .help = "print this", .letter = 'h'},
        {.name = "version",
         .help = a->built ? "print the version; -VV: and what it was built with" : "print the version",
         .letter = 'V'}};

    fputs(a->usage, stdout);
    for (size_t i = 0; i < a->n_rows; i++)
        print_row(a, &a->rows[i]);
    print_row(a, &common[0]);
    print_row(a, &common[1]);
    printf("\n%s", a->notes);
    return EXIT_SUCCESS;
}

// --- the parser ------------------------------------------------------------------------------------------------------

bool arguments_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || text[digits] != '\0')
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0 && *out >= least && *out <= most;
}

static bool parse_decimal(const char *text, double least, double most, double *out)
{
    char *end;

    // Only digits and a point: strtod() would also accept infinity, hexadecimal numbers and signs.
    if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0')
        return false;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= least && *out <= most;
}

static bool take_item(const struct argument *r, const char *text, struct argument_list *list)
{
    if (list->n == r->most)
        return false;
    list->texts[list->n++] = text;
    return true;
}

static bool take(const struct argument *r, const char *text, void *field)
{
    switch (r->kind) {
    case ARGUMENT_COMMAND:
    case ARGUMENT_OPERANDS: // set after all options are parsed
    case ARGUMENT_WORD:
        return true;
    case ARGUMENT_FLAG:
        return *(bool *) field = true;
    case ARGUMENT_TEXT:
        *(const char **) field = text;
        return true;
    case ARGUMENT_LIST:
        return take_item(r, text, field);
    case ARGUMENT_NUMBER:
        return arguments_number(text, r->least, r->most, field);
    case ARGUMENT_DECIMAL:
        return parse_decimal(text, (double) r->least / 1000, (double) r->most / 1000, field);
    case ARGUMENT_CHOICE:
        return r->take(text, field);
    case ARGUMENT_ADDRESS:
        return addr_parse(text, field);
    }
    return false;
}

struct reading {
    const struct arguments *a;
    uint8_t *into;
    unsigned commands; // mask of the given commands
    bool given[ARGUMENTS_MAX];
};

// The option of this name, or the one that it misspells; NULL: none is near.
static const struct argument *nearest(const struct arguments *a, const char *name)
{
    const struct argument *found = NULL;
    unsigned least = edits_most(name) + 1;

    for (const struct argument *r = a->rows; r < a->rows + a->n_rows; r++) {
        unsigned d = edits_between(name, r->name);
        if (d < least) {
            least = d;
            found = r;
        }
    }
    return found;
}

// Whether the text is an option: --config, --config=FILE or -c.
static bool is_option(const struct arguments *a, const char *text)
{
    if (text[0] != '-' || text[1] == '\0')
        return false;
    for (const struct argument *r = a->rows; r < a->rows + a->n_rows; r++) {
        size_t length = strlen(r->name);
        if ((text[1] == r->letter && text[2] == '\0') ||
            (text[1] == '-' && strncmp(text + 2, r->name, length) == 0 && strchr("=", text[2 + length])))
            return true;
    }
    return false;
}

// Refuses a word that belongs to nothing.
static int refuse_word(const struct arguments *a, const char *word)
{
    const struct argument *r = nearest(a, word);
    char between[64] = "";

    if (strlen(word) + 3 <= sizeof(between))
        snprintf(between, sizeof(between), " %s ", word);
    for (const struct argument_hint *h = a->hints; h && h->words && *between; h++)
        if (strstr(h->words, between))
            return arguments_wrong(a, "unexpected argument \"%s\": %s", word, h->text);
    if (r)
        return arguments_wrong(a, "unexpected argument \"%s\": write --%s", word, r->name);
    if (a->stray)
        return arguments_wrong(a, "unexpected argument \"%s\": use --%s %s", word, a->stray, word);
    return arguments_wrong(a, "unexpected argument \"%s\"", word);
}

// Ends the message of getopt_long() about an option. option: what it is about, such as --chek=x, where it is not known.
static int end_message(const struct arguments *a, const char *option)
{
    char name[32] = "";

    if (option && strncmp(option, "--", 2) == 0)
        snprintf(name, sizeof(name), "%.*s", (int) strcspn(option + 2, "="), option + 2);
    const struct argument *r = *name ? nearest(a, name) : NULL;
    if (r)
        fprintf(stderr, "did you mean --%s? ", r->name);
    fprintf(stderr, "%s --help tells more\n", a->program);
    return EXIT_USAGE;
}

static int take_row(struct reading *p, size_t row, const char *text)
{
    const struct arguments *a = p->a;
    const struct argument *r = &a->rows[row];
    char bounds[TEXT_MAX];

    for (size_t i = 0; i < a->n_rows; i++)
        if (a->rows[i].kind == ARGUMENT_WORD && strcmp(a->rows[i].name, r->name) == 0 &&
            strcmp(a->rows[i].value, text) == 0)
            r = &a->rows[i];
    if ((r->kind == ARGUMENT_TEXT || (r->kind == ARGUMENT_LIST && !r->allowed)) && *text == '\0')
        return arguments_wrong(a, "--%s is empty", r->name);
    if (r->kind > ARGUMENT_FLAG && is_option(a, text))
        return arguments_wrong(a, "--%s needs %s, and \"%s\" is an option", r->name, r->value, text);
    if (p->given[row] && r->kind != ARGUMENT_LIST && (a->once || r->kind > ARGUMENT_FLAG))
        return arguments_wrong(a, "--%s is given twice", r->name);
    p->given[row] = true;
    p->commands |= r->is;
    if (take(r, text, p->into + r->at))
        return -1;
    if (r->kind == ARGUMENT_LIST && !r->allowed)
        return arguments_wrong(a, "--%s is given more than %u times", r->name, (unsigned) r->most);
    if (r->kind == ARGUMENT_ADDRESS)
        return arguments_wrong(a, "--%s is \"%s\", allowed is a numeric IPv4 or IPv6 address", r->name, text);
    if (r->allowed)
        return arguments_wrong(a, "--%s is \"%s\", %s", r->name, text, r->allowed);
    return arguments_wrong(a, "--%s is \"%s\", allowed is %s", r->name, text, bounds_of(r, bounds));
}

// The given commands without those that join another one.
static unsigned main_command(const struct reading *p)
{
    unsigned commands = p->commands;

    for (const struct argument *r = p->a->rows; r < p->a->rows + p->a->n_rows; r++)
        if (r->joins & p->commands)
            commands &= ~r->is;
    return commands;
}

// Takes the words behind the options as texts of the list that the command takes without its option, if there is one.
static int take_bare(const struct reading *p, unsigned command, char **words, int *n_words)
{
    const struct argument *r = p->a->rows, *end = r + p->a->n_rows;

    while (r < end && !(r->bare & command))
        r++;
    for (int w = 0; r < end && w < *n_words; w++) {
        if (*words[w] == '\0')
            return arguments_wrong(p->a, "--%s is empty", r->name);
        if (!take_item(r, words[w], (void *) (p->into + r->at)))
            return arguments_wrong(p->a, "--%s is given more than %u times", r->name, (unsigned) r->most);
    }
    *n_words = r < end ? 0 : *n_words;
    return -1;
}

// Checks which commands, options and operands are given together. words: the words behind the options.
static int check_together(const struct reading *p, char **words, int n_words)
{
    const struct arguments *a = p->a;
    unsigned command = main_command(p);
    char names[TEXT_MAX];
    int status = take_bare(p, command, words, &n_words);

    if (status >= 0)
        return status;
    if (command & (command - 1))
        return arguments_wrong(a, "only one of %s is possible", names_of(a, p->commands, " and ", names));
    for (size_t i = 0; i < a->n_rows; i++) {
        const struct argument *r = &a->rows[i];
        if (!p->given[i])
            continue;
        if (r->with && !(r->with & command))
            return arguments_wrong(a, "--%s can only go with %s", r->name, names_of(a, r->with, " or ", names));
        if (r->kind == ARGUMENT_LIST && r->several && !(r->several & command) &&
            ((const struct argument_list *) (const void *) (p->into + r->at))->n > 1)
            return arguments_wrong(a, "--%s is given twice, which only %s takes", r->name,
                                   names_of(a, r->several, " or ", names));
        if (r->kind != ARGUMENT_OPERANDS)
            continue;
        for (int w = 0; w < n_words && n_words < (int) r->least && r->glued; w++)
            if (r->glued(words[w]))
                return arguments_wrong(a, "--%s needs %s: %s: \"%s\": %s", r->name, r->allowed, r->value, words[w],
                                       r->apart);
        if (n_words != (int) r->least)
            return arguments_wrong(a, "--%s needs %s: %s", r->name, r->allowed, r->value);
        memcpy(p->into + r->at, words, (size_t) n_words * sizeof(*words));
        n_words = 0;
    }
    return n_words > 0 ? refuse_word(a, words[0]) : -1;
}

// getopt_long() returns OPT_ROW and the row's index for an option without a letter. Values below 256 are letters.
#define OPT_ROW 256

// Fills in the arrays for getopt_long(). letters has room for two characters of each row, and for "hV".
static void list_options(const struct arguments *a, struct option *known, char *letters)
{
    *known++ = (struct option){"help", no_argument, NULL, 'h'};
    *known++ = (struct option){"version", no_argument, NULL, 'V'};
    *letters++ = 'h';
    *letters++ = 'V';
    for (size_t i = 0; i < a->n_rows; i++) {
        const struct argument *r = &a->rows[i];
        bool value = r->kind > ARGUMENT_FLAG;
        if (r->kind == ARGUMENT_WORD)
            continue;
        *known++ = (struct option){r->name, value ? required_argument : no_argument, NULL,
                                   r->letter ? r->letter : OPT_ROW + (int) i};
        if (r->letter)
            *letters++ = r->letter;
        if (r->letter && value)
            *letters++ = ':';
    }
}

static size_t find_row(const struct arguments *a, int option)
{
    size_t row = 0;

    if (option >= OPT_ROW)
        return (size_t) (option - OPT_ROW);
    while (a->rows[row].letter != option)
        row++;
    return row;
}

// Prints the version, and with -VV what the program was built with. next: the result of getopt_long() after -V.
static int print_version(const struct arguments *a, int next)
{
    printf("%.*s " PACKAGE_VERSION "\n", (int) strcspn(a->program, " "), a->program);
    if (next == 'V' && a->built)
        a->built();
    return EXIT_SUCCESS;
}

int arguments_read(const struct arguments *a, int argc, char **argv, void *into, unsigned *command)
{
    struct option known[ARGUMENTS_MAX + 3] = {{NULL, 0, NULL, 0}};
    char letters[2 * ARGUMENTS_MAX + 3] = "", *name = argv[0];
    struct reading p = {.a = a, .into = into};
    int status = -1, c;

    list_options(a, known, letters);
    argv[0] = (char *) a->program; // the beginning of getopt_long()'s messages
    while (status < 0 && (c = getopt_long(argc, argv, letters, known, NULL)) != -1) {
        if (c == 'h')
            return print_help(a);
        if (c == 'V') {
            opterr = 0; // no message about the option that follows
            return print_version(a, getopt_long(argc, argv, letters, known, NULL));
        }
        // optopt is 0 where the option is not known
        status =
            c == '?' ? end_message(a, optopt == 0 ? argv[optind - 1] : NULL) : take_row(&p, find_row(a, c), optarg);
    }
    argv[0] = name;
    if (status < 0)
        status = check_together(&p, argv + optind, argc - optind);
    if (command)
        *command = p.commands;
    return status;
}
