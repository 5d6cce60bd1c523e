// SPDX-License-Identifier: Apache-2.0
// Command lines that are read by rows: values, bounds, what goes together, and what is said.
#include <config.h>

#include "common/addr.h"
#include "common/arguments.h"
#include "common/exit.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { SHOW = 1, ASK = 2, LIST = 4, READ = 8 };

#define MOST_ITEMS 16

struct options {
    bool quiet;
    const char *file, *capture, *words[2];
    uint64_t number, large;
    double seconds;
    unsigned mode;
    struct addr address;
    struct argument_list items;
};

static bool take_mode(const char *text, unsigned *mode)
{
    *mode = 7;
    return strcmp(text, "seven") == 0;
}

#define AT(field) offsetof(struct options, field)

static const struct argument rows[] = {
    {"show", .is = SHOW, .help = "show it", .heading = "Commands", .letter = 's'},
    {"ask", "A B", ARGUMENT_OPERANDS, AT(words), .is = ASK, .least = 2, .allowed = "two arguments", .help = "ask"},
    {"mode", "list", ARGUMENT_WORD, .is = LIST, .help = "list modes"},
    {"read", "CAPTURE", ARGUMENT_TEXT, AT(capture), .is = READ, .help = "read it"},
    {"quiet", NULL, ARGUMENT_FLAG, AT(quiet), .with = SHOW | READ, .help = "say less", .heading = "Options",
     .letter = 'q'},
    {"file", "FILE", ARGUMENT_TEXT, AT(file), .help = "the file"},
    {"item", "I", ARGUMENT_LIST, AT(items), .most = MOST_ITEMS, .several = SHOW, .help = "an item", .letter = 'i'},
    {"number", "N", ARGUMENT_NUMBER, AT(number), .least = 1, .most = 300, .help = "a number", .letter = 'n'},
    {"large", "N", ARGUMENT_NUMBER, AT(large), .most = UINT64_MAX, .help = "a large number"},
    {"seconds", "S", ARGUMENT_DECIMAL, AT(seconds), .least = 100, .most = 3600000, .help = "a time"},
    {"mode", "MODE", ARGUMENT_CHOICE, AT(mode), .take = take_mode, .allowed = "allowed are seven and list",
     .help = "a mode of which there is much to say, so much that it does not fit into a line of eighty columns"},
    {"address", "A", ARGUMENT_ADDRESS, AT(address), .help = "an address"},
};

static void print_built(void)
{
    puts("built with care");
}

static const struct arguments line = {
    "prog", "usage: prog\n", "The end.\n", rows, sizeof(rows) / sizeof(rows[0]), .once = false, .built = print_built};
static const struct arguments strict = {
    "prog", "usage: prog\n", "The end.\n", rows, sizeof(rows) / sizeof(rows[0]), .once = true};
static const struct argument_hint hints[] = {{" state status ", "another shows it"}, {NULL, NULL}};
static const struct arguments with_stray = {
    "prog", "usage: prog\n", "The end.\n", rows, sizeof(rows) / sizeof(rows[0]), .stray = "file", .hints = hints};

// Reads a line of words with single spaces between them.
static int read_line(const struct arguments *a, const char *text, struct options *o, unsigned *command)
{
    static char copy[512];
    static char program[] = "path/of/prog";
    char *argv[48] = {program};
    int argc = 1;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *rest = copy, *word; (word = strsep(&rest, " "));)
        if (*word)
            argv[argc++] = word;
    *o = (struct options){.number = 5};
    optind = 0; // begin anew
    int status = arguments_read(a, argc, argv, o, command);
    cr_assert(status == 0 || strcmp(argv[0], "path/of/prog") == 0); // mcrd executes itself by it
    return status;
}

