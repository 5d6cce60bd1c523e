// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/lexical.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/utf8.h"

struct word {
    const char *at;
    size_t length;
};

struct lexer {
    const char *at; // the next byte; *end is NUL
    const char *end;
    int line;
    int bad_line;  // the last line with a character that was refused: one error a line is enough
    char last;     // the first character of the last token; 0: there was none
    int last_line; // where it stood
    unsigned depth;
    unsigned keys[LEXICAL_DEPTH_MAX + 1];                       // in each open bracket
    struct word names[LEXICAL_DEPTH_MAX + 1][LEXICAL_KEYS_MAX]; // of these keys
    struct word word;                                           // the last one
    unsigned values;
    unsigned errors;
    struct config_problems *problems;
};

static void fail(struct lexer *l, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void fail(struct lexer *l, int line, const char *format, ...)
{
    char text[200];
    va_list ap;

    if (l->errors++ >= LEXICAL_ERRORS_MAX)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    config_error(l->problems, line, NULL, "%s", text);
}

// --- characters --------------------------------------------------------------------------------------

// Whether a character is none of a config file: the reviewer would not see what is parsed.
static bool is_refused(const struct lexer *l, uint32_t code)
{
    if (code == '\r') // only as the first half of a line end
        return l->at + 1 >= l->end || l->at[1] != '\n';
    return code != '\t' && code != '\n' && utf8_is_hidden(code);
}

static void fail_char(struct lexer *l, uint32_t code, bool valid)
{
    if (l->bad_line == l->line)
        return;
    l->bad_line = l->line;
    if (!valid)
        fail(l, l->line, "byte 0x%02X is not UTF-8", (unsigned) (unsigned char) *l->at);
    else if (code == 0)
        fail(l, l->line, "a NUL byte, allowed is plain text");
    else
        fail(l, l->line, "character U+%04X is not allowed: it cannot be seen", (unsigned) code);
}

// Goes past one character of any kind, judging it and counting lines.
static void step(struct lexer *l)
{
    uint32_t code = 0;
    size_t length = utf8_decode(l->at, (size_t) (l->end - l->at), &code);

    if (length == 0 || is_refused(l, code))
        fail_char(l, code, length > 0);
    if (length > 0 && code == '\n')
        l->line++;
    l->at += length ? length : 1;
}

// Outside strings and comments only ASCII has a meaning; what looks like a space or a quote may be neither.
static void foreign(struct lexer *l)
{
    uint32_t code = 0;
    size_t length = utf8_decode(l->at, (size_t) (l->end - l->at), &code);

    if (length > 0 && !is_refused(l, code) && l->bad_line != l->line) {
        l->bad_line = l->line;
        fail(l, l->line, "character U+%04X stands outside of strings and comments, allowed is ASCII%s", (unsigned) code,
             code == 0xa0                       ? ": it is a no-break space"
             : code >= 0x2018 && code <= 0x201f ? ": strings stand in \"\""
                                                : "");
    }
    step(l);
}

// --- comments and strings ----------------------------------------------------------------------------

static bool starts(const struct lexer *l, const char *with)
{
    return strncmp(l->at, with, strlen(with)) == 0; // the NUL after the text ends the comparison
}

static void line_comment(struct lexer *l)
{
    while (l->at < l->end && *l->at != '\n')
        step(l);
}

// libconfig takes the end of the file as the end of the comment, and so leaves out all that follows.
static void block_comment(struct lexer *l)
{
    int line = l->line;

    l->at += 2;
    while (l->at < l->end && !starts(l, "*/"))
        step(l);
    if (l->at < l->end)
        l->at += 2;
    else
        fail(l, line, "the comment has no end, \"*/\" is missing");
}

// libconfig keeps the backslash of an escape that it does not know, and cuts the string at \x00.
static void escape(struct lexer *l)
{
    if (l->at[1] == 'x' || l->at[1] == 'X') {
        char hex[3] = "";
        if (isxdigit((unsigned char) l->at[2]))
            memcpy(hex, l->at + 2, isxdigit((unsigned char) l->at[3]) ? 2 : 1);
        long code = strlen(hex) == 2 ? strtol(hex, NULL, 16) : -1;
        if (code < 0x20 || code > 0x7e)
            fail(l, l->line, "escape \"\\x%s\" in a string, allowed is \\x20 to \\x7E", hex);
        l->at += 2 + strlen(hex);
        return;
    }
    if (l->at[1] != '\0' && strchr("nrtf\\\"", l->at[1])) {
        l->at += 2;
        return;
    }
    fail(l, l->line, "a backslash in a string, allowed is \\\\ \\\" \\n \\r \\t \\f and \\x20 to \\x7E");
    l->at++;
}

// A string ends on its line, although libconfig would go on: no key takes a line end, and with a quote
// missing the error would otherwise be told far from its place.
static void string(struct lexer *l)
{
    if (l->last == '"')
        fail(l, l->line, "a string right behind that of line %d, allowed is one: libconfig would join them",
             l->last_line);
    l->at++;
    while (l->at < l->end && *l->at != '"' && *l->at != '\n') {
        if (*l->at == '\\')
            escape(l);
        else
            step(l);
    }
    if (l->at < l->end && *l->at == '"')
        l->at++;
    else
        fail(l, l->line, "the string has no end on its line, '\"' is missing");
}

// --- numbers and names -------------------------------------------------------------------------------

// The word from start on, which is no value.
static void fail_word(struct lexer *l, const char *start)
{
    int shown = (int) (l->at - start < 64 ? l->at - start : 64);

    fail(l, l->line, "%.*s is no value: allowed are true, false, a number, or a string in double quotes", shown, start);
}

// libconfig 1.5 cuts what exceeds 32 bits unless an L follows, and 64 bits with it, without a word.
static void integer(struct lexer *l)
{
    const char *start = l->at;
    unsigned dots = 0;
    const char *digits = l->at + (*l->at == '-' || *l->at == '+');
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    char *end;

    errno = 0;
    long long value = strtoll(l->at, &end, hex ? 16 : 10);
    bool is_float = !hex && (*end == '.' || *end == 'e' || *end == 'E'); // no key takes one: the parser tells
    int shown = (int) (end - l->at < 40 ? end - l->at : 40);

    if (!is_float && errno != 0)
        fail(l, l->line, "integer %.*s does not fit into 64 bits", shown, l->at);
    else if (!is_float && *end != 'L' && (value > INT32_MAX || value < INT32_MIN))
        fail(l, l->line, "integer %.*s does not fit into 32 bits, write %.*sL", shown, l->at, shown, l->at);
    l->at = end;
    // The rest of a float, the L, or what libconfig calls a syntax error.
    while (isalnum((unsigned char) *l->at) || *l->at == '.')
        dots += *l->at++ == '.';
    if (dots > 1) // an address
        fail_word(l, start);
}

static bool is_bool(const char *word, size_t length)
{
    return (length == 4 && strncasecmp(word, "true", 4) == 0) || (length == 5 && strncasecmp(word, "false", 5) == 0);
}

// A key, or the word that stands for a value.
static void name(struct lexer *l)
{
    const char *start = l->at;

    while (isalnum((unsigned char) *l->at) || (*l->at != '\0' && strchr("-_*", *l->at)))
        l->at++;
    l->word = (struct word){start, (size_t) (l->at - start)};
    if ((l->last == '=' || l->last == ':') && !is_bool(start, (size_t) (l->at - start)))
        fail_word(l, start);
}

static bool is_number(const struct lexer *l)
{
    return isdigit((unsigned char) l->at[*l->at == '-' || *l->at == '+']);
}

// --- structure ---------------------------------------------------------------------------------------

static void count_value(struct lexer *l)
{
    if (++l->values == LEXICAL_VALUES_MAX + 1)
        fail(l, l->line, "more than %u values in the file", LEXICAL_VALUES_MAX);
}

static void key(struct lexer *l)
{
    struct word *names = l->names[l->depth];

    if (l->keys[l->depth]++ >= LEXICAL_KEYS_MAX) {
        if (l->keys[l->depth] == LEXICAL_KEYS_MAX + 1)
            fail(l, l->line, "more than %d keys in one group", LEXICAL_KEYS_MAX);
        return;
    }
    for (unsigned i = 0; i + 1 < l->keys[l->depth]; i++)
        if (names[i].length == l->word.length && memcmp(names[i].at, l->word.at, l->word.length) == 0) {
            fail(l, l->line, "key \"%.*s\" is given twice in the same group",
                 (int) (l->word.length < 64 ? l->word.length : 64), l->word.at);
            break;
        }
    names[l->keys[l->depth] - 1] = l->word;
}

static void open_bracket(struct lexer *l)
{
    l->depth++;
    if (l->depth == LEXICAL_DEPTH_MAX + 1)
        fail(l, l->line, "brackets are nested deeper than %d", LEXICAL_DEPTH_MAX);
    if (l->depth <= LEXICAL_DEPTH_MAX)
        l->keys[l->depth] = 0;
}

static void close_bracket(struct lexer *l)
{
    if (l->last == ',' && *l->at != '}') // after a setting of a group a comma is fine
        fail(l, l->last_line, "a comma before \"%c\", none may follow the last element", *l->at);
    if (l->depth > 0) // otherwise libconfig finds the syntax error
        l->depth--;
}

static void punctuation(struct lexer *l)
{
    switch (*l->at) {
    case '(':
    case '[':
    case '{':
        open_bracket(l);
        break;
    case ')':
    case ']':
    case '}':
        close_bracket(l);
        break;
    case '=':
    case ':':
        count_value(l);
        if (l->depth <= LEXICAL_DEPTH_MAX && (isalpha((unsigned char) l->last) || l->last == '*'))
            key(l);
        break;
    case ',':
        count_value(l);
        break;
    case '@':
        fail(l, l->line, "\"@\" outside a string: directives as @include are not allowed");
        line_comment(l); // its argument is of no interest
        return;
    }
    step(l);
}

static void token(struct lexer *l)
{
    char first = *l->at;
    int line = l->line;

    if (*l->at == '#' || starts(l, "//")) {
        line_comment(l);
        return;
    }
    if (starts(l, "/*")) {
        block_comment(l);
        return;
    }
    if (isspace((unsigned char) first)) {
        step(l);
        return;
    }
    if (first == '"')
        string(l);
    else if (is_number(l))
        integer(l);
    else if (isalpha((unsigned char) first) || first == '*')
        name(l);
    else if ((unsigned char) first >= 0x80)
        foreign(l);
    else
        punctuation(l);
    l->last = first;
    l->last_line = line;
}

bool lexical_check(const char *text, size_t size, struct config_problems *problems)
{
    struct lexer l = {.at = text, .end = text + size, .line = 1, .problems = problems};

    while (l.at < l.end && l.errors < LEXICAL_ERRORS_MAX)
        token(&l);
    return l.errors == 0;
}
