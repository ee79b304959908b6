"""The status of a shared spool at one moment, and lookups of other commands. Everything here only reads."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hookline.model import Address
from hookline.observe.snapshot import Checkpoint, CrashStatus, SpoolProcesses, SpoolStatus, WebhookStatus
from hookline.relay.sources.source import Position
from hookline.relay.spool.activity import MinuteActivity
from hookline.relay.spool.admin import MAX_CHECKPOINT_ROWS, Backlog
from hookline.relay.spool.backlog_ages import AGE_BOUNDS, age_groups
from hookline.relay.spool.postgres.activity_table import READ_ACTIVITY, parse_activity
from hookline.relay.spool.postgres.operator_ports.operator_port import Run, snapshot
from hookline.relay.spool.postgres.operator_ports.shared_processes import read_processes
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.postgres.tally_balance import READ_TALLY, pending_of
from hookline.relay.spool.spool_values import EndpointState

# All webhooks are counted in one pass: of the index while few deliveries are pending, otherwise of the table. The
# rows of one webhook are in many pages, so a count for each webhook would read most pages again and again.
_COUNTED: Final = """
WITH pending AS (SELECT webhook, count(*) AS number FROM spool.delivery WHERE state = 0 GROUP BY webhook),
  dead AS (SELECT webhook, count(*) AS number FROM spool.delivery WHERE state = 2 GROUP BY webhook)
"""
_FROM: Final = """
FROM spool.webhook w LEFT JOIN pending p ON p.webhook = w.n LEFT JOIN dead d ON d.webhook = w.n
"""
_BACKLOGS: Final = f"{_COUNTED} SELECT organization, sandbox, coalesce(p.number, 0), coalesce(d.number, 0) {_FROM}"
_WEBHOOKS: Final = f"""{_COUNTED}
SELECT organization || '/' || sandbox, slot, disabled, paused, gone_reason, not_before,
  CASE WHEN p.number > 0 THEN least(%s, coalesce(held_since, 'infinity')) - held_seconds
    - (SELECT min(o.since) FROM spool.delivery o WHERE o.state = 0 AND o.webhook = w.n) END,
  coalesce(p.number, 0), coalesce(d.number, 0),
  CASE WHEN p.number > 0
    THEN (SELECT max(o.due) FROM spool.delivery o WHERE o.webhook = w.n AND o.due IS NOT NULL) END,
  (SELECT m.organization || '/' || m.sandbox FROM spool.followed_move m
    WHERE m.new_organization = w.organization AND m.new_sandbox = w.sandbox AND NOT EXISTS (
      SELECT 1 FROM spool.followed_move l
      WHERE l.n > m.n AND l.organization = w.organization AND l.sandbox = w.sandbox)
    ORDER BY m.n DESC LIMIT 1)
{_FROM} ORDER BY organization, sandbox
"""
# Deliveries by the number of their group of age. A clock that was set back makes negative ages.
_AGES: Final = """
SELECT w.organization || '/' || w.sandbox,
  width_bucket(greatest(0.0, least(%s, coalesce(w.held_since, 'infinity')) - w.held_seconds - o.since),
    %s::double precision[]) - 1,
  count(*)
FROM spool.delivery o JOIN spool.webhook w ON w.n = o.webhook WHERE o.state = 0 GROUP BY 1, 2
"""
_CHECKPOINTS: Final = """
SELECT name, line, "offset", at, reader FROM spool.position ORDER BY at DESC, name LIMIT %s
"""
_LINES: Final = "SELECT count(*) FROM spool.rejected WHERE NOT replayed"
_OLDEST_RECORD: Final = "SELECT min(settled) FROM spool.record"
_BYTES: Final = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r'
"""
_STATES: Final = """
SELECT organization, sandbox, disabled, paused, gone_reason, gone_configuration, not_before, retry_now_at,
  forgotten_at
FROM spool.webhook
"""
_POSITION_FIELDS: Final = tuple(field for field in Position.__struct_fields__ if field != "follows")
_POSITIONS: Final = f"""
SELECT {", ".join(f'"{field}"' for field in _POSITION_FIELDS)} FROM spool.position ORDER BY at, name
"""
_KNOWN: Final = """
SELECT id FROM spool.delivery WHERE id = ANY(%(ids)s)
UNION ALL
SELECT id FROM spool.record WHERE id = ANY(%(ids)s) AND settled > %(after)s
  AND settled >= (SELECT horizon FROM spool.meta)
"""