Test(arguments, values_are_taken)
{
    struct options o;
    unsigned command;

    cr_assert_eq(read_line(&line, "", &o, &command), -1);
    cr_assert_eq(command, 0);
    cr_assert_eq(o.number, 5);
    cr_assert_eq(
        read_line(&line,
                  "--quiet --show --file=x --number 300 --large 18446744073709551615 --seconds .1 --mode seven "
                  "--address ::1",
                  &o, &command),
        -1);
    cr_assert_eq(command, SHOW);
    cr_assert(o.quiet && strcmp(o.file, "x") == 0 && o.number == 300 && o.large == UINT64_MAX && o.mode == 7);
    cr_assert(o.seconds > 0.0999 && o.seconds < 0.1001);
    cr_assert_eq(o.address.family, ADDR_IPV6);
    cr_assert_eq(read_line(&line, "one --ask --number 1 two", &o, &command), -1);
    cr_assert_eq(command, ASK);
    cr_assert(strcmp(o.words[0], "one") == 0 && strcmp(o.words[1], "two") == 0);
    cr_assert_eq(read_line(&line, "--mode list", &o, &command), -1);
    cr_assert_eq(command, LIST);
    cr_assert_eq(read_line(&line, "--read x --file z", &o, &command), -1);
    cr_assert(command == READ && strcmp(o.capture, "x") == 0 && strcmp(o.file, "z") == 0);
}

Test(arguments, a_value_is_given_once, .init = cr_redirect_stderr)
{
    struct options o;

    cr_assert_eq(read_line(&line, "--number 1 --number 2", &o, NULL), 2);
    fflush(stderr);
    cr_assert_stderr_eq_str("prog: --number is given twice; prog --help tells more\n");
}

Test(arguments, a_list_is_for_the_commands_that_take_it, .init = cr_redirect_stderr)
{
    char text[256] = "--show";
    struct options o;

    cr_assert_eq(read_line(&line, "--item one", &o, NULL), -1);
    cr_assert(o.items.n == 1 && strcmp(o.items.texts[0], "one") == 0);
    cr_assert_eq(read_line(&line, "--item one --show -i two", &o, NULL), -1);
    cr_assert(o.items.n == 2 && strcmp(o.items.texts[0], "one") == 0 && strcmp(o.items.texts[1], "two") == 0);
    cr_assert_eq(read_line(&line, "--item one --item two", &o, NULL), 2);
    cr_assert_eq(read_line(&line, "--item one --item two --read x", &o, NULL), 2);
    for (int i = 0; i < MOST_ITEMS; i++)
        strcat(text, " -i x");
    cr_assert_eq(read_line(&line, text, &o, NULL), -1);
    cr_assert_eq(o.items.n, MOST_ITEMS);
    cr_assert_eq(read_line(&line, strcat(text, " -i x"), &o, NULL), 2);
    fflush(stderr);
    cr_assert_stderr_eq_str(
        "prog: --item is given twice, which only --show takes; prog --help tells more\n"
        "prog: --item is given twice, which only --show takes; prog --help tells more\n"
        "prog: --item is given more than 16 times; prog --help tells more\n");
}

// A list whose texts may stand as words behind some commands, and a command that is an option of another one.
static const struct argument joining[] = {
    {"show", "[I]...", .is = SHOW, .help = "show it"},
    {"ask", .is = ASK, .joins = SHOW, .help = "ask; with --show: show it there"},
    {"list", .is = LIST, .help = "list"},
    {"item", "I", ARGUMENT_LIST, AT(items), .most = 3, .several = SHOW, .bare = SHOW, .help = "an item"},
    {"quiet", NULL, ARGUMENT_FLAG, AT(quiet), .with = ASK, .help = "say less"},
};
static const struct arguments joined = {
    "prog", "usage: prog\n", "The end.\n", joining, sizeof(joining) / sizeof(joining[0]), .once = false};

