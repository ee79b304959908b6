"""Finds the webhook files of a run, and the defaults files above them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_IFDIR, S_ISDIR, S_ISREG

from hookline.config.discovery import (
    DEFAULTS_NAME,
    FilePath,
    FileTree,
    LeftOut,
    check_link,
    has_name_of_file,
    is_misnamed_defaults,
    misnamed_defaults,
    name_of_path,
    not_a_file,
)
from hookline.diagnostics import Diagnostic
from hookline.errors import HooklineError, WrongUse
from hookline.paths import is_directory, name_is_taken, path_exists, path_mode


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a run, by name.

    `defaults` also has the defaults files above the paths of a narrowed run. `roots` has the absolute configuration
    directory of each folder of a webhook file, as the folder stands in `FilePath.path`.
    """

    webhooks: Sequence[FilePath | Diagnostic]
    defaults: Sequence[FilePath | Diagnostic] = ()
    left_out: Sequence[LeftOut] = ()
    roots: Mapping[str, str] = field(default_factory=dict)


def find_files(directory: Path, paths: Sequence[Path]) -> FoundFiles:
    """The files below `paths`, or else `directory` if it exists, and everything there that is not read.

    A path that is a defaults file means its folder. Raises WrongUse for a missing path, for a path without a webhook
    file, and for one with defaults above the directory that counts as its configuration directory.
    """
    exists = path_exists(directory, error=WrongUse)
    if exists and not is_directory(directory):
        hint = f"name the file itself: hookline … {directory}"
        raise WrongUse(f"--config {directory} is not a directory", hint=hint)
    found: dict[str, FilePath | Diagnostic] = {}
    left_out: dict[str, LeftOut] = {}
    roots: dict[str, str] = {}
    for given in paths or ([directory] if exists else []):
        root = _root_of(given, directory)
        path = _own_place(given, root)
        below = [_named(path, root)]
        if not name_is_taken(path, error=WrongUse):
            raise WrongUse(f"{path} does not exist", hint="name a webhook file or a directory of webhook files")
        start = path.parent if path.name == DEFAULTS_NAME else path
        if is_directory(start, error=WrongUse):
            tree = FileTree(start, root.resolve())
            below = [not_a_file(str(path), S_IFDIR)] if _is_misplaced(start, root) else list(tree.walk())
            left_out.update((one.name, one) for one in tree.left_out())
        if paths and not below:
            raise no_files_error(f"{path} contains no webhook file", left_out.values())
        if str(root) != os.path.abspath(directory):  # noqa: PTH100 - does not follow links
            _refuse_defaults_above(path, root)
        for entry in (*below, *_defaults_above(start, root)):
            found.setdefault(_name_of(entry), entry)
            path_text = entry.path if isinstance(entry, FilePath) else entry.file or ""
            roots.setdefault(os.path.dirname(path_text), str(root))  # noqa: PTH120 - of 10,000 files
    for unread in _above(directory) if exists else ():
        left_out[unread.name] = LeftOut(unread.name, "it is above the configuration directory")
    names = sorted(found)
    return FoundFiles(
        [found[name] for name in names if not _is_defaults(name)],
        [found[name] for name in names if _is_defaults(name)],
        [left_out[name] for name in sorted(left_out)],
        roots,
    )


def _own_place(path: Path, root: Path) -> Path:
    """The path without links to directories that a run without paths does not follow, since it visits them anyway.

    Otherwise a webhook would have other defaults in a narrowed run.
    """
    is_folder = is_directory(path)
    real = Path(os.path.realpath(path if is_folder else path.parent))
    known = Path(os.path.abspath(path))  # noqa: PTH100 - as named
    real_root = root.resolve()
    if not real.is_relative_to(real_root) or not known.is_relative_to(root):
        return path
    own = real.relative_to(real_root) if is_folder else real.relative_to(real_root) / path.name
    is_hidden = any(part.startswith(".") for part in own.parts)
    return path if is_hidden or own == known.relative_to(root) else root / own


