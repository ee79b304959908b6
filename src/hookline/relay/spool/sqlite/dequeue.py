"""The statements that load pending deliveries from the spool, a bounded number at a time.

They name a webhook by its number. Those of deliveries return rows with COLUMNS.
"""

from __future__ import annotations

from typing import Final

# The fields of QueuedDelivery, with the webhook's number instead of its address.
COLUMNS: Final = (
    "seq", "id", "webhook", "due", "order_key", "attempts", "tries", "refusals", "since", "event_time", "history",
    "body", "request_id",
)  # fmt: skip
_LIST = ", ".join(COLUMNS)
_NEW: Final = f"""
SELECT {_LIST} FROM delivery d WHERE state = 0 AND due IS NULL AND webhook = ? AND seq > ? %s ORDER BY seq LIMIT ?
"""
_NO_PREDECESSOR: Final = """AND (order_key IS NULL OR NOT EXISTS (
  SELECT 1 FROM delivery p WHERE p.state = 0 AND p.order_key = d.order_key AND p.seq < d.seq))"""
NEW_ORDERED: Final = _NEW % _NO_PREDECESSOR
NEW_UNORDERED: Final = _NEW % ""
DUE_RETRIES: Final = f"""
SELECT {_LIST} FROM delivery WHERE state = 0 AND webhook = ? AND due IS NOT NULL AND due <= ? ORDER BY due LIMIT ?
"""
NEXT_DUE: Final = "SELECT min(due) FROM delivery WHERE state = 0 AND webhook = ? AND due > ?"
# The number of each webhook that has retries, and when its first one is due: one index lookup per webhook.
NEXT_DUES: Final = """
SELECT n, due FROM (SELECT n, (SELECT min(due) FROM delivery WHERE state = 0 AND due > 0 AND webhook = n) AS due
FROM webhook) WHERE due IS NOT NULL
"""
ANY_PENDING: Final = "SELECT 1 FROM delivery WHERE state = 0 AND webhook = ? LIMIT 1"
