"""A store beside the model: opens both, takes deliveries from the store, and compares the two after every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from hypothesis.stateful import RuleBasedStateMachine, invariant

from builders import ACME
from contract.machine.entry import Entry
from contract.machine.kept_line import LineKey, line_key
from contract.machine.model import SpoolModel
from contract.spool_stores import OTHER
from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLine, Delivery
from hookline.relay.ids import WebhookIds
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.spool import Spool, StatusPublisher
from hookline.relay.spool.spool_values import IngestBatch, NewDelivery, QueuedDelivery

UNORDERED: Final = Address("third", "prod")
# The last one is free at first. A webhook moves to the address that is free.
WEBHOOKS: Final = (ACME, OTHER, UNORDERED, Address("fourth", "prod"))
EVENTS: Final = 18
START: Final = 1000.0
END_OF_TIME: Final = 1e12


def event(number: int) -> Delivery:
    """One of EVENTS deliveries: three webhooks, each with two messages and events without one, in four requests."""
    address, message = WEBHOOKS[number % 3], number // 3 % 3
    request = f"R-{number % 4}"
    return Delivery(
        id=WebhookIds(b"seed").delivery_id(b"%d" % number, request), address=address, body=b'{"event":%d}' % number,
        order_key=None if message == 2 else WebhookIds(str(address).encode()).order_key(f"message-{message}", "to"),
        request_id=request, channel=("email", "sms")[number % 2], status=("sent", "bounce")[number // 2 % 2],
        detail="mailbox full" if number % 5 == 0 else None,
    )  # fmt: skip


class Taken(NamedTuple):
    """A delivery that a lane holds, with its entry in the model, and the life that it had then."""

    item: QueuedDelivery
    entry: Entry
    life: int

    @property
    def valid(self) -> bool:
        """Whether its number still means this delivery: it is settled, or pending since it was taken."""
        return not self.entry.pending or self.entry.life == self.life


class Cursor(NamedTuple):
    """The `after` of a lane's next request, and the last `place` in the model that it covers."""

    after: int = 0
    place: int = 0


