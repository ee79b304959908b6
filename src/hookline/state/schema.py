"""The tables of a stored state, format 2.

`meta` has one row. `webhooks.serial` is the apply that wrote the row last. `history` has a row for every apply, from
the first on; its `hash` seals the row and all before it (state.chain). The format is looked at before anything else
is read; columns of `meta` may be added by later formats, but `format` stays where it is.

Format 1 had neither `note` nor `hash` in `history`; the rest is the same.
"""

from __future__ import annotations

# "hkls", for file(1) and for us: https://www.sqlite.org/pragma.html#pragma_application_id
APPLICATION_ID = 0x686B6C73
FORMAT = 2

HISTORY = """
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
) STRICT
"""
TABLES = f"""
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
{HISTORY};
"""
