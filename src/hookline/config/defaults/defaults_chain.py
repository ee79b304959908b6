"""The defaults files above the webhook files of one folder, merged, and the origin of each value."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hookline.config.defaults.defaults_file import DefaultsFile, read_defaults
from hookline.config.defaults.merging import Values, is_mentioned, merge, unit_of, units, without_units
from hookline.config.discovery import DEFAULTS_NAME, FilePath
from hookline.config.document_access import DocumentPath
from hookline.config.found_files import FoundFiles
from hookline.config.schema.webhook_schemas import MERGED_SECTIONS, REQUIRED_WITH_DEFAULT
from hookline.diagnostics import Diagnostic
from hookline.model import SourcePlace

Inherited = Mapping[str, SourcePlace]


@dataclass(frozen=True)
class DefaultsChain:
    """The defaults files above a webhook, the nearest first."""

    files: tuple[DefaultsFile, ...]
    _shapes: dict[object, Inherited] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def values(self) -> Values:
        merged: dict[str, Any] = {}
        for file in reversed(self.files):
            merged = merge(merged, file.values)
        return merged

    @cached_property
    def _has_invalid(self) -> bool:
        return any(file.invalid for file in self.files)

    def merged(self, own: Values) -> dict[str, Any]:
        """A webhook with its defaults. An invalid default does not lead to findings of the webhook."""
        document = merge(self.values, own)
        return self._without_invalid(document, own) if self._has_invalid else document

    def is_unknown(self, own: Values) -> bool:
        """Whether a value of the webhook comes from an invalid default, so that the webhook is not known."""
        return self._has_invalid and any(True for _ in self._unknown(own))

    def _unknown(self, own: Values) -> Iterator[tuple[DocumentPath, DefaultsFile]]:
        """The units that the webhook has from an invalid default, each with its file."""
        for file, decided in self._layers(own):
            for unit in sorted(file.invalid, key=str):
                if unit not in decided and unit[:1] not in decided:
                    yield unit, file

    def _layers(self, own: Values) -> Iterator[tuple[DefaultsFile, set[DocumentPath]]]:
        """The files from the nearest on, each with the units that the webhook and the files before decide."""
        decided = {name for name, _, _ in units(own)}
        for file in self.files:
            yield file, decided
            decided |= {name for name, _, _ in units(file.values)}

    def _without_invalid(self, document: dict[str, Any], own: Values) -> dict[str, Any]:
        """The document without nulls that may remove an invalid default, and with a value for what it may supply."""
        invalid = {unit for file in self.files for unit in file.invalid}
        removals = {
            name for name, _, value in units(document) if value is None and not invalid.isdisjoint((name, name[:1]))
        }
        known = without_units(document, removals)
        for unit, _ in self._unknown(own):
            if unit[0] in REQUIRED_WITH_DEFAULT:
                known.setdefault(str(unit[0]), REQUIRED_WITH_DEFAULT[str(unit[0])])
        return known

    def origin(self, own: Values, path: DocumentPath) -> DefaultsFile | None:
        """The file that the value at a path comes from; None if it is the webhook's own."""
        if is_mentioned(own, path):
            return None
        return next((file for file in self.files if is_mentioned(file.values, path)), None)

    def path_in(self, file: DefaultsFile, path: DocumentPath) -> DocumentPath:
        """The path as the file writes it: header names ignore case."""
        wanted = unit_of(file.values, path)
        written = next((found for name, found, _ in units(file.values) if name == wanted), path)
        return (*written, *path[len(written) :])

    def inherited(self, own: Values) -> Inherited:
        """The places of the values that come from defaults files, by their JSON pointers in the canonical form.

        Most webhooks of a folder give the same keys, so the result is kept for each set of keys.
        """
        shape = (
            frozenset(own),
            *(frozenset(value) if type(value := own.get(key)) is dict else value is None for key in MERGED_SECTIONS),
        )
        found = self._shapes.get(shape)
        if found is None:
            found = self._shapes[shape] = dict(self._inherited(own))
        return found

    def _inherited(self, own: Values) -> Iterator[tuple[str, SourcePlace]]:
        for file, decided in self._layers(own):
            if file.unreadable:
                yield "", SourcePlace(file.name, 1, 1)
            for name, path, value in units(file.values):
                if name not in decided and name[:1] not in decided and value is not None:
                    yield from self._places(file, name, path, value)
        for unit, file in self._unknown(own):
            if not file.unreadable:
                yield pointer(unit), self._place(file, unit)

    def _places(
        self, file: DefaultsFile, name: DocumentPath, path: DocumentPath, value: Any
    ) -> Iterator[tuple[str, SourcePlace]]:
        yield pointer(name), self._place(file, path)
        if type(value) is dict:
            for key, inner in value.items():
                yield from self._places(file, (*name, key), (*path, key), inner)

    def _place(self, file: DefaultsFile, path: DocumentPath) -> SourcePlace:
        position = file.position(path)
        return SourcePlace(file.name, position.line, position.column)


def pointer(path: DocumentPath) -> str:
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in path)


NO_DEFAULTS = DefaultsChain(())


class DefaultsTree:
    """The chains of the folders of a run."""

    def __init__(self, found: FoundFiles) -> None:
        self._found = {_folder(one): one for one in found.defaults}
        self._roots = found.roots
        self._files: dict[str, tuple[DefaultsFile, ...]] = {}
        self._chains: dict[str, DefaultsChain] = {}
        self._by_files: dict[tuple[str, ...], DefaultsChain] = {(): NO_DEFAULTS}
        for folder in found.roots if self._found else ():
            self.chain(folder)

    @property
    def files(self) -> Sequence[DefaultsFile]:
        """Every defaults file, once."""
        return list({file.name: file for files in self._files.values() for file in files}.values())

    def chain_of(self, path: FilePath) -> DefaultsChain:
        if not self._found:
            return NO_DEFAULTS
        return self.chain(os.path.dirname(path.path))  # noqa: PTH120 - of 10,000 files

    def chain(self, folder: str) -> DefaultsChain:
        """The chain of a folder, as it stands in `FilePath.path`."""
        if (known := self._chains.get(folder)) is None:
            absolute = os.path.abspath(folder)  # noqa: PTH100 - links are followed by the walk
            files = self._read(absolute, self._roots.get(folder, absolute))
            key = tuple(file.name for file in files)
            known = self._chains[folder] = self._by_files.setdefault(key, DefaultsChain(files))
        return known

    def _read(self, folder: str, root: str) -> tuple[DefaultsFile, ...]:
        if (known := self._files.get(folder)) is None:
            is_below = folder != root and folder.startswith(f"{root.rstrip('/')}/")
            above = self._read(os.path.dirname(folder), root) if is_below else ()  # noqa: PTH120
            own = self._found.get(folder)
            mine = () if own is None else (read_defaults(own, above, is_root=folder == root),)
            known = self._files[folder] = (*mine, *above)
        return known


def _folder(found: FilePath | Diagnostic) -> str:
    path = found.path if isinstance(found, FilePath) else found.file or DEFAULTS_NAME
    return os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
