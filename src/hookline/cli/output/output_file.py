"""Output files that a user names: `-` is standard output, a regular file is replaced, everything else is written to.

A regular file is replaced as a whole or not at all, so no reader sees half of it. Its name may be a link: the target
is replaced and the link remains. A device or a pipe is written to and never replaced: as root, renaming a file over
/dev/stdout or /dev/null would damage the machine.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, TextIO

from hookline.errors import HooklineError, WrongUse
from hookline.paths import is_named_pipe, path_mode, repository_root
from hookline.private_files import open_replacement

STREAM: Final = Path("-")


def is_standard_output(path: Path) -> bool:
    """Whether the path is `-` or another name of standard output, such as /dev/stdout."""
    return _stream_of(path) is sys.stdout


def _stream_of(path: Path) -> TextIO | None:
    """The stream that has the file open. Replacing that file would take it away from the stream."""
    if path == STREAM:
        return sys.stdout
    with suppress(OSError, ValueError):
        named = path.stat()
        for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
            if os.path.samestat(os.fstat(descriptor), named):
                return stream
    return None


def refuse_output(path: Path) -> None:
    """Raise WrongUse, before any work, for a directory and for a link that leads out of its repository."""
    if _stream_of(path) is not None:
        return
    mode = path_mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise WrongUse(f"{path} is a directory", hint="name a file")
    if mode is not None and stat.S_ISSOCK(mode):
        raise WrongUse(f"{path} is a socket, which cannot be written to like a file", hint="name a file")
    if mode is None or stat.S_ISREG(mode):
        _refuse_way_out(path)


def _refuse_way_out(path: Path) -> None:
    """A pull request can add links to a checkout. They must not lead the output of a CI job to another file."""
    root = repository_root(path.parent)
    if root is None:
        return
    try:
        target = path.resolve()
    except RuntimeError as loop:
        raise WrongUse(f"{path} is a link that leads in a circle", hint="remove the link") from loop
    inside = target.is_relative_to(root.resolve()) and ".git" not in target.relative_to(root.resolve()).parts
    if not inside:
        raise WrongUse(
            f"{path} is, or is below, a link that leads out of the files of the repository {root}: to {target}",
            hint=f"name the file itself: {target}",
        )


@contextmanager
def open_output(path: Path, *, mode: int, synced: bool = True) -> Iterator[IO[bytes]]:
    """Open an output for its whole content. Raises HooklineError, OutputLost for standard output.

    Args:
        path: the path that the user gave; `-` is standard output.
        mode: the permissions of a new file before the umask.
        synced: whether to sync a file and its name.
    """
    refuse_output(path)
    if (stream := _stream_of(path)) is not None:
        stream.flush()
        yield stream.buffer
        stream.flush()
        return
    found = path_mode(path)
    if found is None or stat.S_ISREG(found):
        with open_replacement(_target(path), mode=mode, synced=synced) as file:
            yield file
        return
    try:
        with open(path, "wb", opener=_open_existing) as special:
            yield special
    except OSError as failed:
        hint = "check the device, or the program that reads the pipe"
        raise HooklineError(f"{path} cannot be written: {failed.strerror}", hint=hint) from failed


@contextmanager
def open_appended(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """Open an output to which a long run appends, unbuffered. Raises HooklineError.

    To open a pipe waits for its reader: do it before an event loop handles the signals that end the wait.

    Args:
        path: the path that the user gave; `-` is standard output.
        mode: the permissions of a new file before the umask.
    """
    refuse_output(path)
    if (stream := _stream_of(path)) is not None:
        yield stream.buffer
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    except OSError as failed:
        hint = "check the path, its permissions and the disk"
        raise HooklineError(f"{path} cannot be written: {failed.strerror}", hint=hint) from failed
    with os.fdopen(descriptor, "ab", buffering=0) as file:
        yield file


def waits_for_reader(path: Path) -> bool:
    """Whether opening the output waits until another program reads it."""
    return _stream_of(path) is None and is_named_pipe(path)


def _open_existing(name: str, flags: int) -> int:
    return os.open(name, flags & ~(os.O_CREAT | os.O_TRUNC) | os.O_CLOEXEC)


def _target(path: Path) -> Path:
    """The file to replace. A link to it remains."""
    try:
        return path.resolve()
    except RuntimeError as loop:
        raise WrongUse(f"{path} is a link that leads in a circle", hint="remove the link") from loop
