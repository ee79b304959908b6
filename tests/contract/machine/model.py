"""A model of a spool in dictionaries and lists, for the machine that compares every store with it.

It follows the docstrings of the ports, not the code of a store. Where they leave a point open, these laws apply:

- A store numbers deliveries (`seq`) and rejected lines (`n`) as it likes. The model's `place` is the order of
  reading.
- A delivery that is read again after the dedupe window keeps its attempts and its history, because `attempts` counts
  all attempts. Reason, HTTP status, tries and refusals start again.
- The results in a call of `settle` belong to different deliveries. The requests of a result count even if its
  delivery is no longer pending.
- `settle` returns a delivery that waited for one of the settled ones. It may also return one that waited for a
  delivery whose result comes late, because that was settled before.
- Delivered or discarded: the dedupe window counts from the latest of them. A discarded delivery keeps the reason of
  its death, a replayed one too, until its next settlement. `dead_letter` and `expire` leave the HTTP status.
- If a call changes at most `limit`, the store decides which of the possible ones it changes.
- A replay changes no letter that the same call, with the same `now`, has replayed before. With a rate, the first one
  is due at `now`, or after the deliveries of an earlier replay.
- A webhook's clock shows the time without the holds (disabled, paused, or both). A hold that ends before it began,
  because the clock was set back, lasted for no time. No age is negative.
- `retry_now` returns the number of retries that were not due before.
- A spool knows the webhooks of all deliveries, imported letters, states and commands that it received.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from hookline.errors import WrongUse
from hookline.model import Address
from hookline.observe.snapshot import WebhookStatus
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, Delivery, add_replay, parse_history
from hookline.relay.sources.source import Position
from hookline.relay.spool.admin import Backlog, Count, Filter, TracedDelivery
from hookline.relay.spool.spool import EndpointState, IngestBatch, QueuedDelivery, Settlement, State

LineKey = tuple[str, int, int, bytes]  # source, number, part, hash
RECORD = (State.DELIVERED, State.DISCARDED)


@dataclass(kw_only=True, eq=False)
class Entry:
    """A delivery. `since` is by its webhook's clock. `life` grows when it becomes pending again."""

    delivery: Delivery
    source: str
    line: int
    place: int
    since: float
    order_key: int | None
    state: State = State.PENDING
    due: float | None = None
    attempts: int = 0
    tries: int = 0
    refusals: int = 0
    settled: float | None = None
    reason: str | None = None
    http: int | None = None
    history: str | None = None
    life: int = 0

    @property
    def address(self) -> Address:
        return self.delivery.address

    @property
    def pending(self) -> bool:
        return self.state is State.PENDING

    def end(self, state: State, now: float) -> None:
        self.state, self.settled, self.due = state, now, None

    def letter(self) -> DeadDelivery:
        """The dead letter."""
        one = self.delivery
        assert self.settled is not None
        return DeadDelivery(
            id=one.id, at=self.settled, reason=self.reason or "", http=self.http, attempts=self.attempts,
            history=self.history, webhook=self.address, request_id=one.request_id, channel=one.channel,
            status=one.status, event_time=one.time, detail=one.detail, source=self.source, line=self.line,
            body=one.body,
        )  # fmt: skip


@dataclass
class KeptLine:
    """A rejected line. The `n` of its letter is 0, because the model does not number lines."""

    letter: DeadLine
    replayed: bool = False

    @property
    def whole(self) -> bool:
        return self.letter.length == len(self.letter.data)


