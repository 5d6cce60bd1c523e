// SPDX-License-Identifier: Apache-2.0
#include <config.h>

#include "config/grammar.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/schema.h"

#define SHOWN_MAX 40 // bytes of a token that a message shows

// --- explanations of errors ------------------------------------------------------------------------------------------

#define STATE(name) (1u << GRAMMAR_##name)
#define KIND(name)  (1u << LEXICAL_##name)
#define ANY         (~0u)
#define IN_GROUP    (STATE(KEY) | STATE(TERMINATOR))
#define IN_LIST     (STATE(FIRST) | STATE(ELEMENT) | STATE(COMMA))
#define SCALAR      (KIND(BOOL) | KIND(INTEGER) | KIND(FLOAT) | KIND(STRING))

// The line of an error: that of the token, that of the previous token, or none, because the whole file is wrong.
enum where { HERE, BEHIND, WHOLE };

// The first matching row gives the text. In it $t is the token, $w the word of `starts` that matches, $k the previous
// key, $b and $e the open bracket and the one that closes it, $l the line of $b, $o the key of which the bracket is the
// value, $v how that value is written, and $a why.
// clang-format off
#define NEVER 5
static const struct {
    unsigned states, kinds;
    const char *starts; // the text from the token on begins with one of these words, or, behind "~", its line has one
                        // of them as a whole word; NULL: any text
    const char *in;     // the open bracket is one of these; "-": none is open; NULL: any
    const char *last;   // the previous token is one of these words; "": there is none; NULL: any
    enum where where;
    const char *text;
} faults[] = {
    // The first NEVER rows are errors even if their first character is allowed here.
    {ANY, KIND(MARK), "<<<<<<< ======= >>>>>>>", NULL, NULL, WHOLE,
     "$w of a merge that is not finished: keep one side, remove the marks"},
    {ANY, KIND(MARK), "== => :=", NULL, NULL, HERE, "\"$w\" behind \"$k\": write one \"=\""},
    {ANY, KIND(MARK), "{{ {%", NULL, NULL, HERE, "$w of a template that was not filled in: write the value"},
    {ANY, KIND(MARK), "<%", NULL, NULL, WHOLE, "$w of a template that was not filled in: write the value"},
    {ANY, KIND(MARK), "$", NULL, NULL, HERE, "\"$w\" outside a string: variables are not replaced, write the value"},
    // In place of a key.
    {IN_GROUP, KIND(MARK), "{ [ - <", "-", "", WHOLE,
     "the file begins with \"$w\", as JSON, YAML, INI or XML do: write key = value; without anything around the whole"},
    {IN_GROUP, KIND(MARK), "{", "{", "{", HERE,
     "\"{\" in the { } of \"$o\": $a, write $o = $v;"},
    {IN_GROUP, KIND(MARK), "{", "{", NULL, HERE,
     "\"{\" where a key is expected: the \"{\" of line $l is not closed, or a list of groups does not stand in ( )"},
    {IN_GROUP, KIND(STRING), NULL, NULL, NULL, HERE,
     "\"$t\" in quotes where a key is expected: keys stand without quotes"},
    {IN_GROUP, KIND(MARK), "+", NULL, NULL, WHOLE, "\"$t\" before a key: the mark of a diff? leave it out"},
    {STATE(KEY), KIND(MARK), "; ,", NULL, NULL, HERE, "\"$t\" without a setting before it"},
    {IN_GROUP, KIND(MARK), ") ] }", "-", NULL, HERE,
     "\"$t\" closes nothing: it is one too many, or its opening bracket is missing"},
    // In place of the = behind a key.
    {STATE(EQUALS), KIND(KEY), "~upstream downstream disabled", "-", "phyint", WHOLE,
     "a line of igmpproxy.conf, which mcrd does not read: docs/migrating.md shows how it is written here"},
    {STATE(EQUALS), KIND(KEY), NULL, "-", "quickleave defaultdown altnet whitelist", WHOLE,
     "a line of igmpproxy.conf, which mcrd does not read: docs/migrating.md shows how it is written here"},
    {STATE(EQUALS), KIND(KEY), NULL, "-", "mgroup mroute phyint", WHOLE,
     "a line of smcroute.conf, which mcrd does not read: docs/migrating.md shows how it is written here"},
    {STATE(EQUALS), KIND(KEY) | KIND(MARK), NULL, "-", "udpxy socat igmpproxy smcroutectl", WHOLE,
     "a command of $k, which mcrd does not read: docs/migrating.md shows how it is written here"},
    {STATE(EQUALS), KIND(STRING), "~{", NULL, "rule rules", WHOLE,
     "\"=\" is missing behind \"$k\": a rule is a group in a list, write rules = ( { name = \"$t\"; ... } );"},
    {STATE(EQUALS), KIND(MARK), "{", NULL, "rule rules", WHOLE,
     "\"=\" is missing behind \"$k\": rules are groups in a list, write rules = ( { name = \"...\"; ... } );"},
    {STATE(EQUALS), KIND(MARK), "{", NULL, "inputs outputs interfaces", BEHIND,
     "\"=\" is missing behind \"$k\": a list of groups stands in ( ), write $k = ( { }, { } );"},
    {STATE(EQUALS), KIND(MARK), "+=", NULL, NULL, HERE,
     "\"+=\" behind \"$k\": nothing is added to a key, which stands once: write one \"=\" and the whole value"},
    {STATE(EQUALS), KIND(STRING), NULL, NULL, "include", BEHIND,
     "directives as @include are not allowed: the rules stand in one file"},
    {STATE(EQUALS), KIND(STRING), NULL, NULL, NULL, BEHIND, "\"=\" is missing behind \"$k\": write $k = \"$t\""},
    {STATE(EQUALS), SCALAR, NULL, NULL, NULL, BEHIND, "\"=\" is missing behind \"$k\": write $k = $t"},
    {STATE(EQUALS), KIND(MARK), "( [ {", NULL, NULL, BEHIND, "\"=\" is missing behind \"$k\": write $k = $t"},
    {STATE(EQUALS), ANY, NULL, NULL, NULL, BEHIND, "\"=\" and a value are missing behind \"$k\""},
    // In place of a value.
    {STATE(VALUE), KIND(MARK), "/", NULL, NULL, HERE, "\"/\" as the value of \"$k\": a path stands in double quotes"},
    {STATE(VALUE), KIND(MARK), "<", NULL, NULL, HERE, "\"<\" as the value of \"$k\": put the value in its place"},
    {STATE(VALUE), KIND(MARK), "-", NULL, NULL, WHOLE, "\"-\" as the value of \"$k\": a list is written ( { }, { } )"},
    {STATE(VALUE), ANY, NULL, NULL, NULL, BEHIND, "the value of \"$k\" is missing"},
    // Among the elements of a list or an array.
    {STATE(FIRST) | STATE(ELEMENT), KIND(KEY), "rule", "(", NULL, WHOLE,
     "$t in the ( ) of \"$o\": a group has no word before it, write { name = \"...\"; ... }"},
    {IN_LIST, KIND(MARK), "{ ( [", "[", NULL, HERE,
     "\"$t\" in an array [ ]: $a, write $o = $v;"},
    {STATE(FIRST) | STATE(ELEMENT), KIND(KEY), NULL, NULL, NULL, HERE,
     "$t in the $b $e of \"$o\": a string stands in double quotes, settings stand in { }"},
    {STATE(COMMA), KIND(KEY), NULL, NULL, NULL, HERE,
     "$t in the \"$b\" of line $l: its \"$e\" is missing before, or settings do not stand in { }"},
    {STATE(COMMA), KIND(MARK), "{ ( [", NULL, NULL, BEHIND, "a \",\" is missing behind this element of \"$o\""},
    {STATE(COMMA), SCALAR, NULL, NULL, NULL, BEHIND, "a \",\" is missing behind this element of \"$o\""},
    {STATE(COMMA), KIND(MARK), "= :", NULL, NULL, HERE,
     "\"$t\" in the \"$b\" of line $l: settings stand in { }, their keys without quotes"},
    {IN_LIST, KIND(MARK), "; , -", NULL, NULL, HERE,
     "\"$t\" in the \"$b\" of line $l: a \",\" stands between two elements, and \"$e\" behind the last"},
    // Everything else.
    {ANY, KIND(MARK), ") ] }", NULL, NULL, HERE, "\"$t\" before the \"$b\" of line $l is closed: its \"$e\" is missing"},
    {IN_GROUP, ANY, NULL, NULL, NULL, HERE, "\"$t\" where a key is expected"},
    {IN_LIST, ANY, NULL, NULL, NULL, HERE, "\"$t\" among the elements of \"$o\""},
};
// clang-format on