class Comparison(RuleBasedStateMachine):
    """The store, the model, and a relay's lanes. `written`: whether an operator wrote since the relay looked."""

    def __init__(self, store: SpoolStore, *, remove: Callable[[], None] = lambda: None) -> None:
        """`remove` removes the store at the end: a spool on a disk may be large."""
        super().__init__()
        self.store = store
        self.remove = remove
        self.model = SpoolModel()
        self.now = START
        self.opened: Spool | None = None
        self.publisher: StatusPublisher | None = None
        self.published: float | None = None
        self.numbers: dict[int, LineKey] = {}
        self.moves: list[RecordedMove] = []
        self.present = {address: address for address in WEBHOOKS[:3]}
        self.reset()

    def reset(self) -> None:
        """A new relay: empty lanes."""
        self.lanes_end()
        self.written: set[bool] = {False}
        self.started: dict[str, None] = {}
        self.latest_start = START

    def lanes_end(self) -> None:
        self.taken: dict[int, Taken] = {}
        self.past: list[Taken] = []
        self.cursors: dict[Address, Cursor] = {}

    @property
    def spool(self) -> Spool:
        assert self.opened is not None
        return self.opened

    def open(self) -> None:
        self.opened = self.store.open(since="now")
        self.publisher = self.store.status_publisher()
        self.published = None
        self.reset()

    def close(self) -> None:
        assert self.publisher is not None
        self.publisher.withdraw()
        self.spool.close()
        self.opened = self.publisher = self.published = None

    def teardown(self) -> None:
        if self.opened is not None:
            self.close()
        self.remove()

    def at(self, seconds: float) -> float:
        """Set the clock, also back. Returns the time."""
        self.now = max(1.0, self.now + seconds)
        return self.now

    def routed(self, batch: IngestBatch) -> IngestBatch:
        """The batch with the present addresses of its webhooks."""
        deliveries = [
            NewDelivery(one.line, msgspec.structs.replace(one.delivery, address=self.present[one.delivery.address]))
            for one in batch.deliveries
        ]
        return msgspec.structs.replace(batch, deliveries=deliveries, moves=len(self.moves))

    # -- what a relay takes

    def notice(self) -> None:
        """The relay looks for changes by operators, as it does within a second."""
        assert self.spool.changed_by_others() in self.written
        self.written = {False}

    def operator_wrote(self, *, surely: bool = True) -> None:
        """An operator's command has changed the spool, or may have done so."""
        self.written = {True} if surely or self.written == {True} else {True, False}

    def is_ordered(self, address: Address) -> bool:
        """Whether the lane of an address keeps the order. The webhook that does not can move."""
        return address != self.present[UNORDERED]

    def take(self, items: Iterable[QueuedDelivery]) -> list[Entry]:
        """Compare deliveries from the store with the model, and give them to the lanes."""
        entries = []
        for item in items:
            entry = self.model.entries.get(item.id)
            assert entry is not None, f"unknown delivery {item.id.hex()}"
            assert entry.pending, f"{item.body!r} is not pending"
            assert self.model.queued(entry, item.seq) == item
            if self.is_ordered(item.address):
                assert self.model.predecessor(entry) is None, f"{item.body!r} overtakes an event of its message"
            self._check_number(item, entry)
            self.taken[item.seq] = Taken(item, entry, entry.life)
            entries.append(entry)
        assert len(entries) == len(set(entries)), "a delivery is returned twice"
        return entries

    def _check_number(self, item: QueuedDelivery, entry: Entry) -> None:
        """A number means one delivery, and numbers grow in the order of reading."""
        for other in self.taken.values():
            if other.entry is entry and other.life == entry.life:
                assert other.item.seq == item.seq, "a pending delivery has a new number"
            if other.item.seq == item.seq:
                assert other.entry is entry or not other.entry.pending, "two deliveries have one number"
            if other.entry.pending and other.entry.life == entry.life == 0 and other.entry is not entry:
                assert (other.entry.place < entry.place) == (other.item.seq < item.seq), (
                    "the order of numbers is wrong"
                )

    # -- after every step

    @invariant()
    def accounting(self) -> None:
        """read + replayed = the sum of all results, each as in the model."""
        if self.opened is not None:
            tally = {name: count for name, count in self.spool.tally().items() if name != "records"}
            results = ("delivered", "skipped:", "rejected", "dead", "duplicates", "pending")
            assert tally.get("read", 0) + tally.get("replayed", 0) == sum(
                count for name, count in tally.items() if name.startswith(results)
            )
            assert self.model.tally() == {name: n for name, n in tally.items() if n or name == "pending"}

    @invariant()
    def statistics(self) -> None:
        statistics, model = self.store.statistics(), self.model
        status = statistics.spool_status(now=self.now)
        tally = {name: n for name, n in status.tally.items() if n or name == "pending"}
        assert (self.now, model.tally()) == (status.at, tally)
        assert {str(one): model.webhook_status(one, self.now) for one in model.webhooks} == {
            one.webhook: msgspec.structs.replace(one, slot=None) for one in status.webhooks
        }
        settled = [one.settled or 0.0 for one in model.records()]
        oldest = max(0.0, self.now - min(settled)) if settled else None
        lines = sum(not line.replayed for line in model.lines.values())
        assert (len(settled), oldest, lines) == (status.records, status.oldest_record, status.lines)
        starts = {work: one.starts for work, one in sorted(model.works.items()) if one.starts}
        assert starts == {one.work: one.starts for one in status.crashes}
        times = [one.at for one in status.checkpoints]
        assert sorted(times, reverse=True) == times
        assert sorted((one.name, one.line, one.offset, one.at) for one in model.positions) == sorted(
            (one.name, one.line, one.offset, one.at) for one in status.checkpoints
        )
        assert model.backlogs() == statistics.backlogs()
        assert model.endpoint_states() == statistics.endpoint_states()
        found = statistics.processes().processes
        assert int(self.opened is not None) == len(found)
        assert self.published == next((one.status.at for one in found if one.status is not None), None)

    @invariant()
    def dry_run(self) -> None:
        dry_run, ids = self.store.dry_run(), [event(number).id for number in range(EVENTS)]
        for after in (-END_OF_TIME, self.now - 20.0):
            expected = {one for one in ids if self.model.known(one, delivered_after=after)}
            assert expected == dry_run.known(ids, delivered_after=after)
        assert self.positions() == sorted(dry_run.positions(), key=repr)

    def positions(self) -> Sequence[object]:
        return sorted(self.model.positions, key=repr)

    @invariant()
    def letters(self) -> None:
        """The dead letters, in their order. The machine learns the numbers of lines here."""
        with self.store.dead_letters() as dead:
            found = list(dead.all_in_order(Filter()))
        deliveries = [one for one in found if isinstance(one, DeadDelivery)]
        lines = [one for one in found if isinstance(one, DeadLine)]
        assert found == [*deliveries, *lines]
        assert {one.delivery.id: one.letter() for one in self.model.dead()} == {one.id: one for one in deliveries}
        order = [(one.webhook.organization, one.webhook.sandbox, one.at) for one in deliveries]
        assert sorted(order) == order
        kept = [one.letter for one in self.model.lines.values() if not one.replayed]
        assert kept == [msgspec.structs.replace(one, n=0) for one in lines]
        replayed = {key for key, line in self.model.lines.items() if line.replayed}
        before = {n: key for n, key in self.numbers.items() if key in replayed}
        self.numbers = before | {one.n: line_key(one) for one in lines}
        assert len(self.model.lines) == len(self.numbers), "two lines have one number"

    @invariant()
    def webhooks(self) -> None:
        if self.opened is not None:
            assert self.model.endpoint_states() == self.spool.endpoint_states()
            if self.written == {False}:
                assert {one.address for one in self.model.pending()} == self.spool.pending()
                dues = {one: retries[0].due for one in WEBHOOKS if (retries := self.model.retries(one))}
                assert dues == self.spool.next_dues(WEBHOOKS)

    def check_trace(self, wanted: str, expected: Sequence[Entry]) -> None:
        """`expected` in any order."""
        trace = self.store.trace_search().trace(wanted)
        places = {one.delivery.id.hex(): one.place for one in expected}
        assert sorted(places) == sorted(one.id for one in trace.deliveries)
        for found in trace.deliveries:
            traced = self.model.traced(self.model.entries[bytes.fromhex(found.id)])
            read = traced.read if traced.exact else found.read  # the port promises no exact time
            assert msgspec.structs.replace(traced, read=read) == msgspec.structs.replace(found, slot=None)
        order = [places[one.id] for one in trace.deliveries if places[one.id]]
        assert sorted(order) == order
        lines = [one for one in self.model.lines.values() if wanted.encode() in one.letter.data]
        assert [(one.letter.at, one.letter.source, one.letter.line, one.letter.reason, one.letter.data, one.replayed)
                for one in lines] == [
            (one.at, one.source, one.line, one.reason, one.data, one.replayed) for one in trace.lines
        ]  # fmt: skip
        assert [line_key(one.letter) for one in lines] == [
            self.numbers[int(one.id.removeprefix("line-"))] for one in trace.lines
        ]