@dataclass
class WebhookModel:
    """A webhook's state and clock."""

    state: EndpointState = field(default_factory=EndpointState)
    held_since: float | None = None
    held_seconds: float = 0.0

    def clock(self, now: float) -> float:
        return (now if self.held_since is None else min(now, self.held_since)) - self.held_seconds

    def change(self, now: float, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        held = self.state.disabled or self.state.paused is not None
        if held and self.held_since is None:
            self.held_since = now
        if not held and self.held_since is not None:
            self.held_seconds += max(0.0, now - self.held_since)
            self.held_since = None


class SpoolModel:
    """The contents of a spool."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.lines: dict[LineKey, KeptLine] = {}
        self.webhooks: dict[Address, WebhookModel] = {}
        self.positions: list[Position] = []
        self.counts: Counter[str] = Counter()
        self.last_place = 0

    def webhook(self, address: Address) -> WebhookModel:
        return self.webhooks.setdefault(address, WebhookModel())

    # -- queries

    def pending(self, address: Address | None = None) -> list[Entry]:
        """In the order of reading."""
        found = [one for one in self.entries.values() if one.pending and address in (None, one.address)]
        return sorted(found, key=lambda one: one.place)

    def dead(self, address: Address | None = None) -> list[Entry]:
        return [one for one in self.entries.values() if one.state is State.DEAD and address in (None, one.address)]

    def records(self) -> list[Entry]:
        return [one for one in self.entries.values() if one.state in RECORD]

    def first_of(self, key: int) -> Entry | None:
        """The first pending delivery of a message."""
        return next((one for one in self.pending() if one.order_key == key), None)

    def predecessor(self, entry: Entry) -> Entry | None:
        """The first pending delivery of its message, if it is an earlier one."""
        if not entry.pending or entry.order_key is None:
            return None
        first = self.first_of(entry.order_key)
        return None if first is entry else first

    def fresh(self, address: Address, *, ordered: bool) -> list[Entry]:
        """New deliveries; if `ordered`, those that wait for no other."""
        found = [one for one in self.pending(address) if one.due is None]
        return [one for one in found if not ordered or self.predecessor(one) is None]

    def retries(self, address: Address) -> list[Entry]:
        """The longest due first."""
        return sorted((one for one in self.pending(address) if one.due is not None), key=due_of)

    def known(self, identity: bytes, *, delivered_after: float) -> bool:
        one = self.entries.get(identity)
        return one is not None and (one.settled is None or one.state is State.DEAD or one.settled > delivered_after)

    def tally(self) -> dict[str, int]:
        return {**{name: count for name, count in self.counts.items() if count}, "pending": len(self.pending())}

    def queued(self, entry: Entry, seq: int) -> QueuedDelivery:
        one = entry.delivery
        return QueuedDelivery(
            seq=seq, id=one.id, address=entry.address, due=entry.due, order_key=entry.order_key,
            attempts=entry.attempts, tries=entry.tries, refusals=entry.refusals,
            since=entry.since + self.webhook(entry.address).held_seconds, event_time=one.time,
            history=entry.history, body=one.body, request_id=one.request_id,
        )  # fmt: skip

    def traced(self, entry: Entry) -> TracedDelivery:
        one, webhook, before = entry.delivery, self.webhook(entry.address), self.predecessor(entry)
        return TracedDelivery(
            id=one.id.hex(), webhook=str(entry.address), channel=one.channel, status=one.status, detail=one.detail,
            request_id=one.request_id, source=entry.source, line=entry.line, read=entry.since + webhook.held_seconds,
            exact=not webhook.held_seconds and webhook.held_since is None, event_time=one.time, state=entry.state,
            attempts=entry.attempts, due=entry.due, settled=entry.settled, reason=entry.reason, http=entry.http,
            history=parse_history(entry.history), body=None if entry.state in RECORD else one.body,
            disabled=webhook.state.disabled, paused=webhook.state.paused, not_before=webhook.state.not_before,
            predecessor=None if before is None else before.delivery.id.hex(),
        )  # fmt: skip

    def backlogs(self) -> dict[Address, Backlog]:
        return {one: Backlog(len(self.pending(one)), len(self.dead(one))) for one in self.webhooks}

    def endpoint_states(self) -> dict[Address, EndpointState]:
        return {address: one.state for address, one in self.webhooks.items()}

    def webhook_status(self, address: Address, now: float) -> WebhookStatus:
        one, pending = self.webhooks[address], self.pending(address)
        ages = [max(0.0, one.clock(now) - entry.since) for entry in pending]
        return WebhookStatus(
            webhook=str(address), pending=len(pending), oldest=max(ages, default=None), dead=len(self.dead(address)),
            disabled=one.state.disabled, paused=one.state.paused, gone_reason=one.state.gone_reason,
            not_before=one.state.not_before,
        )  # fmt: skip

    # -- ingest

    def enqueue(self, batch: IngestBatch, *, replaced: Iterable[LineKey], now: float, dedupe_window: float) -> None:
        for key in replaced:
            del self.lines[key]
            self.counts["replayed"] += 1
        for new in batch.deliveries:
            if self.known(new.delivery.id, delivered_after=now - dedupe_window if dedupe_window else math.inf):
                self.counts["duplicates"] += 1
            else:
                self._add(new.delivery, batch.source, new.line, now)
        for refused in batch.rejected:
            line = refused.line
            letter = DeadLine(
                n=0, at=now, reason=refused.reason, source=batch.source, line=line.number, part=refused.part,
                data=line.data, length=line.length, sha256=line.sha256 or hashlib.sha256(line.data).digest(),
            )  # fmt: skip
            self.counts["rejected" if self._add_line(letter) else "duplicates"] += 1
        self.counts["read"] += batch.read
        self.counts.update({f"skipped:{reason}": count for reason, count in batch.skipped.items()})
        if batch.position is not None:
            self._move(msgspec.structs.replace(batch.position, at=now))

    def _add(self, delivery: Delivery, source: str, line: int, now: float) -> None:
        before = self.entries.pop(delivery.id, None)
        self.last_place += 1
        self.entries[delivery.id] = Entry(
            delivery=delivery, source=source, line=line, place=self.last_place, order_key=delivery.order_key,
            since=self.webhook(delivery.address).clock(now), attempts=before.attempts if before else 0,
            history=before.history if before else None,
        )  # fmt: skip

    def _add_line(self, letter: DeadLine) -> bool:
        """Whether it is new."""
        if line_key(letter) in self.lines:
            return False
        self.lines[line_key(letter)] = KeptLine(msgspec.structs.replace(letter, n=0))
        return True

    def _move(self, new: Position) -> None:
        """A content has one position. That of a file of which nothing was read ends with its next one."""
        kept = []
        for one in self.positions:
            same_content = bool(one.key) and one.key == new.key
            unread_before = not one.key and (one.device, one.inode) == (new.device, new.inode)
            if not same_content and not unread_before:
                kept.append(one)
        self.positions = [*kept, new]

    # -- settle

    def settle(self, results: Sequence[tuple[Entry, Settlement]], *, now: float) -> tuple[set[bytes], set[bytes]]:
        """Returns the ids that `settle` must return, and those that it may return."""
        settled: list[tuple[int, int]] = []
        for entry, result in results:
            self.counts["attempts"] += result.posts
            if not entry.pending:
                continue
            entry.attempts, entry.tries, entry.refusals = result.attempts, result.tries, result.refusals
            entry.reason, entry.http, entry.history, entry.due = (
                result.reason,
                result.http,
                result.history,
                result.due,
            )
            if result.state is not State.PENDING:
                self._end(entry, result.state, now)
                if entry.order_key is not None:
                    settled.append((entry.order_key, entry.place))
        named = [
            (one.order_key, entry.place)
            for entry, one in results
            if one.state is not State.PENDING and one.order_key is not None
        ]
        return self._freed(settled), self._freed(named)

    def _freed(self, settled: Iterable[tuple[int, int]]) -> set[bytes]:
        """The new deliveries that are the first ones of their message after a settled one of that key and place."""
        first = ((self.first_of(key), place) for key, place in settled)
        return {one.delivery.id for one, place in first if one is not None and one.due is None and place < one.place}

    def _end(self, entry: Entry, state: State, now: float) -> None:
        entry.end(state, now)
        self.counts["dead" if state is State.DEAD else "delivered"] += 1

    def kill(self, entries: Iterable[Entry], *, reason: str, now: float) -> None:
        for entry in entries:
            entry.reason = reason
            self._end(entry, State.DEAD, now)

    def expired(self, address: Address, *, age: float, now: float) -> list[Entry]:
        """The pending deliveries that are older than `age` seconds."""
        horizon = self.webhook(address).clock(now) - age
        return [one for one in self.pending(address) if one.since < horizon]

    def late(self, address: Address, *, after: float) -> list[Entry]:
        """The retries that wait for a time after `after`, the first one first."""
        return [one for one in self.retries(address) if due_of(one) > after]

    def late_retries(self, address: Address, *, after: float) -> list[Entry]:
        """Those of them that are due after their age began: a replay that is spaced out begins when it is due."""
        held = self.webhook(address).held_seconds
        return [one for one in self.late(address, after=after) if due_of(one) > one.since + held + 0.001]

    def remove(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            del self.entries[entry.delivery.id]

    # -- operators

    def retry_now(self, address: Address, *, now: float) -> int:
        late = self.late(address, after=now)
        for entry in late:
            entry.due = now
        self.webhook(address).change(
            now, gone_reason=None, gone_configuration=None, not_before=None, retry_now_at=now
        )
        return len(late)

    def chosen(self, chosen: Filter, numbers: dict[int, LineKey]) -> tuple[list[Entry], list[KeptLine]]:
        """The dead letters of a filter. `numbers`: the store's numbers of the lines. Raises WrongUse."""
        entries = sorted(self.dead(chosen.webhook), key=lambda one: (str(one.address), one.settled))
        lines = [] if chosen.deliveries_only else [one for one in self.lines.values() if not one.replayed]
        if chosen.ids:
            wanted = [self._named(identity, numbers) for identity in chosen.ids]
            entries = [one for one in entries if one.delivery.id in wanted]
            lines = [one for one in lines if line_key(one.letter) in wanted]
        return (
            [one for one in entries if _fits(one.letter(), chosen)],
            [one for one in lines if _fits(one.letter, chosen)],
        )

    def _named(self, identity: str, numbers: dict[int, LineKey]) -> bytes | LineKey:
        found: list[bytes | LineKey] = [
            one.delivery.id for one in self.dead() if one.delivery.id.hex().startswith(identity.lower())
        ]
        found += [key for n, key in numbers.items() if f"line-{n}" == identity]
        if len(found) != 1:
            raise WrongUse(f"{len(found)} letters")
        return found[0]

    def replay(self, entries: Iterable[Entry], *, now: float) -> list[Entry]:
        """Make dead deliveries pending, except those of an earlier call at `now`. The machine spreads their dues."""
        again = []
        for entry in entries:
            history = add_replay(entry.history, now)
            if history is not None:
                entry.state, entry.settled, entry.due, entry.history = State.PENDING, None, now, history
                entry.tries, entry.refusals, entry.order_key, entry.life = 0, 0, None, entry.life + 1
                entry.since = self.webhook(entry.address).clock(now)
                again.append(entry)
        self.counts["replayed"] += len(again)
        return again

    def discard(self, entries: Iterable[Entry], lines: Iterable[KeptLine], *, now: float) -> None:
        for entry in entries:
            entry.end(State.DISCARDED, now)
        for line in lines:
            del self.lines[line_key(line.letter)]

    def add(self, letters: Iterable[DeadLetter]) -> Count:
        """Imported letters come before everything that the spool reads."""
        deliveries = lines = 0
        for one in letters:
            if isinstance(one, DeadLine):
                lines += self._add_line(one)
            elif one.id not in self.entries:
                deliveries += 1
                self.webhook(one.webhook)
                self.entries[one.id] = Entry(
                    delivery=Delivery(
                        id=one.id, address=one.webhook, order_key=None, body=one.body, request_id=one.request_id,
                        channel=one.channel, status=one.status, time=one.event_time, detail=one.detail,
                    ),
                    source=one.source, line=one.line, place=0, since=one.at, order_key=None, state=State.DEAD,
                    attempts=one.attempts, settled=one.at, reason=one.reason, http=one.http, history=one.history,
                )  # fmt: skip
        return Count(deliveries, lines)


def due_of(entry: Entry) -> float:
    assert entry.due is not None
    return entry.due


def line_key(letter: DeadLine) -> LineKey:
    return letter.source, letter.line, letter.part, letter.sha256


def _fits(letter: DeadLetter, chosen: Filter) -> bool:
    if isinstance(letter, DeadDelivery):
        given = {"channel": letter.channel, "status": letter.status, "http": letter.http}
        if any(getattr(chosen, name) not in (None, value) for name, value in given.items()):
            return False
    return (
        (chosen.reason is None or chosen.reason in letter.reason)
        and (chosen.since is None or letter.at >= chosen.since)
        and (chosen.until is None or letter.at < chosen.until)
    )