_CRASHES: Final = """
SELECT w.name, w.starts + coalesce(s.starts, 0) FROM spool.work w
LEFT JOIN LATERAL (SELECT sum(starts) AS starts FROM spool.work_start WHERE work = w.name) s ON true
WHERE w.starts + coalesce(s.starts, 0) > 0 ORDER BY w.name
"""


class SharedStatistics:
    """Implements admin.SpoolStatistics and admin.DryRunSpool. Called from any thread."""

    def __init__(self, connection: SpoolConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()  # a relay asks every few seconds, so the connection stays open
        weakref.finalize(self, connection.close)

    # -- SpoolStatistics

    def spool_status(self, *, now: float) -> SpoolStatus:
        with self._lock, snapshot(self._connection) as run:
            tally: dict[str, int] = dict(run(READ_TALLY).fetchall())
            records = tally.pop("records", 0)
            settled = _value(run, _OLDEST_RECORD)
            return SpoolStatus(
                at=now,
                tally={**tally, "pending": pending_of(tally)},
                webhooks=list(_webhooks(run, now)),
                checkpoints=[Checkpoint(name=name, line=line, offset=offset, at=at, reader=reader)
                             for name, line, offset, at, reader in run(_CHECKPOINTS, (MAX_CHECKPOINT_ROWS,))],
                lines=_value(run, _LINES),
                records=records,
                oldest_record=None if settled is None else max(0.0, now - settled),
                crashes=[CrashStatus(work=work, starts=starts) for work, starts in run(_CRASHES)],
                sizes={"database": _value(run, _BYTES, self._connection.schema)},
            )  # fmt: skip

    def processes(self) -> SpoolProcesses:
        with self._lock:
            return read_processes(self._connection)

    def backlogs(self) -> Mapping[Address, Backlog] | None:
        with self._existing() as run:
            if run is None:
                return None
            return {
                Address(organization, sandbox): Backlog(pending, dead)
                for organization, sandbox, pending, dead in run(_BACKLOGS)
            }

    def endpoint_states(self) -> Mapping[Address, EndpointState]:
        with self._existing() as run:
            if run is None:
                return {}
            fields = EndpointState.__struct_fields__
            return {
                Address(organization, sandbox): EndpointState(**dict(zip(fields, row, strict=True)))
                for organization, sandbox, *row in run(_STATES)
            }

    def activity(self, since_minute: int) -> list[MinuteActivity]:
        with self._existing() as run:
            return [] if run is None else parse_activity(run(READ_ACTIVITY, (since_minute,)))

    # -- DryRunSpool

    def positions(self) -> list[Position]:
        with self._existing() as run:
            if run is None:
                return []
            return [Position(**dict(zip(_POSITION_FIELDS, row, strict=True))) for row in run(_POSITIONS)]

    def known(self, ids: Sequence[bytes], *, delivered_after: float) -> set[bytes]:
        with self._existing() as run:
            if run is None or not ids:
                return set()
            return {identity for (identity,) in run(_KNOWN, {"ids": list(ids), "after": delivered_after})}

    @contextmanager
    def _existing(self) -> Iterator[Run | None]:
        """A snapshot of the spool; None if no spool exists."""
        with self._lock:
            if not self._connection.is_created():
                yield None
                return
            with snapshot(self._connection) as run:
                yield run


def _webhooks(run: Run, now: float) -> Iterator[WebhookStatus]:
    ages: dict[str, dict[int, int]] = {}
    for webhook, number, count in run(_AGES, (now, list(AGE_BOUNDS))):
        ages.setdefault(webhook, {})[number] = count
    for webhook, slot, disabled, paused, gone_reason, not_before, age, pending, dead, last_due, moved_from in run(
        _WEBHOOKS, (now,)
    ):
        oldest = None if age is None else max(0.0, age)
        yield WebhookStatus(
            webhook=webhook, pending=pending, oldest=oldest, dead=dead, disabled=disabled, paused=paused,
            gone_reason=gone_reason, not_before=not_before, slot=slot, last_due=last_due,
            moved_from=moved_from,
            ages=() if oldest is None else age_groups(ages.get(webhook, {}), oldest),
        )  # fmt: skip


def _value(run: Run, statement: str, *parameters: object) -> Any:
    found = run(statement, parameters).fetchone()
    return None if found is None else found[0]
