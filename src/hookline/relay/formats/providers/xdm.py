"""The platform's message-feedback dataset event, in the Experience Data Model (XDM).

The same event has two forms: with short names below ``_experience.customerJourneyManagement``, as in exported data
sets, and with full names, as in the published schemas (https://github.com/adobe/xdm,
``adobe/experience/customerJourneyManagement/``). A full name is a path and can occur at the top level of the event
or deeper. Both forms are first converted to short names, so that one shape reads both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats import platform_common as platform
from hookline.relay.formats.format import Description, ParsedEvent
from hookline.relay.formats.provider_event import as_object
from hookline.relay.formats.typed_fields import to_struct
from hookline.relay.payload_line import FEEDBACK, LineExecution, LineFeedback, RawIdentityMap

NAME = "xdm"
DESCRIPTION = Description(
    "email, sms",
    "an event of the platform's message feedback dataset, or a list of events",
    "`_experience.customerJourneyManagement`, or the full names of its fields",
)
STATUSES, OTHERS = platform.STATUSES, platform.OTHERS

_FULL = "https://ns.adobe.com/experience/customerJourneyManagement"
_ROOT = "customerJourneyManagement"
# The objects that are read. Others (offers, the context of a channel) are passed through or ignored.
_READ_OBJECTS = {
    "messageDeliveryfeedback",
    "messageExecution",
    "messageProfile",
    "messageFailure",
    "messageExclusion",
    "channel",
    "smsChannelContext",
}

_MAX_NAME_PARTS = 4  # messageProfile/channel/_id has three parts; an endless path would make an endless tree


_NO_CONTEXT: dict[str, Any] = {}


class _Channel(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")


class _Profile(msgspec.Struct, frozen=True):
    channel: _Channel
    request_id: str | None = msgspec.field(name="requestID", default=None)
    profile_id: Any = msgspec.field(name="messageProfileID", default=None)


class _Feedback(LineFeedback, frozen=True):
    status: str = msgspec.field(name="feedbackStatus")


class _Management(msgspec.Struct, frozen=True):
    feedback: _Feedback = msgspec.field(name="messageDeliveryfeedback")
    profile: _Profile = msgspec.field(name="messageProfile")
    execution: LineExecution | None = msgspec.field(name="messageExecution", default=None)
    sms: Any = msgspec.field(name="smsChannelContext", default=None)


class _Experience(msgspec.Struct, frozen=True):
    management: _Management = msgspec.field(name=_ROOT)


class _XdmFields(msgspec.Struct, frozen=True):
    experience: _Experience = msgspec.field(name="_experience")
    id: str | None = msgspec.field(name="_id", default=None)
    timestamp: str | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)


class _XdmEvent(_XdmFields, frozen=True):
    identity_map: platform.IdentityMap | None = msgspec.field(name="identityMap", default=None)


_Present = msgspec.Raw | msgspec.UnsetType


class _ExportedEvent(_XdmFields, frozen=True):
    """The event as in exported data sets, with the fields that mark a line of another form."""

    identity_map: RawIdentityMap | None = msgspec.field(name="identityMap", default=None)
    payload_feedback: _Present = msgspec.field(name="messageDeliveryFeedback", default=msgspec.UNSET)
    payload_execution: _Present = msgspec.field(name="messageExecution", default=msgspec.UNSET)


_quick_decoder = msgspec.json.Decoder(_ExportedEvent)
# Names that a line in the exported form does not have. One expression that begins with a plain byte takes half the
# time of three searches.
_OTHER_SPELLINGS = re.compile(rb'"(?:xdm:|@id"|https://ns\.adobe\.com/experience/)')


def quick(data: bytes) -> Event | None:
    if data.find(b'"_experience"') < 0 or _OTHER_SPELLINGS.search(data):
        return None
    event = platform.decode_quickly(data, _quick_decoder)
    if event is None or event.event_type not in (None, FEEDBACK) or not platform.is_well_formed(event.identity_map):
        return None
    if event.payload_feedback is not msgspec.UNSET or event.payload_execution is not msgspec.UNSET:
        return None
    return _to_event(event, event.identity_map)


def recognizes(value: object) -> bool:
    event = as_object(value)
    experience = event.get("_experience")
    if isinstance(experience, dict) and (_ROOT in experience or _has_full_names(experience)):
        return True
    if event.get("eventType") == FEEDBACK or event.get("xdm:eventType") == FEEDBACK:
        return any(key in event for key in platform.DATASET_KEYS) or _has_full_names(event)
    return _has_full_names(event)


def _has_full_names(value: dict[str, Any]) -> bool:
    # Runs for every line of every provider. The first character excludes nearly all keys.
    for key in value:  # noqa: SIM110 - a generator takes longer than its loop
        if key[:1] == "h" and key.startswith(_FULL):
            return True
    return False


def events(value: object, mapping: FieldMapping) -> Iterable[ParsedEvent]:
    return [platform.completed(_event(value), value, mapping)]


def _event(value: object) -> ParsedEvent:
    plain = _with_short_names(value) if isinstance(value, dict) else value
    if platform.has_other_type(plain, "eventType"):
        return Skipped("not_an_event")
    event = to_struct(plain, _XdmEvent)
    if isinstance(event, Rejected):
        return event
    assert isinstance(plain, dict)
    return _to_event(event, plain.get("identityMap"))


def _to_event(event: _XdmFields, identity_map: dict[str, Any] | None) -> Event:
    management = event.experience.management
    execution, feedback = management.execution or platform.NO_EXECUTION, management.feedback
    profile = management.profile
    sms: dict[str, Any] = management.sms if isinstance(management.sms, dict) else _NO_CONTEXT
    status, failure = platform.status_and_failure(feedback.status, feedback.failure)
    return Event(
        identity=f"xdm:{event.id}" if event.id else None,
        request_id=profile.request_id,
        channel=profile.channel.id.rpartition("/")[2],
        status=status,
        execution_id=execution.execution_id,
        message_type=execution.message_type,
        campaign_id=execution.campaign_id,
        campaign_version_id=execution.campaign_version_id,
        campaign_type=plain_text(execution.campaign_type),
        journey_version_id=execution.journey_version_id or None,
        offers=feedback.offers,
        exclusion=feedback.exclusion,
        failure=failure,
        retry_count=feedback.retry_count,
        identity_map=identity_map,
        time=event.timestamp,
        further=platform.event_details(
            execution,
            feedback,
            profile_id=profile.profile_id,
            profile_address=sms.get("profileAddress"),
            profile_number=sms.get("profileNumber"),
        ),
    )


def _with_short_names(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the event with short names only, and with its feedback in the place of exported data sets."""
    management: dict[str, Any] = {}
    plain: dict[str, Any] = {"_experience": {_ROOT: management}}
    for key, item in value.items():
        if key.startswith(_FULL):
            _copy_fields({key: item}, management, ())
        elif key == "_experience" and isinstance(item, dict):
            for name, part in item.items():
                if name == _ROOT and not isinstance(part, dict):
                    plain["_experience"] = {_ROOT: part}
                elif name == _ROOT:
                    _copy_fields(part, management, ())
                elif name.startswith(_FULL):
                    _copy_fields({name: part}, management, ())
        elif key == "@id":
            plain["_id"] = item
        elif key == "xdm:identityMap":
            plain["identityMap"] = _plain_identities(item)
        else:
            plain[key.removeprefix("xdm:")] = item
    return plain


