"""Drain forecasts as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from hookline.cli.output.tables import duration_text
from hookline.observe.drain import DrainForecast


def drain_cell(one: DrainForecast | None) -> str:
    """The forecast of one webhook in a table: ``12 min``, ``12 min, 30 expire``, or the reason why it has none."""
    if one is None:
        return ""
    if one.seconds is None:
        return "not known" if one.expiring is None else "none"
    expiring = f", {one.expiring:,} expire" if one.expiring else ""
    return f"{duration_text(one.seconds)}{expiring}"


def drain_sentence(one: DrainForecast) -> str:
    """The forecast as a part of a sentence, for example ``12 min; 30 pass maxAge before``."""
    return "; ".join(_parts(one))


def _parts(one: DrainForecast) -> Iterator[str]:
    if one.seconds is not None:
        yield duration_text(one.seconds)
    if one.expiring:
        yield f"{one.expiring:,} {'passes' if one.expiring == 1 else 'pass'} maxAge before"
    if one.waiting:
        yield f"no forecast for {one.waiting:,}: {one.reason}"


def drain_head(whole: DrainForecast) -> str:
    """The forecast of the whole spool."""
    assumed = ", if no new events come and endpoints answer as before" if whole.seconds is not None else ""
    parts = list(_parts(whole))
    return "; ".join([parts[0] + assumed, *parts[1:]])


def planned_drain_text(present: DrainForecast, planned: DrainForecast) -> str:
    """Both forecasts of a changed webhook: ``12 min; 30 pass maxAge before; with this change 3 min``."""
    before, after = drain_sentence(present), drain_sentence(planned)
    return before if before == after else f"{before}; with this change {after}"
