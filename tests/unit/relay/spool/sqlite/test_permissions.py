"""An OSError in a spool's directory becomes SpoolUnusable, with its exit code and without a traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.errors import SpoolUnusable
from hookline.relay.spool.sqlite.database import create_if_missing
from hookline.relay.spool.sqlite.lock import holder_of
from hookline.relay.spool.sqlite.recovery.recover import recover
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

Open = Callable[[Path], object]
OPENING: dict[str, Open] = {
    "relay": lambda directory: SqliteSpool(directory, since="now"),
    "import": lambda directory: create_if_missing(directory, since="now"),
}


@pytest.fixture(params=list(OPENING))
def opening(request: pytest.FixtureRequest) -> Open:
    return OPENING[request.param]


NO_ROOM = r"(cannot create the spool .+|cannot be written): No space left on device"


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_lock_that_cannot_be_opened(tmp_path: Path, opening: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool in a read-only directory is refused with a message."""
    monkeypatch.setattr("hookline.relay.spool.sqlite.database._PATIENCE_SECONDS", 0.0)
    (tmp_path / "lock").mkdir()
    tmp_path.chmod(0o700)
    with pytest.raises(SpoolUnusable, match=f"the spool {tmp_path} cannot be written: Is a directory") as refused:
        opening(tmp_path)
    assert 8 == refused.value.exit_code


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
def test_a_disk_without_room_for_a_new_spool(
    tmp_path: Path, opening: Open, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the directory, the lock or the database cannot be written, the message names it, and no process holds
    the spool."""
    monkeypatch.setattr("hookline.relay.spool.sqlite.database._PATIENCE_SECONDS", 0.0)
    with monkeypatch.context() as full:
        full.setattr(os, call, full_disk)
        with pytest.raises(SpoolUnusable, match=NO_ROOM):
            opening(tmp_path / "spool")
    assert holder_of(tmp_path / "spool") is None
    opening(tmp_path / "spool")


def test_recovered_into_this_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new spool may be the current directory, if it is empty."""
    create_if_missing(tmp_path / "old", since="now")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert recover(tmp_path / "old", Path()).complete
    assert (tmp_path / "here" / "spool.db").exists()


def test_recovered_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the new spool cannot be written, the command fails and removes it."""
    create_if_missing(tmp_path / "old", since="now")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(SpoolUnusable, match=NO_ROOM):
        recover(tmp_path / "old", tmp_path / "new")
    assert ["old"] == [path.name for path in tmp_path.iterdir()]
