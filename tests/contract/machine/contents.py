"""The contents of the model of a spool, and the queries that change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from contract.machine.entry import RECORD, Entry, due_of
from contract.machine.kept_line import KeptLine, LineKey
from contract.machine.webhook_model import WebhookModel
from hookline.model import Address
from hookline.observe.snapshot import AgeGroup, WebhookStatus
from hookline.relay.delivery_record import parse_history
from hookline.relay.sources.source import Position
from hookline.relay.spool.admin import Backlog, TracedDelivery
from hookline.relay.spool.backlog_ages import AGE_BOUNDS
from hookline.relay.spool.spool_values import EndpointState, QueuedDelivery, State


@dataclass
class WorkModel:
    """The note of a work."""

    starts: int = 0
    at: float = 0.0
    in_hand: bytes | None = None
    items: set[bytes] = field(default_factory=set)


class SpoolContents:
    """The contents of a spool."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.lines: dict[LineKey, KeptLine] = {}
        self.webhooks: dict[Address, WebhookModel] = {}
        self.moved_from: dict[Address, str] = {}
        self.positions: list[Position] = []
        self.messages: dict[bytes, set[int]] = {}
        self.works: dict[str, WorkModel] = {}
        self.activity: dict[tuple[int, Address], tuple[int, int, int]] = {}  # accepted, failed, pending
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
            moved_from=self.moved_from.get(address),
            webhook=str(address), pending=len(pending), oldest=max(ages, default=None), dead=len(self.dead(address)),
            disabled=one.state.disabled, paused=one.state.paused, gone_reason=one.state.gone_reason,
            not_before=one.state.not_before, ages=_ages(ages),
            last_due=max((entry.due for entry in pending if entry.due is not None), default=None),
        )  # fmt: skip

    def expired(self, address: Address, *, age: float, now: float) -> list[Entry]:
        """The pending deliveries that are older than `age` seconds."""
        horizon = self.webhooks.get(address, WebhookModel()).clock(now) - age
        return [one for one in self.pending(address) if one.since < horizon]

    def late(self, address: Address, *, after: float) -> list[Entry]:
        """The retries that wait for a time after `after`, the first one first."""
        return [one for one in self.retries(address) if due_of(one) > after]

    def late_retries(self, address: Address, *, after: float) -> list[Entry]:
        """Those of them that are due after their age began: a replay that is spaced out begins when it is due."""
        held = self.webhooks.get(address, WebhookModel()).held_seconds
        return [one for one in self.late(address, after=after) if due_of(one) > one.since + held + 0.001]


def _ages(ages: list[float]) -> tuple[AgeGroup, ...]:
    """The groups, the oldest first. The oldest delivery is the upper end of its group."""
    bounds = [*(bound for bound in AGE_BOUNDS if bound <= max(ages, default=-1.0)), max(ages, default=0.0)]
    pairs = list(pairwise(bounds))
    groups = [
        AgeGroup(sum(lower <= age < upper or (last == 1 and age >= lower) for age in ages), upper, lower)
        for last, (lower, upper) in zip(range(len(pairs), 0, -1), pairs, strict=True)
    ]
    return tuple(group for group in reversed(groups) if group.deliveries)
