"""The statements that store a group of deliveries and rejected lines in a shared spool, in one transaction."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hookline.model import Address
from hookline.relay.delivery_record import Delivery
from hookline.relay.spool.early_answer import early_answer
from hookline.relay.spool.postgres.binary_arrays import byte_strings, ints, small_ints, storable, texts
from hookline.relay.spool.postgres.relay_ports.known_webhooks import KnownWebhook
from hookline.relay.spool.postgres.spool_connection import SpoolRow, Step
from hookline.relay.spool.spool_values import DequeueAnswer, DequeueRequest, IngestBatch, RejectedLine

IDENTIFY: Final = "INSERT INTO spool.stored_batch (id) VALUES (%s)"
COUNT: Final = "INSERT INTO spool.tally_change (name, count) SELECT * FROM unnest(%s::text[], %s::bigint[])"
_LOCK: Final = "SELECT FROM spool.ingest_lock WHERE slot = ANY(%s::int[]) ORDER BY slot FOR UPDATE"
# An id is looked up in both tables by one statement, which sees a delivery either before its result is recorded or
# after it. `nextval` comes after the sort, so that `seq` is the order of reading. A known id that may be sent again
# keeps its history and its count of attempts.
_STORE: Final = """
WITH known AS MATERIALIZED (
  SELECT d.id, NULL::int AS period, NULL::float8 AS settled, 0 AS attempts, NULL AS history
  FROM spool.delivery d WHERE d.id = ANY(%(ids)s::bytea[])
  UNION ALL
  SELECT r.id, r.period, r.settled, r.attempts, r.history FROM spool.record r WHERE r.id = ANY(%(ids)s::bytea[])
), given AS (
  SELECT g.*, w.slot, least(%(now)s, w.held_since) - w.held_seconds AS since, k.period, k.attempts, k.history
  FROM unnest(%(ids)s::bytea[], %(webhooks)s::int[], %(order_keys)s::bigint[], %(request_ids)s::text[],
    %(channels)s::text[], %(statuses)s::text[], %(event_times)s::text[], %(lines)s::bigint[], %(details)s::text[],
    %(execution_ids)s::text[], %(bodies)s::bytea[]) WITH ORDINALITY AS g (id, webhook, order_key, request_id, channel,
    status, event_time, line, detail, execution_id, body, place)
  JOIN spool.webhook w ON w.n = g.webhook
  LEFT JOIN known k ON k.id = g.id
  WHERE k.id IS NULL OR k.settled <= %(horizon)s
), revived AS (
  DELETE FROM spool.record WHERE id = ANY(ARRAY(SELECT id FROM given WHERE period IS NOT NULL)) RETURNING 1
), stored AS (
  INSERT INTO spool.delivery (seq, id, slot, webhook, order_key, attempts, since, request_id, channel, status,
    event_time, source, line, detail, history, execution_id, body)
  SELECT nextval('spool.delivery_seq'), id, slot, webhook, order_key, coalesce(attempts, 0), since, request_id,
    channel, status, event_time, %(source)s, line, detail, history, execution_id, body
  FROM (SELECT * FROM given ORDER BY place) g
  ON CONFLICT (id) DO NOTHING RETURNING seq
), counted AS (
  INSERT INTO spool.tally_change (name, count) SELECT name, change FROM (VALUES
    ('duplicates', %(number)s - (SELECT count(*) FROM stored)), ('records', -(SELECT count(*) FROM revived))
  ) c (name, change) WHERE change != 0
)
SELECT seq, (SELECT count(*) FROM revived) FROM stored ORDER BY seq
"""
_STORE_LINES: Final = """
WITH stored AS (
  INSERT INTO spool.rejected (at, source, line, part, reason, length, sha256, data)
  SELECT %(now)s, %(source)s, line, part, reason, length, sha256, data
  FROM unnest(%(lines)s::bigint[], %(parts)s::int[], %(reasons)s::text[], %(lengths)s::bigint[], %(hashes)s::bytea[],
    %(data)s::bytea[]) WITH ORDINALITY AS g (line, part, reason, length, sha256, data, place) ORDER BY place
  ON CONFLICT (source, line, part, sha256) DO NOTHING RETURNING 1
), counts AS (SELECT count(*) AS stored FROM stored)
INSERT INTO spool.tally_change (name, count)
SELECT name, change FROM counts, LATERAL (
  VALUES ('rejected', stored), ('duplicates', %(number)s - stored)) c (name, change) WHERE change != 0
"""
_REPLACE_LINES: Final = "DELETE FROM spool.rejected WHERE n = ANY(%s::bigint[])"
# Requests of lanes that have taken everything of their webhook; and the messages that have a pending delivery.
_UP_TO_DATE: Final = """
SELECT r.webhook FROM unnest(%s::int[], %s::bigint[]) AS r (webhook, after)
LEFT JOIN LATERAL (SELECT true AS found FROM spool.delivery d
  WHERE d.state = 0 AND (d.webhook, d.seq) > (r.webhook, r.after) AND d.webhook <= r.webhook AND d.due IS NULL
  LIMIT 1) d ON true
WHERE d.found IS NULL
"""
_PENDING_MESSAGES: Final = """
SELECT k.webhook, k.order_key FROM unnest(%s::int[], %s::bigint[]) AS k (webhook, order_key)
CROSS JOIN LATERAL (SELECT FROM spool.delivery p
  WHERE p.state + 0 < 1 AND p.webhook = k.webhook AND p.order_key = k.order_key LIMIT 1) p
