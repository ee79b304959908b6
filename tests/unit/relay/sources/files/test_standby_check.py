"""Files of a standby that the reader of its name does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.relay.sources.files.standby_check import COMPARE_SECONDS, StandbyCheck
from hookline.relay.sources.source import Position
from hookline.relay.sources.timing import Timing
from source_reader import Book, Notebook

UNREAD = "standby: the reader of this --name has not read this file"


class Standby:
    """A check of the files of a directory, with the positions of another machine's files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.positions: list[Position] = []
        self.notes = Notebook()
        self.now = 0.0
        timing = Timing(monotonic=lambda: self.now)
        self._check = StandbyCheck([str(directory)], lambda: self.positions, self.notes, reader="mail", timing=timing)

    def write(self, name: str, text: bytes) -> None:
        (self.directory / name).write_bytes(text * 200)

    def read_by_reader(self) -> None:
        book = Book()
        book.run(self.directory)
        self.positions = list(book.positions.values())

    def pass_minutes(self, minutes: int = 2) -> list[str]:
        """Check every second for some time. Returns all warnings until now."""
        for _ in range(minutes * int(COMPARE_SECONDS) + 1):
            self._check.run()
            self.now += 1.0
        return self.notes.warnings


@pytest.fixture
def standby(tmp_path: Path) -> Standby:
    return Standby(tmp_path)


def test_a_log_of_its_own_is_named_once(standby: Standby) -> None:
    """The reader has read another log at the same path. The standby's log would never be read."""
    standby.write("app.log", b'{"machine": 1}\n')
    standby.read_by_reader()
    standby.write("app.log", b'{"machine": 2, "more": true}\n')
    assert [UNREAD] == standby.pass_minutes()
    assert {"name": "mail", "source": str(standby.directory / "app.log")}.items() <= standby.notes.said[0][2].items()
    assert [UNREAD] == standby.pass_minutes()


def test_the_files_of_the_reader_are_its_own(standby: Standby) -> None:
    """Two machines that see the same files, which grow, need no warning."""
    standby.write("app.log", b'{"machine": 1}\n')
    standby.read_by_reader()
    standby.write("app.log", b'{"machine": 1}\n' * 2)
    assert [] == standby.pass_minutes()


def test_a_new_file_has_time_to_be_read(standby: Standby) -> None:
    """A file that the reader reads within a minute is no other log."""
    standby.write("app.log", b'{"machine": 1}\n')
    assert [] == standby.pass_minutes(minutes=0)
    standby.read_by_reader()
    assert [] == standby.pass_minutes()
