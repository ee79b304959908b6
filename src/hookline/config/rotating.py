"""The times of keys: each of them real and in order, and no time between them without a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from hookline.config import codes
from hookline.config.finding import Finding, Path, path_text, shown
from hookline.config.shape import list_at, mapping_at, text_at
from hookline.quantities import MOMENT_PATTERN, format_moment, parse_moment
from hookline.rotation import Period, gap

_EXAMPLE = "2026-11-01T00:00:00Z"


def check(document: Any) -> Iterator[Finding]:
    """Findings about `activate` and `retire` of every list of keys."""
    yield from _check_keys(document, ("authentication", "keys"))
    yield from _check_keys(document, ("signature", "keys"))


def _check_keys(document: Any, path: Path) -> Iterator[Finding]:
    findings: list[Finding] = []
    readable = True
    periods = []
    for index, _ in enumerate(list_at(document, *path)):
        times: dict[str, datetime | None] = {}
        for name in ("activate", "retire"):
            times[name] = None
            if name not in mapping_at(document, *path, index):
                continue
            at: Path = (*path, index, name)
            text = text_at(document, *at) or ""
            times[name] = moment = _moment(text)
            readable = readable and moment is not None
            if moment is None and re.fullmatch(MOMENT_PATTERN, text):  # else the schema says what is wrong
                findings.append(_unreal(at, text))
        period = Period(times["activate"], times["retire"])
        if period.activate is not None and period.retire is not None and period.retire <= period.activate:
            findings.append(_out_of_order((*path, index, "retire"), period.activate))
        periods.append(period)
    yield from findings
    # What is wrong with one key says nothing about the whole.
    if readable and not findings and (without := gap(periods)) is not None:
        yield _gap(path, periods, *without)


def _moment(text: str) -> datetime | None:
    try:
        return parse_moment(text)
    except ValueError:
        return None


def _unreal(path: Path, text: str) -> Finding:
    summary = f"{path_text(path)}: {shown(text)} is no moment that a calendar has"
    return Finding(code=codes.WRONG_FORM, path=path, summary=summary, hint=f'write "{_EXAMPLE}"')


def _out_of_order(path: Path, activate: datetime) -> Finding:
    summary = f"{path_text(path)}: the key is active only from {format_moment(activate)} on, and retires before that"
    return Finding(code=codes.KEY_TIMES, path=path, summary=summary, hint="retire is later than activate")


def _gap(path: Path, periods: list[Period], begins: datetime, ends: datetime | None) -> Finding:
    last = next(index for index, period in enumerate(periods) if period.retire == begins)
    until = "on" if ends is None else f"to {format_moment(ends)}"
    summary = f"{path_text(path)}: no key is active from {format_moment(begins)} {until}"
    hint = "retire a key only after the next one is active, and leave the last one without retire"
    return Finding(code=codes.KEY_GAP, path=(*path, last, "retire"), summary=summary, hint=hint)
