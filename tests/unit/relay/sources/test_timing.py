"""The clocks and waits of the sources, those of the system and those of a simulation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hookline.relay.sources.open import open_sources
from hookline.relay.sources.timing import SYSTEM_TIMING, Timing
from source_reader import WAIT_SECONDS, Notebook

LONG_SECONDS = 3600.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe. The test closes the writing end."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


@pytest.mark.parametrize("data", [b"x", b""])
def test_poll_returns_a_descriptor_that_is_ready(pipe: tuple[int, int], data: bytes) -> None:
    """Data, or the end of the writers, ends the wait at once."""
    reading, writing = pipe
    os.write(writing, data)
    os.close(writing)
    assert [reading] == SYSTEM_TIMING.poll([reading], LONG_SECONDS)


@pytest.mark.parametrize("seconds", [0.0, 0.01, -1.0])
def test_poll_ends_without_data(pipe: tuple[int, int], seconds: float) -> None:
    """No descriptor is ready after the given time. A time in the past does not wait."""
    reading, writing = pipe
    assert [] == SYSTEM_TIMING.poll([reading], seconds)
    os.close(writing)


class SimulatedTime:
    """Moves only by the waits of the sources."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits = 0

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        self.waits += 1

    def poll(self, descriptors: Sequence[int], seconds: float) -> list[int]:
        self.sleep(seconds)
        return []

    def timing(self) -> Timing:
        return Timing(
            monotonic=lambda: self.now, wall=time.time, sleep=self.sleep, poll=self.poll, wait_seconds=WAIT_SECONDS
        )


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("named_pipe", [False, True])
def test_simulated_time_is_the_only_one(tmp_path: Path, follow: bool, named_pipe: bool) -> None:
    """A source waits by the time that it gets: a half archive and a silent pipe give nothing for WAIT_SECONDS."""
    path = tmp_path / "input"
    writing = None
    if named_pipe:
        os.mkfifo(path)
        writing = os.open(path, os.O_RDWR)
    else:
        path.write_bytes(b"\x1f\x8b\x08\x00")
    simulated = SimulatedTime()
    source = open_sources([str(path)], (), follow=follow, logger=Notebook(), timing=simulated.timing())
    try:
        assert ([], False) == ((batch := source.read()).lines, batch.end)
    finally:
        source.close()
        if writing is not None:
            os.close(writing)
    assert simulated.now == pytest.approx(1000.0 + WAIT_SECONDS, abs=0.01)
    assert simulated.waits