// --- the explanation of an error -------------------------------------------------------------------------------------

// Returns the first of the words, separated by blanks, with which text begins (whole: which text is), or NULL. *n: its
// length.
static const char *word_of(const char *words, const char *text, size_t length, bool whole, size_t *n)
{
    for (; *words; words += *n + strspn(words + *n, " ")) {
        *n = strcspn(words, " ");
        if (whole ? length == *n && memcmp(words, text, *n) == 0 : strncmp(words, text, *n) == 0)
            return words;
    }
    return NULL;
}

// Returns whether one of these words stands between blanks or quotes from text on, up to the end of its line.
static bool line_has(const char *words, const char *text)
{
    size_t length, unused;

    for (; *text && *text != '\n'; text += length + strspn(text + length, " \t\r\"")) {
        length = strcspn(text, " \t\r\n\"");
        if (word_of(words, text, length, true, &unused))
            return true;
    }
    return false;
}

// The kind of the first key of this name, or SCHEMA_KINDS.
static enum schema_kind kind_of(const struct lexical_token *name)
{
    const struct schema_key *key = schema_keys, *end = schema_keys + schema_n_keys;

    while (key < end && (strlen(key->name) != name->length || memcmp(key->name, name->text, name->length) != 0))
        key++;
    return key < end ? key->kind : SCHEMA_KINDS;
}

