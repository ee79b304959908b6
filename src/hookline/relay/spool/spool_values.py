"""The values that the ports of the relay's spool (spool.py) take and return. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

from hookline.model import Address
from hookline.relay.delivery_record import Delivery, Line
from hookline.relay.sources.source import Messages, Position


class State(IntEnum):
    PENDING = 0
    DELIVERED = 1
    DEAD = 2
    DISCARDED = 3


class NewDelivery(msgspec.Struct, frozen=True):
    """A delivery, and the number of the line that it comes from."""

    line: int
    delivery: Delivery


class RejectedLine(msgspec.Struct, frozen=True):
    """A rejected line (`part` is WHOLE_LINE), or a rejected event of a line (`part` is its index, from 0)."""

    line: Line
    part: int
    reason: str


class ReplayedLine(msgspec.Struct, frozen=True):
    """A rejected line or event that an operator replays; `n` is its number among the rejected ones."""

    n: int
    source: str
    line: Line
    part: int


class IngestBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A group of lines with their routing results, and the position that covers them.

    `read` counts the new events. `replaced_lines` are the numbers of replayed lines that these results replace. If a
    batch of a file is too large for one transaction, only the last of its groups has the position. `messages` are
    the messages of a stream from which the results are; a message is in one group as a whole. `redelivered` is the
    number of messages that were left out because the spool has stored them before: each counts once in `read`, and is
    a duplicate. `epoch` is that of the reader's lease (Batch.epoch). `progress_of` is the work (crash_notes.py) that
    makes progress with this group, if it has made none since its start. `moves` is the number of the latest followed
    move (address_moves.py) that the routes of this group know.
    """

    source: str
    position: Position | None
    read: int
    replaced_lines: Sequence[int] = ()
    deliveries: Sequence[NewDelivery]
    skipped: Mapping[str, int]
    rejected: Sequence[RejectedLine]
    messages: Messages | None = None
    redelivered: int = 0
    epoch: int | None = None
    progress_of: str | None = None
    moves: int = 0


class QueuedDelivery(msgspec.Struct, frozen=True):
    """A pending delivery, with the values that an attempt and its response policy need.

    `since` is the time of reading plus the time for which its webhook was disabled or paused. `attempts` counts all
    attempts, `tries` those of the retry schedule, `refusals` the refused probes. `history` holds its latest failed
    attempts, in JSON. `request_id` is for the log.
    """

    seq: int
    id: bytes
    address: Address
    due: float | None
    order_key: int | None
    attempts: int
    tries: int
    refusals: int
    since: float
    event_time: str | None
    history: str | None
    body: bytes
    request_id: str = ""


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one delivery's latest attempts: delivered, dead, or pending again at `due`.

    A store whose endpoints have several owners checks the owner by `address`. `attempts`, `tries`, `refusals` and
    `history` are the new totals. `posts` is the number of requests that this result adds to the tally.
    """

    seq: int
    address: Address
    order_key: int | None
    state: State
    attempts: int
    tries: int
    refusals: int
    posts: int
    due: float | None = None
    reason: str | None = None
    http: int | None = None
    history: str | None = None


class DequeueRequest(msgspec.Struct, frozen=True):
    """A lane's request for new deliveries of its webhook: at most `limit`, with a `seq` above `after`.

    If `ordered`, the answer omits deliveries that wait for an earlier event of their message. `settle` returns them
    when that event is settled.
    """

    address: Address
    after: int
    limit: int
    ordered: bool


class DequeueAnswer(msgspec.Struct, frozen=True):
    """The deliveries that answer a request, in the order of reading, and the `after` of the lane's next request."""

    request: DequeueRequest
    items: Sequence[QueuedDelivery]
    cursor: int


class Enqueued(msgspec.Struct, frozen=True):
    """The result of `enqueue`: the number of pending deliveries, and answers to requests of lanes."""

    pending: int
    answers: Sequence[DequeueAnswer] = ()


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A lane's request for one delivery with which it probes its endpoint.

    `place` is a part of the backlog: 0.0 is the oldest delivery, 1.0 the newest. If `ordered`, the answer has no
    earlier event of its message that is pending: 1.0 is then the newest delivery that waits for no other. The answer
    is not of the message with the order key `other_than`, if any.
    """

    address: Address
    place: float
    other_than: int | None
    ordered: bool


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one webhook that outlives a relay and is not configuration.

    `paused` is the time at which an operator paused it. `gone_reason` is the reason why the endpoint is gone, and
    `gone_configuration` the hash of the configuration that it was found with. The endpoint asked for no requests
    until `not_before`. `retry_now_at` is the time of the latest `retry-now`, and `forgotten_at` that of the latest
    `forget` that removed pending deliveries of it.
    """

    disabled: bool = False
    paused: float | None = None
    gone_reason: str | None = None
    gone_configuration: str | None = None
    not_before: float | None = None
    retry_now_at: float | None = None
    forgotten_at: float | None = None


class Retention(msgspec.Struct, frozen=True):
    """`seconds`: how long the spool keeps records, dead letters and rejected lines. `records`: at most this many."""

    seconds: float
    records: int
