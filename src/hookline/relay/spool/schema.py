"""The spool's tables. One database file; DESIGN's "The spool" is the reason for each of them."""

from __future__ import annotations

from hookline.relay.spool import positions

APPLICATION_ID = 0x686B7370  # "hksp"
EARLIER_APPLICATION_ID = 0x686B6C70  # "hklp": builds before the first release; their formats are not read
FORMAT = 1
PAGE_SIZE = 8192  # a row with its payload is some 900 bytes: fewer, larger pages are written faster

# `disabled`: the applied webhook says so. `paused`: since when somebody has paused it by hand. `held`: since when it
# is either of them: age stands still meanwhile, and `idle` is how many seconds it stood still before.
# `stopped`: why the endpoint is gone (410), and `stopped_as` the hash of the configuration that it was found with.
# `not_before`: the endpoint asked to be left alone until then. `hurried`: when `retry-now` was last said.
WEBHOOK = """
CREATE TABLE webhook (
  n INTEGER PRIMARY KEY, organization TEXT NOT NULL, sandbox TEXT NOT NULL,
  disabled INTEGER NOT NULL DEFAULT 0, paused REAL, held REAL, idle REAL NOT NULL DEFAULT 0,
  stopped TEXT, stopped_as TEXT, not_before REAL, hurried REAL,
  UNIQUE (organization, sandbox)
) STRICT;
"""

# One index answers three questions: what comes next for a webhook (`due` NULL, in the order of `seq`), how much is
# pending, and what is the oldest. The other three are smaller, or empty while all goes well. That of the dead holds
# whatever they are chosen by, so that no filter reads the letters themselves; `seq` is in it for its order.
INDEXES = """
CREATE INDEX delivery_pending ON delivery (webhook, seq, due) WHERE state = 0;
CREATE INDEX delivery_due ON delivery (webhook, due) WHERE state = 0 AND due IS NOT NULL;
CREATE INDEX delivery_order ON delivery (order_key, seq) WHERE state = 0 AND order_key IS NOT NULL;
CREATE INDEX delivery_dead ON delivery (webhook, settled, seq, http, channel, status, reason) WHERE state = 2;
CREATE INDEX delivery_done ON delivery (settled) WHERE state IN (1, 3);
"""

TABLES = f"""
-- How often each thing has happened in the whole life of this spool. Written in the transaction that makes it
-- happen, so that read + replayed = delivered + skipped + rejected + dead + duplicates + pending at every commit.
-- `records` is no such count: it is how many delivered or discarded rows are kept at the moment.
CREATE TABLE tally (what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;

{positions.TABLE}{WEBHOOK}
-- `state` is a port.State.
-- `seq` is the order of reading. `due` is NULL until the first attempt, then the Unix time of the next one.
-- `since` is when it was read or replayed, by the webhook's own clock (standing.Clock). `attempts` are all that were
-- made, `tries` those that count for the retry schedule, `refusals` how often it was refused as a probe while
-- others passed. `history` are its latest failed attempts, in JSON.
-- A delivered or discarded row has no body any more; it stays for duplicates and for tracing.
CREATE TABLE delivery (
  seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, webhook INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  due REAL, order_key INTEGER, attempts INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,
  refusals INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, settled REAL, request_id TEXT NOT NULL,
  channel TEXT NOT NULL, status TEXT NOT NULL, event_time TEXT, source TEXT NOT NULL, line INTEGER NOT NULL,
  reason TEXT, http INTEGER, detail TEXT, history TEXT, body BLOB
) STRICT;
{INDEXES}
-- Lines (`part` is -1), or events of a line, that could not be read. `data` is the line, or the beginning of an
-- endless one; `again` is 1 when a relay shall read it once more.
CREATE TABLE rejected (
  n INTEGER PRIMARY KEY, at REAL NOT NULL, source TEXT NOT NULL, line INTEGER NOT NULL, part INTEGER NOT NULL,
  reason TEXT NOT NULL, length INTEGER NOT NULL, sha256 BLOB NOT NULL, data BLOB NOT NULL,
  again INTEGER NOT NULL DEFAULT 0, UNIQUE (source, line, part, sha256)
) STRICT;
CREATE INDEX rejected_again ON rejected (n) WHERE again = 1;
"""
