"""The tables of a shared spool in PostgreSQL, format 1.

The statements of this folder name a table as ``spool.TABLE``; spool_connection.py replaces ``spool.`` by the schema
of the spool. Texts compare by their bytes, independent of the database's locale. Times are Unix seconds of the
relays' clocks, except `expires`, which is a time of the server's clock, or -infinity if the process is dead.

No statement updates a row for each event: a snapshot that another session holds open would keep every version of it.
"""

from __future__ import annotations

from typing import Final

SHARED_FORMAT: Final = 1
SPOOL_APPLICATION: Final = "hookline spool"
DEFAULT_SLOTS: Final = 64
DEFAULT_LEASE_SECONDS: Final = 10.0
RECORD_PARTITIONS: Final = 8  # every new id is looked up in each of them

# `process.format` is the newest format that the process knows (spool_migrations.py).
# A row of `ingest_lock` is locked while deliveries of its slot are stored. `seq` is taken after that, so the order of
# `seq` in a slot is the order of the commits, and no delivery appears later below one that a lane has taken.
_OWNERSHIP: Final = """
CREATE TABLE spool.meta (
  id smallint PRIMARY KEY CHECK (id = 1), format integer NOT NULL, application text NOT NULL,
  slots integer NOT NULL, lease_seconds double precision NOT NULL,
  changes bigint NOT NULL DEFAULT 0, horizon double precision NOT NULL DEFAULT '-infinity',
  folded bigint NOT NULL DEFAULT 0
);
CREATE TABLE spool.process (
  token uuid PRIMARY KEY, joined bigint GENERATED ALWAYS AS IDENTITY, kind text NOT NULL, name text NOT NULL,
  host text NOT NULL, pid integer NOT NULL, started double precision NOT NULL, expires timestamptz NOT NULL,
  format integer NOT NULL
);
CREATE UNLOGGED TABLE spool.process_status (token uuid PRIMARY KEY, status text NOT NULL);
CREATE TABLE spool.slot (
  slot integer PRIMARY KEY, epoch bigint NOT NULL DEFAULT 0, process uuid REFERENCES spool.process,
  since timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE spool.reader (
  name text COLLATE "C" PRIMARY KEY, epoch bigint NOT NULL DEFAULT 0, process uuid REFERENCES spool.process
);
CREATE TABLE spool.ingest_lock (slot integer PRIMARY KEY);
"""

# `tally` has the counts of the spool's whole life, except those that are still in `tally_change`. A transaction adds
# a row to `tally_change` for each count that it changes. All rows with `n` up to `meta.folded` are in `tally`, and
# none with such an `n` is inserted later. `stored_batch` identifies transactions: if the answer to COMMIT is lost,
# the same call is repeated with the same identity, and fails if it was stored.
_COUNTS: Final = """
CREATE TABLE spool.tally (name text COLLATE "C" PRIMARY KEY, count bigint NOT NULL);
CREATE TABLE spool.tally_change (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL, count bigint NOT NULL
);
CREATE TABLE spool.stored_batch (id bytea PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX stored_batch_at ON spool.stored_batch (at);
"""

# The columns have the meaning of those of the embedded store (sqlite/schema.py). `reader` is the `--name` of the
# relays that read the source, or empty.
_SOURCES: Final = """
CREATE TABLE spool.position (
  reader text COLLATE "C" NOT NULL, key bytea NOT NULL, device bigint NOT NULL, inode bigint NOT NULL,
  name text COLLATE "C" NOT NULL, line bigint NOT NULL, "offset" bigint NOT NULL, head_length bigint NOT NULL,
  head_hash bytea NOT NULL, tail_length bigint NOT NULL, tail_hash bytea NOT NULL, packed bigint NOT NULL,
  target text COLLATE "C" NOT NULL, marks bytea NOT NULL, at double precision NOT NULL,
  PRIMARY KEY (reader, key, device, inode)
);
CREATE TABLE spool.rejected (
  n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at double precision NOT NULL, source text COLLATE "C" NOT NULL,
  line bigint NOT NULL, part integer NOT NULL, reason text NOT NULL, length bigint NOT NULL, sha256 bytea NOT NULL,
  data bytea NOT NULL, replayed boolean NOT NULL DEFAULT false, UNIQUE (source, line, part, sha256)
);
CREATE INDEX rejected_replayed ON spool.rejected (n) WHERE replayed;
CREATE INDEX rejected_at ON spool.rejected (at) WHERE NOT replayed;
CREATE TABLE spool.stream (n integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, identity bytea NOT NULL UNIQUE);
CREATE TABLE spool.message (stream integer NOT NULL, number bigint NOT NULL, PRIMARY KEY (stream, number));
"""

# The notes of crashes (crash_counts.py). `work.starts` counts the starts of processes that have crashed. `work_start`
# has the start of each process, and the item in its hand. `crashed` has the items that were in hand at a crash.
_CRASH_NOTES: Final = """
CREATE TABLE spool.work (name text COLLATE "C" PRIMARY KEY, starts integer NOT NULL, at double precision NOT NULL);
CREATE TABLE spool.work_start (
  work text COLLATE "C" NOT NULL REFERENCES spool.work ON DELETE CASCADE, process uuid NOT NULL,
  starts integer NOT NULL, item bytea, PRIMARY KEY (work, process)
);
CREATE TABLE spool.crashed (
  work text COLLATE "C" NOT NULL REFERENCES spool.work ON DELETE CASCADE, item bytea NOT NULL,
  PRIMARY KEY (work, item)
);
"""

