"""Answers from memory: `enqueue` answers as a query after it would, and `settle` misses no successor."""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import ACME, delivery, settlement
from contract.spool_stores import DAY, OTHER, intake, put
from hookline.errors import SpoolStalled
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.spool_values import DequeueRequest, QueuedDelivery
from hookline.relay.spool.sqlite import settle
from hookline.relay.spool.sqlite.memory import pending_messages
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

# The message of each event of a batch: three of ACME, one of OTHER, and none.
BATCHES = st.lists(st.sampled_from([1, 2, 3, 4, None]), min_size=1, max_size=6)
# Enqueue a batch, settle so many of the held deliveries, dead-letter all, begin a new life, an operator writes.
STEPS = st.lists(st.one_of(BATCHES, st.integers(1, 4), st.sampled_from(["dead", "restart", "operator"])), max_size=12)


def message(key: int | None, name: str) -> Delivery:
    return delivery(name, order_key=key, address=OTHER if key == 4 else ACME)


class Course:
    """A spool, and lanes that take everything from memory if they can."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names = map(str, itertools.count())
        self.held: dict[int, QueuedDelivery] = {}
        self.spool = SqliteSpool(directory, since="now")
        self.cursors = {ACME: 0, OTHER: 0}

    def requests(self, limit: int = 100) -> list[DequeueRequest]:
        return [DequeueRequest(address, after, limit, True) for address, after in self.cursors.items()]

    def enqueue(self, keys: Iterable[int | None]) -> None:
        """A lane takes the answer from memory, or else that of a query. Both are equal."""
        requests = self.requests()
        batch = intake(*(message(key, next(self.names)) for key in keys))
        enqueued = self.spool.enqueue(batch, now=1.0, dedupe_window=DAY, requests=requests)
        queried = dict(zip(self.cursors, self.spool.dequeue_new(requests), strict=True))
        for answer in enqueued.answers:
            assert queried[answer.request.address] == (answer.items, answer.cursor)
        for address, (items, cursor) in queried.items():
            self.take(items)
            self.cursors[address] = cursor

    def take(self, items: Iterable[QueuedDelivery]) -> None:
        for item in items:
            assert item.seq not in self.held
            self.held[item.seq] = item

    def settle(self, number: int) -> None:
        """The successors are those that the index has for all settled messages."""
        group = [self.held.pop(seq) for seq in list(self.held)[:number]]
        real, expected = settle.read_successors, list[tuple[object, ...]]()

        def read_successors(connection: sqlite3.Connection, settled: Mapping[int, int]) -> list[tuple[object, ...]]:
            every: dict[int, int] = {}
            for one in group:
                if one.order_key is not None:
                    every[one.order_key] = min(one.seq, every.get(one.order_key, one.seq))
            expected.extend(real(connection, every))
            return real(connection, settled)

        with patch.object(settle, "read_successors", read_successors):
            found = self.spool.settle([settlement(one) for one in group], now=2.0)
        assert sorted(row[0] for row in expected) == sorted(one.seq for one in found)  # type: ignore[type-var]
        self.take(found)

    def other(self, step: str) -> None:
        if step == "dead":
            self.spool.dead_letter(ACME, reason="gone", now=3.0, without=(), limit=2)
        elif step == "operator":
            assert not self.spool.changed_by_others()
            self.spool._forget_messages()
            return
        else:
            self.spool.close()
            self.spool = SqliteSpool(self.directory, since="now")
        self.held.clear()
        self.cursors = dict.fromkeys(self.cursors, 0)
        for address, (items, cursor) in zip(self.cursors, self.spool.dequeue_new(self.requests()), strict=True):
            self.take(items)
            self.cursors[address] = cursor


@settings(max_examples=30)
@given(STEPS, st.sampled_from([2, 100]))
def test_answers_from_memory_are_those_of_queries(steps: list[list[int | None] | int | str], bound: int) -> None:
    """After any course, also with dead letters, restarts and more messages than are remembered."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory,
        patch.object(pending_messages, "MAX_REMEMBERED_MESSAGES", bound),
    ):
        course = Course(Path(directory) / "spool")
        for step in steps:
            if isinstance(step, list):
                course.enqueue(step)
            elif isinstance(step, int):
                course.settle(step)
            else:
                course.other(step)
        course.spool.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path / "spool")


def questions(spool: SqliteSpool) -> list[str]:
    """The statements that the spool runs from now on."""
    found: list[str] = []
    spool._connection.set_trace_callback(found.append)
    return found


def test_events_of_different_messages_need_no_question(course: Course) -> None:
    """The spool answers from memory, and no successor is searched, while no message has a second event waiting."""
    asked = questions(course.spool)
    for batch in range(3):
        enqueued = course.spool.enqueue(
            intake(*(message(10 * (batch + 1) + n, f"{batch}-{n}") for n in range(5))),
            now=1.0, dedupe_window=DAY, requests=course.requests(),
        )  # fmt: skip
        (answer,) = enqueued.answers
        assert 5 == len(answer.items)
        course.cursors[ACME] = answer.cursor
        assert [] == course.spool.settle([settlement(one) for one in answer.items], now=2.0)
    assert [] == [one for one in asked if "delivery_order" in one or "order_key =" in one or "order_key IN" in one]


def test_a_batch_with_a_known_event_is_not_answered(course: Course) -> None:
    """A duplicate, or an event that is sent again after the window, has another place in the spool."""
    put(course.spool, delivery("a"))
    course.spool.settle([settlement(course.spool.dequeue_new(course.requests())[0][0][0])], now=0.0)
    for window in (DAY, 0.0):
        course.cursors[ACME] = 10
        batch = intake(delivery("a"), delivery(f"new {window}"))
        enqueued = course.spool.enqueue(batch, now=5.0, dedupe_window=window, requests=course.requests())
        assert not enqueued.answers


def test_a_commit_that_fails_may_have_been_written(course: Course) -> None:
    """Its deliveries count as pending, and as places that no lane has taken."""
    requests = course.requests()
    with (
        pytest.raises(SpoolStalled),
        patch("hookline.relay.spool.sqlite.sqlite_spool.write_position", side_effect=SpoolStalled("full", hint="")),
    ):
        course.spool.enqueue(intake(message(1, "a")), now=1.0, dedupe_window=DAY, requests=requests)
    enqueued = course.spool.enqueue(intake(message(1, "b")), now=1.0, dedupe_window=DAY, requests=requests)
    assert not enqueued.answers
    assert {1: 2} == course.spool._messages._counts


def test_counts_that_are_too_high_are_corrected(course: Course) -> None:
    """Dead letters in bulk are not subtracted. The next event of their message asks the index, and is answered."""
    course.enqueue([1, 1])
    course.other("dead")
    course.enqueue([1])
    assert [3] == list(course.held)
    assert {1: 1} == course.spool._messages._counts
