"""The webhook files of a configuration directory: found, and read as bytes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookline.config import error_codes
from hookline.diagnostics import Diagnostic
from hookline.errors import WrongUse
from hookline.escaping import masked

SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """A file by the name that the user would give it, and by the path that opens it."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A file as the user would name it, and what is in it."""

    name: str
    data: bytes


def find_files(directory: Path, paths: Sequence[Path]) -> list[Found | Diagnostic]:
    """The files below `paths`, or of the whole directory where none is given, sorted by their names.

    A directory that does not exist holds no files; a path that does not exist raises WrongUse.
    """
    if directory.exists() and not directory.is_dir():
        hint = f"name the file itself: hookline … {directory}"
        raise WrongUse(f"--config {directory} is not a directory", hint=hint)
    for path in paths:
        if not os.path.lexists(path):
            raise WrongUse(f"{path} does not exist", hint="a PATH is a webhook file, or a directory of them")
    found: dict[str, Found | Diagnostic] = {}
    for path in paths or ([directory] if directory.exists() else []):
        root = _root_of(path, directory).resolve()
        inside = path.resolve().is_relative_to(root) if path.is_dir() else False
        for entry in _walk(path, root, inside=inside) if path.is_dir() else [_checked(str(path), root)]:
            found.setdefault(_key(entry), entry)
    return [found[name] for name in sorted(found)]


def _key(entry: Found | Diagnostic) -> str:
    return entry.name if isinstance(entry, Found) else entry.file or ""


def _root_of(path: Path, directory: Path) -> Path:
    """Links may lead as far as the configuration directory; for a path outside of it, as far as that path."""
    here, root = path.absolute(), directory.absolute()
    if here.is_relative_to(root):
        return root
    return here if path.is_dir() else here.parent


def _walk(start: Path, root: Path, *, inside: bool) -> Iterator[Found | Diagnostic]:
    """The visible YAML files below a directory. `inside`: it lies below `root`, so that only links can leave it."""
    failed: list[OSError] = []
    for folder, folders, names in os.walk(start, onerror=failed.append):
        visible = [name for name in folders if not name.startswith(".")]
        # A linked directory within is met at its real place; one that leads outside must not vanish unseen.
        links = [name for name in visible if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114 - 10,000 of them
        refused = (_checked(f"{folder}/{name}", root) for name in links)
        yield from (entry for entry in refused if isinstance(entry, Diagnostic))
        folders[:] = sorted(set(visible) - set(links))
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                path = f"{folder}/{name}"
                plain = inside and not os.path.islink(path)  # noqa: PTH114 - as above
                yield Found(_name_of(path), path) if plain else _checked(path, root)
    yield from (_unreadable(os.fsdecode(error.filename), error) for error in failed)


def _checked(path: str, root: Path) -> Found | Diagnostic:
    try:
        target = Path(path).resolve()
    except (OSError, RuntimeError):  # a loop of links; reading it tells why
        return Found(_name_of(path), path)
    if target.is_relative_to(root):
        return Found(_name_of(path), path)
    hint = "copy the file into the configuration directory: what a link leads to is not reviewed with it"
    summary = "a symbolic link that leaves the configuration directory"
    return Diagnostic(code=error_codes.LINK_OUTSIDE, file=_name_of(path), summary=summary, hint=hint)


def read_file(found: Found) -> File | Diagnostic:
    """What is in a file, or why it cannot be read."""
    path = found.path
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return _diagnostic(
                    path, error_codes.UNREADABLE, "not a regular file", "remove it from this directory"
                )
            if status.st_size > MAX_FILE_BYTES:
                summary = f"{status.st_size >> 20} MiB, more than the {MAX_FILE_BYTES >> 20} MiB that are read"
                return _diagnostic(path, error_codes.TOO_LARGE, summary, "split it: one file a webhook")
            return File(found.name, file.readall())
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: str, error: OSError) -> Diagnostic:
    hint = "look at its owner and its mode"
    if error.errno in (errno.ENOENT, errno.ELOOP):
        linked = os.path.islink(path)  # noqa: PTH114
        hint = "mend or remove the symbolic link" if linked else "it was there a moment ago: run this again"
    return _diagnostic(path, error_codes.UNREADABLE, f"cannot be read: {error.strerror}", hint)


def _diagnostic(path: str, code: str, summary: str, hint: str) -> Diagnostic:
    return Diagnostic(code=code, file=_name_of(path), summary=summary, hint=hint)


def _name_of(path: str) -> str:
    """Relative to the working directory where it is below it; printable, also where the file system's name is not."""
    absolute, here = os.path.abspath(path), os.getcwd().rstrip("/") + "/"  # noqa: PTH100, PTH109 - links are named, not followed
    name = absolute[len(here) :] if absolute.startswith(here) else path
    if name.isascii() and name.isprintable():
        return name
    name = os.fsencode(name).decode("utf-8", errors="replace")
    return masked(name)
