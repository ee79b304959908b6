"""The statements that load pending deliveries from the spool, a bounded number at a time.

They name a webhook by its number. Those of deliveries return rows with COLUMNS.
"""

from __future__ import annotations

from typing import Final

from hookline.relay.spool.sqlite.bodies import BODY

# The fields of QueuedDelivery, with the webhook's number instead of its address.
COLUMNS: Final = (
    "seq", "id", "webhook", "due", "order_key", "attempts", "tries", "refusals", "since", "event_time", "history",
    "body", "request_id",
)  # fmt: skip
# The choice for a probe looks at a limited number of rows of the backlog in an index, and chooses among fewer of
# them, so that its cost does not grow with the backlog.
MAX_PROBE_ROWS: Final = 20_000
MAX_PROBE_CHOICES: Final = 200
LIST: Final = ", ".join(BODY if column == "body" else f"d.{column}" for column in COLUMNS)
_NEW: Final = f"""
SELECT {LIST} FROM delivery d WHERE state = 0 AND due IS NULL AND webhook = ? AND seq > ? %s ORDER BY seq LIMIT ?
"""
_NO_PREDECESSOR: Final = """AND (order_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM delivery p
  WHERE p.state = 0 AND p.webhook = d.webhook AND p.order_key = d.order_key AND p.seq < d.seq))"""
NEW_ORDERED: Final = _NEW % _NO_PREDECESSOR
NEW_UNORDERED: Final = _NEW % ""
DUE_RETRIES: Final = f"""
SELECT {LIST} FROM delivery d WHERE state = 0 AND webhook = ? AND due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?
"""
# The first delivery from a place in the backlog on, or up to it, that may be sent; with ?7 only one that was never
# attempted. In a lane that keeps the order, a delivery is replaced by the first one of its message. So the newest
# choice is the one with the greatest seq: the newest event may wait for a much older one, which would be the probe
# instead.
_PROBE: Final = f"""
WITH near AS (SELECT seq FROM (SELECT seq, due FROM delivery WHERE state = 0 AND webhook = ?1 AND seq %s ?2
  ORDER BY seq %s LIMIT {MAX_PROBE_ROWS}) WHERE due IS NULL OR NOT ?7 LIMIT {MAX_PROBE_CHOICES})
SELECT {LIST} FROM delivery d WHERE seq = (SELECT d.seq FROM near JOIN delivery n ON n.seq = near.seq
  JOIN delivery d ON d.seq = CASE WHEN n.order_key IS NULL OR NOT ?3 THEN n.seq
    ELSE (SELECT min(p.seq) FROM delivery p WHERE p.state = 0 AND p.webhook = ?1 AND p.order_key = n.order_key) END
  WHERE d.webhook = ?1 AND (d.due IS NULL OR (NOT ?7 AND d.due <= ?4))
    AND (?5 IS NULL OR d.order_key IS NOT ?5)
    AND d.seq NOT IN (SELECT value FROM json_each(?6))
  ORDER BY %s LIMIT 1)
"""
PROBE_FROM: Final = _PROBE % (">=", "ASC", "near.seq ASC")
PROBE_UP_TO: Final = _PROBE % ("<=", "DESC", "d.seq DESC")
BACKLOG_ENDS: Final = """
SELECT (SELECT min(seq) FROM delivery WHERE state = 0 AND webhook = ?1),
       (SELECT max(seq) FROM delivery WHERE state = 0 AND webhook = ?1)
"""
NEXT_DUE: Final = "SELECT min(due) FROM delivery WHERE state = 0 AND webhook = ? AND due > ?"
# The number of each webhook that has retries, and when its first one is due: one index lookup per webhook.
NEXT_DUES: Final = """
SELECT n, due FROM (SELECT n, (SELECT min(due) FROM delivery WHERE state = 0 AND due > 0 AND webhook = n) AS due
FROM webhook) WHERE due IS NOT NULL
"""
# The numbers of the webhooks that have pending deliveries: one index lookup per webhook.
WITH_PENDING: Final = "SELECT n FROM webhook WHERE EXISTS (SELECT 1 FROM delivery WHERE state = 0 AND webhook = n)"
ANY_PENDING_UP_TO: Final = "SELECT 1 FROM delivery WHERE state = 0 AND webhook = ? AND seq <= ? LIMIT 1"
PENDING_MESSAGES: Final = """
SELECT DISTINCT order_key FROM delivery
WHERE state = 0 AND webhook = ? AND order_key IN (SELECT value FROM json_each(?))
"""
