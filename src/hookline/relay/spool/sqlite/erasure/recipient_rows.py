"""Finds and removes the rows of a spool's database that contain a recipient. Functions on a connection.

The pages are read without a lock. Each page with a find is changed in a transaction, which looks at the states again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from hookline.relay.spool.admin import FORGOTTEN, ForgetCount
from hookline.relay.spool.recipient import Recipient
from hookline.relay.spool.spool_values import State
from hookline.relay.spool.sqlite.bodies import BODY, remove_bodies
from hookline.relay.spool.sqlite.database import transaction
from hookline.relay.spool.sqlite.enqueue import add_to_tally

SEARCHED_ROWS_PER_PAGE: Final = 500
SEARCHED_LINES_PER_PAGE: Final = 50  # a line has up to 1 MiB

# The texts of a delivery that a provider, a caller or an endpoint has written, and their values without a recipient.
TEXTS: Final = {
    "detail": None, "history": None, "reason": FORGOTTEN, "request_id": FORGOTTEN, "execution_id": None,
    "source": FORGOTTEN,
}  # fmt: skip
_DELIVERIES: Final = f"""
SELECT seq, {", ".join(TEXTS)}, {BODY} FROM delivery d WHERE seq > ? ORDER BY seq LIMIT {SEARCHED_ROWS_PER_PAGE}
"""
_LINES: Final = f"SELECT n, source, reason, data FROM rejected WHERE n > ? ORDER BY n LIMIT {SEARCHED_LINES_PER_PAGE}"
_BEFORE_ALL: Final = -(2**63)
_STATE: Final = "SELECT state, webhook, id FROM delivery WHERE seq = ?"
# The order key of a forgotten delivery is a hash of the recipient, and nothing needs it any more.
_END: Final = f"""
UPDATE delivery SET state = {State.DISCARDED:d}, due = NULL, settled = ?, reason = '{FORGOTTEN}', order_key = NULL,
  detail = NULL, history = NULL WHERE seq = ? AND state = ?
"""
_MARK: Final = "UPDATE webhook SET forgotten_at = ? WHERE n = ?"


class FoundDelivery(NamedTuple):
    """A row that contains a recipient. `texts` are the names of the columns that do, beside the payload."""

    seq: int
    texts: tuple[str, ...]


class FoundPage(NamedTuple):
    """The finds among `searched` rows of one page."""

    searched: int
    deliveries: Sequence[FoundDelivery] = ()
    lines: Sequence[int] = ()


def found_pages(connection: sqlite3.Connection, recipient: Recipient) -> Iterator[FoundPage]:
    """The whole spool, page by page: deliveries and records, then rejected lines."""
    after = _BEFORE_ALL
    while rows := connection.execute(_DELIVERIES, (after,)).fetchall():
        after = rows[-1][0]
        yield FoundPage(len(rows), [one for row in rows if (one := _found(row, recipient)) is not None])
    after = _BEFORE_ALL
    while rows := connection.execute(_LINES, (after,)).fetchall():
        after = rows[-1][0]
        lines = [n for n, *texts in rows if any(recipient.is_in(text) for text in texts)]
        yield FoundPage(len(rows), lines=lines)


def _found(row: Sequence[Any], recipient: Recipient) -> FoundDelivery | None:
    seq, *values, body = row
    texts = tuple(name for name, value in zip(TEXTS, values, strict=True) if recipient.is_in(value))
    return FoundDelivery(seq, texts) if texts or recipient.is_in(body) else None


def count_page(connection: sqlite3.Connection, page: FoundPage) -> ForgetCount:
    states = [connection.execute(_STATE, (one.seq,)).fetchone() for one in page.deliveries]
    numbers = [row[0] for row in states if row is not None]
    pending, dead = numbers.count(State.PENDING), numbers.count(State.DEAD)
    return ForgetCount(pending=pending, dead=dead, records=len(numbers) - pending - dead, lines=len(page.lines))


def remove_page(connection: sqlite3.Connection, page: FoundPage, now: float) -> tuple[ForgetCount, list[bytes]]:
    """Remove the finds of a page in one transaction. Returns their number, and the ids of the pending ones."""
    if not page.deliveries and not page.lines:
        return ForgetCount(), []
    with transaction(connection):
        count = count_page(connection, page)
        pending, ended = [], []
        for one in page.deliveries:
            if (row := connection.execute(_STATE, (one.seq,)).fetchone()) is None:
                continue
            state, webhook, identity = row
            if state in (State.PENDING, State.DEAD):
                connection.execute(_END, (now, one.seq, state))
                ended.append(one.seq)
            if state == State.PENDING:
                connection.execute(_MARK, (now, webhook))
                pending.append(identity)
            _clear(connection, one)
        remove_bodies(connection, ended, all_settled=True)
        lines = connection.executemany("DELETE FROM rejected WHERE n = ?", [(n,) for n in page.lines]).rowcount
        add_to_tally(connection, [("dead", len(pending)), ("records", len(ended))])
    return ForgetCount(pending=count.pending, dead=count.dead, records=count.records, lines=max(0, lines)), pending


def _clear(connection: sqlite3.Connection, one: FoundDelivery) -> None:
    """Replace the texts that contain the recipient."""
    if one.texts:
        changes = ", ".join(f"{name} = ?" for name in one.texts)
        values = [TEXTS[name] for name in one.texts]
        connection.execute(f"UPDATE delivery SET {changes} WHERE seq = ?", (*values, one.seq))
