"""The statements with which the owner of slots records results and changes pending deliveries of a shared spool.

Each transaction first locks the rows of its slots (slot_leases.FENCE). Statements after it leave deliveries alone
whose slot has another owner by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from hookline.model import Address
from hookline.relay.spool.postgres.binary_arrays import floats, ints, small_ints, texts
from hookline.relay.spool.postgres.relay_ports.known_webhooks import KnownWebhook
from hookline.relay.spool.postgres.relay_ports.pending_queries import QUEUED_COLUMNS, STILL_OWNED
from hookline.relay.spool.postgres.spool_connection import Step
from hookline.relay.spool.spool_values import Settlement, State

# Parameters: slots, epochs, token. The rows are locked already, so it answers as the fence did.
_OWNED_SLOTS: Final = """
(SELECT o.slot FROM spool.slot o JOIN unnest(%(slots)s::int[], %(epochs)s::bigint[]) AS e (slot, epoch)
  ON e.slot = o.slot AND e.epoch = o.epoch WHERE o.process = %(token)s)
"""
CURRENT_PERIOD: Final = "(SELECT period FROM spool.record_period ORDER BY begun DESC, period LIMIT 1)"
# After a failover to an asynchronous standby, a number may belong to another delivery: the order key must fit.
_DELIVERED: Final = f"""
WITH gone AS (
  DELETE FROM spool.delivery d USING unnest(%(seqs)s::bigint[], %(attempts)s::int[], %(https)s::int[],
    %(histories)s::text[], %(order_keys)s::bigint[]) AS s (seq, attempts, http, history, order_key)
  WHERE d.seq = s.seq AND d.seq = ANY(%(seqs)s::bigint[]) AND d.state + 0 < 1
    AND (d.slot + 0 IN {_OWNED_SLOTS}) IS TRUE AND d.order_key IS NOT DISTINCT FROM s.order_key
  RETURNING d.seq, d.id, d.webhook, s.attempts, d.since, d.order_key, d.request_id, d.channel, d.status,
    d.event_time, d.source, d.line, s.http, d.detail, s.history, d.execution_id
), kept AS (
  INSERT INTO spool.record (period, seq, id, webhook, state, attempts, since, settled, order_key, request_id, channel,
    status, event_time, source, line, http, detail, history, execution_id)
  SELECT {CURRENT_PERIOD}, seq, id, webhook, 1, attempts, since, %(now)s, order_key, request_id, channel, status,
    event_time, source, line, http, detail, history, execution_id FROM gone
), counts AS (SELECT count(*) AS delivered FROM gone), counted AS (
  INSERT INTO spool.tally_change (name, count)
  SELECT name, delivered FROM counts, (VALUES ('delivered'), ('records')) c (name) WHERE delivered > 0
)
SELECT delivered FROM counts
"""
_OTHER: Final = f"""
WITH changed AS (
  UPDATE spool.delivery d SET state = s.state, due = s.due, attempts = s.attempts, tries = s.tries,
    refusals = s.refusals, reason = s.reason, http = s.http, history = s.history,
    settled = CASE WHEN s.state = 2 THEN %(now)s END
  FROM unnest(%(seqs)s::bigint[], %(states)s::int[], %(dues)s::float8[], %(attempts)s::int[], %(tries)s::int[],
    %(refusals)s::int[], %(reasons)s::text[], %(https)s::int[], %(histories)s::text[],
    %(order_keys)s::bigint[]) AS s (seq, state, due, attempts, tries, refusals, reason, http, history, order_key)
  WHERE d.seq = s.seq AND d.seq = ANY(%(seqs)s::bigint[]) AND d.state + 0 < 1
    AND (d.slot + 0 IN {_OWNED_SLOTS}) IS TRUE AND d.order_key IS NOT DISTINCT FROM s.order_key
  RETURNING d.state
), counts AS (SELECT count(*) AS dead FROM changed WHERE state = 2), counted AS (
  INSERT INTO spool.tally_change (name, count) SELECT 'dead', dead FROM counts WHERE dead > 0
)
SELECT dead FROM counts
"""
# The first pending delivery of each message, if it comes after the settled one and waits for no retry of its own.
_SUCCESSORS: Final = f"""
SELECT {QUEUED_COLUMNS}
FROM unnest(%(webhooks)s::int[], %(keys)s::bigint[], %(seqs)s::bigint[]) AS k (webhook, order_key, seq)
CROSS JOIN LATERAL (
  SELECT {QUEUED_COLUMNS} FROM spool.delivery d
  WHERE d.state + 0 < 1 AND d.webhook = k.webhook AND d.order_key = k.order_key ORDER BY d.seq LIMIT 1) d
