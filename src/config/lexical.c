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
#include "config/grammar.h"
#include "config/hint.h"

#define SDP "an SDP file: the address of its c= is \"group\" here, the port of its m= is \"port\": docs/protocols.md"

struct lexer {
    const char *at; // the next byte; *end is NUL
    const char *end;
    int line;
    int cut, cut_end;          // lines of the last comment that another one seems to end; 0: there is none
    int bad_line;              // the last line with a refused character; each line has one error at most
    struct lexical_token last; // the previous token
    unsigned depth;
    unsigned keys[LEXICAL_DEPTH_MAX + 1];                                // number of keys in each open bracket
    struct lexical_token names[LEXICAL_DEPTH_MAX + 1][LEXICAL_KEYS_MAX]; // these keys
    unsigned values;
    unsigned errors, warnings;
    struct grammar grammar; // used up to the first error
    struct config_problems *problems;
};

static __attribute__((format(printf, 3, 4))) void fail(struct lexer *l, int line, const char *format, ...)
{
    char text[GRAMMAR_WHY_MAX + 16];
    va_list ap;

    if (l->errors++ >= LEXICAL_ERRORS_MAX)
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    config_error(l->problems, line, NULL, "%s", text);
}

static bool is_after(const struct lexer *l, char mark)
{
    return l->last.kind == LEXICAL_MARK && *l->last.text == mark;
}

// --- characters ------------------------------------------------------------------------------------------------------

// Returns whether a character is not allowed: a reviewer could not see what is parsed.
static bool is_refused(const struct lexer *l, uint32_t code)
{
    if (code == '\r') // allowed only before \n
        return l->at + 1 >= l->end || l->at[1] != '\n';
    return code != '\t' && code != '\n' && utf8_is_hidden(code);
}

static void fail_char(struct lexer *l, uint32_t code, bool valid)
{
    if (l->bad_line == l->line)
        return;
    l->bad_line = l->line;
    if (!valid)
        fail(l, l->line, "byte 0x%02X is not UTF-8: save the file as UTF-8", (unsigned) (unsigned char) *l->at);
    else if (code == 0)
        fail(l, l->line, "a NUL byte, allowed is plain text");
    else if (code == '\r')
        fail(l, l->line, "a carriage return (U+000D) alone: save the file with line ends of LF or CR LF");
    else
        fail(l, l->line, "character U+%04X is not allowed: it cannot be seen", (unsigned) code);
}

// Skips one character of any kind, checks it, and counts lines.
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

// Refuses a character beyond ASCII outside of strings and comments: it may look like a space or a quote, but is
// neither.
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

// --- comments and strings --------------------------------------------------------------------------------------------

static bool starts(const struct lexer *l, const char *with)
{
    return strncmp(l->at, with, strlen(with)) == 0; // the NUL after the text bounds it
}

static void line_comment(struct lexer *l)
{
    while (l->at < l->end && *l->at != '\n')
        step(l);
}

// Whether the next mark of a comment is an end: the one that was commented out had a comment within.
static bool end_follows(const struct lexer *l)
{
    const char *end = strstr(l->at, "*/"), *begin = strstr(l->at, "/*");

    return end && (!begin || end < begin);
}

// Whether a comment seems to begin within another one: not within a word, as in a path or a URL.
static bool begins_within(const struct lexer *l)
{
    return starts(l, "/*") && (isspace((unsigned char) l->at[-1]) || strchr(",;(){}[]", l->at[-1]));
}

// Skips a comment /* */, and refuses one without an end: libconfig would end it at the end of the file, and ignore
// everything in between. Warns of one that begins within: the end of the first was forgotten, and what stands between
// is ignored.
static void block_comment(struct lexer *l)
{
    int line = l->line, within = 0;

    for (l->at += 2; l->at < l->end && !starts(l, "*/"); step(l))
        if (within == 0 && begins_within(l))
            within = l->line;
    if (l->at >= l->end) {
        fail(l, line, "the comment has no end, \"*/\" is missing");
        return;
    }
    l->at += 2;
    if (within > 0 && end_follows(l))
        l->cut = line, l->cut_end = l->line;
    else if (within > 0 && l->warnings++ < LEXICAL_ERRORS_MAX)
        config_warning(
            l->problems, within, NULL,
            "\"/*\" within the comment that begins in line %d: comments do not nest; was a \"*/\" forgotten?", line);
}

