"""Explains the errors that the schema library finds, by the keyword of the schema that a value does not satisfy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

from jsonschema.exceptions import ValidationError

from hookline.config import error_codes
from hookline.config.document_access import DocumentPath, RuleFinding, below_secret_name, finding_at, path_text, quote
from hookline.config.schema.fast_validator import compiled_pattern
from hookline.config.schema.webhook_schemas import DEFAULTABLE_KEYS, MERGED_SECTIONS, defaults_schema, webhook_schema
from hookline.diagnostics import did_you_mean, nearest

Explanations = Mapping[str, Callable[[ValidationError], Iterator[RuleFinding]]]

_TYPES = {
    "object": "a mapping of keys",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
}
_REFERENCE = "write {env: HOOKLINE_SECRET_…} or {file: …}"
# `url_rules` and `secret_rules` explain these in more detail than a pattern can.
_CHECKED_BY_RULES = frozenset({"url", "env"})


def as_sorted_json(value: Any) -> str:
    """Returns the same text for equal values, also for those that JSON does not have."""
    return json.dumps(value, sort_keys=True, default=str)


def _path(error: ValidationError) -> DocumentPath:
    return tuple(error.absolute_path)


def _found(error: ValidationError) -> str:
    """The value as text, or the kind of a list or mapping. A value whose name looks secret is hidden."""
    value = error.instance
    if isinstance(value, dict | list):
        return _TYPES["object" if isinstance(value, dict) else "array"]
    if value is None:
        return "nothing"
    return "a hidden value" if below_secret_name(_path(error)) else quote(value)


def _value(error: ValidationError) -> Any:
    """The invalid value. The library's types allow for an error without one."""
    return error.instance


def _unknown_keys(error: ValidationError, parents: Mapping[str, str] | None = None) -> Iterator[RuleFinding]:
    """`parents`: the parents of keys that are unknown at the top level; None means those of a webhook."""
    known = list(error.schema.get("properties", ())) if isinstance(error.schema, dict) else []
    for key in _value(error):
        if key in known:
            continue
        path = (*_path(error), key)
        if below_secret_name(_path(error)) and key not in ("env", "file") and not nearest(key, known):
            where, hint = path_text(_path(error)), f"known keys: {', '.join(known)}"
            summary = f"{where}: contains an unknown key"  # a value that was written as a key
            yield RuleFinding(code=error_codes.UNKNOWN_KEY, path=path, summary=summary, hint=hint, on_key=True)
            continue
        near = nearest(key, known)
        hint = did_you_mean(map(quote, near), f"known keys: {', '.join(known)}")
        if (parent := (_parents() if parents is None else parents).get(key)) is not None and parent != path_text(
            _path(error)
        ):
            hint = f"move {key} under {parent}" if near != [key] else hint
        if error.schema is defaults_schema() and key in webhook_schema()["properties"]:
            hint = f"write it in each webhook file; only these keys can have a default: {', '.join(DEFAULTABLE_KEYS)}"
        yield finding_at(path, error_codes.UNKNOWN_KEY, f"unknown key {quote(key)}", hint, on_key=True)


@cache
def _parents() -> dict[str, str]:
    """The parents of keys that are unknown at the top level, such as `delivery` for `timeout`."""
    parents: dict[str, str] = {}
    for name, schema in webhook_schema()["properties"].items():
        for key, inner in schema.get("properties", {}).items():
            parents.setdefault(key, name)
            for deeper in inner.get("properties", {}):
                parents.setdefault(deeper, f"{name}.{key}")
    top = webhook_schema()["properties"].keys()
    return {key: parent for key, parent in parents.items() if key not in top}


def _only_with_jwt(error: ValidationError) -> Iterator[RuleFinding]:
    """Only the keys of a JWT have `not` schemas, which apply if the type is `none`."""
    hint = "remove it, or write type: jwt"
    yield finding_at(_path(error), error_codes.UNKNOWN_KEY, "has no meaning with type: none", hint, on_key=True)


def _missing(error: ValidationError) -> Iterator[RuleFinding]:
    required = error.validator_value if isinstance(error.validator_value, list) else []
    own = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    properties = {**_properties_at(error.absolute_path), **own}
    for key in required:
        # The library yields one error for each missing key; each names its key first.
        if key in _value(error) or not error.message.startswith(repr(key)):
            continue
        examples = properties.get(key, {}).get("examples", [])
        hint = f"add {key}: {_as_yaml(examples[0])}" if examples else f"add {key}"
        yield finding_at(_path(error), error_codes.MISSING_KEY, f"key {quote(key)} is missing", hint, on_key=True)


def _properties_at(path: Iterable[str | int]) -> dict[str, Any]:
    """The keys of the mapping at a path, also if `required` is in a part of the schema without properties."""
    schema: Any = webhook_schema()
    for part in path:
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    properties: dict[str, Any] = schema.get("properties", {})
    return properties


def _example(error: ValidationError) -> str | None:
    examples = error.schema.get("examples", []) if isinstance(error.schema, dict) else []
    return f"for example {_as_yaml(examples[0])}" if examples else None


def _as_yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_as_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_as_yaml(item)}" for key, item in value.items()) + "}"
    return value if isinstance(value, str) else quote(value)