WHERE d.due IS NULL AND d.seq > k.seq
"""
_DIE: Final = f"""
WITH chosen AS MATERIALIZED ({{chosen}} LIMIT %(limit)s), changed AS (
  UPDATE spool.delivery d SET state = 2, due = NULL, reason = %(reason)s, settled = %(now)s FROM chosen
  WHERE d.seq = chosen.seq AND d.state + 0 < 1 AND {STILL_OWNED} RETURNING 1
), counts AS (SELECT count(*) AS dead FROM changed), counted AS (
  INSERT INTO spool.tally_change (name, count) SELECT 'dead', dead FROM counts WHERE dead > 0
)
SELECT dead FROM counts
"""
DIE_FIRST: Final = _DIE.format(
    chosen="""
SELECT seq FROM spool.delivery WHERE state = 0 AND webhook >= %(webhook)s AND webhook <= %(webhook)s
  AND NOT seq = ANY(%(without)s::bigint[])
ORDER BY webhook, seq"""
)
DIE_CRASHED: Final = _DIE.format(
    chosen="""
SELECT seq FROM spool.delivery
WHERE state = 0 AND slot = %(slot)s AND id = ANY(ARRAY(SELECT item FROM spool.crashed WHERE work = %(work)s))
ORDER BY seq"""
)
# The oldest, by the clock of their webhook at this moment (KnownWebhook.clock).
DIE_OLDEST: Final = _DIE.format(
    chosen="""
SELECT seq FROM spool.delivery WHERE state = 0 AND webhook = %(webhook)s AND NOT seq = ANY(%(without)s::bigint[])
  AND since < (SELECT %(before)s - held_seconds - greatest(0.0, coalesce(%(now)s - held_since, 0.0))
    FROM spool.webhook WHERE n = %(webhook)s)
ORDER BY since"""
)
# Without replays that are spaced by a rate: the age of a replayed delivery starts when it is due. Rounding is far
# below a millisecond.
MAKE_DUE: Final = f"""
WITH chosen AS MATERIALIZED (
  SELECT seq FROM spool.delivery WHERE state + 0 < 1 AND webhook = %(webhook)s AND due > %(after)s
    AND (%(all)s OR due > since + 0.001 + (SELECT held_seconds FROM spool.webhook WHERE n = %(webhook)s))
  ORDER BY due LIMIT %(limit)s
), changed AS (
  UPDATE spool.delivery d SET due = %(now)s FROM chosen
  WHERE d.seq = chosen.seq AND d.state + 0 < 1 AND {STILL_OWNED} RETURNING 1
)
SELECT count(*) FROM changed
"""


def result_steps(settlements: Sequence[Settlement], fence: Mapping[str, object], now: float) -> list[Step]:
    """Records results. The first row of each statement has the number of deliveries that are no longer pending."""
    steps: list[Step] = []
    delivered = [one for one in settlements if one.state is State.DELIVERED]
    if delivered:
        steps.append((_DELIVERED, {**fence, **_common(delivered), "now": now}))
    if len(delivered) < len(settlements):
        others = [one for one in settlements if one.state is not State.DELIVERED]
        values = {
            "states": small_ints([int(one.state) for one in others]),
            "dues": floats([one.due for one in others]),
            "tries": small_ints([one.tries for one in others]),
            "refusals": small_ints([one.refusals for one in others]),
            "reasons": texts([one.reason for one in others]),
        }
        steps.append((_OTHER, {**fence, **_common(others), **values, "now": now}))
    return steps


def _common(settlements: Sequence[Settlement]) -> dict[str, object]:
    return {
        "seqs": ints([one.seq for one in settlements]),
        "attempts": small_ints([one.attempts for one in settlements]),
        "https": small_ints([one.http for one in settlements]),
        "histories": texts([one.history for one in settlements]),
        "order_keys": ints([one.order_key for one in settlements]),
    }


def successor_steps(settlements: Collection[Settlement], webhooks: Mapping[Address, KnownWebhook]) -> list[Step]:
    """Reads the deliveries that waited for one of these and may be sent now; no statement if there can be none."""
    first: dict[tuple[int, int], int] = {}
    for one in settlements:
        if one.order_key is not None and one.state is not State.PENDING and one.address in webhooks:
            key = webhooks[one.address].n, one.order_key
            first[key] = min(one.seq, first.get(key, one.seq))
    if not first:
        return []
    return [
        (_SUCCESSORS, {
            "webhooks": small_ints([n for n, _ in first]), "keys": ints([key for _, key in first]),
            "seqs": ints(list(first.values())),
        })
    ]  # fmt: skip
