"""What a change costs: what becomes of the pending deliveries of its webhook."""

from __future__ import annotations

from typing import assert_never

from hookline.canonical import Document
from hookline.plan.plan import Action, Change, Plan


def pending_effect(change: Change) -> str | None:
    """A sentence about the pending deliveries, with their number if a spool was read; None if there is no effect.

    Without a number, only effects that may surprise are named. The documents of a plan from a file have any form.
    """
    number = change.pending
    match change.action:
        case Action.CREATE:
            return f"{_deliveries(number)} to this address {_are(number)} sent" if number else None
        case Action.DELETE:
            return None if number == 0 else f"{_deliveries(number)} {_become(number)}"
        case Action.UPDATE:
            return _effect_of_update(change, _enabled(change.before), _enabled(change.after))
        case Action.MOVE:
            return _effect_of_move(change)
        case _:
            assert_never(change.action)


def pending_summary(plan: Plan) -> str | None:
    """The number of pending deliveries that all deletions turn into dead letters; None if there is none."""
    number = sum(change.pending or 0 for change in plan.changes if change.action is Action.DELETE)
    return f"{_deliveries(number)} {_become(number)}." if number else None


def _effect_of_move(change: Change) -> str | None:
    number = change.pending
    if number == 0:
        return None
    follow = f"{_deliveries(number)} {'moves' if number == 1 else 'move'} to {change.address}"
    if not _enabled(change.after):
        return f"{follow} and {'remains' if number == 1 else 'remain'} in the spool until it is enabled"
    url = any(field.path == "/url" for field in change.fields)
    return f"{follow} and {_are(number)} sent {'to the new URL' if url else 'there'}"


def _effect_of_update(change: Change, was_enabled: bool, is_enabled: bool) -> str | None:
    number, paths = change.pending, {field.path for field in change.fields}
    some = number != 0
    if is_enabled and not was_enabled:
        return "sending starts" + (f": {_deliveries(number)} {_are(number)} sent" if some else "")
    if was_enabled and not is_enabled:
        held = f": {_deliveries(number)} {'remains' if number == 1 else 'remain'} in the spool until it is enabled"
        return "sending stops" + (held if some else "")
    if not is_enabled:
        return f"{_deliveries(number)} {'remains' if number == 1 else 'remain'} in the spool" if number else None
    older = ""
    if "/delivery/retry/maxAge" in paths and some:
        older = "; those older than the new maxAge become dead letters"
    if "/url" in paths and some:
        return f"{_deliveries(number)} {_are(number)} sent to the new URL{older}"
    return f"{_deliveries(number)} {_are(number)} sent with the new configuration{older}" if number or older else None


def _enabled(document: Document | None) -> bool:
    return (document or {}).get("enabled", True) is not False


def _deliveries(number: int | None) -> str:
    if number is None:
        return "pending deliveries, if there are any,"
    return f"{number:,} pending {'delivery' if number == 1 else 'deliveries'}"


def _are(number: int | None) -> str:
    return "is" if number == 1 else "are"


def _become(number: int | None) -> str:
    return "becomes a dead letter" if number == 1 else "become dead letters"