// How the value of a key is written, and why.
static const char *form_of(const struct lexical_token *name, bool why)
{
    enum schema_kind kind = kind_of(name);

    if (kind == SCHEMA_SECTION)
        return why ? "it is one group" : "{ ... }";
    if (kind == SCHEMA_PREFIXES)
        return why ? "a list of texts stands in [ ]" : "[ \"...\", \"...\" ]";
    return why ? "a list of groups stands in ( )" : "( { }, { } )";
}

// Sets *text to the replacement of $ and this letter. Returns its length.
static size_t piece(const struct grammar *g, const struct lexical_token *t, char letter, char line[16],
                    const char **text)
{
    static const char opens[] = "([{", ends[] = ")]}";
    const char *bracket = strchr(opens, g->open[g->depth].bracket);
    const struct lexical_token *shown = letter == 't' ? t : letter == 'k' ? &g->key : &g->open[g->depth].key;

    if (letter == 'b' || letter == 'e') {
        *text = letter == 'b' ? bracket : ends + (bracket - opens);
        return **text != '\0';
    }
    if (letter == 'l') {
        *text = line;
        return (size_t) snprintf(line, 16, "%d", g->open[g->depth].line);
    }
    if (letter == 'v' || letter == 'a') {
        *text = form_of(shown, letter == 'a');
        return strlen(*text);
    }
    *text = shown->text;
    return shown->length;
}