_WEBHOOKS: Final = """
CREATE TABLE spool.webhook (
  n integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization text COLLATE "C" NOT NULL,
  sandbox text COLLATE "C" NOT NULL, slot integer NOT NULL,
  disabled boolean NOT NULL DEFAULT false, paused double precision, held_since double precision,
  held_seconds double precision NOT NULL DEFAULT 0, gone_reason text, gone_configuration text,
  not_before double precision, retry_now_at double precision, forgotten_at double precision,
  UNIQUE (organization, sandbox)
);
"""

# The moves of webhooks that relays have followed (address_moves.py). `n` grows by 1 with each commit.
_FOLLOWED_MOVES: Final = """
CREATE TABLE spool.followed_move (
  n integer PRIMARY KEY, lineage text COLLATE "C" NOT NULL, serial bigint NOT NULL,
  organization text COLLATE "C" NOT NULL, sandbox text COLLATE "C" NOT NULL,
  new_organization text COLLATE "C" NOT NULL, new_sandbox text COLLATE "C" NOT NULL,
  UNIQUE (lineage, serial, organization, sandbox, new_organization, new_sandbox)
);
"""

# `delivery` has the pending deliveries and the dead letters, `record` the delivered and discarded ones. The record of
# a delivery is inserted by the transaction that deletes the delivery. An id is in one of the tables only: it is
# looked up in both, by one statement, while the lock of its slot is held. `record` is a ring of partitions
# (record_ring.py). `record_period` has the time at which each was begun, and the number of deliveries that had been
# delivered by then. Records that were settled before `meta.horizon` do not exist for any query.
_DELIVERIES: Final = """
CREATE SEQUENCE spool.delivery_seq AS bigint CACHE 1;
CREATE TABLE spool.delivery (
  seq bigint PRIMARY KEY, id bytea NOT NULL, slot integer NOT NULL, webhook integer NOT NULL,
  state smallint NOT NULL DEFAULT 0, due double precision, order_key bigint, attempts integer NOT NULL DEFAULT 0,
  tries integer NOT NULL DEFAULT 0, refusals integer NOT NULL DEFAULT 0, since double precision NOT NULL,
  settled double precision, request_id text COLLATE "C" NOT NULL, channel text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL, event_time text, source text COLLATE "C" NOT NULL, line bigint NOT NULL,
  reason text COLLATE "C", http integer, detail text, history text, execution_id text COLLATE "C",
  body bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000);
CREATE UNIQUE INDEX delivery_id ON spool.delivery (id);
CREATE INDEX delivery_pending ON spool.delivery (webhook, seq, due) WHERE state = 0;
CREATE INDEX delivery_arrival ON spool.delivery (slot, seq) WHERE state = 0;
CREATE INDEX delivery_age ON spool.delivery (webhook, since) WHERE state = 0;
CREATE INDEX delivery_due ON spool.delivery (webhook, due) WHERE due IS NOT NULL;
CREATE INDEX delivery_order ON spool.delivery (webhook, order_key, seq) WHERE order_key IS NOT NULL;
CREATE INDEX delivery_dead ON spool.delivery (webhook, settled, seq, http, channel, status) WHERE state = 2;
CREATE TABLE spool.record_period (
  period smallint PRIMARY KEY, begun double precision NOT NULL, delivered bigint NOT NULL
);
CREATE TABLE spool.record (
  period smallint NOT NULL, seq bigint NOT NULL, id bytea NOT NULL, webhook integer NOT NULL, state smallint NOT NULL,
  attempts integer NOT NULL, since double precision NOT NULL, settled double precision NOT NULL,
  order_key bigint, request_id text COLLATE "C" NOT NULL, channel text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL, event_time text, source text COLLATE "C" NOT NULL, line bigint NOT NULL,
  reason text COLLATE "C", http integer, detail text, history text, execution_id text COLLATE "C"
) PARTITION BY LIST (period);
CREATE INDEX record_id ON spool.record (id);
CREATE INDEX record_settled ON spool.record (settled);
"""


# The ring of minutes (relay/spool/activity.py). Both texts of the sum of the rest are empty.
_ACTIVITY: Final = """
CREATE TABLE spool.activity (
  minute bigint NOT NULL, organization text COLLATE "C" NOT NULL, sandbox text COLLATE "C" NOT NULL,
  accepted bigint NOT NULL, failed bigint NOT NULL, median_seconds double precision, p99_seconds double precision,
  pending bigint NOT NULL, busy_seconds double precision NOT NULL, PRIMARY KEY (minute, organization, sandbox)
);
"""


def create_statements(slots: int, lease_seconds: float) -> list[str]:
    """The statements that create a spool, for one transaction."""
    partitions = [
        f"CREATE TABLE spool.record_{n:02} PARTITION OF spool.record FOR VALUES IN ({n})"
        for n in range(RECORD_PARTITIONS)
    ]
    rows = [
        f"INSERT INTO spool.meta (id, format, application, slots, lease_seconds) "
        f"VALUES (1, {SHARED_FORMAT}, '{SPOOL_APPLICATION}', {slots:d}, {lease_seconds!r})",
        f"INSERT INTO spool.slot (slot) SELECT generate_series(0, {slots - 1:d})",
        f"INSERT INTO spool.ingest_lock (slot) SELECT generate_series(0, {slots - 1:d})",
        "INSERT INTO spool.record_period (period, begun, delivered) VALUES (0, 0, 0)",
    ]
    tables = "".join(
        (_OWNERSHIP, _COUNTS, _SOURCES, _CRASH_NOTES, _WEBHOOKS, _FOLLOWED_MOVES, _DELIVERIES, _ACTIVITY)
    )
    return ["CREATE SCHEMA spool", *filter(str.strip, tables.split(";\n")), *partitions, *rows]
