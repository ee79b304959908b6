"""The starts of works since their last progress, and the items that were in hand at a crash, in a shared spool.

A start counts as a crash once its process has ended without a word. A process that lives has not crashed, even if
another one starts the same work: several processes read a stream, and slots move from one to another.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from contextlib import suppress
from typing import Final

from hookline.model import Address
from hookline.relay.spool.crash_notes import CRASHED, CrashNote, is_slot, slot_of_work, slot_work
from hookline.relay.spool.postgres.lease_statements import FENCE
from hookline.relay.spool.postgres.relay_ports.settlement_writer import DIE_CRASHED
from hookline.relay.spool.postgres.relay_ports.spool_process import SpoolProcess
from hookline.relay.spool.postgres.slot_leases import SlotLeases
from hookline.relay.spool.postgres.spool_connection import SpoolConnection, Step

_LIVES: Final = """
EXISTS (SELECT FROM spool.process p
  WHERE p.token = h.process AND p.expires > clock_timestamp() AND p.token != ALL(%(gone)s::uuid[]))
"""
_NEIGHBOURS: Final = "SELECT token, pid FROM spool.process WHERE host = %s AND token != %s"
_BEGIN: Final = """
INSERT INTO spool.work (name, starts, at) VALUES (%(work)s, 0, %(now)s)
ON CONFLICT (name) DO UPDATE SET at = excluded.at
"""
# A slot has one owner, so the start of another living process ended when it gave the slot up.
_COUNT_CRASHES: Final = f"""
WITH ended AS (
  DELETE FROM spool.work_start h
  WHERE h.work = %(work)s AND (h.process = ANY(%(own)s::uuid[]) OR %(is_slot)s OR NOT {_LIVES})
  RETURNING h.starts, h.item, h.process = ANY(%(own)s::uuid[]) AS is_own, NOT {_LIVES} AS is_over
), kept AS (
  INSERT INTO spool.crashed (work, item)
  SELECT %(work)s, item FROM ended WHERE item IS NOT NULL AND (is_own OR is_over) ON CONFLICT DO NOTHING
)
UPDATE spool.work SET starts = starts + (SELECT coalesce(sum(starts), 0) FROM ended WHERE is_over AND NOT is_own)
WHERE name = %(work)s RETURNING starts
"""
_START: Final = "INSERT INTO spool.work_start (work, process, starts) VALUES (%(work)s, %(token)s, 1)"
_ITEMS: Final = "SELECT item FROM spool.crashed WHERE work = %(work)s ORDER BY item"
_KEEP_WORK: Final = """
INSERT INTO spool.work (name, starts, at) VALUES (%(work)s, 0, %(now)s) ON CONFLICT (name) DO NOTHING
"""
_TAKE: Final = """
INSERT INTO spool.work_start (work, process, starts, item) VALUES (%(work)s, %(token)s, 0, %(item)s)
ON CONFLICT (work, process) DO UPDATE SET item = excluded.item
"""
_FORGET_ITEMS: Final = """
DELETE FROM spool.crashed WHERE work = %(work)s
  AND EXISTS (SELECT FROM spool.slot o WHERE o.slot = %(slot)s AND o.epoch = %(epoch)s AND o.process = %(token)s)
