"""Walks over the YAML files of a configuration directory, and reads them as bytes."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hookline.config import error_codes
from hookline.diagnostics import Diagnostic
from hookline.escaping import mask_unprintable

SUFFIXES = (".yaml", ".yml")
DEFAULTS_NAME = "_defaults.yaml"
# Names that a defaults file may get by mistake. Its values would silently be missing.
_DEFAULTS_MISNAMED = re.compile(r"_defaults?\.ya?ml", re.IGNORECASE)
MAX_FILE_BYTES = 64 << 20
# Files that people keep beside webhook files. Others that are not read are named in a warning.
_COMPANIONS = ("*.md", "README*", "LICENSE*", "CODEOWNERS", ".git*", ".editorconfig", ".keep", ".DS_Store")
_EDITOR_FOLDERS = (".git*", ".vscode", ".idea")
_HIDDEN = "it is hidden"
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True, slots=True)
class FilePath:
    """`name` is the path as the user writes it; `path` opens the file."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or directory that is not read. `misnamed`: it has the name of a webhook file, in capital letters."""

    name: str
    reason: str
    misnamed: bool = False


@dataclass(frozen=True, slots=True)
class WebhookFile:
    """The content of a file, and its path as the user writes it."""

    name: str
    data: bytes


class FileTree:
    """The YAML files below a directory, and everything else there."""

    def __init__(self, start: Path, root: Path) -> None:
        """`root` is the directory that links must not leave, without links."""
        self._start = str(start)
        self._root = root
        self._unread: dict[str, LeftOut] = {}
        self._linked: list[str] = []  # the targets of links to directories that were followed

    def walk(self) -> Iterator[FilePath | Diagnostic]:
        real = os.path.realpath(self._start)
        yield from self._walk(self._start, real, inside=Path(real).is_relative_to(self._root))

    def left_out(self) -> Iterator[LeftOut]:
        """After `walk`: everything that was not read. A hidden directory was read if a link leads into it."""
        for path, one in self._unread.items():
            real = os.path.realpath(path) if one.reason == _HIDDEN else None
            if real is None or not any(_is_within(linked, real) for linked in self._linked):
                yield one

    def _walk(self, start: str, real_start: str, *, inside: bool) -> Iterator[FilePath | Diagnostic]:
        """`inside`: `start` is below the root without links, so only a link can leave the root."""
        failed: list[OSError] = []
        for folder, folders, names in os.walk(start, onerror=failed.append):
            for name in [name for name in folders if has_name_of_file(name)]:
                yield not_a_file(f"{folder}/{name}", stat.S_IFDIR)
                folders.remove(name)
            links = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114 - 10,000 of them
            for name in links:
                if not name.startswith("."):
                    yield from self._follow(f"{folder}/{name}", real_start)
            for name in folders:
                if name.startswith(".") and not _matches(name, _EDITOR_FOLDERS):
                    self._leave_out(f"{folder}/{name}", _HIDDEN)
            folders[:] = sorted(name for name in folders if name not in links and not name.startswith("."))
            for name in names:
                path = f"{folder}/{name}"
                if is_misnamed_defaults(name):
                    yield misnamed_defaults(path)
                    continue
                if not name.endswith(SUFFIXES) or name.startswith("."):
                    self._leave_out_file(path, name)
                    continue
                plain = inside and not os.path.islink(path)  # noqa: PTH114 - as above
                entry = FilePath(name_of_path(path), path) if plain else check_link(path, self._root)
                if not plain:
                    self._linked.append(os.path.realpath(path))
                yield entry
        yield from (_unreadable(os.fsdecode(error.filename), error) for error in failed)

    def _follow(self, path: str, real_start: str) -> Iterator[FilePath | Diagnostic]:
        """The files behind a link to a directory, unless the walk visits that directory itself.

        It does not visit hidden directories. Kubernetes mounts files in one, and links to it.
        """
        entry = check_link(path, self._root)
        if isinstance(entry, Diagnostic):
            yield entry
            return
        real = os.path.realpath(path)
        visible = not any(part.startswith(".") for part in Path(os.path.relpath(real, real_start)).parts)
        if _is_within(real, real_start) and visible:
            return
        if _is_within(os.path.realpath(os.path.dirname(path)), real):  # noqa: PTH120
            self._leave_out(path, "it is a link to a directory above it")
            return
        self._linked.append(real)
        yield from self._walk(path, real, inside=False)

    def _leave_out_file(self, path: str, name: str) -> None:
        if _matches(name, _COMPANIONS):
            return
        if name.startswith("."):
            self._leave_out(path, _HIDDEN)
        elif name.lower().endswith(SUFFIXES):
            self._leave_out(path, "its name must end with .yaml or .yml, in small letters", misnamed=True)
        else:
            self._leave_out(path, "its name does not end with .yaml or .yml")

    def _leave_out(self, path: str, reason: str, *, misnamed: bool = False) -> None:
        self._unread[path] = LeftOut(name_of_path(path), reason, misnamed)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def is_misnamed_defaults(name: str) -> bool:
    return name[:1] == "_" and name != DEFAULTS_NAME and _DEFAULTS_MISNAMED.fullmatch(name) is not None


