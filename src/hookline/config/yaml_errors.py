"""Explains syntax errors: replaces the YAML library's messages by messages that help the author of the file."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from hookline.config import error_codes
from hookline.config.source_text import SourceFinding, SourcePosition

_OPEN, _NO_COLON, _NO_SPACE = "is not closed", "a key without a colon", "a colon without a space after it"
_CONFLICT = "a merge conflict that was not resolved"
# The library detects these errors later in the file. Their position is the line on which they begin.
_VISIBLE_LATER = (_OPEN, _NO_COLON, _NO_SPACE, _CONFLICT)

_QUOTE = 'quote a value that contains ": " or " #", or begins with one of %@`*&!|>{}[]"\''
_INDENT = "begin the keys of one mapping in the same column"

# (part of the library's problem, part of its context, summary, hint). The first match applies.
_EXPLANATIONS: tuple[tuple[str, str, str, str], ...] = (
    ("cannot start any token", "", "a character that cannot begin a value here", _QUOTE),
    ("block sequence entries are not allowed", "", "a list cannot begin here", "begin the list on its own line"),
    ("expected ',' or ']'", "", f"a list in brackets {_OPEN}", "close it with ], and separate its items by commas"),
    ("expected ',' or '}'", "", f"a mapping in braces {_OPEN}", "close it with }, and separate its keys by commas"),
    ("unexpected end of stream", "quoted", f"a quoted text {_OPEN}", "close it with the quote that opened it"),
    ("found unexpected document indicator", "", f"a quoted text {_OPEN}", "close it before --- or ..."),
    ("expected '-' indicator", "", "a key in the middle of a list", _INDENT),
    ("did not find expected key", "", "text where a key was expected", f"{_INDENT}; {_QUOTE}"),
    ("could not find expected ':'", "", _NO_COLON, "write key: value, with a space after the colon"),
    ("node content", "", "a value is missing", f"write a value, or close the open bracket; {_QUOTE}"),
    ("escape c", "", "an unknown escape", r"in double quotes write \\ for a backslash, or use '…'"),
    ("incompatible YAML document", "", "a version of YAML other than 1.1 and 1.2", "remove the line"),
    ("<document start>", "", "text after the end of a document", "begin the next document with ---"),
    ("", "block scalar", "text after | or >", "begin the text on the next line, indented"),
    ("", "directive", "an unknown directive", "quote a line that begins with %"),
    ("", "alias", "a star without a name", _QUOTE),
    ("", "anchor", "an ampersand without a name", _QUOTE),
    ("", "tag", "an incomplete tag", _QUOTE),
)


@dataclass(frozen=True, slots=True)
class _ErrorContext:
    before: str  # the line up to it
    char: str  # "" at the end of the file
    beginning: str  # the line on which the unfinished construct begins

    @classmethod
    def at(cls, text: str, index: int | None, begin: int | None) -> _ErrorContext:
        """Returns the context of an error. `index` and `begin` are indexes into the text; None is its end."""
        index = len(text) if index is None else index
        begin = index if begin is None else begin
        start = text.rfind("\n", 0, begin) + 1
        return cls(
            before=text[text.rfind("\n", 0, index) + 1 : index],
            char=text[index : index + 1].strip("\0"),
            beginning=text[start:].partition("\n")[0],
        )


def syntax_finding(error: yaml.YAMLError, text: str) -> SourceFinding:
    """Returns the finding for an error of the library."""
    marked = error if isinstance(error, yaml.MarkedYAMLError) else yaml.MarkedYAMLError(problem=str(error))
    mark = marked.problem_mark or marked.context_mark
    begin = marked.context_mark or mark
    around = _ErrorContext.at(text, mark.index if mark else None, begin.index if begin else None)
    summary, hint = _explain(marked.problem or "", marked.context or "", around)
    if summary.endswith(_VISIBLE_LATER):
        mark = begin
    position = SourcePosition(1, 1) if mark is None else SourcePosition(mark.line + 1, mark.column + 1)
    return SourceFinding(code=error_codes.NOT_YAML, position=position, summary=summary, hint=hint)


def _explain(problem: str, context: str, around: _ErrorContext) -> tuple[str, str]:
    """Returns a summary and a hint. `problem` and `context` are the library's texts on the error and construct."""
    explanation = _explain_line(problem, around)
    if explanation is None:
        matches = (entry[2:] for entry in _EXPLANATIONS if entry[0] in problem and entry[1] in context)
        explanation = next(matches, (problem or "the text ends too early", _INDENT))
    return f"not valid YAML: {explanation[0]}", explanation[1]


def _explain_line(problem: str, around: _ErrorContext) -> tuple[str, str] | None:
    """An explanation by the line itself, if that is better than the library's problem."""
    if "expected ':'" in problem or "did not find expected key" in problem:
        if around.beginning.startswith(("<<<<<<<", "=======", ">>>>>>>")):
            return _CONFLICT, "keep one of the two sides, and remove the lines of <, = and >"
        if re.match(r"\s*[A-Za-z]+:[^\s]", around.beginning) and "':'" in problem:
            return _NO_SPACE, "write key: value"
    if "cannot start any token" in problem and around.char == "\t":
        return "a tab in the indentation", "indent with spaces"
    if "cannot start any token" in problem and around.char and around.char in "%@`":
        return f"a value cannot begin with {around.char}", f'put the value in quotes: "{around.char}…"'
    if "mapping values are not allowed" in problem:
        if ": " in around.before:
            return "a second colon in the line", 'put the value in quotes: "…: …"'
        return "a key is indented deeper than the keys before it", _INDENT
    return _explain_character(around) if "did not find expected" in problem else None


def _explain_character(around: _ErrorContext) -> tuple[str, str] | None:
    if around.char == "":
        return "the file ends within brackets or braces", "close the open brackets and braces"
    if around.char == ",":
        return "a comma without a value before it", "remove it"
    if around.char in "]}":
        return f"an unmatched {around.char}", "remove it"
    if around.char == ":" and not around.before.strip():
        return "a colon without a key", "write a key before the colon"
    if around.before[-1:] in ("'", '"'):
        return "text after the closing quote", "write '' for a quote in '…', and \\\" for a quote in \"…\""
    if around.before.isspace() and around.char.isalnum():
        return "a key begins in another column than the other keys", _INDENT
    return None
