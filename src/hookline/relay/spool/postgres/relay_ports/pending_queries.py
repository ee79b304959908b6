"""The queries of pending deliveries in a shared spool, a bounded number at a time.

Statistics of these tables are often wrong, because a backlog comes and goes faster than they are collected: the
planner may believe that a table of a million rows is empty. Each condition is therefore written so that one index
fits it and no other: `state + 0 < 1`, which means pending, fits no index of pending deliveries, and a comparison of
rows fits only an index with all its columns.

They name a webhook by its number, and return rows with QUEUED_COLUMNS. Each is one statement, and returns nothing of
a slot that this process does not own in that moment. It needs no lock: an answer on its way may be late in any case,
so the caller looks at its lease before it sends anything.
"""

from __future__ import annotations

from typing import Final

# The fields of QueuedDelivery, with the webhook's number instead of its address.
QUEUED_COLUMNS: Final = ", ".join(
    f"d.{column}"
    for column in ("seq", "id", "webhook", "due", "order_key", "attempts", "tries", "refusals", "since", "event_time",
                   "history", "body", "request_id")
)  # fmt: skip
# As in the embedded store: the choice for a probe looks at a limited number of rows of the backlog.
_PROBE_ROWS: Final = 20_000
_PROBE_CHOICES: Final = 200
# The owner of the slot of a webhook. Parameters: slot, epoch, token.
STILL_OWNED: Final = """
EXISTS (SELECT FROM spool.slot o WHERE o.slot = %(slot)s AND o.epoch = %(epoch)s AND o.process = %(token)s)
"""
# For each request: its number, the last `seq` of the slot after the request's place, and the deliveries, if any.
# Later deliveries of the slot have a greater `seq`.
NEW: Final = f"""
SELECT r.number, m.last, {QUEUED_COLUMNS}
FROM unnest(%(webhooks)s::int[], %(afters)s::bigint[], %(limits)s::int[], %(ordered)s::int[], %(slots)s::int[],
  %(epochs)s::bigint[]) WITH ORDINALITY AS r (webhook, after, size, ordered, slot, epoch, number)
JOIN spool.slot o ON o.slot = r.slot AND o.epoch = r.epoch AND o.process = %(token)s
LEFT JOIN LATERAL (
  SELECT l.seq AS last FROM spool.delivery l
  WHERE l.state = 0 AND (l.slot, l.seq) > (r.slot, r.after) AND l.slot <= r.slot
  ORDER BY l.slot DESC, l.seq DESC LIMIT 1) m ON true
LEFT JOIN LATERAL (
  SELECT {QUEUED_COLUMNS} FROM spool.delivery d
  WHERE d.state = 0 AND (d.webhook, d.seq) > (r.webhook, r.after) AND d.webhook <= r.webhook AND d.due IS NULL
    AND (r.ordered = 0 OR d.order_key IS NULL OR NOT EXISTS (
      SELECT FROM spool.delivery p
      WHERE p.state + 0 < 1 AND p.webhook = d.webhook AND p.order_key = d.order_key AND p.seq < d.seq))
  ORDER BY d.webhook, d.seq LIMIT r.size) d ON true
ORDER BY r.number, d.seq
"""
DUE_NOW: Final = f"""
SELECT {QUEUED_COLUMNS} FROM spool.delivery d
WHERE d.state + 0 < 1 AND d.webhook = %(webhook)s AND d.due <= %(now)s AND {STILL_OWNED}
ORDER BY d.due LIMIT %(limit)s
"""
# The first delivery from a place in the backlog on, or up to it, that may be sent (sqlite/dequeue.py).
_PROBE: Final = f"""
WITH near AS MATERIALIZED (SELECT seq FROM (SELECT seq, due FROM spool.delivery
  WHERE state = 0 AND webhook = %(webhook)s AND (webhook, seq) {{compare}} (%(webhook)s, %(place)s)
    ORDER BY webhook {{order}}, seq {{order}} LIMIT {_PROBE_ROWS}) n
  WHERE due IS NULL OR NOT %(untried)s LIMIT {_PROBE_CHOICES})
SELECT {QUEUED_COLUMNS} FROM near JOIN spool.delivery n ON n.seq = near.seq
JOIN spool.delivery d ON d.seq = CASE WHEN n.order_key IS NULL OR NOT %(ordered)s THEN n.seq
  ELSE (SELECT p.seq FROM spool.delivery p WHERE p.state + 0 < 1 AND p.webhook = %(webhook)s
    AND p.order_key = n.order_key ORDER BY p.seq LIMIT 1) END
WHERE (d.due IS NULL OR (NOT %(untried)s AND d.due <= %(now)s))
  AND (%(other_than)s::bigint IS NULL OR d.order_key IS DISTINCT FROM %(other_than)s::bigint)
  AND NOT d.seq = ANY(%(without)s::bigint[]) AND {STILL_OWNED}
ORDER BY {{chosen}} LIMIT 1
"""
PROBE_AT_OR_AFTER: Final = _PROBE.format(compare=">=", order="ASC", chosen="near.seq ASC")
PROBE_AT_OR_BEFORE: Final = _PROBE.format(compare="<=", order="DESC", chosen="d.seq DESC")
ENDS: Final = """
SELECT (SELECT seq FROM spool.delivery WHERE state = 0 AND webhook >= %(webhook)s AND webhook <= %(webhook)s
          ORDER BY webhook, seq LIMIT 1),
       (SELECT seq FROM spool.delivery WHERE state = 0 AND webhook >= %(webhook)s AND webhook <= %(webhook)s
          ORDER BY webhook DESC, seq DESC LIMIT 1)
"""
FIRST_DUE: Final = """
SELECT due FROM spool.delivery WHERE state + 0 < 1 AND webhook = %s AND due > %s ORDER BY due LIMIT 1
"""
# By webhook: one lookup in an index for each.
FIRST_DUES: Final = """
SELECT w.n, d.due FROM unnest(%s::int[]) AS w (n)
CROSS JOIN LATERAL (
  SELECT due FROM spool.delivery WHERE state + 0 < 1 AND webhook = w.n AND due > 0 ORDER BY due LIMIT 1) d
"""
WEBHOOKS_WITH_PENDING: Final = """
SELECT w.n FROM spool.webhook w
CROSS JOIN LATERAL (SELECT FROM spool.delivery d WHERE d.state = 0 AND d.webhook = w.n LIMIT 1) d
WHERE w.slot = ANY(%s::int[])
"""
LATEST_PLACE: Final = "SELECT coalesce(max(seq), 0) FROM spool.delivery"
# Parameter: a place in the order of the spool.
PENDING_UNTIL: Final = """
SELECT w.n, w.disabled OR w.paused IS NOT NULL FROM spool.webhook w
CROSS JOIN LATERAL (SELECT FROM spool.delivery d WHERE d.state = 0 AND d.webhook = w.n AND d.seq <= %s LIMIT 1) d
"""
# The webhooks with deliveries after a place in the order of a slot, and the last of each.
ARRIVED: Final = """
SELECT f.slot, d.webhook, d.last FROM unnest(%s::int[], %s::bigint[]) AS f (slot, after)
CROSS JOIN LATERAL (
  SELECT a.webhook, max(a.seq) AS last FROM spool.delivery a
  WHERE a.state = 0 AND (a.slot, a.seq) > (f.slot, f.after) AND a.slot <= f.slot GROUP BY a.webhook) d
"""
# The last place in the order of some slots, and the webhooks of theirs that have pending deliveries.
NEWLY_OWNED: Final = """
SELECT f.slot, w.n, (SELECT a.seq FROM spool.delivery a WHERE a.state = 0 AND a.slot >= f.slot AND a.slot <= f.slot
  ORDER BY a.slot DESC, a.seq DESC LIMIT 1)
FROM unnest(%s::int[]) AS f (slot) LEFT JOIN (
  SELECT w.n, w.slot FROM spool.webhook w
  CROSS JOIN LATERAL (SELECT FROM spool.delivery d WHERE d.state = 0 AND d.webhook = w.n LIMIT 1) d
) w ON w.slot = f.slot
"""
# Lines whose replay an operator asked for, up to a number of bytes.
LINES_TO_REPLAY: Final = """
SELECT n, source, line, part, length, sha256, data FROM (
  SELECT *, sum(octet_length(data)) OVER (ORDER BY n) - octet_length(data) AS before
  FROM (SELECT * FROM spool.rejected WHERE replayed ORDER BY n LIMIT %s) r) r
WHERE before < %s ORDER BY n
"""
