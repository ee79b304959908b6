"""Files that relays with other names have read into the same spool."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from hookline.relay.sources.files.other_names import NamedPosition
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import Position
from hookline.relay.sources.timing import Timing
from source_reader import Book, Notebook

KNOWN = "another --name has read this file, its events are read again"


def read(path: Path, positions: Sequence[Position], others: Sequence[NamedPosition]) -> Notebook:
    """Read a file to its end. Returns the log."""
    notes = Notebook()
    source = open_sources(
        [str(path)], positions, follow=False, logger=notes, timing=Timing(wait_seconds=0.1),
        others=others,
    )  # fmt: skip
    while not source.read().end:
        pass
    source.close()
    return notes


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(b'{"line": %d}\n' % number for number in range(200)))
    return path


def position_of(path: Path) -> Position:
    """The position of a run over the whole file."""
    book = Book()
    book.run(path)
    (position,) = book.positions.values()
    return position


def test_a_file_that_another_name_has_read_is_named(log: Path) -> None:
    """The warning names both names, the path there, and the line up to which it was read."""
    notes = read(log, [], [NamedPosition("mail-1", position_of(log))])
    ((level, what, fields),) = notes.said
    assert ("warning", KNOWN) == (level, what)
    assert (str(log), "mail-1", str(log), 200) == tuple(fields[key] for key in ("source", "other", "read_as", "line"))
    assert "--name mail-1" in str(fields["hint"])


def test_the_same_content_on_another_machine_is_known(log: Path, tmp_path: Path) -> None:
    """There the file has another inode and another path; its content is the same."""
    elsewhere = replace(position_of(log), device=77, inode=4711, name="/mnt/logs/mail.log")
    shutil.copy(log, tmp_path / "copy.log")
    notes = read(tmp_path / "copy.log", [], [NamedPosition("mail-1", elsewhere)])
    assert [KNOWN] == notes.warnings


def test_other_content_at_the_same_path_is_not_known(log: Path) -> None:
    """Two machines may have different logs at one path."""
    other = position_of(log)
    log.write_bytes(b'{"machine": 2}\n' * 300)
    assert [] == read(log, [], [NamedPosition("mail-1", other)]).warnings


def test_a_file_with_a_checkpoint_of_its_own_needs_no_warning(log: Path) -> None:
    """It was warned of when this name began to read it."""
    position = position_of(log)
    assert [] == read(log, [position], [NamedPosition("mail-1", position)]).warnings