def _is_misplaced(directory: Path, root: Path) -> bool:
    """Whether a named directory is an error in a run without paths."""
    is_root = Path(os.path.abspath(directory)) == root  # noqa: PTH100 - as named
    return not is_root and has_name_of_file(directory.name)


def _named(path: Path, root: Path) -> FilePath | Diagnostic:
    mode = path_mode(path, error=WrongUse)
    if mode is not None and not S_ISREG(mode) and not S_ISDIR(mode):
        hint = "name a webhook file or a directory of webhook files; write the output of a command to a file first"
        return not_a_file(str(path), mode, hint)
    return misnamed_defaults(str(path)) if is_misnamed_defaults(path.name) else check_link(str(path), root.resolve())


def files_to_format(directory: Path, paths: Sequence[Path]) -> list[FilePath | Diagnostic]:
    """The files of webhooks and of defaults that are named, or below a named directory, by name.

    Raises WrongUse like `find_files`, for a missing path and for a directory without files.
    """
    found: dict[str, FilePath | Diagnostic] = {}
    for path in paths or [directory]:
        root = _root_of(path, directory)
        if not name_is_taken(path, error=WrongUse):
            raise WrongUse(f"{path} does not exist", hint="name a webhook file or a directory of webhook files")
        if is_directory(path, error=WrongUse):
            tree = FileTree(path, root.resolve())
            below = [not_a_file(str(path), S_IFDIR)] if _is_misplaced(path, root) else list(tree.walk())
            if not below:
                raise no_files_error(f"{path} contains no webhook file", tree.left_out())
        else:
            below = [_named(path, root)]
        found.update((_name_of(entry), entry) for entry in below)
    return [found[name] for name in sorted(found)]


def _name_of(entry: FilePath | Diagnostic) -> str:
    return entry.name if isinstance(entry, FilePath) else entry.file or ""


def _is_defaults(name: str) -> bool:
    return name.rpartition("/")[2] == DEFAULTS_NAME


def _defaults_above(start: Path, root: Path) -> Iterator[FilePath | Diagnostic]:
    """The defaults files of the folders from a file or directory up to the configuration directory."""
    folder = Path(os.path.abspath(start))  # noqa: PTH100 - as above
    while folder != root and folder.is_relative_to(root):
        folder = folder.parent
        if name_is_taken(folder / DEFAULTS_NAME):
            yield check_link(str(folder / DEFAULTS_NAME), root.resolve())


def _above(directory: Path) -> Iterator[FilePath]:
    """The defaults files above a directory, which have no effect on it."""
    for folder in Path(os.path.abspath(directory)).parents:  # noqa: PTH100 - as above
        path = folder / DEFAULTS_NAME
        with suppress(HooklineError):  # a folder that this user may not read is no reason to fail
            if name_is_taken(path):
                yield FilePath(name_of_path(str(path)), str(path))


def _refuse_defaults_above(path: Path, root: Path) -> None:
    """A path outside of the configuration directory would be planned without defaults that it has elsewhere."""
    if (unread := next(_above(root), None)) is not None:
        raise WrongUse(
            f"{path} is outside of the configuration directory, and the defaults of {unread.name} would not apply",
            hint=f"name the configuration directory: --config {os.path.dirname(unread.name) or '.'}",  # noqa: PTH120
        )


def no_files_error(problem: str, left_out: Iterable[LeftOut]) -> WrongUse:
    """The error for a directory in which there is nothing to read."""
    hint = "name the directory of the webhook files with --config or HOOKLINE_CONFIG"
    if first := next(iter(left_out), None):
        hint = f"{first.name} is not read ({first.reason}); rename it, or {hint}"
    return WrongUse(problem, hint=hint)


def _root_of(path: Path, directory: Path) -> Path:
    """The directory that links must not leave: the configuration directory, or `path` if it is outside of it.

    The defaults file there is the root's.
    """
    absolute, root = Path(os.path.abspath(path)), Path(os.path.abspath(directory))  # noqa: PTH100 - as above
    if absolute.is_relative_to(root):
        return root
    return absolute if is_directory(path) else absolute.parent