def _wrong_type(error: ValidationError) -> Iterator[RuleFinding]:
    allowed = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    wanted = " or ".join(_TYPES[str(name)] for name in allowed)
    value, hint = error.instance, None
    schema = error.schema if isinstance(error.schema, dict) else {}
    if "file" in schema.get("properties", {}):
        wanted = "text or a reference" if "string" in allowed else "a reference"
        hint = _REFERENCE if "env" in schema["properties"] else "write {file: …}"
    if value in ("true", "false", "1") and {"boolean", "integer"} & {*allowed}:
        hint = f"remove the quotes: {value}"
    elif "string" in allowed and isinstance(value, int | float) and _found(error) == quote(value):
        fits = compiled_pattern(schema.get("pattern", "")).search(quote(value))
        hint = f'quote it: "{quote(value)}"' if fits else f"for example {_as_yaml(schema['examples'][0])}"
    elif "array" in allowed and isinstance(value, str):
        hint = f"write a list: [{_found(error)[1:-1]}]"
        if re.search(r"(^|\s)-", value):
            hint = "begin each item with a dash and a space, on a line of its own below the key"
    elif value is None:
        hint = "write a value, or remove the key"
        if _can_be_removed(_path(error)):
            hint += "; null removes a default, and no defaults file above gives one"
    elif hint is None and set(allowed) != {"boolean"}:
        hint = _example(error)
    if not error.absolute_path:
        example = ("one document with keys such as owner and delivery" if schema is defaults_schema() else
            "one document per webhook, with the keys version, organization …; separate documents by ---")  # fmt: skip
        hint = f"write {example}"
    yield finding_at(_path(error), error_codes.WRONG_TYPE, f"must be {wanted}, found {_found(error)}", hint)


def _can_be_removed(path: DocumentPath) -> bool:
    """Whether a null at a path would remove a default."""
    return bool(path) and path[0] in DEFAULTABLE_KEYS and len(path) <= 1 + (path[0] in MERGED_SECTIONS)


def _not_allowed(error: ValidationError) -> Iterator[RuleFinding]:
    allowed = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    wanted = f"one of {', '.join(str(value) for value in allowed)}" if len(allowed) > 1 else str(allowed[0])
    near = nearest(str(error.instance), [str(value) for value in allowed]) if isinstance(error.instance, str) else []
    hint = did_you_mean(near, "") or None if near != [str(error.instance)] else None
    if _path(error) == ("campaigns",):
        wanted, hint = "all, or a list of campaign ids", hint or f"write a list: [{_found(error)[1:-1]}]"
    yield finding_at(_path(error), error_codes.NOT_ALLOWED, f"must be {wanted}, found {_found(error)}", hint)


def _wrong_pattern(error: ValidationError) -> Iterator[RuleFinding]:
    path = _path(error)
    if path[-1:] and path[-1] in _CHECKED_BY_RULES and path[:1] != ("campaigns",):
        return
    schema = error.schema if isinstance(error.schema, dict) else {}
    message = schema.get("patternErrorMessage", "does not have the required form")
    yield finding_at(path, error_codes.WRONG_FORM, f"{message}, found {_found(error)}", _example(error))


def _wrong_length(error: ValidationError) -> Iterator[RuleFinding]:
    message = "must not be empty"  # no minimum of the schema is above 1
    if error.validator == "maxLength":
        message = f"must be at most {error.validator_value} characters long, found {len(_value(error))}"
    yield finding_at(_path(error), error_codes.WRONG_FORM, message, _example(error))


def _wrong_count(error: ValidationError) -> Iterator[RuleFinding]:
    is_minimum = str(error.validator).startswith("min")
    bound = f"at {'least' if is_minimum else 'most'} {error.validator_value}"
    is_reference = "Properties" in str(error.validator) and error.validator_value == 1
    noun = "reference" if is_reference else "item" if error.validator_value == 1 else "items"
    message = f"must contain {bound} {noun}, found {len(_value(error))}"
    hint = _REFERENCE if is_reference else _example(error) if is_minimum else None
    yield finding_at(_path(error), error_codes.OUT_OF_RANGE, message, hint)


def _repeated(error: ValidationError) -> Iterator[RuleFinding]:
    earlier: set[str] = set()
    for index, item in enumerate(_value(error)):
        if (known := as_sorted_json(item)) in earlier:
            path = (*_path(error), index)
            message = f"{quote(item)} is already in the list"
            yield finding_at(path, error_codes.REPEATED_ITEM, message, "remove one of the two")
        earlier.add(known)


def _out_of_range(error: ValidationError) -> Iterator[RuleFinding]:
    bound = "at least" if error.validator == "minimum" else "at most"
    message = f"must be {bound} {error.validator_value}, found {_found(error)}"
    yield finding_at(_path(error), error_codes.OUT_OF_RANGE, message, None)


def explain_other(error: ValidationError) -> Iterator[RuleFinding]:
    yield finding_at(_path(error), error_codes.WRONG_FORM, error.message, None)


EXPLANATIONS: Explanations = {
    "additionalProperties": _unknown_keys,
    "required": _missing,
    "not": _only_with_jwt,
    "type": _wrong_type,
    "enum": _not_allowed,
    "const": _not_allowed,
    "pattern": _wrong_pattern,
    "minLength": _wrong_length,
    "maxLength": _wrong_length,
    "minItems": _wrong_count,
    "maxItems": _wrong_count,
    "minProperties": _wrong_count,
    "maxProperties": _wrong_count,
    "uniqueItems": _repeated,
    "minimum": _out_of_range,
    "maximum": _out_of_range,
}
POLICY_EXPLANATIONS: Explanations = {**EXPLANATIONS, "additionalProperties": partial(_unknown_keys, parents={})}
