"""Errors of a file server while files are read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookline.relay.sources.rotated_log import RotatedLog
from source_reader import Book, Follower


class StaleOnce:
    """Calls of a function of `os` for one descriptor fail, until the file is opened again."""

    def __init__(self, name: str, code: int) -> None:
        self.failed = 0
        self.opened_again = False
        self._code = code
        self._name = name
        self._function: Callable[..., Any] = getattr(os, name)
        self._open = os.open
        self._descriptor: int | None = None

    def begin(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        links = {int(one.name): os.path.realpath(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()}
        self._descriptor = next(number for number, target in links.items() if target == str(path))
        monkeypatch.setattr(os, self._name, self)
        monkeypatch.setattr(os, "open", self._opening)

    def _opening(self, *arguments: Any, **options: Any) -> int:
        self.opened_again = True
        return self._open(*arguments, **options)

    def __call__(self, descriptor: int, *arguments: Any) -> Any:
        if descriptor == self._descriptor and not self.opened_again:
            self.failed += 1
            raise OSError(self._code, os.strerror(self._code))
        return self._function(descriptor, *arguments)


@pytest.mark.parametrize("function", ["pread", "fstat"])
def test_stale_handle_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """The file is found again by its content, so no line comes twice and none is missing."""
    path, stale = tmp_path / "app.log", StaleOnce(function, errno.ESTALE)
    path.write_bytes(b"1\n2\n")
    with Book().following(path) as follower:
        follower.takes(b"1", b"2")
        stale.begin(monkeypatch, path)
        with path.open("ab") as file:
            file.write(b"3\n")
        follower.takes(b"3")
    assert stale.failed
    assert ["file cannot be read, will try again"] == follower.book.notes.warnings


def test_stale_handle_in_a_finite_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run opens the file again and continues."""
    path, book = tmp_path / "app.log", Book()
    path.write_bytes(b"".join(b"%d\n" % n for n in range(1200)))
    source = book.open(path)
    stale, lines = StaleOnce("pread", errno.ESTALE), []
    lines += source.read().lines
    monkeypatch.setattr("hookline.relay.sources.file_reader._CHUNK_BYTES", 100)
    stale.begin(monkeypatch, path)
    while not book.take(source, lines):
        pass
    source.close()
    assert [b"%d" % n for n in range(1200)] == [line.data for line in lines]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENODEV, errno.EACCES])
@pytest.mark.parametrize("function", ["check_names", "read"])
def test_error_of_the_system_does_not_end_the_relay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, function: str
) -> None:
    """An error that no reader expects is reported once, and the other logs are still read."""
    one, two = tmp_path / "one.log", tmp_path / "two.log"
    one.write_bytes(b"1\n")
    original = getattr(RotatedLog, function)

    def failing(log: RotatedLog, now: float) -> Any:
        if log.path == str(one):
            raise OSError(code, os.strerror(code))
        return original(log, now)

    with Book().following(one, two) as follower:
        follower.takes(b"1")
        monkeypatch.setattr(RotatedLog, function, failing)
        with one.open("ab") as file:
            file.write(b"2\n")
        two.write_bytes(b"3\n")
        lines = follower.until(lambda: two_is_read(follower))
        monkeypatch.undo()
        lines += follower.read_lines(2 - len(lines)) if len(lines) < 2 else []
    assert {b"2", b"3"} == {line.data for line in lines}
    assert [] == [
        event for event in follower.book.notes.warnings if "try again" not in event and "exist" not in event
    ]


def two_is_read(follower: Follower) -> bool:
    """Whether the line of the second log has come."""
    return any(lag.source.endswith("two.log") and lag.position.line for lag in follower.source.lags())
