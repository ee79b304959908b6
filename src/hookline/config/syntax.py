"""The YAML library's words for a syntax error, in words that help the person who made it."""

from __future__ import annotations

NOT_CLOSED = "is not closed"

_QUOTE = 'quote a value that holds ": " or " #", or begins with one of %@`*&!|>{}[]"\''
_INDENT = "let the keys of one mapping begin in the same column"

# (part of the problem, part of the context, summary, hint), the first that fits; both parts are the library's.
_WORDS: tuple[tuple[str, str, str, str], ...] = (
    ("cannot start any token", "", "a character that cannot begin a value here", f"indent with spaces; {_QUOTE}"),
    ("mapping values are not allowed", "", "a colon where no key can be", f"{_INDENT}; {_QUOTE}"),
    (
        "block sequence entries are not allowed",
        "",
        "a dash where no list can begin",
        "begin the list on its own line",
    ),
    ("expected ',' or ']'", "", f"a list in brackets {NOT_CLOSED}", "close it with ], commas between its items"),
    ("expected ',' or '}'", "", f"a mapping in braces {NOT_CLOSED}", "close it with }, commas between its keys"),
    ("unexpected end of stream", "quoted", f"a quoted text {NOT_CLOSED}", "close it with the quote that opened it"),
    ("found unexpected document indicator", "", f"a quoted text {NOT_CLOSED}", "close it before --- or ..."),
    ("expected '-' indicator", "", "a key in the middle of a list", _INDENT),
    ("did not find expected key", "", "text where a key was expected", f"{_INDENT}; {_QUOTE}"),
    ("could not find expected ':'", "", "a key without a colon before this place", "write key: value"),
    ("node content", "", "a value was expected here", f"write one, or quote the text; {_QUOTE}"),
    ("escape c", "", "an escape that YAML does not know", r"in double quotes write \\ for a backslash, or use '…'"),
    ("", "block scalar", "text after | or >", "begin the text on the next line, indented"),
    ("", "directive", "a directive that YAML does not know", "a line that begins with % needs quotes"),
    ("", "alias", "a star that names nothing", _QUOTE),
    ("", "anchor", "an ampersand that names nothing", _QUOTE),
    ("", "tag", "a tag that is not complete", _QUOTE),
)


def in_plain_words(problem: str, context: str) -> tuple[str, str]:
    """A summary and a hint for the library's problem and its context."""
    for of_problem, of_context, summary, hint in _WORDS:
        if of_problem in problem and of_context in context:
            return f"not valid YAML: {summary}", hint
    return f"not valid YAML: {problem or 'the text ends too early'}", _INDENT
