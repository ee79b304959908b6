"""The text of a key or a value: without quotes if every YAML parser reads the same text, else in double quotes."""

from __future__ import annotations

import re

from hookline.config.formatting.source_tree import Scalar
from hookline.config.yaml_scalars import resolve

# A part of what YAML allows without quotes, for which nobody needs to know the rules.
# It has a letter: a text of digits, such as 2026-11, is easily taken for a number or a date by other tools.
_PLAIN = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9/_][A-Za-z0-9_./@+=%~-]*(?:[ :][A-Za-z0-9_./@+=%~-]+)*", re.ASCII)
_WORDS = {True: "true", False: "false"}


def scalar_text(scalar: Scalar, *, flow: bool) -> str:
    """The text of a scalar that is not a block. `flow`: it is within brackets."""
    if scalar.style == "":
        return _plain_text(scalar, flow=flow)
    return text_value(scalar.value, scalar.raw)


def _plain_text(scalar: Scalar, *, flow: bool) -> str:
    if "\n" in scalar.raw:
        return text_value(scalar.value, scalar.raw)
    value = resolve(scalar.value)
    if isinstance(value, bool):
        return _WORDS[value]
    if value is None:
        return "null" if scalar.value or flow else ""
    return scalar.raw


def text_value(value: str, raw: str) -> str:
    """A text with the quotes that it needs. An escape that somebody wrote remains as it is."""
    if _PLAIN.fullmatch(value) and resolve(value) == value:
        return value
    if "\n" not in raw and "\\" in raw and raw.startswith('"'):
        return raw
    if not value.isprintable():
        return raw if "\n" not in raw else _escaped(value)
    if '"' not in value and "\\" not in value:
        return f'"{value}"'
    return "'" + value.replace("'", "''") + "'"


def _escaped(value: str) -> str:
    return '"' + "".join(map(_escape, value)) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    if character == "\n":
        return "\\n"
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def block_lines(scalar: Scalar) -> tuple[str, list[str]]:
    """The indicators of a block (``|-``), and its lines without their indentation.

    Blank lines at the end belong to the value only if the indicators have a ``+``.
    """
    first, _, rest = scalar.raw.partition("\n")
    header = re.match(r"[|>][-+0-9]*", first)
    indicators = header[0] if header else scalar.style
    if scalar.value and not scalar.value.endswith("\n") and "-" not in indicators:
        indicators = f"{indicators.replace('+', '')}-"  # the file ends without a line end, which it gets now
    lines = rest.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    written = next((line for line in lines if line.strip(" ")), None)
    valued = next((line for line in scalar.value.split("\n") if line.strip(" ")), "")
    indent = 0 if written is None else _leading(written) - _leading(valued)
    texts = [line[indent:] if line.strip(" ") or len(line) > indent else "" for line in lines]
    if written is None:
        texts = ["" for _ in lines]
    while "+" not in indicators and texts and texts[-1] == "":
        texts.pop()
    return re.sub("[0-9]", "2", indicators), texts


def _leading(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