"""


# The slots in whose order nothing comes after a place.
_QUIET: Final = """
SELECT f.slot FROM unnest(%s::int[], %s::bigint[]) AS f (slot, after)
LEFT JOIN LATERAL (SELECT true AS found FROM spool.delivery a
  WHERE a.state = 0 AND (a.slot, a.seq) > (f.slot, f.after) AND a.slot <= f.slot LIMIT 1) a ON true
WHERE a.found IS NULL
"""


def quiet_step(places: Mapping[int, int]) -> Step:
    """Finds the slots of which no delivery is pending after a place. It runs before a batch is stored."""
    return _QUIET, (small_ints(list(places)), ints(list(places.values())))


class DeliveryWriter(NamedTuple):
    """The statements for one batch. `webhooks` has the webhooks of its deliveries."""

    batch: IngestBatch
    webhooks: Mapping[Address, KnownWebhook]
    now: float

    def count_step(self) -> Step:
        """Counts the events, and everything of which the number is known before the transaction."""
        batch = self.batch
        changes = {
            "read": batch.read, "replayed": len(batch.replaced_lines), "duplicates": batch.redelivered,
            **{f"skipped:{reason}": number for reason, number in batch.skipped.items()},
        }  # fmt: skip
        counted = {name: number for name, number in changes.items() if number}
        return COUNT, (texts(counted), ints(list(counted.values())))

    def lock_step(self) -> Step:
        return _LOCK, (small_ints(sorted({one.slot for one in self.webhooks.values()})),)

    def store_step(self, dedupe_window: float) -> Step:
        """Its rows are the `seq`s of the stored deliveries, and the number of those that were known before."""
        deliveries = [one.delivery for one in self.batch.deliveries]
        return _STORE, {
            "ids": byte_strings([one.id for one in deliveries]),
            "webhooks": small_ints([self.webhooks[one.address].n for one in deliveries]),
            "order_keys": ints([one.order_key for one in deliveries]),
            "request_ids": texts([one.request_id for one in deliveries]),
            "channels": texts([one.channel for one in deliveries]),
            "statuses": texts([one.status for one in deliveries]),
            "event_times": texts([one.time for one in deliveries]),
            "lines": ints([one.line for one in self.batch.deliveries]),
            "details": texts([one.detail for one in deliveries]),
            "execution_ids": texts([one.execution_id for one in deliveries]),
            "bodies": byte_strings([one.body for one in deliveries]),
            "source": storable(self.batch.source), "now": self.now, "number": len(deliveries),
            "horizon": self.now - dedupe_window if dedupe_window else math.inf,
        }  # fmt: skip

    def line_steps(self) -> list[Step]:
        """Replaces replayed lines, and stores rejected ones."""
        steps: list[Step] = []
        if self.batch.replaced_lines:
            steps.append((_REPLACE_LINES, (ints(self.batch.replaced_lines),)))
        if self.batch.rejected:
            steps.append((_STORE_LINES, _line_values(self.batch.source, self.batch.rejected, self.now)))
        return steps


def _line_values(source: str, rejected: Sequence[RejectedLine], now: float) -> dict[str, object]:
    lines = [one.line for one in rejected]
    return {
        "now": now, "source": storable(source), "number": len(rejected),
        "lines": ints([one.number for one in lines]),
        "parts": small_ints([one.part for one in rejected]),
        "reasons": texts([one.reason for one in rejected]),
        "lengths": ints([one.length for one in lines]),
        "hashes": byte_strings([one.sha256 or hashlib.sha256(one.data).digest() for one in lines]),
        "data": byte_strings([one.data for one in lines]),
    }  # fmt: skip


class LaneAnswers(NamedTuple):
    """Answers the requests of lanes with the deliveries of a batch that is being stored, as a query after it would.

    The lock of the slots is held, so no delivery comes between. `requests` are those whose webhook is in the batch.
    """

    requests: Mapping[int, DequeueRequest]
    deliveries: Sequence[Delivery]
    webhooks: Mapping[Address, KnownWebhook]

    def steps(self) -> list[Step]:
        """Two statements after the lock, before the deliveries are stored."""
        ordered = {n for n, one in self.requests.items() if one.ordered}
        numbered = [(self.webhooks[one.address].n, one.order_key) for one in self.deliveries]
        keys = {(n, key) for n, key in numbered if key is not None and n in ordered}
        return [
            (_UP_TO_DATE, (small_ints(list(self.requests)), ints([one.after for one in self.requests.values()]))),
            (_PENDING_MESSAGES, (small_ints([n for n, _ in keys]), ints([key for _, key in keys]))),
        ]

    def answers(
        self, up_to_date: Sequence[SpoolRow], pending: Sequence[SpoolRow], seqs: Sequence[int], now: float
    ) -> list[DequeueAnswer]:
        """The answers. All deliveries were stored, with these `seq`s."""
        waiting: dict[int, set[int]] = {n: set() for n in self.requests}
        for n, key in pending:
            waiting[n].add(key)
        own: dict[int, list[tuple[int, Delivery]]] = {n: [] for (n,) in up_to_date}
        last: dict[int, int] = {}
        for seq, one in zip(seqs, self.deliveries, strict=True):
            webhook = self.webhooks[one.address]
            last[webhook.slot] = seq
            if webhook.n in own:
                own[webhook.n].append((seq, one))
        answers = []
        for n, rows in own.items():
            request = self.requests[n]
            webhook = self.webhooks[request.address]
            since = webhook.clock(now) + webhook.held_seconds
            answers.append(early_answer(request, rows, waiting[n], since=since, last=last[webhook.slot]))
        return answers
