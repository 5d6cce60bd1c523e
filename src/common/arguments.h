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
    ARGUMENT_COMMAND,  // nothing; no field
    ARGUMENT_OPERANDS, // as many words as `least` behind the options; const char *[]
    ARGUMENT_FLAG,     // nothing; bool
    ARGUMENT_TEXT,     // const char *, part of argv
    ARGUMENT_LIST,     // the same, up to `most` times; struct argument_list
    ARGUMENT_NUMBER,   // whole; uint64_t
    ARGUMENT_DECIMAL,  // double; the bounds are thousandths
    ARGUMENT_CHOICE,   // what its function take() knows; unsigned
    ARGUMENT_ADDRESS,  // struct addr
    ARGUMENT_WORD,     // only the word `value`; no field. A further row of the same name takes all other words.
};

struct argument {
    const char *name;  // without "--"
    const char *value; // name of the argument in --help, or NULL; of a command: what may follow
    enum argument_kind kind;
    size_t at;            // the offset of the field in the program's options
    unsigned is;          // the bit of a command; 0: an option
    unsigned with;        // the commands that an option goes with; 0: any
    unsigned several;     // of a list: the commands that take more than one text; 0: all
    unsigned bare;        // of a list: the commands behind which a word without the option is a text of it, too
    unsigned joins;       // of a command: those that it may be given with; it is an option of them then
    uint64_t least, most; // of a number; the most of a list
    bool (*take)(const char *text, unsigned *field);
    bool (*glued)(const char *word); // of operands of which one is missing: whether this word has it, too; or NULL
    const char *apart;               // then: what to do
    const char *allowed;             // of a choice or a list: "allowed are ..."; of operands: "three arguments"
    const char *help;
    const char *heading; // heading in --help before this row, or NULL
    char letter;         // short option; 0: none. Every program has -h (--help) and -V (--version).
};

// Words that people write behind the program's name, and what they mean.
struct argument_hint {
    const char *words; // separated by blanks, with one at both ends
    const char *text;  // "mcrstat shows it"
};

#define ARGUMENT_LIST_MOST 16

struct argument_list {
    unsigned n;
    const char *texts[ARGUMENT_LIST_MOST];
};

// More rows do not fit.
#define ARGUMENTS_MAX 64

struct arguments {
    const char *program; // name at the beginning of messages
    const char *usage;   // beginning of --help
    const char *notes;   // end of --help
    const struct argument *rows;
    size_t n_rows;
    const char *stray;                 // the option that a word most likely belongs behind; or NULL
    const struct argument_hint *hints; // up to one without words; or NULL
    bool once;                         // no option but a list may be repeated, not even one without a value
    void (*built)(void);               // prints what the program was built with, for -VV; or NULL
};

// Parses a command line into the program's options, `into`, which hold the defaults, and sets *command to the bit of
// the command, with that of one that joins it (0: none; command may be NULL). Returns -1 to continue, or the exit
// status after --help, --version or a message on stderr.
int arguments_read(const struct arguments *a, int argc, char **argv, void *into, unsigned *command);

// Writes a message about the command line to stderr (printf format). Returns the exit status.
int arguments_wrong(const struct arguments *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Parses a whole number. Returns false if text is none, or is out of bounds.
bool arguments_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);

#endif