static void write_why(const struct grammar *g, const struct lexical_token *t, const char *word, size_t n,
                      const char *text, char why[GRAMMAR_WHY_MAX])
{
    size_t used = 0, length;
    char line[16];

    for (; *text && used + SHOWN_MAX < GRAMMAR_WHY_MAX - 1; text++) {
        const char *from = text;
        length = 1;
        if (*text == '$' && *++text == 'w')
            from = word, length = n;
        else if (from < text)
            length = piece(g, t, *text, line, &from);
        if (length > SHOWN_MAX)
            for (length = SHOWN_MAX; length > 0 && ((unsigned char) from[length] & 0xc0) == 0x80;) // whole characters
                length--;
        if (length > 0)
            memcpy(why + used, from, length);
        used += length;
    }
    why[used] = '\0';
}

// Searches the first `rows` rows for one that matches t. Returns false with the fault if there is one.
static bool judge(const struct grammar *g, const struct lexical_token *t, size_t rows, struct grammar_fault *f)
{
    const char bracket = g->depth > 0 ? g->open[g->depth].bracket : '-', *word = NULL;
    size_t i = 0, n = 0, unused;

    for (; i < rows; i++) {
        if (!(faults[i].states & 1u << g->state) || !(faults[i].kinds & 1u << t->kind) ||
            (faults[i].in && !strchr(faults[i].in, bracket)))
            continue;
        if (faults[i].last && (*faults[i].last ? !word_of(faults[i].last, g->last.text, g->last.length, true, &unused)
                                               : g->last.kind != LEXICAL_NONE))
            continue;
        if (!faults[i].starts || (*faults[i].starts == '~' && line_has(faults[i].starts + 1, t->text)) ||
            (word = word_of(faults[i].starts, t->text, 0, false, &n)))
            break;
    }
    if (i == rows)
        return true;
    f->line = faults[i].where == BEHIND ? g->last.line : t->line;
    f->whole = faults[i].where == WHOLE;
    write_why(g, t, word, n, faults[i].text, f->why);
    return false;
}

// Whether the file begins with the { of a rule.
static bool begins_with_rule(const struct grammar *g, const struct lexical_token *t)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_";
    char name[SHOWN_MAX];

    if (g->last.kind != LEXICAL_NONE || t->kind != LEXICAL_MARK || *t->text != '{')
        return false;
    const char *key = t->text + 1 + strspn(t->text + 1, " \t\r\n");
    snprintf(name, sizeof(name), "%.*s", (int) strspn(key, letters), key);
    return schema_find(SCHEMA_RULE, name) != NULL;
}

// A word before a group, as blocks of HCL and nginx have it: rules = ( "cam1" { ... } ).
static bool is_named_group(const struct grammar *g, const struct lexical_token *t)
{
    return g->state == GRAMMAR_COMMA && g->last.kind == LEXICAL_STRING && g->open[g->depth].bracket == '(' &&
           t->kind == LEXICAL_MARK && *t->text == '{';
}

// A word that stands right behind the end of a string, of which a quote within ended it; NULL: there is none.
static const struct lexical_token *behind_string(const struct grammar *g, const struct lexical_token *t)
{
    const struct lexical_token *word = g->state == GRAMMAR_EQUALS ? &g->last : t;
    bool behind = g->first && word->text != g->first; // else there may be nothing before it

    return behind && word->kind != LEXICAL_MARK && word->kind != LEXICAL_STRING && word->text[-1] == '"' ? word : NULL;
}

// Whether a key, a bracket or a comment stands behind the number, as behind that of a line.
static bool is_line_number(const struct lexical_token *t)
{
    const char *end = t->text + t->length, *behind = end + strspn(end, " \t:");

    return t->kind == LEXICAL_INTEGER && behind > end && *behind &&
           (isalpha((unsigned char) *behind) || strchr("{}()#/", *behind));
}

