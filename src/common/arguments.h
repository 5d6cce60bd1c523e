// SPDX-License-Identifier: Apache-2.0
// arguments: describes a command line by rows, one for each command and option. The parser, --help and the error
// messages follow from the rows. Tests compare completion and man pages with --help.
#ifndef MCR_COMMON_ARGUMENTS_H
#define MCR_COMMON_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The argument of an option, and the type of its field.
enum argument_kind {
    ARGUMENT_COMMAND,  // none; no field
    ARGUMENT_OPERANDS, // `least` words behind the options; const char *[]
    ARGUMENT_FLAG,     // none; bool
    ARGUMENT_TEXT,     // a text; const char *, part of argv
    ARGUMENT_NUMBER,   // a whole number; uint64_t
    ARGUMENT_DECIMAL,  // a decimal number; double. The bounds are in thousandths.
    ARGUMENT_CHOICE,   // a word that take() accepts; unsigned
    ARGUMENT_ADDRESS,  // an address; struct addr
    ARGUMENT_WORD,     // the word `value` alone; no field. Another row with the same name takes all other words.
};

struct argument {
    const char *name;  // without "--"
    const char *value; // name of the argument in --help, or NULL
    enum argument_kind kind;
    size_t at;            // offset of the field in the program's options
    unsigned is;          // bit of a command; 0: an option
    unsigned with;        // mask of the commands with which an option is allowed; 0: all
    uint64_t least, most; // bounds of a number
    bool (*take)(const char *text, unsigned *field);
    const char *allowed; // for messages: "allowed are ..." of a choice, "three arguments" of operands
    const char *help;
    const char *heading; // heading in --help before this row, or NULL
    char letter;         // short option; 0: none. Every program has -h (--help) and -V (--version).
};

// Largest number of rows.
#define ARGUMENTS_MAX 64

struct arguments {
    const char *program; // name at the beginning of messages
    const char *usage;   // beginning of --help
    const char *notes;   // end of --help
    const struct argument *rows;
    size_t n_rows;
    bool once;           // an option may not be repeated
    void (*built)(void); // prints what the program was built with, for -VV; or NULL
};

// Parses a command line into the program's options, `into`, which hold the defaults, and sets *command to the bit of
// the command (0: none; command may be NULL). Returns -1 to continue, or the exit status after --help, --version or a
// message on stderr.
int arguments_read(const struct arguments *a, int argc, char **argv, void *into, unsigned *command);

// Writes a message about the command line to stderr (printf format). Returns the exit status.
int arguments_wrong(const struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Parses a whole number. Returns false if text is none, or is out of bounds.
bool arguments_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);

#endif
