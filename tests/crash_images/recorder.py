"""Records a run in this process: the changes that SQLite makes, and those that Python code makes through `os`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from crash_images.record import (
    Begun,
    Create,
    Killed,
    MakeDirectory,
    Promise,
    Rename,
    Returned,
    Step,
    Sync,
    SyncDirectory,
    Truncate,
    Unlink,
    Write,
)

# The other files of a spool (the lock, the reserve, the status) hold nothing that a power cut may not remove.
RECORDED_PREFIX: Final = "spool."
_INODES_OF_A_RUN: Final = 1_000_000  # the numbers of a second process begin here


class Recorder:
    """Implements recording_vfs.Observer. `root` is the directory above the spool."""

    def __init__(self, root: Path, *, marks: int | None = None, killed: Killed | None = None) -> None:
        """`marks`: a descriptor that shows each mark to a tracer of system calls. `killed`: an earlier process."""
        self._marks = marks
        self.steps: list[Step] = []
        self.lines: dict[str, int] = dict(killed.lines) if killed else {}
        self._root = root
        self._names: dict[str, int] = dict(killed.inodes) if killed else {}
        self._files: dict[int, int] = {}
        self._inodes = _INODES_OF_A_RUN if killed else 0

    @contextmanager
    def call(self, name: str, promise: Promise) -> Iterator[None]:
        """A call of the spool. Set `lines` in the block, after the spool has acknowledged them."""
        self._mark(Begun(name))
        yield
        self._mark(Returned(name, promise, dict(self.lines)))

    def _mark(self, mark: Begun | Returned) -> None:
        self.steps.append(mark)
        if self._marks is not None:
            os.write(self._marks, b"mark")

    def _name(self, path: Path) -> str | None:
        path = self._root / path
        if path.is_relative_to(self._root) and path.name.startswith(RECORDED_PREFIX):
            return str(path.relative_to(self._root))
        return None

    # -- recording_vfs.Observer

    def opening(self, path: Path) -> None:
        name = self._name(path)
        if name is not None and not path.exists():
            self._inodes += 1
            self._names[name] = self._inodes
            self.steps.append(Create(name, self._inodes))

    def opened(self, file: int, path: Path) -> None:
        name = self._name(path)
        if name is not None:
            self._files[file] = self._names[name]

    def closed(self, file: int) -> None:
        self._files.pop(file, None)

    def written(self, file: int, offset: int, data: bytes) -> None:
        if (inode := self._files.get(file)) is not None:
            self.steps.append(Write(inode, offset, data))

    def truncated(self, file: int, size: int) -> None:
        if (inode := self._files.get(file)) is not None:
            self.steps.append(Truncate(inode, size))

    def synced(self, file: int) -> None:
        if (inode := self._files.get(file)) is not None:
            self.steps.append(Sync(inode))

    def deleted(self, path: Path) -> None:
        name = self._name(path)
        if name is not None:
            del self._names[name]
            self.steps.append(Unlink(name))

    def directory_synced(self, path: Path) -> None:
        if path.is_relative_to(self._root):
            name = str(path.relative_to(self._root))
            self.steps.append(SyncDirectory("" if name == "." else name))

    # -- the calls of Python code

    def directory_made(self, path: Path) -> None:
        if path.is_relative_to(self._root) and not path.exists():
            self.steps.append(MakeDirectory(str(path.relative_to(self._root))))

    def renamed(self, old: Path, new: Path) -> None:
        before, after = self._name(old), self._name(new)
        if before is not None and after is not None:
            self._names[after] = self._names.pop(before)
            self.steps.append(Rename(before, after))

    def descriptor_synced(self, descriptor: int) -> None:
        synced = os.fstat(descriptor)
        for name, inode in self._names.items():
            with suppress(FileNotFoundError):
                if os.path.samestat(synced, (self._root / name).stat()):
                    self.steps.append(Sync(inode))
        for directory in (self._root, *(one for one in self._root.iterdir() if one.is_dir())):
            if os.path.samestat(synced, directory.stat()):
                self.directory_synced(directory)

    def watch_os(self) -> None:
        """Record the calls of `os` in this process, until its end."""

        def before(name: str, report: Callable[..., None]) -> None:
            original = getattr(os, name)

            def recording(*args: Any, **kwargs: Any) -> Any:
                report(*args)
                return original(*args, **kwargs)

            setattr(os, name, recording)

        def opening(path: Any, flags: int, *_mode: int) -> None:
            if flags & os.O_CREAT:
                self.opening(Path(path))

        def unlinking(path: Any) -> None:
            if Path(path).exists():
                self.deleted(Path(path))

        before("open", opening)
        for name in ("unlink", "remove"):
            before(name, unlinking)
        for name in ("rename", "replace"):
            before(name, lambda old, new: self.renamed(Path(old), Path(new)))
        before("mkdir", lambda path, *_mode: self.directory_made(Path(path)))
        for name in ("fsync", "fdatasync"):
            before(name, self.descriptor_synced)
