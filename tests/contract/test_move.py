"""The conformance suite of the ports of `spool move`, between any two stores."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from builders import ACME, ingest_batch
from contract.move_contents import (
    CONTENTS,
    MOVE_LOCATIONS,
    NOW,
    WEBHOOKS,
    comparable,
    contents_of,
    drain,
    fill,
    location_of,
    moved_delivery,
    moved_line,
    position,
    tally,
    webhooks_of,
)
from contract.spool_stores import OTHER, REGISTERED, balanced
from hookline.errors import MessagesKnown, SpoolUnusable
from hookline.model import Address
from hookline.relay.sources.source import Messages
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.factory import STORES, SpoolStore, spool_store
from hookline.relay.spool.spool_values import EndpointState, State
from hookline.relay.spool.transfer import (
    MAX_BYTES_PER_MOVE,
    MAX_ROWS_PER_MOVE,
    Contents,
    MoveBatch,
    MovedWebhook,
    MoveTarget,
    move,
)


def new_spool(kind: str, directory: Path) -> SpoolStore:
    store = spool_store(location_of(kind, directory))
    store.create(since="now")
    return store


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme, opened in REGISTERED.items():
        monkeypatch.setitem(STORES, scheme, opened)


KINDS = [("embedded", "shared"), ("shared", "embedded"), ("shared", "shared"), ("memory", "memory")]


@pytest.fixture(params=KINDS, ids="-".join)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    chosen: tuple[str, str] = request.param
    return chosen


@pytest.fixture
def source(kinds: tuple[str, str], tmp_path: Path) -> SpoolStore:
    return new_spool(kinds[0], tmp_path / "source")


@pytest.fixture
def target(kinds: tuple[str, str], tmp_path: Path) -> SpoolStore:
    return new_spool(kinds[1], tmp_path / "target")


@pytest.fixture(params=MOVE_LOCATIONS)
def one(request: pytest.FixtureRequest, tmp_path: Path) -> SpoolStore:
    return new_spool(request.param, tmp_path)


def move_all(source: SpoolStore, target: SpoolStore) -> int:
    """Move everything; the number of rows that the target knew."""
    with source.move_source(since="now") as taken, target.move_target(since="now") as given:
        return move(taken, given, now=NOW).known


def test_everything_arrives_as_it_was(source: SpoolStore, target: SpoolStore) -> None:
    """Pending deliveries with their attempts, dead letters, records, lines, positions and the states of webhooks.

    The source keeps its counts and nothing else.
    """
    fill(source)
    assert 0 == move_all(source, target)
    assert Contents() == contents_of(source)
    assert ({"moved_in": 4, "moved_out": 4, "pending": 0}, True) == (_moves(source), balanced(tally(source)))
    assert ({"moved_in": 4, "moved_out": 0, "pending": 4}, True) == (_moves(target), balanced(tally(target)))
    assert (0, 2) == (tally(source)["records"], tally(target)["records"])
    assert WEBHOOKS == webhooks_of(target)
    assert comparable(CONTENTS) == comparable(drain(target))


def test_a_moved_message_is_not_stored_again(source: SpoolStore, target: SpoolStore) -> None:
    """A stream that delivers a message again after the move finds it known, so it is not counted twice."""
    messages = Messages(b"s" * 16, [8, 9])
    with closing(source.open(since="")) as spool:
        spool.enqueue(
            ingest_batch(messages=messages, read=2, skipped={"not_an_event": 2}), now=NOW, dedupe_window=0.0
        )
    move_all(source, target)
    with closing(target.open(since="")) as spool:
        with pytest.raises(MessagesKnown):
            spool.enqueue(
                ingest_batch(messages=messages, read=2, skipped={"not_an_event": 2}), now=NOW, dedupe_window=0.0
            )
        assert 0 == spool.tally().get("read", 0)


def _moves(store: SpoolStore) -> dict[str, int]:
    counts = tally(store)
    return {name: counts.get(name, 0) for name in ("moved_in", "moved_out", "pending")}


def test_a_move_back_returns_everything(source: SpoolStore, target: SpoolStore) -> None:
    """A spool that was emptied has forgotten its webhooks: what was resumed elsewhere is not paused again."""
    fill(source)
    move_all(source, target)
    moved = msgspec.structs.replace(WEBHOOKS[0], state=EndpointState(), held_since=None)
    fill_again = drain(target)
    fill(target, fill_again, [moved, WEBHOOKS[1]])
    move_all(target, source)
    assert [moved, WEBHOOKS[1]] == webhooks_of(source)
    assert comparable(CONTENTS) == comparable(drain(source))


class Interrupted(Exception):
    pass


class FailingTarget:
    """Fails in its second call, before or after the target has the batch."""

    def __init__(self, target: MoveTarget, *, before: bool) -> None:
        self._target, self._calls, self._before = target, 0, before

    def add_webhooks(self, webhooks: Sequence[MovedWebhook], *, now: float) -> None:
        self._target.add_webhooks(webhooks, now=now)

    def add_followed_moves(self, moves: Sequence[RecordedMove], *, now: float) -> Sequence[RecordedMove]:
        return self._target.add_followed_moves(moves, now=now)

    def add(self, batch: MoveBatch, *, now: float) -> int:
        self._calls += 1
        if self._before and self._calls == 2:
            raise Interrupted
        added = self._target.add(batch, now=now)
        if self._calls == 2:
            raise Interrupted
        return added


@pytest.mark.parametrize("before", [True, False])
def test_an_interrupted_move_continues(source: SpoolStore, target: SpoolStore, before: bool) -> None:
    """At each batch, before the target has it and before the source removes it: nothing is lost, nothing is twice."""
    fill(source)
    interruptions = 0
    while contents_of(source).rows:
        try:
            with source.move_source(since="now") as taken, target.move_target(since="now") as given:
                move(taken, FailingTarget(given, before=before), now=NOW)
        except Interrupted:
            interruptions += 1
        assert balanced(tally(source))
        assert balanced(tally(target))
    assert interruptions >= 2
    assert 4 == tally(source)["moved_out"] == tally(target)["moved_in"]
    assert comparable(CONTENTS) == comparable(drain(target))


def test_a_target_keeps_what_it_knows(source: SpoolStore, target: SpoolStore) -> None:
    """In any state: it is not counted, and not changed. The source no longer has it."""
    own = MoveBatch(
        deliveries=[moved_delivery(1, State.DELIVERED), moved_delivery(3, age=9.0), moved_delivery(6, State.DEAD)],
        lines=[moved_line(2)],
    )
    fill(target, own, [])
    fill(source)
    assert 4 == move_all(source, target)
    assert {"moved_in": 4, "moved_out": 0, "pending": 4} == _moves(target)
    assert {"moved_in": 4, "moved_out": 4, "pending": 0} == _moves(source)
    found = drain(target)
    states = {int.from_bytes(one.id): one.state for one in found.deliveries}
    assert (State.DELIVERED, State.PENDING, State.DEAD) == (states[1], states[3], states[6])
    assert [False, False] == sorted(one.replayed for one in found.lines)


def test_new_deliveries_come_after_those_of_the_target(source: SpoolStore, target: SpoolStore) -> None:
    """Both in the order of reading, so that the events of a message keep their order."""
    fill(target, MoveBatch(deliveries=[moved_delivery(9), moved_delivery(8)]))
    fill(source, MoveBatch(deliveries=[moved_delivery(n) for n in (5, 3, 7, 1)]))
    move_all(source, target)
    assert [9, 8, 5, 3, 7, 1] == [one.line for one in drain(target).deliveries]


def test_a_delivery_keeps_its_age(source: SpoolStore, target: SpoolStore) -> None:
    """Also if the target has held the webhook for another time than the source."""
    fill(target, MoveBatch(), [msgspec.structs.replace(WEBHOOKS[0], held_since=500.0, held_seconds=3.0)])
    fill(source, MoveBatch(deliveries=[moved_delivery(1, age=77.0)]))
    move_all(source, target)
    assert [pytest.approx(77.0)] == [one.age for one in drain(target).deliveries]


def test_a_known_webhook_keeps_its_state(source: SpoolStore, target: SpoolStore) -> None:
    """But a pause comes with the move, and so does a later request for no requests."""
    own = EndpointState(gone_reason="http 404", not_before=NOW + 5, retry_now_at=2.0)
    fill(target, MoveBatch(), [MovedWebhook(address=ACME, state=own, held_since=None, held_seconds=0.0)])
    fill(source)
    move_all(source, target)
    expected = msgspec.structs.replace(own, paused=900.0, not_before=NOW + 60)
    acme = webhooks_of(target)[0]
    assert (expected, NOW) == (acme.state, acme.held_since)


def test_a_position_never_goes_back(source: SpoolStore, target: SpoolStore) -> None:
    """The farther one of the same content remains, because all lines before it were read."""
    fill(target, MoveBatch(positions=[position("a.log", 200, b"a"), position("b.log", 20, b"b")]))
    fill(source, MoveBatch(positions=[position("a.log", 100, b"a"), position("b.log", 90, b"b")]))
    assert 1 == move_all(source, target)
    assert [("a.log", 200), ("b.log", 90)] == [
        (one.position.name, one.position.offset)
        for one in sorted(drain(target).positions, key=lambda one: one.position.name)
    ]


def test_a_batch_has_a_bounded_size(one: SpoolStore) -> None:
    """It has at most so many rows, and about as many bytes as a batch of a source."""
    large = b"x" * (MAX_BYTES_PER_MOVE // 2)
    small = [moved_delivery(n) for n in range(10, 10 + MAX_ROWS_PER_MOVE + 1)]
    fill(one, MoveBatch(deliveries=small))
    fill(one, MoveBatch(deliveries=[moved_delivery(n, body=large) for n in range(1, 4)]))
    sizes = []
    with one.move_source(since="now") as source:
        while True:
            with source.take(now=NOW) as batch:
                if not batch.size:
                    break
                sizes.append(len(batch.deliveries))
    assert sum(sizes) == MAX_ROWS_PER_MOVE + 4
    assert (MAX_ROWS_PER_MOVE, True) == (sizes[0], max(sizes[1:]) <= 3)


def test_a_batch_that_fails_stays(one: SpoolStore) -> None:
    """The transaction that removes it ends with the block, and an exception undoes it."""
    fill(one)
    with one.move_source(since="now") as source, pytest.raises(Interrupted), source.take(now=NOW):
        raise Interrupted
    assert comparable(CONTENTS) == comparable(drain(one))


def test_the_contents_are_counted(one: SpoolStore) -> None:
    """Before the first batch, for `--dry-run` and the progress."""
    fill(one)
    counted = Contents(pending=4, dead=1, records=2, lines=2, messages=3, positions=2, webhooks=2, readers=("",))
    assert counted == contents_of(one)


def test_a_spool_is_not_moved_into_itself(one: SpoolStore) -> None:
    """It would know every delivery, and remove it."""
    with one.move_source(since="now"), pytest.raises(SpoolUnusable), one.move_target(since="now") as target:
        target.add(CONTENTS, now=NOW)


def test_one_move_at_a_time(one: SpoolStore) -> None:
    """A second move from the same spool is refused, and a later one is not."""
    with one.move_source(since="now"), pytest.raises(SpoolUnusable), one.move_source(since="later") as source:
        source.contents()
    assert Contents() == contents_of(one)


def test_a_spool_is_created_once(one: SpoolStore) -> None:
    """`spool init` never touches an existing spool."""
    fill(one)
    with pytest.raises(SpoolUnusable, match="already exists"):
        one.create(since="now")
    assert 4 == contents_of(one).pending


def test_a_spool_of_the_newest_format_needs_no_migration(one: SpoolStore) -> None:
    before, after = one.migrate(since="now")
    assert before == after


def test_followed_moves_of_webhooks(kinds: tuple[str, str], tmp_path: Path) -> None:
    """The target knows them, so that no relay follows them again: another webhook may have the old address."""
    moves = [RecordedMove("lineage", serial, ACME, OTHER) for serial in (3, 5)]
    first, second = (new_spool(kind, tmp_path / str(n)) for n, kind in enumerate(kinds))
    for store, known in ((first, moves), (second, moves[1:])):
        with store.move_target(since="now") as target:
            target.add_followed_moves(known, now=NOW)
    with first.move_source(since="now") as source, second.move_target(since="now") as target:
        move(source, target, now=NOW)
        move(source, target, now=NOW)
    spool = second.open(since="now")
    found = spool.followed_moves()
    assert (2, [moves[1], moves[0]]) == (found.number, found.moves)
    spool.close()


ELSEWHERE = Address("elsewhere", "prod")
MOVED = RecordedMove("lineage", 3, ACME, ELSEWHERE)


def follow(store: SpoolStore) -> None:
    with closing(store.open(since="now")) as spool:
        assert spool.follow_move(MOVED, now=NOW) is not None


def addresses(store: SpoolStore) -> set[Address]:
    """The addresses of all deliveries, dead letters and records, which are taken out."""
    return {one.address for one in drain(store).deliveries}


def test_a_target_that_has_followed_more_moves(source: SpoolStore, target: SpoolStore) -> None:
    """Everything of the moved webhook gets its new address: dead letters and records too, and its pause."""
    fill(source)
    follow(target)
    with source.move_source(since="now") as taken, target.move_target(since="now") as given:
        move(taken, given, now=NOW)
    assert {ELSEWHERE: True, OTHER: False} == {one.address: bool(one.state.paused) for one in webhooks_of(target)}
    assert {ELSEWHERE, OTHER} == addresses(target)


def test_a_target_that_has_followed_fewer_moves(
    source: SpoolStore, target: SpoolStore, kinds: tuple[str, str]
) -> None:
    """A spool with one owner follows them. A shared one that knows the webhook refuses, because its owner has to
    follow the move: nothing has changed then, and after that the command works."""
    follow(source)
    fill(source, MoveBatch(deliveries=[moved_delivery(900, address=ELSEWHERE)]), [])
    fill(target)
    rows = contents_of(target).rows
    if kinds[1] == "shared":
        with source.move_source(since="now") as taken, target.move_target(since="now") as given:
            with pytest.raises(
                SpoolUnusable, match="has not followed the move of acme/prod to elsewhere/prod"
            ) as refused:
                move(taken, given, now=NOW)
            assert "start a relay" in (refused.value.hint or "")
        assert (1, rows) == (contents_of(source).rows, contents_of(target).rows)
        follow(target)
    with source.move_source(since="now") as taken, target.move_target(since="now") as given:
        move(taken, given, now=NOW)
    assert rows + 1 == contents_of(target).rows
    assert {ELSEWHERE, OTHER} == addresses(target)
