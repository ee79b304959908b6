"""The tables of stored states in PostgreSQL, format 1, and the statements on them.

The states of a database share six tables in the schema ``hookline``. `meta` has one row. Its format is checked
before anything else is read, and its `application` distinguishes these tables from those of builds before the first
release. Documents are text, not jsonb: a rollback restores them byte for byte. Texts compare by their bytes,
independent of the database's locale. No statement updates or deletes rows of `history` and `moves`, so the role that
applies needs no right to do so. The policy has its own table, so that this role can be denied the right to set it.
"""

from __future__ import annotations

import hashlib
from typing import Final

POSTGRES_FORMAT: Final = 1
APPLICATION: Final = "hookline state"
POSTGRES_TABLES: Final = ("meta", "states", "webhooks", "history", "policies", "moves")

CREATE_SCHEMA: Final = "CREATE SCHEMA hookline"
CREATE_TABLES: Final = """\
CREATE TABLE hookline.meta (
    id smallint PRIMARY KEY CHECK (id = 1),
    format integer NOT NULL,
    application text NOT NULL
);
CREATE TABLE hookline.states (
    name text COLLATE "C" PRIMARY KEY,
    lineage text NOT NULL,
    serial bigint NOT NULL
);
CREATE TABLE hookline.webhooks (
    state text COLLATE "C" NOT NULL REFERENCES hookline.states,
    organization text COLLATE "C" NOT NULL,
    sandbox text COLLATE "C" NOT NULL,
    document text NOT NULL,
    serial bigint NOT NULL,
    PRIMARY KEY (state, organization, sandbox)
);
CREATE TABLE hookline.history (
    state text COLLATE "C" NOT NULL REFERENCES hookline.states,
    serial bigint NOT NULL,
    at text NOT NULL,
    who text NOT NULL,
    git_commit text,
    git_branch text,
    fingerprint text NOT NULL,
    changes text NOT NULL,
    lifted text NOT NULL,
    overrides text NOT NULL,
    policy text,
    note text,
    hash text NOT NULL,
    PRIMARY KEY (state, serial)
);
CREATE TABLE hookline.policies (
    state text COLLATE "C" PRIMARY KEY REFERENCES hookline.states,
    document text NOT NULL,
    serial bigint NOT NULL
);
CREATE TABLE hookline.moves (
    state text COLLATE "C" NOT NULL REFERENCES hookline.states,
    serial bigint NOT NULL,
    old_organization text COLLATE "C" NOT NULL,
    old_sandbox text COLLATE "C" NOT NULL,
    new_organization text COLLATE "C" NOT NULL,
    new_sandbox text COLLATE "C" NOT NULL,
    PRIMARY KEY (state, serial, old_organization, old_sandbox)
);
INSERT INTO hookline.meta VALUES (1, 1, 'hookline state');
"""

# Every role may read the catalog. A role without rights on the tables must get "permission denied" when it reads
# them: it must never mistake a state that it may not read for a missing state.
FIND_TABLES: Final = """
SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'hookline' AND c.relname = ANY(%s)
"""
FIND_SCHEMA: Final = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = 'hookline'"
# The tables of an earlier build have no column `application`: as JSON, a missing column reads as NULL.
READ_FORMAT: Final = "SELECT format, to_jsonb(meta) ->> 'application' FROM hookline.meta AS meta WHERE id = 1"
READ_STATE: Final = "SELECT lineage, serial FROM hookline.states WHERE name = %s"
READ_CLOCK: Final = "SELECT clock_timestamp()"
LOCK_STATE_ROW: Final = READ_STATE + " FOR UPDATE"
READ_WEBHOOKS: Final = (
    "SELECT organization, sandbox, document FROM hookline.webhooks WHERE state = %s ORDER BY organization, sandbox"
)
READ_POLICY: Final = "SELECT document, serial FROM hookline.policies WHERE state = %s"
READ_MOVES: Final = (
    "SELECT old_organization, old_sandbox, new_organization, new_sandbox, serial FROM hookline.moves"
    " WHERE state = %s ORDER BY serial, old_organization, old_sandbox"
)
_HISTORY: Final = (
    "SELECT serial, at, who, git_commit, git_branch, fingerprint, changes, lifted, overrides, policy, note, hash"
    " FROM hookline.history WHERE state = %s"
)
READ_HISTORY: Final = _HISTORY + " ORDER BY serial"
READ_LAST_RECORD: Final = _HISTORY + " ORDER BY serial DESC LIMIT 1"
READ_HASH: Final = "SELECT hash FROM hookline.history WHERE state = %s AND serial = %s"

INSERT_STATE: Final = "INSERT INTO hookline.states VALUES (%s, %s, %s)"
UPDATE_STATE: Final = "UPDATE hookline.states SET serial = %s WHERE name = %s"
# One statement writes all rows, so ten thousand webhooks take no more round trips than one.
WRITE_WEBHOOKS: Final = """
INSERT INTO hookline.webhooks
SELECT %s, organization, sandbox, document, %s
FROM unnest(%s::text[], %s::text[], %s::text[]) AS written (organization, sandbox, document)
ON CONFLICT (state, organization, sandbox) DO UPDATE SET document = EXCLUDED.document, serial = EXCLUDED.serial
"""
DELETE_WEBHOOKS: Final = """
DELETE FROM hookline.webhooks AS stored
USING unnest(%s::text[], %s::text[]) AS deleted (organization, sandbox)
WHERE stored.state = %s AND stored.organization = deleted.organization AND stored.sandbox = deleted.sandbox
"""
INSERT_HISTORY: Final = "INSERT INTO hookline.history VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
INSERT_MOVE: Final = "INSERT INTO hookline.moves VALUES (%s, %s, %s, %s, %s, %s)"
DELETE_POLICY: Final = "DELETE FROM hookline.policies WHERE state = %s"
INSERT_POLICY: Final = "INSERT INTO hookline.policies VALUES (%s, %s, %s)"

BEGIN_READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Each statement sees all commits before its start, so a read after the lock returns the current state.
BEGIN_WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
# These settings end with the transaction. A writer whose machine vanished keeps the lock for at most a minute. A
# commit that is reported as done survives a crash of the server, independent of the role's default. The application
# name shows the holder of the lock in pg_stat_activity.
TRANSACTION_SETTINGS: Final = """
SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', '60s', true),
    CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END,
    CASE WHEN current_setting('application_name') = 'hookline' THEN set_config('application_name', %s, true) END
"""
ACQUIRE_LOCK: Final = "SELECT pg_advisory_xact_lock(%s)"

# Sessions that hold an advisory lock of hookline in this database, or write its tables without that lock.
# `since` is NULL for roles without pg_read_all_stats.
LOCK_HOLDERS: Final = """
SELECT DISTINCT a.pid, a.usename, a.application_name,
    to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.pid <> pg_backend_pid()
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND ((l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = ANY(%s))
        OR (l.locktype = 'relation' AND l.mode <> 'AccessShareLock'
            AND l.relation = (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
                ON n.oid = c.relnamespace WHERE n.nspname = 'hookline' AND c.relname = 'states')))
ORDER BY a.pid
"""


def lock_key(name: str) -> int:
    """The number of an advisory lock: signed, 64 bits. Two names with the same number only wait for each other."""
    return int.from_bytes(hashlib.sha256(f"hookline {name}".encode()).digest()[:8], signed=True)


def state_key(name: str) -> int:
    return lock_key(f"state {name}")


# Held while the tables are created, because two first applies to two states of a database must not both do so.
TABLES_KEY: Final = lock_key("tables")
