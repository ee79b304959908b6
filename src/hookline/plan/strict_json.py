"""JSON that means the same to every reader (RFC 7493, I-JSON), and is not nested without end."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from hookline.escaping import printable

# A webhook file may be nested 50 deep; a plan puts a few levels around it.
DEEPEST = 60
# Beyond 2**53 a reader that keeps numbers as doubles changes them (RFC 8259 §6); webhook files hold none either.
LARGEST_INTEGER = 2**53 - 1


class NotStrict(ValueError):
    """Says what is wrong, as the end of a sentence."""


def parse(data: bytes) -> Any:
    """The value in `data`. Raises NotStrict."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as wrong:
        raise NotStrict(f"byte {wrong.start} is not UTF-8") from wrong
    except json.JSONDecodeError as wrong:
        raise NotStrict(f"no JSON at line {wrong.lineno}, column {wrong.colno}") from wrong
    except RecursionError as wrong:
        raise NotStrict("it is nested without end") from wrong
    except NotStrict:
        raise
    except ValueError as wrong:  # a number of thousands of digits, which Python refuses to read
        raise NotStrict("it holds a number that is too long") from wrong
    _check(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NotStrict(f"the key {printable(json.dumps(twice))[:80]} stands twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise NotStrict(f"{name} is not JSON")


def _check(value: Any) -> None:
    """Depth, numbers and text of a value, without recursion."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise NotStrict(f"it is nested deeper than {DEEPEST}")
        below: list[Any] = []
        for item in level:
            match item:
                case dict():
                    below += item.keys()
                    below += item.values()
                case list():
                    below += item
                case str():
                    _check_text(item)
                case bool() | None:
                    pass
                case int() | float():
                    _check_number(item)
        level = below


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as wrong:
        raise NotStrict("it holds half of a surrogate pair") from wrong


def _check_number(number: float) -> None:
    if (isinstance(number, int) and abs(number) > LARGEST_INTEGER) or abs(number) == float("inf"):
        raise NotStrict("it holds a number that readers round")
