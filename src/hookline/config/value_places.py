"""Finds the places of values in webhook files that were validated before.

A valid file leaves no positions behind, because nearly every plan needs none. The file is therefore read again when a
message names a value of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hookline.config.discovery import FilePath, WebhookFile, read_file
from hookline.config.document_access import DocumentPath
from hookline.config.source_text import PositionMap, SourceFinding, decode_source
from hookline.config.yaml_parser import find_positions
from hookline.model import SourcePlace

# Sets, which the canonical document sorts: an item has another index in the file.
_SETS = frozenset(["channels", "campaigns", "messageTypes", "events"])
_CASE_INSENSITIVE = "headers"


class ValuePlaces:
    """The places of the values of some files. Holds the positions of one file at a time."""

    def __init__(self, files: Iterable[FilePath]) -> None:
        self._paths = {file.name: file for file in files}
        self._file: str | None = None
        self._positions: Sequence[PositionMap] = ()

    def find(self, file: str, index: int, line: int, pointer: str) -> SourcePlace:
        """The place of a value.

        Args:
            file: The name of the file.
            index: The number of the document in the file, from 0.
            line: The line on which the document begins: the result if the file can no longer be read.
            pointer: The JSON pointer of the value in the effective document.
        """
        if file != self._file:
            self._file, self._positions = file, _read_positions(self._paths.get(file))
        if index >= len(self._positions):
            return SourcePlace(file, line, 1)
        known = self._positions[index]
        position = known.of(_path_in_file(pointer, known), on_key=False)
        return SourcePlace(file, position.line, position.column)


def _read_positions(path: FilePath | None) -> Sequence[PositionMap]:
    found = None if path is None else read_file(path)
    text = decode_source(found.data) if isinstance(found, WebhookFile) else None
    return () if text is None or isinstance(text, SourceFinding) else find_positions(text.text).documents


def _path_in_file(pointer: str, known: PositionMap) -> DocumentPath:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    if parts[:1] == ["endpoint"]:
        return ("url",)
    if parts and parts[0] in _SETS:
        return (parts[0],)
    if len(parts) > 1 and parts[0] == _CASE_INSENSITIVE:
        written = (key[1] for key in known.keys if len(key) > 1 and key[0] == _CASE_INSENSITIVE)
        name = next((name for name in written if str(name).lower() == parts[1]), parts[1])
        return (_CASE_INSENSITIVE, name, *parts[2:])
    path: DocumentPath = ()
    for part in parts:
        index = int(part) if part.isdecimal() and part.isascii() else -1
        path += (index,) if (*path, index) in known.values else (part,)
    return path
