"""The record of a run: every change that it asked of the disk, and every promise that the spool made, in order.

Names of files are relative to the directory above the spool. An inode is a number of the record's own: a name can
be given to another file, and a file keeps its number when it is renamed.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Create:
    """A new, empty file."""

    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A new directory."""

    name: str


@dataclass(frozen=True, slots=True)
class Unlink:
    """A name was removed."""

    name: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A name was replaced by another one."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were written into a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """The size of a file was set."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """The contents and the size of a file were synced."""

    inode: int


@dataclass(frozen=True, slots=True)
class SyncDirectory:
    """The names in a directory were synced."""

    name: str


class Promise(Enum):
    """The transactions that are on the disk when a call returns."""

    NOTHING = "nothing"
    OWN = "the transactions of the call, and all earlier ones"
    ALL = "all transactions so far, also those of earlier calls"


@dataclass(frozen=True, slots=True)
class Begun:
    """A call of the spool begins."""

    call: str


@dataclass(frozen=True, slots=True)
class Returned:
    """The call returned. `lines`: by source, the last line that is acknowledged."""

    call: str
    promise: Promise
    lines: Mapping[str, int]


NameChange = Create | MakeDirectory | Unlink | Rename
ContentChange = Write | Truncate
Step = NameChange | ContentChange | Sync | SyncDirectory | Begun | Returned


@dataclass(slots=True)
class Script:
    """The input of a run, for the checks.

    `first_lines`: the source and the line from which each delivery id was first read. `rejected_lines`: the source
    and line of each rejected line. `removed` and `removed_lines`: those that the spool may have removed, because
    their retention was over or an operator replayed or discarded them. `events`: by source and line, the number of
    events of the line.
    """

    first_lines: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    rejected_lines: set[tuple[str, int]] = field(default_factory=set)
    removed: set[bytes] = field(default_factory=set)
    removed_lines: set[tuple[str, int]] = field(default_factory=set)
    events: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """A whole run."""

    seed: int
    steps: list[Step]
    script: Script


@dataclass(frozen=True, slots=True)
class Killed:
    """The disk and the acknowledged lines at the moment at which a process was killed; no power cut."""

    files: Mapping[str, bytes]
    inodes: Mapping[str, int]
    lines: Mapping[str, int]


def save_record(record: Record, path: Path) -> None:
    path.write_bytes(pickle.dumps(record))


def load_record(path: Path) -> Record:
    record = pickle.loads(path.read_bytes())
    assert isinstance(record, Record)
    return record