Test(arguments, words_of_a_list_and_commands_that_join, .init = cr_redirect_stderr)
{
    struct options o;
    unsigned command;

    cr_assert_eq(read_line(&joined, "--show x --item y z", &o, &command), -1);
    cr_assert_eq(command, SHOW);
    cr_assert_eq(o.items.n, 3);
    cr_assert_str_eq(o.items.texts[0], "y");
    cr_assert_str_eq(o.items.texts[1], "x");
    cr_assert_str_eq(o.items.texts[2], "z");
    cr_assert_eq(read_line(&joined, "--ask --show x", &o, &command), -1);
    cr_assert_eq(command, SHOW | ASK);
    cr_assert_eq(read_line(&joined, "--ask --quiet", &o, &command), -1);
    cr_assert_eq(command, ASK);
    cr_assert_eq(read_line(&joined, "--show 1 2 3 4", &o, &command), EXIT_USAGE);
    cr_assert_eq(read_line(&joined, "--ask x", &o, &command), EXIT_USAGE);
    cr_assert_eq(read_line(&joined, "--ask --show --quiet", &o, &command), EXIT_USAGE);
    cr_assert_eq(read_line(&joined, "--ask --list", &o, &command), EXIT_USAGE);
    cr_assert_eq(read_line(&joined, "--list --show --ask", &o, &command), EXIT_USAGE);
    fflush(stderr);
    cr_assert_stderr_eq_str(
        "prog: --item is given more than 3 times; prog --help tells more\n"
        "prog: unexpected argument \"x\"; prog --help tells more\n"
        "prog: --quiet can only go with --ask; prog --help tells more\n"
        "prog: only one of --ask and --list is possible; prog --help tells more\n"
        "prog: only one of --show, --ask and --list is possible; prog --help tells more\n");
}

Test(arguments, a_word_without_its_option_is_told_which, .init = cr_redirect_stderr)
{
    struct options o;

    cr_assert_eq(read_line(&with_stray, "--show word", &o, NULL), 2);
    cr_assert_eq(read_line(&with_stray, "status", &o, NULL), 2);
    fflush(stderr);
    cr_assert_stderr_eq_str(
        "prog: unexpected argument \"word\": use --file word; prog --help tells more\n"
        "prog: unexpected argument \"status\": another shows it; prog --help tells more\n");
}

Test(arguments, letters_are_options)
{
    struct options o;
    unsigned command;

    cr_assert_eq(read_line(&line, "-qs -n 7", &o, &command), -1);
    cr_assert(command == SHOW && o.quiet && o.number == 7);
    cr_assert_eq(read_line(&line, "-n8 --show", &o, &command), -1);
    cr_assert(command == SHOW && !o.quiet && o.number == 8);
}

struct version_case {
    const char *text, *said;
};

Test(arguments, version_once_or_twice, .init = cr_redirect_stdout)
{
    static const struct version_case cases[] = {
        {"-V", "prog " PACKAGE_VERSION "\n"},
        {"--version --nothing", "prog " PACKAGE_VERSION "\n"},
        {"-VV", "prog " PACKAGE_VERSION "\nbuilt with care\n"},
        {"--version -V", "prog " PACKAGE_VERSION "\nbuilt with care\n"},
    };
    struct options o;
    char wanted[512] = "";

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(read_line(&line, cases[i].text, &o, NULL), 0, "%s", cases[i].text);
        strcat(wanted, cases[i].said);
    }
    cr_assert_eq(read_line(&strict, "-VV", &o, NULL), 0); // where nothing is known of it
    strcat(wanted, cases[0].said);
    fflush(stdout);
    cr_assert_stdout_eq_str(wanted);
}

struct wrong_case {
    const char *text, *said;
};

