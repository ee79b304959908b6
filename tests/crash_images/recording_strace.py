"""Reads the record of a run from the output of strace, for a Python whose SQLite cannot be reached.

The run writes the number of each mark (the begin and the end of a call) into a file, so that the marks are in the
output among the other system calls.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crash_images.record import (
    Create,
    MakeDirectory,
    Rename,
    Step,
    Sync,
    SyncDirectory,
    Truncate,
    Unlink,
    Write,
)
from crash_images.recorder import RECORDED_PREFIX

_CALLS: Final = (
    "openat,open,creat,write,pwrite64,lseek,ftruncate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,"
    "mkdir,mkdirat"
)
COMMAND: Final = ("strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={_CALLS}", "-e", "signal=none")
_LINE: Final = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\d+)", re.DOTALL)
_DESCRIPTOR: Final = re.compile(r"^(\d+)<([^>]*)>")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def available() -> bool:
    return shutil.which("strace") is not None


def parse(output: str, root: Path, marks_file: Path, marks: Sequence[Step]) -> list[Step]:
    """The steps of a run below `root`. `marks` are those that the run wrote into `marks_file`, in their order."""
    return list(_Parser(root, marks_file, marks).steps(output))


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: str
    texts: list[bytes]
    result: int

    @property
    def last_number(self) -> int:
        return int(self.arguments.rpartition(", ")[2])


class _Parser:
    def __init__(self, root: Path, marks_file: Path, marks: Sequence[Step]) -> None:
        self._root = root
        self._marks_file = str(marks_file)
        self._marks = iter(marks)
        self._names: dict[str, int] = {}
        self._open: dict[int, int] = {}  # by descriptor: the inode
        self._offsets: dict[int, int] = {}
        self._inodes = 0

    def steps(self, output: str) -> Iterator[Step]:
        for line in output.splitlines():
            if found := _LINE.match(line):
                texts = [bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(found[2])]
                call = _Call(found[1], found[2], texts, int(found[3]))
                if descriptor := _DESCRIPTOR.match(call.arguments):
                    path = re.sub(r"\\x([0-9a-f]{2})", lambda digits: chr(int(digits[1], 16)), descriptor[2])
                    yield from self._on_descriptor(call, int(descriptor[1]), path)
                if texts and call.name not in ("write", "pwrite64"):
                    yield from self._on_names(call, [one.decode() for one in texts])

    def _name(self, path: str) -> str | None:
        whole = self._root / path
        if whole.is_relative_to(self._root) and whole.name.startswith(RECORDED_PREFIX):
            return str(whole.relative_to(self._root))
        return None

    def _on_names(self, call: _Call, paths: list[str]) -> Iterator[Step]:
        name = self._name(paths[0])
        if call.name.startswith("mkdir") and Path(paths[0]).is_relative_to(self._root):
            yield MakeDirectory(str(Path(paths[0]).relative_to(self._root)))
        elif name is None:
            self._open.pop(call.result, None)  # the number belongs to another file now
        elif call.name in ("open", "openat", "creat"):
            if name not in self._names and not name.endswith("-shm"):
                self._inodes += 1
                self._names[name] = self._inodes
                yield Create(name, self._inodes)
            if name in self._names:
                self._open[call.result], self._offsets[call.result] = self._names[name], 0
            else:
                self._open.pop(call.result, None)
        elif call.name.startswith("unlink") and name in self._names:
            del self._names[name]
            yield Unlink(name)
        elif call.name.startswith("rename") and (new := self._name(paths[1])) is not None:
            self._names[new] = self._names.pop(name)
            yield Rename(name, new)

    def _on_descriptor(self, call: _Call, descriptor: int, path: str) -> Iterator[Step]:
        if call.name == "write" and path == self._marks_file:
            yield next(self._marks)
            return
        if call.name in ("fsync", "fdatasync") and Path(path).is_dir() and Path(path).is_relative_to(self._root):
            name = str(Path(path).relative_to(self._root))
            yield SyncDirectory("" if name == "." else name)
            return
        inode = self._open.get(descriptor)
        if inode is None or path.endswith("-shm"):
            return
        match call.name:
            case "pwrite64":
                yield Write(inode, call.last_number, call.texts[0])
            case "write":
                yield Write(inode, self._offsets[descriptor], call.texts[0])
                self._offsets[descriptor] += call.result
            case "lseek":
                self._offsets[descriptor] = call.result
            case "ftruncate":
                yield Truncate(inode, call.last_number)
            case "fsync" | "fdatasync":
                yield Sync(inode)
            case _:
                pass
