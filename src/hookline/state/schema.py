"""The tables of a stored state in SQLite, format 1.

`meta` has one row. `webhooks.serial` is the apply that last wrote the row. `history` has one row per apply; its
`hash` seals the row and all rows before it (state.chain). The format is checked before anything else is read: a
later format may add columns to `meta`, but `format`, `lineage` and `serial` stay.
"""

from __future__ import annotations

# "hkst", for file(1) and for hookline: https://www.sqlite.org/pragma.html#pragma_application_id
APPLICATION_ID = 0x686B7374
# "hkls": builds before the first release wrote it. Their formats 1 and 2 have nothing to do with today's numbers.
EARLIER_APPLICATION_ID = 0x686B6C73
FORMAT = 1

TABLES = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    format INTEGER NOT NULL,
    lineage TEXT NOT NULL,
    serial INTEGER NOT NULL
) STRICT;
CREATE TABLE webhooks (
    organization TEXT NOT NULL,
    sandbox TEXT NOT NULL,
    document TEXT NOT NULL,
    serial INTEGER NOT NULL,
    PRIMARY KEY (organization, sandbox)
) STRICT, WITHOUT ROWID;
CREATE TABLE history (
    serial INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    who TEXT NOT NULL,
    git_commit TEXT,
    git_branch TEXT,
    fingerprint TEXT NOT NULL,
    changes TEXT NOT NULL,
    lifted TEXT NOT NULL,
    note TEXT,
    hash TEXT NOT NULL
) STRICT;
"""
