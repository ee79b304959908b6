"""The webhook files of a configuration directory: found, and read as bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.config import codes
from hookline.diagnostics import Diagnostic
from hookline.errors import WrongUse

SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class File:
    """A file as the user would name it, and what is in it."""

    name: str
    data: bytes


def read_files(directory: Path, paths: Sequence[Path]) -> Iterator[File | Diagnostic]:
    """The files below `paths`, or of the whole directory where none is given, sorted by their names.

    A directory that does not exist holds no files; a path that does not exist raises WrongUse.
    """
    if directory.exists() and not directory.is_dir():
        hint = f"name the file itself: hookline … {directory}"
        raise WrongUse(f"--config {directory} is not a directory", hint=hint)
    for path in paths:
        if not os.path.lexists(path):
            raise WrongUse(f"{path} does not exist", hint="a PATH is a webhook file, or a directory of them")
    found: dict[str, Path | Diagnostic] = {}
    for path in paths or ([directory] if directory.exists() else []):
        root = _root_of(path, directory)
        for entry in _walk(path) if path.is_dir() else [path]:
            if isinstance(entry, Diagnostic):
                found.setdefault(entry.file or "", entry)
            else:
                found.setdefault(_name_of(entry), _refused_link(entry, root) or entry)
    for name in sorted(found):
        entry = found[name]
        yield entry if isinstance(entry, Diagnostic) else _read(entry)


def _root_of(path: Path, directory: Path) -> Path:
    """Links may lead as far as the configuration directory; for a path outside of it, as far as that path."""
    here, root = path.absolute(), directory.absolute()
    if here.is_relative_to(root):
        return root
    return here if path.is_dir() else here.parent


def _walk(directory: Path) -> Iterator[Path | Diagnostic]:
    failed: list[OSError] = []
    for folder, folders, names in os.walk(directory, onerror=failed.append):
        visible = [name for name in folders if not name.startswith(".")]
        # A linked directory within is met at its real place; one that leads outside must not vanish unseen.
        links = [name for name in visible if (Path(folder) / name).is_symlink()]
        yield from filter(None, (_refused_link(Path(folder) / name, directory) for name in links))
        folders[:] = sorted(set(visible) - set(links))
        yield from (Path(folder) / name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))
    yield from (_unreadable(Path(os.fsdecode(error.filename)), error) for error in failed)


def _refused_link(path: Path, root: Path) -> Diagnostic | None:
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # a loop of links; reading it tells why
        return None
    if target.is_relative_to(root.resolve()):
        return None
    hint = "copy the file into the configuration directory: what a link leads to is not reviewed with it"
    summary = "a symbolic link that leaves the configuration directory"
    return Diagnostic(code=codes.LINK_OUTSIDE, file=_name_of(path), summary=summary, hint=hint)


def _read(path: Path) -> File | Diagnostic:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return _diagnostic(path, codes.UNREADABLE, "not a regular file", "remove it from this directory")
            if status.st_size > MAX_FILE_BYTES:
                summary = f"{status.st_size >> 20} MiB, more than the {MAX_FILE_BYTES >> 20} MiB that are read"
                return _diagnostic(path, codes.TOO_LARGE, summary, "split it: one file a webhook")
            return File(_name_of(path), file.read())
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: Path, error: OSError) -> Diagnostic:
    return _diagnostic(path, codes.UNREADABLE, f"cannot be read: {error.strerror}", "look at its owner and its mode")


def _diagnostic(path: Path, code: str, summary: str, hint: str) -> Diagnostic:
    return Diagnostic(code=code, file=_name_of(path), summary=summary, hint=hint)


def _name_of(path: Path) -> str:
    """Relative to the working directory where it is below it; printable, also where the file system's name is not."""
    absolute, here = os.path.abspath(path), os.path.abspath(".")  # noqa: PTH100 - links are named, not followed
    name = os.path.relpath(absolute, here) if absolute.startswith(here.rstrip("/") + "/") else str(path)
    name = os.fsencode(name).decode("utf-8", errors="replace")
    return "".join(char if char.isprintable() else "�" for char in name)