def misnamed_defaults(path: str) -> Diagnostic:
    """Without its defaults, a webhook would have other values: an error, not a file that is left out."""
    summary = f"a defaults file must be named {DEFAULTS_NAME}"
    return _diagnostic(path, error_codes.MISNAMED_DEFAULTS, summary, f"rename it to {DEFAULTS_NAME}")


def has_name_of_file(name: str) -> bool:
    """Whether a directory with this name is an error. Docker creates one in the place of a file that it shall mount
    and that does not exist. The webhook would look deleted, or lose its defaults."""
    return (name.endswith(SUFFIXES) and not name.startswith(".")) or is_misnamed_defaults(name)


def not_a_file(path: str, mode: int, hint: str | None = None) -> Diagnostic:
    """The error for a directory, pipe, socket or device in the place of a file. `mode` is its `st_mode`."""
    kind = stat.S_IFMT(mode)
    name = path.rpartition("/")[2]
    if hint is None:
        hint = "move it out of this directory"
        if kind == stat.S_IFDIR:
            ending = f"put the file {name} in its place"
            hint = f"{ending}, or rename the directory: its name must not end with {os.path.splitext(name)[1]}"  # noqa: PTH122
    return _diagnostic(path, error_codes.UNREADABLE, f"is {_KINDS.get(kind, 'a device')}, not a file", hint)


def check_link(path: str, root: Path) -> FilePath | Diagnostic:
    """The file, unless a link leads out of the root, which is given without links."""
    try:
        target = Path(path).resolve()
    except (OSError, RuntimeError):  # a loop of links; `read_file` reports the reason
        return FilePath(name_of_path(path), path)
    if target.is_relative_to(root):
        return FilePath(name_of_path(path), path)
    hint = "copy the file into the configuration directory, so that its changes are reviewed"
    return _diagnostic(path, error_codes.LINK_OUTSIDE, "symbolic link leaves the configuration directory", hint)


def read_file(found: FilePath, hint: str | None = None) -> WebhookFile | Diagnostic:
    """Returns the content of a file, or the reason why it cannot be read.

    `hint` is the next step for something that is no file, if it was not found below the configuration directory.
    """
    path = found.path
    try:
        # A socket cannot be opened, and a directory only without `open`.
        if not stat.S_ISREG(mode := os.stat(path).st_mode):  # noqa: PTH116 - of 10,000 files
            return not_a_file(path, mode, hint)
        # O_NONBLOCK: opening a pipe that has just taken the place of the file must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # noqa: PTH123
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return not_a_file(path, status.st_mode, hint)
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
    return Diagnostic(code=code, file=name_of_path(path), summary=summary, hint=hint)


def name_of_path(path: str) -> str:
    """The path relative to the working directory if it is below it, in printable characters."""
    absolute, here = os.path.abspath(path), os.getcwd().rstrip("/") + "/"  # noqa: PTH100, PTH109 - does not follow links
    name = absolute[len(here) :] if absolute.startswith(here) else path
    if name.isascii() and name.isprintable():
        return name
    return mask_unprintable(os.fsencode(name).decode("utf-8", errors="replace"))
