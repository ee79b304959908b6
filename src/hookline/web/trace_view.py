"""The events of one API request or message execution: where each was read, its attempts and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hookline.observe.snapshot import SpoolProcesses
from hookline.observe.status import moment
from hookline.relay.spool.admin import Trace
from hookline.relay.spool.spool_values import State
from hookline.relay.tracing.trace_steps import RESULT_NAMES, trace_steps
from hookline.relay.tracing.waiting_reason import why_waiting_anywhere

_TONES = {State.PENDING: "warning", State.DELIVERED: "good", State.DEAD: "bad", State.DISCARDED: "quiet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedEvent:
    identity: str
    webhook: str
    channel: str
    status: str
    request_id: str
    result: str
    tone: str
    is_dead: bool
    steps: Sequence[tuple[str, str]]
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedText:
    """A rejected line."""

    identity: str
    at: str
    source: str
    reason: str
    replayed: bool
    body: str | None


def traced_events(
    found: Trace, processes: SpoolProcesses, *, now: float, mask: Callable[[str], str], with_body: bool
) -> list[TracedEvent]:
    return [
        TracedEvent(
            identity=one.id,
            webhook=one.webhook,
            channel=one.channel,
            status=one.status,
            request_id=one.request_id,
            result=RESULT_NAMES[one.state],
            tone=_TONES[one.state],
            is_dead=one.state is State.DEAD,
            steps=tuple(trace_steps(one, why_waiting_anywhere(one, processes, now=now), mask=mask)),
            body=_shown(one.body) if with_body else None,
        )
        for one in found.deliveries
    ]


def traced_lines(found: Trace, *, mask: Callable[[str], str], with_body: bool) -> list[TracedText]:
    return [
        TracedText(
            identity=one.id,
            at=moment(one.at) or "",
            source=f"{one.source}:{one.line}",
            reason=mask(one.reason),
            replayed=one.replayed,
            body=_shown(one.data) if with_body else None,
        )
        for one in found.lines
    ]


def _shown(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "backslashreplace")
