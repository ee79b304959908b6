"""Compares documents with the schemas of rules. No other module imports the schema library.

The library matches patterns in time that is linear in the text, and refuses patterns for which that is impossible. It
is loaded for a policy with rules only, because it belongs to the extra `hookline[policy]`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

from hookline.errors import HooklineError, StateUnusable

# Of a compiled pattern, and of the cache with which it is matched.
MAX_COMPILED_PATTERN_BYTES = 1 << 20
# For each rule and webhook.
MAX_MISMATCHES = 5
_MAX_MESSAGE_CHARACTERS = 200
_INSTALL_HINT = (
    "install it in hookline's environment: pip install jsonschema-rs, or pipx inject hookline jsonschema-rs"
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """`path` is the JSON pointer of the value that does not match. `message` is None for the schema false."""

    path: str
    message: str | None


class SchemaMatcher:
    """Compares documents with one schema, which `require_schema.schema_problems` has accepted."""

    def __init__(self, schema: Mapping[str, Any] | bool, definitions: Mapping[str, Any]) -> None:
        """Raises StateUnusable without the schema library, ValueError for a schema that it refuses."""
        rules = _library()
        self._refuses_all = schema is False
        whole = {"$defs": dict(definitions), "allOf": [schema]} if definitions else schema
        try:
            self._validator = rules.Draft202012Validator(
                whole,
                pattern_options=_pattern_options(rules),
                validate_formats=False,
                retriever=_refuse_to_fetch,
            )
        except (rules.ValidationError, rules.ReferencingError) as wrong:
            raise ValueError(f"the schema of a rule is not valid: {_first_line(str(wrong))}") from wrong

    def mismatches(self, document: Any) -> list[Mismatch]:
        """The differences from the schema, the first ones by path; empty if the document matches."""
        if self._validator.is_valid(document):
            return []
        if self._refuses_all:
            return [Mismatch("", None)]
        found = {
            Mismatch(_pointer(error.instance_path), _first_line(_message(error)))
            for error in self._validator.iter_errors(document)
        }
        return sorted(found, key=lambda one: (one.path, one.message or ""))[:MAX_MISMATCHES]


def _message(error: Any) -> str:
    """The library's message; a constant's has no value, and the file may write it in another form (60s, 1m)."""
    text: str = error.message
    is_scalar = isinstance(error.instance, str | int | float | None)
    known = text.endswith(" was expected") and is_scalar
    return f"{text}, found {json.dumps(error.instance, ensure_ascii=False)}" if known else text


def pattern_problem(pattern: str) -> str | None:
    """The reason why a pattern cannot be used in a rule, or None. Raises StateUnusable without the library."""
    rules = _library()
    try:
        rules.Draft202012Validator({"pattern": pattern}, pattern_options=_pattern_options(rules))
    except rules.ValidationError:
        return "the pattern cannot be matched in linear time, or is no regular expression"
    return None


@cache
def _library() -> ModuleType:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra, and most states have no policy
    except ImportError as missing:
        message = f"the policy cannot be checked: the package for rules cannot be loaded: {missing}"
        raise StateUnusable(message, hint=_INSTALL_HINT) from missing
    return jsonschema_rs


def _pattern_options(rules: ModuleType) -> Any:
    return rules.RegexOptions(size_limit=MAX_COMPILED_PATTERN_BYTES, dfa_size_limit=MAX_COMPILED_PATTERN_BYTES)


def _refuse_to_fetch(uri: str) -> NoReturn:
    raise HooklineError(f"a policy refers to {uri}, and hookline fetches nothing")


def _pointer(path: list[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _first_line(text: str) -> str:
    line = text.split("\n", 1)[0]
    return line if len(line) <= _MAX_MESSAGE_CHARACTERS else f"{line[: _MAX_MESSAGE_CHARACTERS - 1]}…"
