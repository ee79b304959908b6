"""Where things stand in a file, and what was found in it before anybody asks what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hookline.config.finding import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, both from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that YAML allows and webhook files do not, or that is no YAML."""

    code: str
    place: Place
    summary: str
    hint: str


@dataclass(frozen=True, slots=True)
class Document:
    """`refused` are the paths whose value was refused: nothing more is worth saying about them."""

    line: int
    value: Any
    refused: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Parsed:
    """`documents` are the complete ones; `refusals` are in the order of the file."""

    documents: tuple[Document, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class PlaceMap:
    """Where the keys and the values of one document stand."""

    keys: dict[Path, Place]
    values: dict[Path, Place]

    def of(self, path: Path, *, on_key: bool) -> Place:
        """The place of a key or value; of the nearest thing around it where it is not written in the file."""
        if on_key and path in self.keys:
            return self.keys[path]
        if path in self.values:
            return self.values[path]
        while path:
            path = path[:-1]
            if path in self.keys:
                return self.keys[path]
        return self.values[()]
