"""The platform's message-feedback dataset event, in the Experience Data Model (XDM).

The same event has two forms: with short names below ``_experience.customerJourneyManagement``, as in exported data
sets, and with full names, as in the published schemas (https://github.com/adobe/xdm,
``adobe/experience/customerJourneyManagement/``). A full name is a path and can occur at the top level of the event
or deeper. Both forms are first converted to short names, so that one shape reads both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event, MessageFailure
from hookline.relay.field_mapping import FieldMapping, plain_text
from hookline.relay.formats.format import ParsedEvent
from hookline.relay.formats.platform_common import (
    DATASET_KEYS,
    FEEDBACK,
    OTHERS,
    STATUSES,
    IdentityMap,
    PlainIdentityMap,
    each_completed,
    event_details,
    is_of_another_type,
    plain_status,
    quickly,
    well_formed,
)
from hookline.relay.formats.provider_event import first
from hookline.relay.formats.typed_fields import shaped

NAME = "xdm"

__all__ = ["NAME", "OTHERS", "STATUSES", "events", "quick", "recognizes"]

_FULL = "https://ns.adobe.com/experience/customerJourneyManagement"
_ROOT = "customerJourneyManagement"
# The objects that are read. Others (offers, the context of a channel) are passed through or ignored.
_OPENED = {
    "messageDeliveryfeedback",
    "messageExecution",
    "messageProfile",
    "messageFailure",
    "messageExclusion",
    "channel",
    "smsChannelContext",
}

_DEEPEST = 4  # messageProfile/channel/_id has three parts; an endless path would make an endless tree


class _Channel(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")


class _Profile(msgspec.Struct, frozen=True):
    channel: _Channel
    request_id: str | None = msgspec.field(name="requestID", default=None)
    profile_id: Any = msgspec.field(name="messageProfileID", default=None)


class _Execution(msgspec.Struct, frozen=True):
    execution_id: str | None = msgspec.field(name="messageExecutionID", default=None)
    message_type: str | None = msgspec.field(name="messageType", default=None)
    campaign_id: str | None = msgspec.field(name="campaignID", default=None)
    campaign_version_id: str | None = msgspec.field(name="campaignVersionID", default=None)
    journey_version_id: str | None = msgspec.field(name="journeyVersionID", default=None)
    campaign_type: Any = msgspec.field(name="campaignType", default=None)
    message_id: Any = msgspec.field(name="messageID", default=None)


class _Feedback(msgspec.Struct, frozen=True):
    status: str = msgspec.field(name="feedbackStatus")
    failure: MessageFailure | None = msgspec.field(name="messageFailure", default=None)
    exclusion: dict[str, Any] | None = msgspec.field(name="messageExclusion", default=None)
    retry_count: int | None = msgspec.field(name="retryCount", default=None)
    offers: Any = None
    encoding: Any = None
    message_parts: Any = msgspec.field(name="numberOfMessageParts", default=None)
    delivered_at: Any = msgspec.field(name="deliveryTimestamp", default=None)


class _Management(msgspec.Struct, frozen=True):
    feedback: _Feedback = msgspec.field(name="messageDeliveryfeedback")
    profile: _Profile = msgspec.field(name="messageProfile")
    execution: _Execution | None = msgspec.field(name="messageExecution", default=None)
    sms: Any = msgspec.field(name="smsChannelContext", default=None)


class _Experience(msgspec.Struct, frozen=True):
    management: _Management = msgspec.field(name=_ROOT)


class _XdmEvent(msgspec.Struct, frozen=True):
    experience: _Experience = msgspec.field(name="_experience")
    id: str | None = msgspec.field(name="_id", default=None)
    timestamp: str | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)
    identity_map: IdentityMap | None = msgspec.field(name="identityMap", default=None)


_Any = msgspec.Raw | msgspec.UnsetType


class _Exported(msgspec.Struct, frozen=True):
    """The event as in exported data sets. It also declares the fields that mark a line of another form, to detect
    them.
    """

    experience: _Experience = msgspec.field(name="_experience")
    id: str | None = msgspec.field(name="_id", default=None)
    timestamp: str | None = None
    event_type: str | None = msgspec.field(name="eventType", default=None)
    identity_map: PlainIdentityMap | None = msgspec.field(name="identityMap", default=None)
    payload_feedback: _Any = msgspec.field(name="messageDeliveryFeedback", default=msgspec.UNSET)
    payload_execution: _Any = msgspec.field(name="messageExecution", default=msgspec.UNSET)


_NO_EXECUTION = _Execution()
_exported = msgspec.json.Decoder(_Exported)
# Names that a line in the exported form does not have.
_OTHER_SPELLINGS = (b"ns.adobe.com/experience/", b'"xdm:', b'"@id"')


def quick(data: bytes) -> Event | None:
    if b'"_experience"' not in data:
        return None
    for other in _OTHER_SPELLINGS:
        if other in data:
            return None
    read = quickly(data, _exported)
    if read is None or read.event_type not in (None, FEEDBACK) or not well_formed(read.identity_map):
        return None
    if read.payload_feedback is not msgspec.UNSET or read.payload_execution is not msgspec.UNSET:
        return None
    return _said(read, read.identity_map)


def recognizes(value: object) -> bool:
    event = first(value)
    if event is None:
        return False
    experience = event.get("_experience")
    if isinstance(experience, dict) and (_ROOT in experience or _has_full_names(experience)):
        return True
    if event.get("eventType") == FEEDBACK or event.get("xdm:eventType") == FEEDBACK:
        return any(key in event for key in DATASET_KEYS) or _has_full_names(event)
    return _has_full_names(event)


def _has_full_names(value: dict[str, Any]) -> bool:
    # Runs for every line of every provider. The first character excludes nearly all keys.
    for key in value:  # noqa: SIM110 - a generator takes longer than its loop
        if key[:1] == "h" and key.startswith(_FULL):
            return True
    return False


def events(value: object, hints: FieldMapping) -> Iterable[ParsedEvent]:
    return each_completed(value, hints, _event)


def _event(value: object) -> ParsedEvent:
    bare = _bare(value) if isinstance(value, dict) else value
    if is_of_another_type(bare, "eventType"):
        return Skipped("not_an_event")
    read = shaped(bare, _XdmEvent)
    if isinstance(read, Rejected):
        return read
    assert isinstance(bare, dict)
    return _said(read, bare.get("identityMap"))


def _said(read: _XdmEvent | _Exported, identity_map: dict[str, Any] | None) -> Event:
    management = read.experience.management
    execution = management.execution or _NO_EXECUTION
    status, failure = plain_status(management.feedback.status, management.feedback.failure)
    return Event(
        identity=f"xdm:{read.id}" if read.id else None,
        request_id=management.profile.request_id,
        channel=management.profile.channel.id.rpartition("/")[2],
        status=status,
        execution_id=execution.execution_id,
        message_type=execution.message_type,
        campaign_id=execution.campaign_id,
        campaign_version_id=execution.campaign_version_id,
        campaign_type=plain_text(execution.campaign_type),
        journey_version_id=execution.journey_version_id,
        offers=management.feedback.offers,
        exclusion=management.feedback.exclusion,
        failure=failure,
        retry_count=management.feedback.retry_count,
        identity_map=identity_map,
        time=read.timestamp,
        further=event_details(
            message_id=execution.message_id,
            profile_id=management.profile.profile_id,
            profile_number=management.sms.get("profileNumber") if isinstance(management.sms, dict) else None,
            encoding=management.feedback.encoding,
            message_parts=management.feedback.message_parts,
            delivered_at=management.feedback.delivered_at,
        ),
    )


def _bare(value: dict[str, Any]) -> dict[str, Any]:
    """Returns the event with short names only, and with its feedback in the place of exported data sets."""
    management: dict[str, Any] = {}
    bare: dict[str, Any] = {"_experience": {_ROOT: management}}
    for key, item in value.items():
        if key.startswith(_FULL):
            _collect({key: item}, management, ())
        elif key == "_experience" and isinstance(item, dict):
            for name, part in item.items():
                if name == _ROOT and not isinstance(part, dict):
                    bare["_experience"] = {_ROOT: part}
                elif name == _ROOT:
                    _collect(part, management, ())
                elif name.startswith(_FULL):
                    _collect({name: part}, management, ())
        elif key == "@id":
            bare["_id"] = item
        elif key == "xdm:identityMap":
            bare["identityMap"] = _bare_identities(item)
        else:
            bare[key.removeprefix("xdm:")] = item
    return bare


def _collect(node: dict[str, Any], into: dict[str, Any], place: tuple[str, ...]) -> None:
    """Copies the fields of `node` to `into`. Both are at `place`, a path below customerJourneyManagement."""
    for key, item in node.items():
        if key.startswith(_FULL):
            _collect_full(_names(key, place), item, into, place)
        elif key in _OPENED and isinstance(item, dict):
            _collect(item, _opened(into, key), (*place, key))
        else:
            into["_id" if key == "@id" else key] = item


def _collect_full(names: tuple[str, ...], item: object, into: dict[str, Any], place: tuple[str, ...]) -> None:
    for above in names[:-1]:
        into = _opened(into, above)
    if names and not (names[-1] in _OPENED and isinstance(item, dict)):
        into[names[-1]] = item
    elif isinstance(item, dict):
        # Without a name, the full name denotes customerJourneyManagement itself.
        _collect(item, _opened(into, names[-1]) if names else into, place + names)


def _names(key: str, place: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the place of a full name, relative to `place`.

    Older schemas have ``…/messageDeliveryfeedback/code`` inside messageFailure. If a name does not continue its
    place, only its last part counts.
    """
    path = tuple(part for part in key[len(_FULL) :].split("/") if part)
    if path[: len(place)] == place and len(path) <= _DEEPEST:
        return path[len(place) :]
    return path[-1:]


def _opened(node: dict[str, Any], name: str) -> dict[str, Any]:
    inner = node.get(name)
    if not isinstance(inner, dict):
        inner = node[name] = {}
    return inner


def _bare_identities(identity_map: object) -> object:
    if not isinstance(identity_map, dict):
        return identity_map
    return {namespace: _bare_entries(entries) for namespace, entries in identity_map.items()}


def _bare_entries(entries: object) -> object:
    if not isinstance(entries, list):
        return entries
    return [
        {key.removeprefix("xdm:"): item for key, item in entry.items()} if isinstance(entry, dict) else entry
        for entry in entries
    ]
