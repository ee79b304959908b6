"""Dead letters from `hookline dead export`, to be delivered to their webhooks under their own ids.

A rejected line is read as the original line. If one of its events was rejected, only that event is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hookline.relay.delivery_record import DeadDelivery, DeadLine, Delivery, Line, Rejected, execution_id_of
from hookline.relay.field_mapping import FieldMapping
from hookline.relay.formats.dead_letter_json import KIND, is_dead_letter, parse_dead_letter
from hookline.relay.formats.format import Description, LineText, ParsedEvent

NAME = KIND
DESCRIPTION = Description(
    "email, sms",
    "a dead letter from `hookline dead export`; keeps its id and its webhook",
    "nothing: only `--format dead-letter` and `hookline dead import` read it",
)
STATUSES: Mapping[str, str] = {}
OTHERS: tuple[str, ...] = ()


recognizes = is_dead_letter


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:  # noqa: ARG001 - a dead letter is complete
    if isinstance(value, LineText):
        return [Rejected(value.fault)]
    letter = parse_dead_letter(value)
    match letter:
        case DeadLine():
            return [Rejected("a rejected line that contains another rejected line")]
        case Rejected():
            return [letter]
        case DeadDelivery():
            # Like an operator's replay, it is exempt from the order within its message.
            return [
                Delivery(
                    id=letter.id,
                    address=letter.webhook,
                    order_key=None,
                    body=letter.body,
                    request_id=letter.request_id,
                    channel=letter.channel,
                    status=letter.status,
                    time=letter.event_time,
                    detail=letter.detail,
                    execution_id=execution_id_of(letter.body),
                )
            ]


def line_within(value: object) -> tuple[Line, int] | None:
    """Returns a dead letter's rejected line and the index of its event (or WHOLE_LINE), or None if it has no line."""
    letter = parse_dead_letter(value) if is_dead_letter(value) else None
    if not isinstance(letter, DeadLine):
        return None
    whole = letter.length == len(letter.data)
    return Line(letter.line, letter.data, letter.length, None if whole else letter.sha256), letter.part