"""
_FORGET_STARTS: Final = "UPDATE spool.work_start SET starts = 0 WHERE work = ANY(%s) AND process = ANY(%s::uuid[])"
_END_COUNTS: Final = """
WITH counts AS (UPDATE spool.work SET starts = 0 WHERE name = ANY(%(works)s::text[]) AND starts > 0)
UPDATE spool.work_start SET starts = 0 WHERE work = ANY(%(works)s::text[]) AND starts > 0
"""
# The note of another process that lives remains: it has its own line in hand.
_FORGET: Final = (
    "DELETE FROM spool.crashed WHERE work = %(work)s",
    f"DELETE FROM spool.work_start h WHERE h.work = %(work)s AND (h.process = %(token)s OR NOT {_LIVES})",
    "UPDATE spool.work SET starts = 0 WHERE name = %(work)s AND starts > 0",
    "DELETE FROM spool.work WHERE name = %(work)s AND NOT EXISTS (SELECT FROM spool.work_start WHERE work = name)",
)


class CrashCounts(SpoolProcess):
    """Implements crash_notes.CrashNotes. A crash of the server may lose the notes of its last half second."""

    def __init__(self, connection: SpoolConnection, leases: SlotLeases) -> None:
        super().__init__(connection, leases)
        self._started: dict[str, None] = {}
        self._tokens = [leases.token]  # of this process, which has a new one after a lost lease
        self._latest_start = 0.0
        self._no_starts: dict[int, int] = {}  # by slot: the epoch in which a result has ended the count

    def work_of(self, address: Address) -> str:
        return slot_work(self._webhooks.slot(address))

    def count_start(self, work: str, *, now: float) -> CrashNote:
        values = {
            "work": work, "now": now, "token": self._token(), "own": self._tokens, "gone": self._gone(),
            "is_slot": is_slot(work),
        }  # fmt: skip
        steps = [(statement, values) for statement in (_BEGIN, _COUNT_CRASHES, _START, _ITEMS)]
        _, _, crashes, _, items = self._connection.run(self._settings(synced=False), *steps)
        self._started[work] = None
        self._latest_start = now
        if is_slot(work):
            self._no_starts.pop(slot_of_work(work), None)
        return CrashNote(crashes[0][0], tuple(bytes(item) for (item,) in items))

    def take_in_hand(self, work: str, item: bytes | None) -> None:
        values = {"work": work, "now": self._latest_start, "token": self._token(), "item": item}
        self._connection.run(self._settings(synced=False), (_KEEP_WORK, values), (_TAKE, values))

    def dead_letter_crashed(self, work: str, *, now: float) -> int:
        slot = slot_of_work(work)
        owner = self._owner(slot)
        fence = (FENCE, ([slot], [owner["epoch"]], owner["token"]))
        change = {**owner, "work": work, "reason": CRASHED, "now": now, "limit": None}
        dead: int = self._connection.run(self._settings(), fence, (DIE_CRASHED, change), (_FORGET_ITEMS, change))[2][
            0
        ][0]
        self._count_ended(dead)
        return dead

    def forget_starts(self) -> None:
        values = list(self._started), self._tokens
        self._connection.run(self._settings(synced=False), (_FORGET_STARTS, values))

    def _token(self) -> object:
        token = self.leases.token
        if token not in self._tokens:
            self._tokens.append(token)
        return token

    def _gone(self) -> list[object]:
        """Processes of this machine that have ended before their lease: the one that this process replaces."""
        rows = self._connection.query(_NEIGHBOURS, (socket.gethostname(), self.leases.token))
        return [token for token, pid in rows if token not in self._tokens and not _is_running(pid)]

    def _progress_steps(self, work: str) -> list[Step]:
        """The statements that forget a work, in the transaction of its progress."""
        return [(statement, {"work": work, "token": self._token(), "gone": []}) for statement in _FORGET]

    def _result_steps(self, slots: Collection[int]) -> list[Step]:
        """The statement that ends the counts of owned slots, in the transaction of their first result."""
        owned = self.leases.owned
        works = [slot_work(one) for one in slots if one in owned and self._no_starts.get(one) != owned[one]]
        return [(_END_COUNTS, {"works": works})] if works else []

    def _note_results(self, slots: Collection[int]) -> None:
        owned = self.leases.owned
        self._no_starts |= {one: owned[one] for one in slots if one in owned}


def _is_running(pid: int) -> bool:
    """Whether another process has the number."""
    if pid == os.getpid():
        return False
    with suppress(PermissionError):  # it belongs to another user
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
