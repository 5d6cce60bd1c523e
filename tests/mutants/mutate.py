# SPDX-License-Identifier: Apache-2.0
"""The mutations of a C file: one token or statement of a function is changed. Text in, text out; pure.

clang-format's spaces tell a binary operator (one on each side) from a unary one, and its columns where functions begin and end.
"""
import collections
import re

# What stands in a line, what in its place, and what in the line above. offset: of the text, where `old` is replaced by `new`.
Mutation = collections.namedtuple("Mutation", "file line above before after offset old new")

_BINARY = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",),
           "&&": ("||",), "||": ("&&",), "+": ("-",), "-": ("+",), "*": ("/",), "/": ("*",), "%": ("*",),
           "&": ("|",), "|": ("&",), "^": ("&",), "<<": (">>",), ">>": ("<<",),
           "+=": ("-=", "="), "-=": ("+=", "="), "|=": ("&=", "="), "&=": ("|=", "=")}
_HIDDEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|^\s*\#(?:\\\n|[^\n])*""", re.S | re.M)
_UNJUDGED = re.compile(r"\b(?:log_\w+|_Static_assert|assert|__builtin_\w+|prefetch_\w+)\(")
_STATEMENT = re.compile(r"\s+((?:\*?[\w.\[\]>()+-]+ [-+*/|&^<>]*= .*|[\w.\[\]>-]+(?:\+\+|--)|\w+\(.*\)|break|continue);)$")
_BEHIND = re.compile(r"(?:[;{})]|\belse|\bdo|:)$")
_NUMBER = re.compile(r"(?<![\w.])(\d+)([uUlL]*)(?![\w.])")


def _closing(text, at):
    """Behind the parenthesis that closes the one at `at`."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return len(text)


def _code(text):
    """The text with spaces in place of what is not mutated: comments, literals, the preprocessor, log calls."""
    text = _HIDDEN.sub(lambda m: re.sub(r"[^\n]", "\"" if m[0][0] == '"' else " ", m[0]), text)
    while found := _UNJUDGED.search(text):
        start, end = found.start(), _closing(text, found.end() - 1)
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return text


def _of_line(code, start, line, above):
    """(offset, old, new) of all mutations of a line."""
    for m in re.finditer(r"(?<= )([-+*/%&|^<>=!]+)(?=[ \n]|$)", line):
        for new in _BINARY.get(m[1], ()):
            yield start + m.start(1), m[1], new
    for m in _NUMBER.finditer(line):
        for n in {0: (1,), 1: (0, 2)}.get(int(m[1]), (int(m[1]) + 1, int(m[1]) - 1)):
            yield start + m.start(1), m[1], str(n)
    for m in re.finditer(r"!(?!=)|~|\+\+|--", line):
        yield start + m.start(), m[0], {"++": "--", "--": "++"}.get(m[0], "")
    m = re.match(r"\s+return (.*);$", line)
    if m and m[1] in ("true", "false"):
        yield start + m.start(1), m[1], "false" if m[1] == "true" else "true"
    elif m and re.search(r" (?:[<>]=?|[!=]=|&&|\|\|) |^!", m[1]) and " ? " not in m[1]:
        yield start + m.start(1), m[1], f"!({m[1]})"
    for m in re.finditer(r"\b(if|while) \(", line):
        end = _closing(code, start + m.end() - 1)
        old = code[start + m.end() - 1:end]
        if end <= start + len(line):
            for new in ("(true)", "(false)") if m[1] == "if" else ("(false)",):
                yield start + m.end() - 1, old, new
    m = _STATEMENT.match(line)
    if m and _BEHIND.search(above) and line.count("(") == line.count(")") and not m[1].startswith("("):
        yield start + m.start(1), m[1], ";"


def mutations(file, text):
    """For each line of a function's body that can be mutated, the list of its Mutations."""
    code = _code(text)
    lines, found, start, inside, above = text.split("\n"), [], 0, False, ""
    for number, line in enumerate(code.split("\n"), 1):
        if line in ("{", "}"):
            inside = line == "{"
        elif inside and line.strip():
            real, here = lines[number - 1], []
            for offset, old, new in _of_line(code, start, line, above):
                at = offset - start
                after = real[:at] + new + real[at + len(old):]
                here.append(Mutation(file, number, above.strip(), real.strip(), after.strip(), offset, real[at:at + len(old)], new))
            if here:
                found.append(here)
        if line.strip():
            above = line.rstrip()
        start += len(line) + 1
    return found
