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
from collections.abc import Iterable, Sequence

import msgspec

from contract.machine.contents import SpoolContents, WorkModel
from contract.machine.entry import Entry
from contract.machine.kept_line import KeptLine, LineKey, line_key
from hookline.errors import WrongUse
from hookline.model import Address
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, Delivery, add_replay
from hookline.relay.sources.source import Position
from hookline.relay.spool.admin import Count, Filter
from hookline.relay.spool.spool_values import IngestBatch, Settlement, State


class SpoolModel(SpoolContents):
    """The contents of a spool, and the calls that change them."""

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
        self.counts["duplicates"] += batch.redelivered
        if (given := batch.messages) is not None:
            known = self.messages.get(given.stream, set())
            self.messages[given.stream] = {one for one in known | set(given.numbers) if one > given.floor}
        self.counts.update({f"skipped:{reason}": count for reason, count in batch.skipped.items()})
        if batch.progress_of is not None:
            self.works.pop(batch.progress_of, None)
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

    def remove(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            del self.entries[entry.delivery.id]

    # -- moves

    def follow_move(self, old: Address, new: Address, *, now: float) -> int:
        """Returns the number of pending deliveries that move."""
        self.moved_from.pop(old, None)
        self.moved_from[new] = str(old)
        if (webhook := self.webhooks.pop(old, None)) is None:
            return 0
        other = self.webhooks.pop(new, None)
        difference = 0.0 if other is None else webhook.clock(now) - other.clock(now)
        if other is not None:
            times = [at for at in (webhook.state.retry_now_at, other.state.retry_now_at) if at is not None]
            paused = other.state.paused if webhook.state.paused is None else webhook.state.paused
            webhook.change(now, paused=paused, retry_now_at=max(times, default=None))
        self.webhooks[new] = webhook
        pending = 0
        for one in self.entries.values():
            if one.address == new:
                one.since += difference
            elif one.address == old:
                pending += one.pending
                one.delivery = msgspec.structs.replace(one.delivery, address=new)
        return pending

    # -- crash notes

    def start_work(self, work: str, *, now: float) -> tuple[int, set[bytes]]:
        """Returns the starts before this one, and the items."""
        one = self.works.setdefault(work, WorkModel())
        if one.in_hand is not None:
            one.items.add(one.in_hand)
        one.starts, one.at, one.in_hand = one.starts + 1, now, None
        return one.starts - 1, set(one.items)

    def forget_start(self, work: str) -> None:
        if work in self.works:
            self.works[work].starts = max(0, self.works[work].starts - 1)

    def end_count(self, work: str) -> None:
        if work in self.works:
            self.works[work].starts = 0

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
