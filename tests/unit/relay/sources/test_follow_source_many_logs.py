"""Directories with many logs: the calls of the system that they cost, which grow with their number and not faster."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hookline.relay.sources.follow_source import MAX_READ_INTERVAL_SECONDS
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import LineSource
from hookline.relay.sources.timing import Timing
from source_reader import Notebook

LOGS = 1200
COUNTED = ("stat", "open", "scandir", "listdir")


class Clock:
    """Time that passes only while a source waits."""

    def __init__(self) -> None:
        self.now = 1e9

    def poll(self, _: Sequence[int], seconds: float) -> list[int]:
        self.now += max(seconds, 0.001)
        return []

    @property
    def timing(self) -> Timing:
        return Timing(monotonic=lambda: self.now, wall=lambda: self.now, sleep=lambda _: None, poll=self.poll)


@contextmanager
def calls_counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(*arguments: Any, **more: Any) -> Any:
            counted[name] += 1
            return call(*arguments, **more)

        return counted_call

    with monkeypatch.context() as patch:
        for name in COUNTED:
            patch.setattr(os, name, counting(name, getattr(os, name)))
        yield counted


@contextmanager
def following(directory: Path, clock: Clock) -> Iterator[LineSource]:
    source = open_sources([str(directory)], (), follow=True, logger=Notebook(), timing=clock.timing)
    try:
        yield source
    finally:
        source.close()


def read(source: LineSource, lines: int) -> None:
    for _ in range(100 * LOGS):
        if lines <= 0:
            return
        lines -= len(source.read().lines)
    raise AssertionError(f"{lines} lines are missing")


def pass_seconds(source: LineSource, clock: Clock, seconds: float) -> None:
    until = clock.now + seconds
    while clock.now < until:
        assert [] == source.read().lines


def write_logs(directory: Path) -> None:
    for number in range(LOGS):
        path = directory / f"worker-{number:04}.log"
        path.write_bytes(b'{"n":%d}\n' % number)
        os.utime(path, (1e8, 1e8))
    os.utime(directory, (1e8, 1e8))


def test_reading_many_logs_lists_their_directory_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each log costs a fixed number of calls, and the directory is not listed for each of them."""
    write_logs(tmp_path)
    clock = Clock()
    with following(tmp_path, clock) as source, calls_counted(monkeypatch) as calls:
        read(source, LOGS)
    assert calls["scandir"] + calls["listdir"] <= 3
    assert calls["stat"] + calls["open"] <= 8 * LOGS, calls


def test_many_quiet_logs_cost_less_than_a_call_each_in_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round looks at half of the logs that have not changed for some rounds, and lists the directory seldom."""
    write_logs(tmp_path)
    clock = Clock()
    with following(tmp_path, clock) as source:
        read(source, LOGS)
        pass_seconds(source, clock, 30)
        with calls_counted(monkeypatch) as calls:
            pass_seconds(source, clock, 100)
        rounds = 100 / (LOGS * 0.0004)
        assert calls["scandir"] + calls["listdir"] <= 20
        assert calls["stat"] <= rounds * LOGS * 0.6, calls
        assert calls["open"] == 0


def test_new_line_of_a_quiet_log_is_read_within_the_longest_interval(tmp_path: Path) -> None:
    """A quiet log among many is checked in every second round."""
    write_logs(tmp_path)
    clock = Clock()
    with following(tmp_path, clock) as source:
        read(source, LOGS)
        pass_seconds(source, clock, 30)
        with (tmp_path / "worker-0007.log").open("ab") as file:
            file.write(b'{"n":-1}\n')
        before = clock.now
        while not (batch := source.read()).lines:
            assert clock.now - before < MAX_READ_INTERVAL_SECONDS
        assert [b'{"n":-1}'] == [line.data for line in batch.lines]