// Reports an end of a comment that is none, or what went wrong before it since the comment ended too early.
static void fail_nested(struct lexer *l)
{
    if (l->cut > 0)
        fail(l, l->cut_end, "the comment of line %d ends here, at the first \"*/\": comments do not nest", l->cut);
    else
        fail(l, l->line, "\"*/\" where no comment is: comments do not nest, one ends at the first \"*/\"");
    l->at = l->end;
}

// Checks an escape: libconfig keeps the backslash of one that it does not know, and cuts the string at \x00.
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

// Reads a string, which must end on its line. libconfig would continue on the next line, but no key allows a line end,
// and the error of a missing quote would be reported far from its place.
static void string(struct lexer *l, struct lexical_token *t)
{
    if (l->last.kind == LEXICAL_STRING)
        fail(l, l->line, "a string right behind that of line %d, allowed is one: libconfig would join them",
             l->last.line);
    t->kind = LEXICAL_STRING;
    t->text = ++l->at;
    while (l->at < l->end && *l->at != '"' && *l->at != '\n') {
        if (*l->at == '\\')
            escape(l);
        else
            step(l);
    }
    t->length = (size_t) (l->at - t->text);
    if (l->at < l->end && *l->at == '"')
        l->at++;
    else
        fail(l, l->line, "the string has no end on its line, '\"' is missing");
}

// Refuses '...' on one line, which is a string in other formats.
static bool single_quotes(struct lexer *l, struct lexical_token *t)
{
    if (*l->at != '\'')
        return false;
    const char *end = l->at + 1 + strcspn(l->at + 1, "'\n");
    if (*end != '\'')
        return false;
    t->kind = LEXICAL_STRING;
    t->text = l->at + 1;
    t->length = (size_t) (end - t->text);
    bool shown = t->length <= 64; // and without control characters, which a terminal would obey
    for (size_t i = 0; shown && i < t->length; i++)
        shown = isprint((unsigned char) t->text[i]);
    fail(l, l->line, "single quotes: strings stand in double quotes, write \"%.*s\"", shown ? (int) t->length : 3,
         shown ? t->text : "...");
    while (l->at <= end)
        step(l);
    return true;
}

// Returns whether this word stands right behind the end of a string.
static bool is_behind_string(const struct lexer *l, const char *word)
{
    return l->last.kind == LEXICAL_STRING && word == l->last.text + l->last.length + 1;
}

// --- numbers and names -----------------------------------------------------------------------------------------------

// Adds an error about the word from start on, which is no value.
static void fail_word(struct lexer *l, const char *start)
{
    size_t length = (size_t) (l->at - start);
    unsigned n = l->depth <= LEXICAL_DEPTH_MAX ? l->keys[l->depth] : 0; // the last of these keys
    struct lexical_token key = n > 0 && n <= LEXICAL_KEYS_MAX ? l->names[l->depth][n - 1] : (struct lexical_token){0};
    char hint[HINT_WORD_MAX];

    if (is_behind_string(l, start))
        fail(l, l->line, GRAMMAR_QUOTE_INSIDE, (int) (length < 40 ? strcspn(start, "\"\n") : 0), start);
    else
        fail(l, l->line, "%.*s is no value: allowed are true, false, a number, or a string in double quotes%s",
             (int) (length < 64 ? length : 64), start, hint_word(key.text, key.length, start, length, hint));
}

// Returns whether a number may end before this byte. libconfig needs no delimiter: it reads 1enabled as 1 and enabled.
static bool ends_before(const struct lexer *l, const char *at)
{
    unsigned char next = (unsigned char) *at;

    return at >= l->end || next >= 0x80 || iscntrl(next) || strchr(" ;,)]}#", next) || strncmp(at, "//", 2) == 0 ||
           strncmp(at, "/*", 2) == 0;
}

static bool is_number(const struct lexer *l)
{
    char first = l->at[*l->at == '-' || *l->at == '+'];

    return isdigit((unsigned char) first) || first == '.';
}

static const char *skip_digits(const char *at)
{
    return at + strspn(at, "0123456789");
}

// Skips the part of a float that begins with the first character that no integer has.
static const char *skip_float(const char *at)
{
    if (*at == '.')
        at = skip_digits(at + 1);
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '-' || at[1] == '+');
        if (isdigit((unsigned char) *exponent))
            at = skip_digits(exponent);
    }
    return at;
}