Test(arguments, what_is_wrong_is_said, .init = cr_redirect_stderr)
{
    static const struct wrong_case cases[] = {
        {"--number 0", "prog: --number is \"0\", allowed is 1 to 300; prog --help tells more\n"},
        {"--number 301", "prog: --number is \"301\", allowed is 1 to 300; prog --help tells more\n"},
        {"--number -1", "prog: --number is \"-1\", allowed is 1 to 300; prog --help tells more\n"},
        {"--number 1x", "prog: --number is \"1x\", allowed is 1 to 300; prog --help tells more\n"},
        {"--number=", "prog: --number is \"\", allowed is 1 to 300; prog --help tells more\n"},
        {"--large 18446744073709551616",
         "prog: --large is \"18446744073709551616\", allowed is 0 to "
         "18446744073709551615; prog --help tells more\n"},
        {"--seconds 0.09", "prog: --seconds is \"0.09\", allowed is 0.1 to 3600; prog --help tells more\n"},
        {"--seconds inf", "prog: --seconds is \"inf\", allowed is 0.1 to 3600; prog --help tells more\n"},
        {"--seconds 1.2.3", "prog: --seconds is \"1.2.3\", allowed is 0.1 to 3600; prog --help tells more\n"},
        {"--seconds 0x5", "prog: --seconds is \"0x5\", allowed is 0.1 to 3600; prog --help tells more\n"},
        {"--mode six", "prog: --mode is \"six\", allowed are seven and list; prog --help tells more\n"},
        {"--address host",
         "prog: --address is \"host\", allowed is a numeric IPv4 or IPv6 address; prog --help tells "
         "more\n"},
        {"--show --mode list --ask 1 2",
         "prog: only one of --show, --ask and --mode list is possible; prog --help tells more\n"},
        {"--quiet", "prog: --quiet can only go with --show or --read; prog --help tells more\n"},
        {"--quiet --mode list", "prog: --quiet can only go with --show or --read; prog --help tells more\n"},
        {"--ask one", "prog: --ask needs two arguments: A B; prog --help tells more\n"},
        {"--ask one two three", "prog: --ask needs two arguments: A B; prog --help tells more\n"},
        {"--show word", "prog: unexpected argument \"word\"; prog --help tells more\n"},
        {"--number 1 --number 2", "prog: --number is given twice; prog --help tells more\n"},
        {"-i a --item b", "prog: --item is given twice, which only --show takes; prog --help tells more\n"},
        {"-n 0", "prog: --number is \"0\", allowed is 1 to 300; prog --help tells more\n"},
        {"-n 1 --number 2", "prog: --number is given twice; prog --help tells more\n"},
        {"-x", "prog: invalid option -- 'x'\nprog --help tells more\n"},
        {"-n", "prog: option requires an argument -- 'n'\nprog --help tells more\n"},
        {"--nothing", "prog: unrecognized option '--nothing'\nprog --help tells more\n"},
        {"--numbr 7", "prog: unrecognized option '--numbr'\ndid you mean --number? prog --help tells more\n"},
        {"--numbr=7", "prog: unrecognized option '--numbr=7'\ndid you mean --number? prog --help tells more\n"},
        {"quite", "prog: unexpected argument \"quite\": write --quiet; prog --help tells more\n"},
        {"--file --number", "prog: --file needs FILE, and \"--number\" is an option; prog --help tells more\n"},
        {"--file -n", "prog: --file needs FILE, and \"-n\" is an option; prog --help tells more\n"},
        {"--file", "prog: option '--file' requires an argument\nprog --help tells more\n"},
        {"--file=", "prog: --file is empty; prog --help tells more\n"},
        {"--item=", "prog: --item is empty; prog --help tells more\n"},
    };
    struct options o;
    char said[8192] = "", wanted[8192] = "";

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(read_line(&strict, cases[i].text, &o, NULL), 2, "%s", cases[i].text);
        strcat(wanted, cases[i].said);
    }
    fflush(stderr);
    FILE *err = cr_get_redirected_stderr();
    cr_assert_gt(fread(said, 1, strlen(wanted), err), 0);
    cr_assert_str_eq(said, wanted);
}

Test(arguments, help_follows_from_the_rows, .init = cr_redirect_stdout)
{
    struct options o;

    // What stands behind --help is not looked at.
    cr_assert_eq(read_line(&line, "--help --number 0", &o, NULL), 0);
    fflush(stdout);
    cr_assert_stdout_eq_str(
        "usage: prog\n"
        "\n"
        "Commands\n"
        "  -s, --show            show it\n"
        "      --ask A B         ask\n"
        "      --mode list       list modes\n"
        "      --read CAPTURE    read it\n"
        "\n"
        "Options\n"
        "  -q, --quiet           with --show and --read: say less\n"
        "      --file FILE       the file\n"
        "  -i, --item I          an item\n"
        "  -n, --number N        a number; 1 to 300\n"
        "      --large N         a large number\n"
        "      --seconds S       a time; 0.1 to 3600\n"
        "      --mode MODE       a mode of which there is much to say, so much that it\n"
        "                        does not fit into a line of eighty columns\n"
        "      --address A       an address\n"
        "  -h, --help            print this\n"
        "  -V, --version         print the version; -VV: and what it was built with\n"
        "\n"
        "The end.\n");
}
