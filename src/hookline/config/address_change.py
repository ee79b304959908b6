"""Changes the address of one document in the text of a webhook file, and adds `movedFrom`.

Only the changed values and the new line differ: comments, quotes and the order of keys stay. The result is parsed
again, so that a text in an unexpected form is refused and never damaged.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hookline.config.document_access import DocumentPath, address_of
from hookline.config.source_text import PositionMap, SourcePosition
from hookline.config.yaml_parser import find_positions, parse_yaml
from hookline.config.yaml_scalars import resolve
from hookline.model import Address

# Other texts are written in quotes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@.-]*")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\'')


class NotRewritable(ValueError):
    """The text has a form that cannot be changed safely. The message is a reason for people."""


def document_index(text: str, address: Address) -> int:
    """The index of the first document with this address. Raises NotRewritable if there is none."""
    for index, document in enumerate(parse_yaml(text).documents):
        if address_of(document.value) == address:
            return index
    raise NotRewritable("the file has changed since it was read")


def change_address(text: str, old: Address, new: Address, earlier: Address | None) -> str:
    """The text with the document of `old` at `new`, and `earlier` as its `movedFrom`; None removes it.

    Raises NotRewritable if the document has a form in which it cannot be changed.
    """
    index = document_index(text, old)
    before = [document.value for document in parse_yaml(text).documents]
    positions = find_positions(text).documents[index]
    wanted = [*before[:index], _moved(before[index], new, earlier), *before[index + 1 :]]
    renamed = _replace_names(text, positions, old, new)
    for candidate in _with_earlier_address(renamed, index, before[index].get("movedFrom"), earlier):
        parsed = parse_yaml(candidate)
        if not parsed.findings and [document.value for document in parsed.documents] == wanted:
            return candidate
    raise NotRewritable("its organization, sandbox or movedFrom is written in an unusual form")


def _moved(document: dict[str, Any], new: Address, earlier: Address | None) -> dict[str, Any]:
    sandbox = document["sandbox"]
    moved = {**sandbox, "name": new.sandbox} if isinstance(sandbox, dict) else new.sandbox
    kept = {key: value for key, value in document.items() if key != "movedFrom"}
    written = {} if earlier is None else {"movedFrom": str(earlier)}
    return {**kept, "organization": new.organization, "sandbox": moved, **written}


def _replace_names(text: str, positions: PositionMap, old: Address, new: Address) -> str:
    """The last one first, so that the positions before it stay right."""
    sandbox: DocumentPath = ("sandbox", "name") if ("sandbox", "name") in positions.values else ("sandbox",)
    changes = [
        (_offset(text, positions.values[path]), before, after)
        for path, before, after in (
            (("organization",), old.organization, new.organization),
            (sandbox, old.sandbox, new.sandbox),
        )
        if before != after
    ]
    for start, before, after in sorted(changes, reverse=True):
        text = _replace_scalar(text, start, before, after)
    return text


def _replace_scalar(text: str, start: int, before: str, after: str) -> str:
    if quoted := _QUOTED.match(text, start):
        return text[:start] + json.dumps(after, ensure_ascii=False) + text[quoted.end() :]
    if text.startswith(before, start):
        return text[:start] + _written_address(after) + text[start + len(before) :]
    raise NotRewritable("its organization or sandbox is written in an unusual form")


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and resolve(name) == name else json.dumps(name, ensure_ascii=False)


def _with_earlier_address(text: str, index: int, before: str | None, earlier: Address | None) -> Iterator[str]:
    """The text with another `movedFrom`, in each way in which it can be written."""
    if before is None:
        yield from [text] if earlier is None else _with_new_key(text, index, str(earlier))
        return
    positions = find_positions(text).documents[index]
    if earlier is None:
        starts, line = [*_line_starts(text), len(text)], positions.keys["movedFrom",].line
        yield text[: starts[line - 1]] + text[starts[line] :]
        return
    start = _offset(text, positions.values["movedFrom",])
    yield text if before == str(earlier) else _replace_scalar(text, start, before, str(earlier))


def _with_new_key(text: str, index: int, earlier: str) -> Iterator[str]:
    """The text with `movedFrom` after the sandbox, or before it. A document in braces has its keys on few lines."""
    positions = find_positions(text).documents[index]
    key = positions.keys["sandbox",]
    starts = _line_starts(text)
    first = starts[key.line - 1]
    indent, end = text[first : first + key.column - 1], "\r\n" if "\r\n" in text else "\n"
    written = f"movedFrom: {_written_address(earlier)}"
    if not indent.strip(" "):
        last = max(one.line for path, one in positions.values.items() if path[:1] == ("sandbox",))
        after = starts[last] if last < len(starts) else len(text)
        missing = "" if text[:after].endswith(("\n", "\r")) else end
        yield f"{text[:after]}{missing}{indent}{written}{'' if missing else end}{text[after:]}"
        yield f"{text[:first]}{indent}{written}{end}{text[first:]}"
    start = _offset(text, key)
    name = '"movedFrom"' if text.startswith('"', start) else "movedFrom"
    yield f"{text[:start]}{name}: {json.dumps(earlier, ensure_ascii=False)}, {text[start:]}"


def _written_address(address: str) -> str:
    """A name, or an address, which needs quotes only if one of its names does."""
    names = address.split("/")
    return address if all(_written(name) == name for name in names) else json.dumps(address, ensure_ascii=False)


def _offset(text: str, position: SourcePosition) -> int:
    return _line_starts(text)[position.line - 1] + position.column - 1


def _line_starts(text: str) -> Sequence[int]:
    """Where each line begins: YAML ends lines with LF, CR and both."""
    return [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", text))]
