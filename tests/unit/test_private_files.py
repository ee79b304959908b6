"""Replacing files as a whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from hookline.errors import HooklineError
from hookline.private_files import create_private_file, open_replacement, replace_file


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def interrupted(file: Path) -> None:
    with open_replacement(file) as draft:
        draft.write(b"half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("synced", [True, False])
def test_a_file_is_replaced_with_its_mode(tmp_path: Path, synced: bool) -> None:
    """The new content and mode replace the old ones, and no draft is left."""
    (tmp_path / "file").write_bytes(b"old")
    replace_file(tmp_path / "file", b"new", mode=0o600, synced=synced)
    assert (b"new", 0o600) == ((tmp_path / "file").read_bytes(), (tmp_path / "file").stat().st_mode & 0o777)
    assert ["file"] == names(tmp_path)


def test_an_exception_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """A reader never sees half of the new content."""
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "file")
    assert (b"old", ["file"]) == ((tmp_path / "file").read_bytes(), names(tmp_path))


def test_a_refusal_of_the_system_is_named(tmp_path: Path) -> None:
    """Commands get a message with the file; other callers get the OSError."""
    (tmp_path / "file").mkdir()
    with (
        pytest.raises(HooklineError, match="file cannot be written: Is a directory"),
        open_replacement(tmp_path / "file"),
    ):
        pass
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "file", b"new")
    assert ["file"] == names(tmp_path)


def test_a_placed_file_is_never_replaced(tmp_path: Path) -> None:
    """Of two writers one gets FileExistsError, and the file keeps its content."""
    create_private_file(tmp_path / "new" / "file", b"first")
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "new" / "file", b"second")
    assert (b"first", ["file"]) == ((tmp_path / "new" / "file").read_bytes(), names(tmp_path / "new"))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that are synced, in this order."""
    found: list[Path] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            found.append(path)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_the_name_of_a_file_is_synced(tmp_path: Path, synced: list[Path]) -> None:
    """After a power cut, a file that was replaced or exported has its new content under its name."""
    replace_file(tmp_path / "file", b"new")
    with open_replacement(tmp_path / "export") as draft:
        draft.write(b"new")
    assert [tmp_path, tmp_path] == synced


def test_the_names_of_new_directories_are_synced(tmp_path: Path, synced: list[Path]) -> None:
    """A power cut does not lose a new file together with a new directory above it."""
    create_private_file(tmp_path / "a" / "b" / "file", b"first")
    assert [tmp_path, tmp_path / "a", tmp_path / "a" / "b"] == synced
    assert 0o700 == (tmp_path / "a" / "b").stat().st_mode & 0o777


@pytest.fixture(params=[errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def _no_hard_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses hard links, as FAT and some network file systems do."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(os, "link", refuse)


def test_ctrl_c_while_the_draft_is_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python raises KeyboardInterrupt after the system call. The draft exists then, and is removed."""
    (tmp_path / "file").write_bytes(b"old")
    create = os.open
    opened = []

    def interrupted(*arguments: Any) -> int:
        opened.append(create(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(tmp_path / "file", b"new")
    monkeypatch.undo()
    os.close(*opened)
    assert (b"old", ["file"]) == ((tmp_path / "file").read_bytes(), names(tmp_path))


@pytest.mark.usefixtures("_no_hard_links")
def test_without_hard_links(tmp_path: Path) -> None:
    """On a file system without hard links a file is created whole, and the second of two writers is refused."""
    create_private_file(tmp_path / "new" / "file", b"first")
    with pytest.raises(FileExistsError):
        create_private_file(tmp_path / "new" / "file", b"second")
    assert (b"first", ["file"]) == ((tmp_path / "new/file").read_bytes(), names(tmp_path / "new"))
    assert 0o600 == (tmp_path / "new/file").stat().st_mode & 0o777


@pytest.mark.usefixtures("_no_hard_links")
def test_failed_rename_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file cannot get its name, neither the draft nor the empty file that reserved the name is left."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output"):
        create_private_file(tmp_path / "file", b"content")
    assert [] == names(tmp_path)