// What stands first on its line where a key is expected, and is of another format or was copied along; else NULL.
static const char *remnant_of(const struct grammar *g, const struct lexical_token *t)
{
    if (!(IN_GROUP & 1u << g->state) || (g->last.kind != LEXICAL_NONE && g->last.line == t->line))
        return NULL;
    if (is_line_number(t))
        return "\"$t\" before a key: a line number that was copied along? leave it out";
    return t->kind == LEXICAL_MARK && *t->text == ';' ? "\";\" without a setting before it: a comment begins with #"
                                                      : NULL;
}

// A list of texts in { }: writes it as it should be, if its end is on this line.
static bool is_list_in_braces(const struct grammar *g, const struct lexical_token *t, char why[GRAMMAR_WHY_MAX])
{
    static const char texts[] = "ABCDEFabcdef0123456789.:/\", \t";
    const struct lexical_token *name = &g->open[g->depth].key;
    int length = (int) strspn(t->text, texts);
    const char *end = t->text + length;

    if (g->depth == 0 || t->kind != LEXICAL_STRING || *g->last.text != '{' || kind_of(name) != SCHEMA_PREFIXES)
        return false;
    while (length > 0 && strchr(" \t,", t->text[length - 1]))
        length--;
    if (*end == '}' && length < GRAMMAR_WHY_MAX / 2)
        snprintf(why, GRAMMAR_WHY_MAX, "a list of values stands in [ ]: write [ \"%.*s ]", length, t->text);
    else
        snprintf(why, GRAMMAR_WHY_MAX, "a list of values stands in [ ]: write [ \"...\", \"...\" ]");
    return true;
}

// 5,000: writes the number without its commas.
static bool is_parted_number(const struct grammar *g, const struct lexical_token *t, char why[GRAMMAR_WHY_MAX])
{
    static const char digits[] = "0123456789";
    const char *from = g->last.text;
    char number[20];
    size_t n = 0;

    if (g->state != GRAMMAR_KEY || t->kind != LEXICAL_INTEGER || strspn(t->text, digits) != 3 ||
        g->last.kind != LEXICAL_MARK || *from != ',' || from + 1 != t->text || !isdigit((unsigned char) from[-1]))
        return false;
    while (isdigit((unsigned char) from[-1])) // a key is before it
        from--;
    for (; n + 1 < sizeof(number) && *from && strchr("0123456789,", *from); from++)
        if (*from != ',')
            number[n++] = *from;
    number[n] = '\0';
    snprintf(why, GRAMMAR_WHY_MAX, "a \",\" in the number of \"%.*s\": write %s",
             (int) (g->key.length < SHOWN_MAX ? g->key.length : SHOWN_MAX), g->key.text, number);
    return true;
}

static bool refuse(const struct grammar *g, const struct lexical_token *t, struct grammar_fault *f)
{
    const struct lexical_token *word = behind_string(g, t);
    const char *remnant = remnant_of(g, t);

    if (word) {
        *f = (struct grammar_fault){.line = word->line};
        snprintf(f->why, sizeof(f->why), GRAMMAR_QUOTE_INSIDE,
                 (int) (word->length < SHOWN_MAX ? word->length : SHOWN_MAX), word->text);
        return false;
    }
    if (remnant) {
        *f = (struct grammar_fault){.line = t->line, .whole = true};
        write_why(g, t, "", 0, remnant, f->why);
        return false;
    }
    if (is_list_in_braces(g, t, f->why) || is_parted_number(g, t, f->why)) {
        f->line = t->line;
        f->whole = false;
        return false;
    }
    if (is_named_group(g, t)) {
        *f = (struct grammar_fault){.line = g->last.line, .whole = true};
        write_why(g, &g->last, "", 0,
                  "\"$t\" before a group in the ( ) of \"$o\": no word stands there, write { name = \"$t\"; ... }",
                  f->why);
        return false;
    }
    if (begins_with_rule(g, t)) {
        *f = (struct grammar_fault){.line = t->line, .whole = true};
        snprintf(f->why, sizeof(f->why),
                 "the file begins with a rule: it stands in rules = ( ... ); of a file that begins with version = 1;");
        return false;
    }
    return judge(g, t, sizeof(faults) / sizeof(faults[0]), f); // the last rows take all
}