def _copy_fields(node: dict[str, Any], into: dict[str, Any], place: tuple[str, ...]) -> None:
    """Copies the fields of `node` to `into`. Both are at `place`, a path below customerJourneyManagement."""
    for key, item in node.items():
        if key.startswith(_FULL):
            _copy_full_name(_relative_path(key, place), item, into, place)
        elif key in _READ_OBJECTS and isinstance(item, dict):
            _copy_fields(item, _inner_object(into, key), (*place, key))
        else:
            into["_id" if key == "@id" else key] = item


def _copy_full_name(names: tuple[str, ...], item: object, into: dict[str, Any], place: tuple[str, ...]) -> None:
    for above in names[:-1]:
        into = _inner_object(into, above)
    if names and not (names[-1] in _READ_OBJECTS and isinstance(item, dict)):
        into[names[-1]] = item
    elif isinstance(item, dict):
        # Without a name, the full name denotes customerJourneyManagement itself.
        _copy_fields(item, _inner_object(into, names[-1]) if names else into, place + names)


def _relative_path(key: str, place: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the place of a full name, relative to `place`.

    Older schemas have ``…/messageDeliveryfeedback/code`` inside messageFailure. If a name does not continue its
    place, only its last part counts.
    """
    path = tuple(part for part in key[len(_FULL) :].split("/") if part)
    if path[: len(place)] == place and len(path) <= _MAX_NAME_PARTS:
        return path[len(place) :]
    return path[-1:]


def _inner_object(node: dict[str, Any], name: str) -> dict[str, Any]:
    inner = node.get(name)
    if not isinstance(inner, dict):
        inner = node[name] = {}
    return inner


def _plain_identities(identity_map: object) -> object:
    if not isinstance(identity_map, dict):
        return identity_map
    return {namespace: _plain_entries(entries) for namespace, entries in identity_map.items()}


def _plain_entries(entries: object) -> object:
    if not isinstance(entries, list):
        return entries
    return [
        {key.removeprefix("xdm:"): item for key, item in entry.items()} if isinstance(entry, dict) else entry
        for entry in entries
    ]