// Refuses integers that libconfig 1.5 to 1.8 read differently. 1.5 silently truncates to 32 bits, or to 64 bits if an L
// follows. 1.7 and 1.8.0 read a leading 0 as octal. 1.8.1 reads 0xFFFFFFFF as -1, even with an L, and allows 16 digits
// after 0x.
static void integer(struct lexer *l, struct lexical_token *t, const char *digits, const char *end, bool hex)
{
    int shown = (int) (end - t->text < 40 ? end - t->text : 40);
    bool is_long = *end == 'L';

    errno = 0;
    t->number = strtoll(t->text, NULL, hex ? 16 : 10);
    if (errno != 0 || (hex && end - digits > 16))
        fail(l, t->line, "integer %.*s does not fit into 64 bits", shown, t->text);
    else if (!hex && digits[0] == '0' && end - digits > 1)
        fail(l, t->line, "integer %.*s begins with 0, write %lld: it could be octal", shown, t->text, t->number);
    else if ((hex || !is_long) && (t->number > INT32_MAX || t->number < INT32_MIN))
        fail(l, t->line, "integer %.*s does not fit into 32 bits, write %lldL", shown, t->text, t->number);
}

// Reads a number as libconfig 1.5 does, but requires a digit and a delimiter. Numbers with 0b, 0o or 0q, which only
// libconfig 1.8 knows, are refused.
static void number(struct lexer *l, struct lexical_token *t)
{
    const char *digits = l->at + (*l->at == '-' || *l->at == '+');
    bool hex = digits == l->at && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');

    digits += hex ? 2 : 0;
    const char *end = hex ? digits + strspn(digits, "0123456789ABCDEFabcdef") : skip_digits(digits);
    bool has_digit = end > digits || isdigit((unsigned char) digits[*digits == '.']);
    l->at = hex ? end : skip_float(end);
    t->kind = l->at > end ? LEXICAL_FLOAT : LEXICAL_INTEGER;
    if (t->kind == LEXICAL_INTEGER && *end == 'L')
        l->at += 1 + (end[1] == 'L');
    if (!has_digit || !ends_before(l, l->at)) {
        while (!ends_before(l, l->at))
            l->at++;
        fail_word(l, t->text);
    } else if (t->kind == LEXICAL_INTEGER && l->grammar.state != GRAMMAR_KEY) { // parse.c reports a float
        integer(l, t, digits, end, hex);
    }
    t->length = (size_t) (l->at - t->text);
}

// Reads a key, or a word in place of a value.
static void name(struct lexer *l, struct lexical_token *t)
{
    while (isalnum((unsigned char) *l->at) || (*l->at != '\0' && strchr("-_*", *l->at)))
        l->at++;
    t->length = (size_t) (l->at - t->text);
    t->number = t->length == 4 && strncasecmp(t->text, "true", 4) == 0;
    t->kind = t->number || (t->length == 5 && strncasecmp(t->text, "false", 5) == 0) ? LEXICAL_BOOL : LEXICAL_KEY;
    if ((is_after(l, '=') || is_after(l, ':')) && t->kind == LEXICAL_KEY) {
        while (!ends_before(l, l->at)) // such as eth0.20
            l->at++;
        fail_word(l, t->text);
    }
}

// --- structure -------------------------------------------------------------------------------------------------------

static void count_value(struct lexer *l)
{
    if (++l->values == LEXICAL_VALUES_MAX + 1)
        fail(l, l->line, "more than %u values in the file", LEXICAL_VALUES_MAX);
}

static void key(struct lexer *l)
{
    struct lexical_token *names = l->names[l->depth], *last = &l->last;

    if (l->keys[l->depth]++ >= LEXICAL_KEYS_MAX) {
        if (l->keys[l->depth] == LEXICAL_KEYS_MAX + 1)
            fail(l, l->line, "more than %d keys in one group", LEXICAL_KEYS_MAX);
        return;
    }
    for (unsigned i = 0; i + 1 < l->keys[l->depth]; i++)
        if (names[i].length == last->length && memcmp(names[i].text, last->text, last->length) == 0) {
            bool input = last->length == strlen("input") && memcmp(last->text, "input", last->length) == 0;
            fail(l, l->line, "key \"%.*s\" is given twice in the same group%s",
                 (int) (last->length < 64 ? last->length : 64), last->text,
                 input ? ": for two legs " HINT_LEGS "; for two streams a rule for each" : "");
            break;
        }
    names[l->keys[l->depth] - 1] = *last;
}

