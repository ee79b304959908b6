"""The legal states of a disk after a power cut.

A sync of a file makes its contents and its size durable, and a sync of a directory its names. Since then, each
512-byte sector of a file may have any content that it has had, the size may be any size that the file has had, and
each change of a name may be there or not: a disk writes in any order, and it writes a sector as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from crash_images.record import (
    Create,
    MakeDirectory,
    NameChange,
    Rename,
    Step,
    Sync,
    SyncDirectory,
    Truncate,
    Unlink,
    Write,
)

SECTOR_BYTES: Final = 512
_DIRECTORY: Final = 0  # in the place of an inode


@dataclass(frozen=True, slots=True)
class PendingContent:
    """A write or a truncation that is not synced: the sectors and the size as they are after it."""

    inode: int
    sectors: Mapping[int, bytes]
    size: int


@dataclass(frozen=True, slots=True)
class PendingName:
    """A change of a name that is not synced."""

    change: NameChange


Pending = PendingContent | PendingName


@dataclass(frozen=True, slots=True)
class Choice:
    """One state of the disk: the pending changes that are there.

    `present`: by the number of a pending change, its sectors that are there; None: all of it. `sizes`: the sizes of
    files where they do not follow from the changes.
    """

    present: Mapping[int, Collection[int] | None]
    sizes: Mapping[int, int] = field(default_factory=dict)


class Disk:
    """A disk on which the steps of a record are made, one after the other."""

    def __init__(self) -> None:
        self.pending: list[Pending] = []
        self._synced: dict[int, bytes] = {}
        self._current: dict[int, bytearray] = {}
        self._names: dict[str, int] = {}

    def make(self, step: Step) -> bool:
        """Make a step. Returns whether it adds a pending change."""
        before = len(self.pending)
        match step:
            case Write() | Truncate():
                self._change(step)
            case Sync(inode):
                self._synced[inode] = bytes(self._current[inode])
                self.pending = [
                    one for one in self.pending if isinstance(one, PendingName) or one.inode != inode
                ]  # fmt: skip
            case SyncDirectory(name):
                self._sync_names(name)
            case Create() | MakeDirectory() | Unlink() | Rename():
                if isinstance(step, Create):
                    self._synced[step.inode], self._current[step.inode] = b"", bytearray()
                self.pending.append(PendingName(step))
            case _:
                return False
        return len(self.pending) > before

    def _change(self, step: Write | Truncate) -> None:
        content = self._current[step.inode]
        if isinstance(step, Write):
            first, last = step.offset, step.offset + len(step.data)
            if len(content) < last:
                content.extend(bytes(last - len(content)))
            content[first:last] = step.data
        else:
            first, last = sorted((step.size, len(content)))
            del content[step.size :]
            content.extend(bytes(step.size - len(content)))
        numbers = range(first // SECTOR_BYTES, -(-last // SECTOR_BYTES))
        sectors = {n: bytes(content[n * SECTOR_BYTES : (n + 1) * SECTOR_BYTES]) for n in numbers}
        self.pending.append(PendingContent(step.inode, sectors, len(content)))

    def _sync_names(self, directory: str) -> None:
        remaining: list[Pending] = []
        for one in self.pending:
            if isinstance(one, PendingName) and _parent(one.change) == directory:
                _rename(self._names, one.change)
            else:
                remaining.append(one)
        self.pending = remaining

    def reachable(self) -> set[int]:
        """The files that have a name in some legal state."""
        created = {one.change.inode for one in self.pending
                   if isinstance(one, PendingName) and isinstance(one.change, Create)}  # fmt: skip
        return created | set(self._names.values())

    def names(self) -> dict[str, int]:
        """The files that have a name now."""
        names = dict(self._names)
        for one in self.pending:
            if isinstance(one, PendingName):
                _rename(names, one.change)
        return {name: inode for name, inode in names.items() if inode != _DIRECTORY}

    def synced_size(self, inode: int) -> int:
        return len(self._synced[inode])

    def everything(self) -> Choice:
        """The state without a power cut."""
        return Choice(dict.fromkeys(range(len(self.pending))))

    def files(self, choice: Choice) -> dict[str, bytes]:
        """The files of one state. A file in a directory that is not there is not there."""
        names = dict(self._names)
        changes: dict[int, list[tuple[PendingContent, Collection[int] | None]]] = {}
        for number, one in enumerate(self.pending):
            if number in choice.present:
                if isinstance(one, PendingName):
                    _rename(names, one.change)
                else:
                    changes.setdefault(one.inode, []).append((one, choice.present[number]))
        return {
            name: self._content(inode, changes.get(inode, ()), choice.sizes.get(inode))
            for name, inode in sorted(names.items())
            if inode != _DIRECTORY and str(PurePosixPath(name).parent) in names
        }

    def _content(
        self,
        inode: int,
        changes: Collection[tuple[PendingContent, Collection[int] | None]],
        size: int | None,
    ) -> bytes:
        synced = self._synced[inode]
        if not changes and size in (None, len(synced)):
            return synced
        content = bytearray(synced)
        natural = len(content)
        for change, chosen in changes:
            for number in _chosen(change, chosen):
                start = number * SECTOR_BYTES
                if start > len(content):
                    content.extend(bytes(start - len(content)))
                data = change.sectors[number]
                content[start : start + len(data)] = data
            if chosen is None:
                natural = change.size
            elif chosen:
                natural = max(natural, min(change.size, (max(chosen) + 1) * SECTOR_BYTES))
        size = natural if size is None else size
        del content[size:]
        return bytes(content.ljust(size, b"\0"))


def _chosen(change: PendingContent, chosen: Collection[int] | None) -> Iterator[int]:
    return (number for number in change.sectors if chosen is None or number in chosen)


def _parent(change: NameChange) -> str:
    name = change.new if isinstance(change, Rename) else change.name
    parent = str(PurePosixPath(name).parent)
    return "" if parent == "." else parent


def _rename(names: dict[str, int], change: NameChange) -> None:
    match change:
        case Create(name, inode):
            names[name] = inode
        case MakeDirectory(name):
            names[name] = _DIRECTORY
        case Unlink(name):
            names.pop(name, None)
        case Rename(old, new):
            if old in names:
                names[new] = names.pop(old)
