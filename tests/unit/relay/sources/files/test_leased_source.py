"""Sources that one process at a time reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hookline.relay.delivery_record import Line
from hookline.relay.sources.files.leased_source import LeasedSource
from hookline.relay.sources.source import Batch, Position, SourceLag
from hookline.relay.sources.timing import Timing


class Numbers:
    """A source of numbered lines from a stored position on."""

    def __init__(self, stored: list[int]) -> None:
        self._next = stored[-1]
        self.closed = False

    def read(self) -> Batch:
        number, self._next = self._next, self._next + 1
        return Batch("log", [Line(number, b"{}", 2)], Position(name="log", line=self._next), False)

    def lags(self) -> list[SourceLag]:
        return [SourceLag("log", Position(name="log", line=self._next), None)]

    def progress(self) -> tuple[int, int | None]:
        return self._next, None

    def stray_bytes(self) -> int:
        return 0

    def unfinished(self) -> list[tuple[str, int]]:
        return []

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Logged:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, what: str, **fields: object) -> None:
        raise AssertionError(what)

    def info(self, what: str, **_fields: object) -> None:
        self.lines.append(what)

    warning = info


class Standby:
    """A leased source. `epochs` are the results of its next tries to take the lease."""

    def __init__(self) -> None:
        self.epochs: list[int | None] = []
        self.stored = [0]
        self.opened: list[Numbers] = []
        self.log = Logged()
        self.source = LeasedSource(
            lambda: self.epochs.pop(0), self._open, self.log, name="mail", timing=Timing(poll=lambda _, __: [])
        )

    def _open(self) -> Numbers:
        self.opened.append(Numbers(self.stored))
        return self.opened[-1]

    def lines(self) -> list[int]:
        return [line.number for line in self.source.read().lines]


@pytest.fixture
def standby() -> Iterator[Standby]:
    one = Standby()
    yield one
    one.source.close()


def test_a_standby_reads_nothing_until_it_has_the_lease(standby: Standby) -> None:
    """It asks again at each read, logs once that it waits, and then reads with the epoch of its lease."""
    standby.epochs = [None, None, 4]
    assert [[], []] == [standby.lines(), standby.lines()]
    assert [] == standby.source.lags()
    batch = standby.source.read()
    assert (4, [0]) == (batch.epoch, [line.number for line in batch.lines])
    assert ["standby: another process reads these sources", "this process reads the sources now"] == standby.log.lines
    assert 1 == standby.source.progress()[0]


def test_a_reader_that_lost_its_lease_begins_at_the_stored_position(standby: Standby) -> None:
    """After a dropped batch it closes its sources. With a new lease it opens them where the other process stopped."""
    standby.epochs = [1, None, 3]
    first = standby.source.read()
    assert [1] == standby.lines()
    assert first.on_dropped is not None
    first.on_dropped()
    standby.stored.append(70)
    assert [] == standby.lines()
    assert standby.opened[0].closed
    batch = standby.source.read()
    assert (3, [70]) == (batch.epoch, [line.number for line in batch.lines])


def test_a_standby_that_is_stopped_ends(standby: Standby) -> None:
    """Without a lease there is nothing to finish."""
    standby.epochs = [None, None]
    assert not standby.source.read().end
    standby.source.finish()
    assert standby.source.read().end
