// SPDX-License-Identifier: Apache-2.0
// arguments: a command line as rows, one for each command and option. The reader, --help and what is said of a wrong
// line follow from them; completion and man pages are held against --help.
#ifndef MCR_COMMON_ARGUMENTS_H
#define MCR_COMMON_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What an option takes, and the type of its field.
enum argument_kind {
    ARGUMENT_COMMAND,  // nothing; no field
    ARGUMENT_OPERANDS, // as many words as `least` behind the options; const char *[]
    ARGUMENT_FLAG,     // nothing; bool
    ARGUMENT_TEXT,     // const char *, part of argv
    ARGUMENT_LIST,     // struct argument_list; more than one word only with the commands of `several`
    ARGUMENT_NUMBER,   // whole; uint64_t
    ARGUMENT_DECIMAL,  // double; the bounds are thousandths
    ARGUMENT_CHOICE,   // what its function take() knows; unsigned
    ARGUMENT_ADDRESS,  // struct addr
    ARGUMENT_WORD,     // only the word `value`; no field. A further row of the same name takes all other words.
};

#define ARGUMENT_LIST_MAX 16

struct argument_list {
    const char *words[ARGUMENT_LIST_MAX]; // parts of argv
    size_t n;
};

struct argument {
    const char *name;  // without "--"
    const char *value; // what --help calls it, or NULL
    enum argument_kind kind;
    size_t at;            // the offset of the field in the program's options
    unsigned is;          // the bit of a command; 0: an option
    unsigned with;        // the commands that an option goes with; 0: any
    unsigned several;     // of a list: the commands that take more than one
    uint64_t least, most; // of a number
    bool (*take)(const char *text, unsigned *field);
    const char *allowed; // of a choice: "allowed are ..."; of operands: "three arguments"
    const char *help;
    const char *heading; // in --help, of this row and those that follow; or NULL
    char letter;         // "-c" for short; 0: none. -h and -V are --help and --version of every program
};

// More rows do not fit.
#define ARGUMENTS_MAX 64

struct arguments {
    const char *program; // as it begins a message
    const char *usage;   // begins --help
    const char *notes;   // ends --help
    const struct argument *rows;
    size_t n_rows;
    const char *stray;   // the option that a word most likely belongs behind; or NULL
    bool once;           // an option may not be repeated
    void (*built)(void); // prints what the program was built with, for -VV; or NULL
};

// Fills the program's options, `into`, which holds the defaults, and the bit of the command (0: none; command may be
// NULL). Returns -1 to go on, or the exit status, when all was said: by --help, by --version, or on stderr what is
// wrong.
int arguments_read(const struct arguments *a, int argc, char **argv, void *into, unsigned *command);

// Says on stderr what is wrong. Returns the exit status.
int arguments_wrong(const struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A whole number within these bounds.
bool arguments_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);

#endif
