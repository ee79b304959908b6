"""Imports dead letters of another spool, or of an earlier time, into a shared spool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, execution_id_of
from hookline.relay.spool.admin import Count
from hookline.relay.spool.postgres.binary_arrays import BinaryArray, byte_strings, floats, ints, small_ints, texts
from hookline.relay.spool.postgres.operator_ports.operator_port import OperatorPort, Run
from hookline.relay.spool.postgres.operator_ports.shared_webhook_control import webhook_number
from hookline.relay.spool.postgres.slots import slot_of

_Arrays = Callable[[Any], BinaryArray]

# Ids are looked up in both tables while the locks of their slots are held, by a statement that begins after that.
_LOCK_SLOTS: Final = "SELECT slot FROM spool.ingest_lock WHERE slot = ANY(%s) ORDER BY slot FOR UPDATE"
# By the column: what makes an array of its values.
_COLUMNS: Final[dict[str, _Arrays]] = {
    "id": byte_strings, "slot": small_ints, "webhook": small_ints, "attempts": small_ints, "since": floats,
    "settled": floats, "request_id": texts, "channel": texts, "status": texts, "event_time": texts, "source": texts,
    "line": ints, "reason": texts, "http": small_ints, "detail": texts, "history": texts, "execution_id": texts,
    "body": byte_strings,
}  # fmt: skip
_NAMES: Final = ", ".join(_COLUMNS)
_ADD_DELIVERIES: Final = f"""
INSERT INTO spool.delivery (seq, state, {_NAMES})
SELECT nextval('spool.delivery_seq'), 2, {_NAMES}
FROM unnest({", ".join(["%s"] * len(_COLUMNS))}) AS v ({_NAMES})
WHERE NOT EXISTS (SELECT FROM spool.record r WHERE r.id = v.id)
ON CONFLICT (id) DO NOTHING
"""
_LINE_COLUMNS: Final[dict[str, _Arrays]] = {
    "at": floats, "source": texts, "line": ints, "part": small_ints, "reason": texts, "length": ints,
    "sha256": byte_strings, "data": byte_strings,
}  # fmt: skip
_ADD_LINES: Final = f"""
INSERT INTO spool.rejected ({", ".join(_LINE_COLUMNS)})
SELECT * FROM unnest({", ".join(["%s"] * len(_LINE_COLUMNS))})
ON CONFLICT (source, line, part, sha256) DO NOTHING
"""


class SharedDeadLetterImport(OperatorPort):
    """Implements admin.DeadLetterImport."""

    def add(self, letters: Sequence[DeadLetter]) -> Count:
        deliveries = [one for one in letters if isinstance(one, DeadDelivery)]
        lines = [
            (one.at, one.source, one.line, one.part, one.reason, one.length, one.sha256, one.data)
            for one in letters
            if isinstance(one, DeadLine)
        ]
        with self._change() as run:
            added = self._add_deliveries(run, deliveries) if deliveries else 0
            added_lines = run(_ADD_LINES, _by_column(_LINE_COLUMNS, lines)).rowcount if lines else 0
        return Count(added, added_lines)

    def _add_deliveries(self, run: Run, letters: Sequence[DeadDelivery]) -> int:
        slots = self._connection.slots
        addresses = sorted({one.webhook for one in letters})
        numbers = {address: webhook_number(run, address, slots) for address in addresses}
        run(_LOCK_SLOTS, (sorted({slot_of(address, slots) for address in addresses}),))
        rows = [
            (one.id, slot_of(one.webhook, slots), numbers[one.webhook], one.attempts, one.at, one.at, one.request_id,
             one.channel, one.status, one.event_time, one.source, one.line, one.reason, one.http, one.detail,
             one.history, execution_id_of(one.body), one.body)
            for one in letters
        ]  # fmt: skip
        return run(_ADD_DELIVERIES, _by_column(_COLUMNS, rows)).rowcount


def _by_column(columns: Mapping[str, _Arrays], rows: Sequence[Sequence[object]]) -> list[BinaryArray]:
    return [array(values) for array, values in zip(columns.values(), zip(*rows, strict=True), strict=True)]
