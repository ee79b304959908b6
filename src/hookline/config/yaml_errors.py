"""The YAML library's words for a syntax error, in words that help the person who made it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NOT_CLOSED, _NO_COLON, _NO_SPACE = "is not closed", "a key without a colon", "a colon without a space after it"
_CONFLICT = "a merge conflict that was not resolved"
# What only shows further down: the place to look at is where it begins.
SHOWS_LATER = (_NOT_CLOSED, _NO_COLON, _NO_SPACE, _CONFLICT)

_QUOTE = 'quote a value that holds ": " or " #", or begins with one of %@`*&!|>{}[]"\''
_INDENT = "let the keys of one mapping begin in the same column"

# (part of the problem, part of the context, summary, hint), the first that fits; both parts are the library's.
_WORDS: tuple[tuple[str, str, str, str], ...] = (
    ("cannot start any token", "", "a character that cannot begin a value here", _QUOTE),
    (
        "block sequence entries are not allowed",
        "",
        "a dash where no list can begin",
        "begin the list on its own line",
    ),
    ("expected ',' or ']'", "", f"a list in brackets {_NOT_CLOSED}", "close it with ], commas between its items"),
    ("expected ',' or '}'", "", f"a mapping in braces {_NOT_CLOSED}", "close it with }, commas between its keys"),
    ("unexpected end of stream", "quoted", f"a quoted text {_NOT_CLOSED}", "close it with the quote that opened it"),
    ("found unexpected document indicator", "", f"a quoted text {_NOT_CLOSED}", "close it before --- or ..."),
    ("expected '-' indicator", "", "a key in the middle of a list", _INDENT),
    ("did not find expected key", "", "text where a key was expected", f"{_INDENT}; {_QUOTE}"),
    ("could not find expected ':'", "", _NO_COLON, "write key: value, with a space after the colon"),
    ("node content", "", "a value was expected here", f"write one, or close the bracket that is open; {_QUOTE}"),
    ("escape c", "", "an escape that YAML does not know", r"in double quotes write \\ for a backslash, or use '…'"),
    ("incompatible YAML document", "", "a version of YAML other than 1.1 and 1.2", "remove the line"),
    ("<document start>", "", "text after the end of a document", "begin the next document with ---"),
    ("", "block scalar", "text after | or >", "begin the text on the next line, indented"),
    ("", "directive", "a directive that YAML does not know", "a line that begins with % needs quotes"),
    ("", "alias", "a star that names nothing", _QUOTE),
    ("", "anchor", "an ampersand that names nothing", _QUOTE),
    ("", "tag", "a tag that is not complete", _QUOTE),
)


@dataclass(frozen=True, slots=True)
class ParsedSoFar:
    """What stands at the place of an error: the line up to it, its character ("" at the end of the file), and the
    line on which that began which could not be finished."""

    before: str
    char: str
    beginning: str

    @classmethod
    def at(cls, text: str, index: int | None, begin: int | None) -> ParsedSoFar:
        """Indexes into the text; None is its end."""
        index = len(text) if index is None else index
        begin = index if begin is None else begin
        start = text.rfind("\n", 0, begin) + 1
        return cls(
            before=text[text.rfind("\n", 0, index) + 1 : index],
            char=text[index : index + 1].strip("\0"),
            beginning=text[start:].partition("\n")[0],
        )


def explain_yaml_error(problem: str, context: str, seen: ParsedSoFar) -> tuple[str, str]:
    """A summary and a hint for the library's problem and its context, by what stands in the file."""
    words = _by_the_line(problem, seen)
    if words is None:
        fitting = ((summary, hint) for of, within, summary, hint in _WORDS if of in problem and within in context)
        words = next(fitting, (problem or "the text ends too early", _INDENT))
    return f"not valid YAML: {words[0]}", words[1]


def _by_the_line(problem: str, seen: ParsedSoFar) -> tuple[str, str] | None:
    """Where the line itself tells more than the library's problem does."""
    if "expected ':'" in problem or "did not find expected key" in problem:
        if seen.beginning.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            return _CONFLICT, "keep one of the two sides, and remove the lines of <, = and >"
        if re.match(r"\s*[A-Za-z]+:[^\s]", seen.beginning) and "':'" in problem:
            return _NO_SPACE, "write key: value"
    if "cannot start any token" in problem and seen.char == "\t":
        return "a tab", "indent with spaces"
    if "cannot start any token" in problem and seen.char and seen.char in "%@`":
        return f"a value cannot begin with {seen.char}", f'put the value in quotes: "{seen.char}…"'
    if "mapping values are not allowed" in problem:
        if ": " in seen.before:
            return "a second colon in the line", 'put the value in quotes: "…: …"'
        return "a key that stands deeper than the keys before it", _INDENT
    return _by_the_place(seen) if "did not find expected" in problem else None


def _by_the_place(seen: ParsedSoFar) -> tuple[str, str] | None:
    if seen.char == "":
        return "the file ends within brackets or braces", "close those that are open"
    if seen.char == ",":
        return "a comma with nothing before it", "remove it"
    if seen.char in "]}":
        return f"a {seen.char} that closes nothing", "remove it"
    if seen.char == ":" and not seen.before.strip():
        return "a colon without a key", "write a key before the colon"
    if seen.before[-1:] in ("'", '"'):
        return "text after the closing quote", "write '' for a quote within '…', and \\\" for one within \"…\""
    if seen.before.isspace() and seen.char.isalnum():
        return "a key that stands in a column of its own", _INDENT
    return None
