"""Finds the webhook files of a configuration directory and reads them as bytes."""

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
from hookline.escaping import mask_unprintable
from hookline.paths import is_directory, name_is_taken, path_exists

SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class FilePath:
    """`name` is the path as the user writes it; `path` opens the file."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class WebhookFile:
    """The content of a file, and its path as the user writes it."""

    name: str
    data: bytes


def find_files(directory: Path, paths: Sequence[Path]) -> list[FilePath | Diagnostic]:
    """The files below `paths`, or else `directory` if it exists, by name. Raises WrongUse for a missing path."""
    if path_exists(directory) and not is_directory(directory):
        hint = f"name the file itself: hookline … {directory}"
        raise WrongUse(f"--config {directory} is not a directory", hint=hint)
    for path in paths:
        if not name_is_taken(path):
            raise WrongUse(f"{path} does not exist", hint="name a webhook file or a directory of webhook files")
    found: dict[str, FilePath | Diagnostic] = {}
    for path in paths or ([directory] if path_exists(directory) else []):
        root = _root_of(path, directory).resolve()
        walked = is_directory(path)
        inside = walked and path.resolve().is_relative_to(root)
        for entry in _walk(path, root, inside=inside) if walked else [_check_link(str(path), root)]:
            found.setdefault(entry.name if isinstance(entry, FilePath) else entry.file or "", entry)
    return [found[name] for name in sorted(found)]


def _root_of(path: Path, directory: Path) -> Path:
    """The directory that links must not leave: the configuration directory, or `path` if it is outside of it."""
    absolute, root = path.absolute(), directory.absolute()
    if absolute.is_relative_to(root):
        return root
    return absolute if is_directory(path) else absolute.parent


def _walk(start: Path, root: Path, *, inside: bool) -> Iterator[FilePath | Diagnostic]:
    """The visible YAML files below a directory. `inside`: it is below `root`, so only a link can leave `root`."""
    failed: list[OSError] = []
    for folder, folders, names in os.walk(start, onerror=failed.append):
        visible = [name for name in folders if not name.startswith(".")]
        # A link to a directory inside is skipped because the walk visits that directory itself. A link that leads
        # outside is reported, so that its files are not ignored silently.
        links = [name for name in visible if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114 - 10,000 of them
        checked = (_check_link(f"{folder}/{name}", root) for name in links)
        yield from (entry for entry in checked if isinstance(entry, Diagnostic))
        folders[:] = sorted(set(visible) - set(links))
        for name in names:
            if name.endswith(SUFFIXES) and not name.startswith("."):
                path = f"{folder}/{name}"
                plain = inside and not os.path.islink(path)  # noqa: PTH114 - as above
                yield FilePath(_name_of(path), path) if plain else _check_link(path, root)
    yield from (_unreadable(os.fsdecode(error.filename), error) for error in failed)


def _check_link(path: str, root: Path) -> FilePath | Diagnostic:
    try:
        target = Path(path).resolve()
    except (OSError, RuntimeError):  # a loop of links; `read_file` reports the reason
        return FilePath(_name_of(path), path)
    if target.is_relative_to(root):
        return FilePath(_name_of(path), path)
    hint = "copy the file into the configuration directory, so that its changes are reviewed"
    return _diagnostic(path, error_codes.LINK_OUTSIDE, "symbolic link leaves the configuration directory", hint)


def read_file(found: FilePath) -> WebhookFile | Diagnostic:
    """Returns the content of a file, or the reason why it cannot be read."""
    path = found.path
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                hint = "remove it from this directory"
                return _diagnostic(path, error_codes.UNREADABLE, "not a regular file", hint)
            if status.st_size > MAX_FILE_BYTES:
                summary = f"larger than {MAX_FILE_BYTES >> 20} MiB, found {status.st_size >> 20} MiB"
                return _diagnostic(path, error_codes.TOO_LARGE, summary, "split it: one file per webhook")
            return WebhookFile(found.name, file.readall())
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: str, error: OSError) -> Diagnostic:
    hint = "check its owner and its mode"
    if error.errno in (errno.ENOENT, errno.ELOOP):
        linked = os.path.islink(path)  # noqa: PTH114
        hint = "correct or remove the symbolic link" if linked else "run the command again; the file was just removed"
    return _diagnostic(path, error_codes.UNREADABLE, f"cannot be read: {error.strerror}", hint)


def _diagnostic(path: str, code: str, summary: str, hint: str) -> Diagnostic:
    return Diagnostic(code=code, file=_name_of(path), summary=summary, hint=hint)


def _name_of(path: str) -> str:
    """The path relative to the working directory if it is below it, in printable characters."""
    absolute, here = os.path.abspath(path), os.getcwd().rstrip("/") + "/"  # noqa: PTH100, PTH109 - does not follow links
    name = absolute[len(here) :] if absolute.startswith(here) else path
    if name.isascii() and name.isprintable():
        return name
    return mask_unprintable(os.fsencode(name).decode("utf-8", errors="replace"))