// --- the grammar -----------------------------------------------------------------------------------------------------

static bool is_value(const struct lexical_token *t)
{
    return 1u << t->kind & SCALAR;
}

static void open_bracket(struct grammar *g, const struct lexical_token *t)
{
    const struct lexical_token *owner = g->state == GRAMMAR_VALUE ? &g->key : &g->open[g->depth].key;

    g->depth++;
    g->open[g->depth].key = *owner;
    g->open[g->depth].bracket = *t->text;
    g->open[g->depth].line = t->line;
    g->state = *t->text == '{' ? GRAMMAR_KEY : GRAMMAR_FIRST;
}

// Returns the state after a value, in the bracket that is open.
static enum grammar_state after_value(const struct grammar *g)
{
    return g->depth == 0 || g->open[g->depth].bracket == '{' ? GRAMMAR_TERMINATOR : GRAMMAR_COMMA;
}

static bool is_mark(const struct lexical_token *t, const char *marks)
{
    return t->kind == LEXICAL_MARK && *t->text && strchr(marks, *t->text);
}

// Takes the next token. Returns false, and does not change *g, if it is a syntax error.
static bool take(struct grammar *g, const struct lexical_token *t)
{
    const char bracket = g->depth > 0 ? g->open[g->depth].bracket : '\0';
    const char *closed_by = bracket == '{' ? "}" : bracket == '(' ? ")" : bracket == '[' ? "]" : "";
    const enum grammar_state state = g->state;

    if (state == GRAMMAR_EQUALS) {
        if (!is_mark(t, "=:"))
            return false;
        g->state = GRAMMAR_VALUE;
        return true;
    }
    if (state == GRAMMAR_VALUE || state == GRAMMAR_FIRST || state == GRAMMAR_ELEMENT) {
        if (is_mark(t, bracket == '[' && state != GRAMMAR_VALUE ? "" : "([{") && g->depth < LEXICAL_DEPTH_MAX) {
            open_bracket(g, t);
            return true;
        }
        if (is_value(t)) {
            g->state = after_value(g);
            return true;
        }
    } else if (state == GRAMMAR_COMMA && is_mark(t, ",")) {
        g->state = GRAMMAR_ELEMENT;
        return true;
    } else if (state == GRAMMAR_TERMINATOR && is_mark(t, ";,")) {
        g->state = GRAMMAR_KEY;
        return true;
    } else if (state != GRAMMAR_COMMA && t->kind == LEXICAL_KEY) {
        g->key = *t;
        g->state = GRAMMAR_EQUALS;
        return true;
    }
    if (state == GRAMMAR_VALUE || state == GRAMMAR_ELEMENT || !is_mark(t, closed_by))
        return false;
    g->depth--;
    g->state = after_value(g);
    return true;
}

bool grammar_next(struct grammar *g, const struct lexical_token *t, struct grammar_fault *fault)
{
    if (!g->first)
        g->first = t->text;
    if (!judge(g, t, NEVER, fault) || (!take(g, t) && !refuse(g, t, fault)))
        return false;
    g->last = *t;
    return true;
}

bool grammar_end(const struct grammar *g, struct grammar_fault *fault)
{
    const struct lexical_token end = {.kind = LEXICAL_MARK, .line = g->last.line, .text = "", .length = 0};

    fault->whole = false;
    if (g->state == GRAMMAR_EQUALS || g->state == GRAMMAR_VALUE)
        return refuse(g, &end, fault);
    if (g->depth == 0)
        return true;
    fault->line = g->open[g->depth].line;
    write_why(g, &end, "", 0, "the \"$b\" of \"$o\" is not closed before the end of the file: its \"$e\" is missing",
              fault->why);
    return false;
}
