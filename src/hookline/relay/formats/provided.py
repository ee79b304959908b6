"""What providers' events have in common: one recipient, a status in other words, and variables that came along."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hookline.model import Channel
from hookline.relay.fates import LONGEST_DETAIL, Rejected, Skipped
from hookline.relay.feedback import Event, Further, MessageFailure
from hookline.relay.formats.port import Reading
from hookline.relay.hints import LARGEST, RECIPIENT, Hints, carried

Scalar = str | int | float | None

_EXACT = 2**53  # beyond, a fraction may have lost digits
_NAMESPACES = {Channel.EMAIL: "email", Channel.SMS: "Phone"}


def provided(
    source: object,
    hints: Hints,
    *,
    identity: str | None,
    status: str,
    recipient: str | None,
    variables: object = None,
    channel: str = Channel.EMAIL,
    time: str | None = None,
    failure: MessageFailure | None = None,
    detail: str | None = None,
    retry_count: int | None = None,
    further: Further | None = None,
    execution_id: str | None = None,
    request_id: str | None = None,
    campaign_id: str | None = None,
) -> Reading:
    """An event of a provider. What its `variables` carry comes first, then the paths of `hints` into `source`, then
    what stands near it in the provider's own terms (`execution_id`, `request_id`, `campaign_id`).

    `identity` is prefixed by the format. `detail` is the provider's own wording.
    """
    said = {**hints.found(source), **carried(variables)} if hints.paths else carried(variables)
    recipient = recipient or said.get(RECIPIENT)
    if not recipient:
        return Rejected(
            "no recipient: the event does not say whose message it is of; --map recipient=PATH supplies it"
        )
    return Event(
        identity=identity,
        request_id=said.get("request_id") or request_id,
        organization=said.get("organization"),
        sandbox_name=said.get("sandbox_name"),
        sandbox_id=said.get("sandbox_id"),
        channel=channel,
        status=status,
        execution_id=said.get("execution_id") or execution_id,
        message_type=said.get("message_type"),
        campaign_id=said.get("campaign_id") or campaign_id,
        campaign_version_id=said.get("campaign_version_id"),
        campaign_type=said.get("campaign_type"),
        failure=failure,
        retry_count=retry_count,
        identity_map={_NAMESPACES.get(channel, channel): [{"id": recipient, "primary": True}]},  # type: ignore[call-overload]
        time=time,
        further=further,
        detail=detail[:LONGEST_DETAIL] if detail else None,
    )


def unless_skipped(fault: Rejected, told: object, statuses: Mapping[str, str]) -> Rejected | Skipped:
    """What becomes of a line with a fault, whose status the sender calls `told`: one that is not relayed needs no
    sound fields."""
    return Skipped("status_not_relayed", told) if isinstance(told, str) and told and told not in statuses else fault


def recipient_of(told: str | None, source: object, hints: Hints) -> str | None:
    """Whose message it is, by the event itself or else by `hints`: for an identity that it is a part of."""
    return told or (hints.found(source).get(RECIPIENT) if hints.paths else None)


def each(value: object) -> Iterator[Any]:
    """The events of a line: the items of a list, else the line itself. A Text is one, for `shaped` to refuse."""
    if isinstance(value, list) and value:
        yield from value
    else:
        yield value


def read_each(value: object, hints: Hints, read: Callable[[Any, Hints], Reading]) -> Iterable[Reading]:
    """What `read` makes of each of them: of the many of a list one by one."""
    if isinstance(value, list) and value:
        return (read(one, hints) for one in value)
    return [read(value, hints)]


def first(value: object) -> dict[str, Any] | None:
    """The object by which a line is recognized: itself, or the first of its list."""
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else None


def text(value: Scalar) -> str | None:
    """A value that providers write as text or as a number, as text; None for nothing."""
    if value is None or isinstance(value, str):
        return value or None
    if not abs(value) < (_EXACT if isinstance(value, float) else LARGEST):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def count(value: Scalar) -> int | None:
    """A small number, also as text; None for what is none."""
    written = text(value)
    return int(written) if written is not None and written.isdecimal() and len(written) < 10 else None


def mailbox(address: str | None) -> str | None:
    """The address of a mailbox, without the name that may stand before it (RFC 5322 §3.4)."""
    if address and address.endswith(">") and "<" in address:
        return address[address.rindex("<") + 1 : -1] or None
    return address or None