static void punctuation(struct lexer *l)
{
    switch (*l->at) {
    case '(':
    case '[':
    case '{':
        if (++l->depth <= LEXICAL_DEPTH_MAX)
            l->keys[l->depth] = 0;
        else if (l->depth == LEXICAL_DEPTH_MAX + 1)
            fail(l, l->line, "brackets are nested deeper than %d", LEXICAL_DEPTH_MAX);
        break;
    case ')':
    case ']':
    case '}':
        if (is_after(l, ',') && *l->at != '}') // after a setting of a group a comma is allowed
            fail(l, l->last.line, "a comma before \"%c\", none may follow the last element", *l->at);
        l->depth -= l->depth > 0; // if not, it is a syntax error, which the grammar reports
        break;
    case '=':
    case ':':
        count_value(l);
        if (l->depth <= LEXICAL_DEPTH_MAX && (l->last.kind == LEXICAL_KEY || l->last.kind == LEXICAL_BOOL))
            key(l);
        break;
    case ',':
        if (is_after(l, ',')) // libconfig 1.7 reads two commas as one
            fail(l, l->line, "a comma right behind another one");
        count_value(l);
        break;
    case '@':
        fail(l, l->line, "\"@\" outside a string: directives as @include are not allowed");
        line_comment(l); // skips the directive's argument
        return;
    }
    step(l);
}

// Passes a token to the grammar, and reports the first syntax error. Further ones would be guesses.
static void follow(struct lexer *l, const struct lexical_token *t)
{
    struct grammar_fault fault;

    if (l->errors > 0 || grammar_next(&l->grammar, t, &fault))
        return;
    if (l->cut > 0 && end_follows(l)) {
        fail_nested(l);
        return;
    }
    fail(l, fault.line, "syntax error: %s", fault.why);
    if (fault.whole)
        l->at = l->end;
}

static void token(struct lexer *l, lexical_see *see, void *context)
{
    struct lexical_token t = {.kind = LEXICAL_MARK, .line = l->line, .depth = l->depth, .text = l->at, .length = 1};

    if (*l->at == '#' || starts(l, "//")) {
        line_comment(l);
        return;
    }
    if (starts(l, "/*")) {
        block_comment(l);
        return;
    }
    if (starts(l, "*/")) {
        fail_nested(l);
        return;
    }
    if (isspace((unsigned char) *l->at)) {
        step(l);
        return;
    }
    if (*l->at == '"')
        string(l, &t);
    else if (single_quotes(l, &t))
        ; // an error has been added
    else if (is_number(l))
        number(l, &t);
    else if (isalpha((unsigned char) *l->at) || *l->at == '*' || starts(l, HINT_OMITTED))
        name(l, &t);
    else if ((unsigned char) *l->at >= 0x80)
        foreign(l);
    else
        punctuation(l);
    t.depth = t.depth > l->depth ? l->depth : t.depth;
    l->last = t;
    follow(l, &t);
    if (see)
        see(context, &t);
}

// Refuses files of other formats by their first bytes, and a byte order mark, which some editors and PowerShell write
// before the text.
static void beginning(struct lexer *l)
{
    static const struct {
        const char *begins, *why;
        bool whole; // nothing else is checked
    } files[] = {
        {"\xef\xbb\xbf", "the file begins with a byte order mark (U+FEFF): save it as UTF-8 without one", false},
        {"\xff\xfe", "the file is UTF-16: save it as UTF-8", true},
        {"\xfe\xff", "the file is UTF-16: save it as UTF-8", true},
        {"$ANSIBLE_VAULT;", "an Ansible vault file: decrypt it first (ansible-vault decrypt)", true},
        {"v=0\n", SDP, true},
        {"v=0\r", SDP, true},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (starts(l, files[i].begins)) {
            fail(l, 1, "%s", files[i].why);
            l->at = files[i].whole ? l->end : l->at + strlen(files[i].begins);
        }
}

bool lexical_check(const char *text, size_t size, lexical_see *see, void *context, struct config_problems *problems)
{
    struct lexer l = {.at = text, .end = text + size, .line = 1, .problems = problems};
    struct grammar_fault fault;

    beginning(&l);
    while (l.at < l.end && l.errors < LEXICAL_ERRORS_MAX)
        token(&l, see, context);
    if (l.errors == 0 && !grammar_end(&l.grammar, &fault))
        fail(&l, fault.line, "syntax error: %s", fault.why);
    return l.errors == 0;
}
