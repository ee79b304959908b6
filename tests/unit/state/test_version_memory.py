"""The version of a state file is read again after every change, and not while nothing changes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.errors import StateUnusable
from hookline.state.version_memory import MIN_UNCHANGED_SECONDS, REREAD_SECONDS, Version, VersionMemory


class StateFile:
    """A file whose first byte is its serial. It counts how often it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = 0
        self.now = 100.0
        self.memory = VersionMemory(lambda: self.now)

    def write(self, serial: int) -> None:
        self.path.write_bytes(bytes([serial]))

    def version(self) -> Version:
        return self.memory.read(self.path, self._open)

    def _open(self) -> Version:
        self.opened += 1
        return "L", self.path.read_bytes()[0]


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    found = StateFile(tmp_path / "state.db")
    found.write(1)
    return found


def pass_time(file: StateFile, seconds: float) -> list[Version]:
    """The versions of one look a second, as the relay looks."""
    versions = []
    for _ in range(int(seconds)):
        file.now += 1.0
        versions.append(file.version())
    return versions


def test_an_unchanged_file_is_opened_every_five_seconds(file: StateFile) -> None:
    pass_time(file, MIN_UNCHANGED_SECONDS + 1)
    before = file.opened
    assert {("L", 1)} == set(pass_time(file, 20 * REREAD_SECONDS))
    assert file.opened - before == 20


def make_longer(path: Path) -> None:
    path.write_bytes(b"\x02 and more")


def write_later(path: Path) -> None:
    path.write_bytes(b"\x02")
    os.utime(path, (1e9, 1e9))


def put_another_in_its_place(path: Path) -> None:
    path.with_name("new").write_bytes(b"\x02")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [make_longer, write_later, put_another_in_its_place])
def test_a_change_is_seen_at_the_next_look(file: StateFile, change: Callable[[Path], None]) -> None:
    pass_time(file, 10)
    change(file.path)
    assert pass_time(file, 1) == [("L", 2)]


def test_a_change_that_leaves_the_status_is_seen_soon_after_the_first_look(
    file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.state.version_memory._status_of", lambda _path: (1, 2, 3))
    assert file.version() == ("L", 1)
    file.write(2)  # soon enough that the times of the file stay the same
    assert {("L", 2)} == set(pass_time(file, 10))


def test_an_old_status_of_a_network_file_system_is_not_trusted_for_long(
    file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookline.state.version_memory._status_of", lambda _path: (1, 2, 3))
    pass_time(file, 10)
    file.write(2)
    assert pass_time(file, REREAD_SECONDS)[-1] == ("L", 2)


def test_an_error_is_raised_at_every_look(tmp_path: Path) -> None:
    def fails() -> Version:
        raise StateUnusable("damaged", hint="")

    times = iter(range(100))
    memory = VersionMemory(lambda: float(next(times)))
    (tmp_path / "state.db").touch()
    for _ in range(20):
        with pytest.raises(StateUnusable):
            memory.read(tmp_path / "state.db", fails)


def test_a_missing_file_is_looked_for_at_every_look(tmp_path: Path) -> None:
    times = iter(range(100))
    memory = VersionMemory(lambda: float(next(times)))
    calls = iter(range(20))
    looks = [memory.read(tmp_path / "state.db", lambda: (None, next(calls))) for _ in range(20)]
    assert [(None, n) for n in range(20)] == looks
