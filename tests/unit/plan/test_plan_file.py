"""What is read back from a plan file, and everything that is refused there: a plan file is untrusted input."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hookline.canonical import digest
from hookline.errors import HooklineError, Stale, WrongUse
from hookline.plan.plan_file import read_plan
from hookline.plan.render_markdown import render_markdown
from hookline.plan.render_text import render_text
from hookline.schemas import load_schema

EVERYTHING = (Path(__file__).parents[2] / "cases/plan/everything-at-once/expected.json").read_text()
MOVES = (Path(__file__).parents[2] / "cases/plan/moves/expected.json").read_text()
VALIDATOR = Draft202012Validator(load_schema("plan.v1"))


def plan() -> Any:
    """A plan with a deletion, a blocked one, an update and a creation."""
    return json.loads(EVERYTHING)


def written(document: Any) -> bytes:
    return json.dumps(document).encode()


def sealed(document: Any) -> Any:
    """The document with a fingerprint that fits: as somebody forges it who has read the source."""
    keys = ("address", "action", "movedFrom", "beforeHash", "after")
    changes = sorted(document["changes"], key=lambda change: change["address"].split("/"))
    document["fingerprint"] = digest([{key: change[key] for key in keys} for change in changes])
    return document


def by_action(document: Any, action: str) -> Any:
    return next(change for change in document["changes"] if change["action"] == action)


def refusal(data: bytes) -> str:
    with pytest.raises(WrongUse) as refused:
        read_plan(data, "plan.json")
    assert refused.value.hint
    return refused.value.message


NOT_JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON at line 1, column 1"),
    "half a plan": (EVERYTHING.encode()[:700], "not JSON at line "),
    "two plans": (EVERYTHING.encode() * 2, "not JSON at line "),
    "UTF-16": (EVERYTHING.encode("utf-16"), "byte 0 is not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + EVERYTHING.encode(), "not JSON at line 1, column 1"),
    "bytes": (b"\x00\xff\xfe", "byte 1 is not UTF-8"),
    "50,000 open brackets": (b"[" * 50_000, "it is nested too deeply"),
    "50,000 brackets": (b"[" * 50_000 + b"]" * 50_000, "it is nested too deeply"),
    "100 brackets": (b"[" * 100 + b"]" * 100, "it is nested deeper than 60"),
    "NaN": (
        b'{"formatVersion": 1, "serial": NaN}',
        "not strict JSON: JSON is malformed: invalid character",
    ),
    "Infinity": (
        b'{"formatVersion": 1, "serial": -Infinity}',
        "not strict JSON: JSON is malformed: invalid character",
    ),
    "an overflow": (
        b'{"formatVersion": 1, "changes": [{"before": {"a": 1e999}}]}',
        "Number out of range - at `$.cha",
    ),
    "a large number": (b'{"serial": 9007199254740993}', "it has a number above 2**53 - 1, which some readers round"),
    "a number of 10,000 digits": (b'{"serial": ' + b"9" * 10_000 + b"}", "it has a number that is too long"),
    "a duplicate key": (b'{"serial": 1, "serial": 2}', 'the key "serial" occurs twice in one object'),
    "half a surrogate pair": (
        rb'{"formatVersion": 1, "lineage": "\ud800", "serial": 1}',
        "not strict JSON: JSON is mal",
    ),
    "half a pair as a key": (
        rb'{"formatVersion": 1, "\udc00": 1}',
        "not strict JSON: JSON is malformed: invalid utf-16",
    ),
    "a list": (b"[]", "it has no formatVersion 1"),
    "null": (b"null", "it has no formatVersion 1"),
    "true as version": (b'{"formatVersion": true}', "it has no formatVersion 1"),
    "version 0": (b'{"formatVersion": 0}', "it has no formatVersion 1"),
    "a webhook": (b'{"version": 1, "organization": "acme"}', "it has no formatVersion 1"),
}


@pytest.mark.parametrize("name", NOT_JSON)
def test_not_a_plan(name: str) -> None:
    """What is no JSON, or JSON that readers take differently, or no plan, is refused and says why."""
    data, why = NOT_JSON[name]
    assert refusal(data).startswith(f"the plan plan.json cannot be read: {why}")


def test_newer_format() -> None:
    """A plan of a newer format is refused by its version, whatever else is in it."""
    assert "the plan plan.json was made by a newer hookline (plan format 2; this one reads 1)" == refusal(
        b'{"formatVersion": 2, "steps": []}'
    )


Change = Callable[[Any], object]
WRONG: dict[str, tuple[Change, str]] = {
    "a missing key": (lambda p: p.pop("summary"), "Object missing required field `summary`"),
    "an unknown key": (lambda p: p.update(extra=1), "Object contains unknown field `extra`"),
    "changes as a mapping": (lambda p: p.update(changes={}), "Expected `array`, got `object` - at `$.changes`"),
    "a change that is text": (lambda p: p.update(changes=["x"]), "Expected `object`, got `str` - at `$.changes[0]`"),
    "an empty lineage": (lambda p: p.update(lineage=""), "Expected `str` of length >= 1 - at `$.lineage`"),
    "serial without lineage": (lambda p: p.update(lineage=None), "serial and lineage do not match"),
    "a negative serial": (lambda p: p.update(serial=-1), "Expected `int` >= 0 - at `$.serial`"),
    "a truth value for a serial": (lambda p: p.update(serial=True), "Expected `int`, got `bool` - at `$.serial`"),
    "a fingerprint of another form": (lambda p: p.update(fingerprint="sha256:00"), "- at `$.fingerprint`"),
    "a wrong sum": (lambda p: p["summary"].update(create=9), "summary does not match changes"),
    "a sum of text": (
        lambda p: p["summary"].update(unchanged="1"),
        "Expected `int`, got `str` - at `$.summary.unchanged`",
    ),
    "an unknown action": (
        lambda p: p["changes"][0].update(action="rename"),
        "Invalid enum value 'rename' - at `$.changes[0].action`",
    ),
    "an action that is a list": (lambda p: p["changes"][0].update(action=[]), "- at `$.changes[0].action`"),
    "a creation with a before": (
        lambda p: by_action(p, "create").update(before={}),
        "before does not match the action create",
    ),
    "a deletion with an after": (
        lambda p: by_action(p, "delete").update(after={}),
        "after does not match the action delete",
    ),
    "an update without source": (
        lambda p: by_action(p, "update").update(source=None),
        "source does not match the action update",
    ),
    "a source without line": (
        lambda p: by_action(p, "update").update(source={"file": "a"}),
        "missing required field `line` - at `$.changes[1].source`",
    ),
    "line 0": (
        lambda p: by_action(p, "update")["source"].update(line=0),
        "Expected `int` >= 1 - at `$.changes[1].source.line`",
    ),
    "a creation with a hash": (
        lambda p: by_action(p, "create").update(beforeHash="sha256:" + "0" * 64),
        "beforeHash does not match before",
    ),
    "an update without hash": (
        lambda p: by_action(p, "update").update(beforeHash=None),
        "beforeHash does not match before",
    ),
    "an address without sandbox": (lambda p: p["changes"][0].update(address="acme"), "is not ORGANIZATION/SANDBOX"),
    "an address that is a number": (
        lambda p: p["changes"][0].update(address=1),
        "Expected `str`, got `int` - at `$.changes[0].address`",
    ),
    "another webhook's document": (
        lambda p: by_action(p, "update")["after"].update(sandbox="else"),
        "after is not a webhook of",
    ),
    "a document of another version": (
        lambda p: by_action(p, "update")["after"].update(version=2),
        "after is not a webhook of",
    ),
    "a document with hardly anything": (
        lambda p: by_action(p, "update").update(after={"organization": "acme", "sandbox": "prod", "version": 1}),
        "after is not a webhook of",
    ),
    "an address twice": (lambda p: p["changes"].append(p["changes"][0]), "occurs twice"),
    "an update of nothing": (
        lambda p: by_action(p, "update").update(after=by_action(p, "update")["before"]),
        "changes no field",
    ),
    "fields of a creation": (
        lambda p: by_action(p, "create").update(fields=[{"path": "/a", "before": 1, "after": 2}]),
        "fields does not match the action",
    ),
    "a path that is no pointer": (
        lambda p: by_action(p, "update")["fields"][0].update(path="name"),
        "- at `$.changes[1].fields[0].path`",
    ),
    "a reason that is a list": (
        lambda p: p["changes"][0].update(blocked=[]),
        "Expected `str | null`, got `array` - at `$.changes[0].blocked`",
    ),
    "a negative count": (
        lambda p: p["changes"][0].update(pending=-1),
        "Expected `int` >= 0 - at `$.changes[0].pending`",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_in_one_place(name: str) -> None:
    """A plan that is wrong in one place is refused and says where, also when its fingerprint was made to fit."""
    change, why = WRONG[name]
    document = plan()
    change(document)
    assert why in refusal(written(document))


WRONG_MOVE: dict[str, tuple[Change, str]] = {
    "a move from nowhere": (
        lambda p: by_action(p, "move").update(movedFrom=None),
        "movedFrom does not match the act",
    ),
    "a creation that moves": (
        lambda p: by_action(p, "create").update(movedFrom="acme/x"),
        "movedFrom does not match the action create",
    ),
    "an organization alone": (lambda p: by_action(p, "move").update(movedFrom="acme"), "is not ORGANIZATION/SANDBOX"),
    "another webhook moves": (
        lambda p: by_action(p, "move").update(movedFrom="acme/x"),
        "before is not a webhook of changes[0].movedFrom",
    ),
    "a move of the address to itself": (
        lambda p: by_action(p, "move").update(
            movedFrom=by_action(p, "move")["address"], before=by_action(p, "move")["after"]
        ),
        "occurs twice",
    ),
    "a creation at the old address": (
        lambda p: p["changes"].append(
            {
                **by_action(p, "create"),
                "address": by_action(p, "move")["movedFrom"],
                "after": {**by_action(p, "create")["after"], "sandbox": by_action(p, "move")["before"]["sandbox"]},
            }
        ),
        "occurs twice",
    ),
    "a move without fields": (lambda p: by_action(p, "move").update(fields=[]), "fields does not match the action"),
    "moves that were not counted": (lambda p: p["summary"].update(move=0), "summary does not match changes"),
}


@pytest.mark.parametrize("name", WRONG_MOVE)
def test_wrong_move(name: str) -> None:
    """A move in a plan file has an earlier address with its webhook, which no other change touches."""
    change, why = WRONG_MOVE[name]
    document = json.loads(MOVES)
    change(document)
    assert why in refusal(written(document))


def test_edited_move() -> None:
    """The fingerprint covers the earlier address: a plan whose move comes from elsewhere was edited."""
    document = json.loads(MOVES)
    move = by_action(document, "move")
    move.update(movedFrom="acme/x", before={**move["before"], "sandbox": "x"})
    move["beforeHash"] = digest(move["before"])
    with pytest.raises(Stale, match="was edited after it was made"):
        read_plan(written(document), "plan.json")


def tampered(change: Change) -> str:
    document = plan()
    change(document)
    with pytest.raises(Stale) as refused:
        read_plan(written(document), "plan.json")
    return refused.value.message


@pytest.mark.parametrize(
    "change",
    [
        lambda p: by_action(p, "create")["after"].update(url="https://evil.example/"),
        lambda p: by_action(p, "update")["after"].update(name="Other"),
        lambda p: by_action(p, "update").update(beforeHash="sha256:" + "0" * 64),
        lambda p: p.update(fingerprint="sha256:" + "0" * 64),
        lambda p: (p["changes"].remove(by_action(p, "delete")), p["summary"].update(delete=1)),
    ],
    ids=["url", "name", "hash", "fingerprint", "a deletion left out"],
)
def test_edited_plan(change: Change) -> None:
    """A plan whose changes were edited does not fit its fingerprint any more, and both are named."""
    message = tampered(change)
    assert "nothing was applied: plan.json was edited after it was made" in message
    assert 2 == message.count("sha256:")


def test_edited_before() -> None:
    """What a plan shows as applied must be what it was made on, too."""
    message = tampered(lambda p: by_action(p, "delete")["before"].update(url="https://harmless.example/"))
    assert "before of acme/dev does not match beforeHash" in message


def test_fields_are_found_out_anew() -> None:
    """A plan file cannot make an update look like another one: fields are read from its documents."""
    document = plan()
    by_action(document, "update")["fields"] = [{"path": "/description", "before": "typo", "after": "corrected"}]
    (update,) = [change for change in read_plan(written(document), "p").changes if change.fields]
    assert ["/name"] == [field.path for field in update.fields]


def test_order_in_the_file_does_not_matter() -> None:
    """Changes in another order, and keys in another order, are the same plan."""
    document = plan()
    document["changes"].reverse()
    shuffled = json.dumps(document, sort_keys=True).encode()
    assert read_plan(EVERYTHING.encode(), "p") == read_plan(shuffled, "p")


def test_escapes_in_messages() -> None:
    """A plan file cannot put control characters on the terminal through a message."""
    document = plan()
    document["\x1b[2J"] = 1
    assert refusal(written(document)).isprintable()


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats()
    | st.text(max_size=3)
    | st.just("sha256:" + "0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [above]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*above, key))
    return found


@settings(max_examples=300)
@given(data=st.data())
def test_what_is_read_holds_to_the_schema(data: st.DataObject) -> None:
    """Whatever stands in one place of a forged plan: it is refused in our words, or it keeps to the schema."""
    document = plan()
    *way, last = data.draw(st.sampled_from([place for place in places(document) if place]))
    holder = document
    for key in way:
        holder = holder[key]
    value = data.draw(anything)
    if data.draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = value
    forged = copy.deepcopy(document)
    with suppress(KeyError, TypeError, AttributeError, ValueError):  # what cannot be sealed is read as it is
        sealed(forged)
    for each in (document, forged):
        with suppress(HooklineError):
            read_plan(written(each), "plan.json")
            assert [] == [error.message for error in VALIDATOR.iter_errors(each)]


@pytest.mark.parametrize("section", ["delivery", "headers", "authentication", "channels", "name"])
@pytest.mark.parametrize("value", [None, 3, "x", [], [[]], {"retry": 1}], ids=str)
def test_document_of_any_shape_is_shown(section: str, value: object) -> None:
    """Documents are shown before anybody knows whether they are webhooks: whatever their shape, that works."""
    document = plan()
    for change in document["changes"]:
        if change["after"] is not None:
            change["after"][section] = value
    read = read_plan(written(sealed(document)), "plan.json")
    assert len(render_text(read)) > 4
    assert section in render_markdown(read)
