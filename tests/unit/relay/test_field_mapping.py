"""Where an event's fields are found that its format does not know of."""

from __future__ import annotations

from typing import Any

import pytest

from hookline.relay.event import Event
from hookline.relay.field_mapping import FIELDS, FieldMapping, fields_in_variables, parse_mapping


def hints(*mappings: str) -> FieldMapping:
    return FieldMapping(paths=tuple(parse_mapping(mapping) for mapping in mappings))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("user-variables.campaign", "C-1"),
        ("/user-variables/campaign", "C-1"),
        ("tags.1", "second"),
        ("tags", "first"),
        ("/dotted.key", "D-1"),
        ("/slashed~1key/~0", "S-1"),
        ("number", "17"),
        ("truth", None),
        ("fraction", None),
        ("user-variables", None),
        ("tags.2", None),
        ("tags.x", None),
        ("nowhere.at.all", None),
        ("empty", None),
    ],
)
def test_path_leads_to_text(path: str, expected: str | None) -> None:
    """Dotted, or a JSON Pointer; lists by number; a whole number counts as its digits, anything else as nothing."""
    source = {
        "user-variables": {"campaign": "C-1"},
        "tags": ["first", "second"],
        "dotted.key": "D-1",
        "slashed/key": {"~": "S-1"},
        "number": 17,
        "truth": True,
        "fraction": 1.5,
        "empty": "",
    }
    assert expected == hints(f"campaign={path}").found(source).get("campaign_id")


def test_path_that_leads_nowhere_is_tried_around_the_event() -> None:
    """What an envelope says of its event is found by the same path; the event itself comes first."""
    within = hints("campaign=subject").within({"subject": "outer"})
    assert within.found({}) == {"campaign_id": "outer"}
    assert within.found({"subject": "inner"}) == {"campaign_id": "inner"}


def test_first_of_several_paths_wins() -> None:
    """The same field may be mapped several times: for several senders, or as a second best."""
    chosen = hints("campaign=a", "campaign=b")
    assert chosen.found({"b": "2"}) == {"campaign_id": "2"}
    assert chosen.found({"a": "1", "b": "2"}) == {"campaign_id": "1"}


def test_own_values_of_the_platforms_events_win() -> None:
    """A path only fills what is not there."""
    source = {"x": "mapped"}
    event = Event(campaign_id="own")
    assert Event(campaign_id="own", request_id="mapped") == hints("campaign=x", "requestId=x").completed(
        event, source
    )


@pytest.mark.parametrize("name", [*FIELDS, "imsOrg", "campaignID", "campaign_id", "messageExecutionID", "request-id"])
def test_fields_are_named_as_in_the_payload_too(name: str) -> None:
    """The option's own short names and the payload's names, in their usual spellings, mean the same."""
    field, path = parse_mapping(f"{name}=a.b")
    assert path == ("a", "b")
    assert field == "recipient" or hasattr(Event(), field)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("campaign", "does not have the form FIELD=PATH"),
        ("=a", "does not have the form FIELD=PATH"),
        ("campaign=", "does not have the form FIELD=PATH"),
        ("color=a", "'color' is not a field; the fields are: organization, sandbox"),
        ("campaign=a\udcff", "not valid UTF-8"),
    ],
)
def test_wrong_mapping_is_told(text: str, complaint: str) -> None:
    """The message says what the form is, or which fields there are."""
    with pytest.raises(ValueError, match=complaint):
        parse_mapping(text)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"imsOrg": "O", "sandboxName": "S"}, {"organization": "O", "sandbox_name": "S"}),
        ({"message_execution_id": "E", "request-id": "R"}, {"execution_id": "E", "request_id": "R"}),
        ({"campaignID": ["C", "D"]}, {"campaign_id": "C"}),
        ({"campaignID": "", "campaign_id": "C"}, {"campaign_id": "C"}),
        ({"campaign": "Spring", "organization": "Acme Ltd", "sandbox": "beach"}, {}),
        (["campaignID"], {}),
        (None, {}),
    ],
)
def test_events_carry_fields_under_the_payloads_names(variables: Any, expected: dict[str, str]) -> None:
    """Only under these: what a sender calls a campaign or an organization may be anything."""
    assert expected == fields_in_variables(variables)
