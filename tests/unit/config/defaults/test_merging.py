"""Defaults and webhooks merge key by key, and the nearest value wins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.config.defaults.merging import is_mentioned, merge, units, without_units
from hookline.config.document_access import DocumentPath
from hookline.config.schema.webhook_schemas import DEFAULTABLE_KEYS, MERGED_SECTIONS
from hookline.schemas import load_schema

RETRY = {"retry": {"maxDelay": "5s"}}
ROOT = {
    "owner": "a",
    "headers": {"X-Team": "a", "X-Env": "a"},
    "delivery": {"timeout": "1s", "retry": {"maxAge": "1h"}},
}


@pytest.mark.parametrize(("own", "expected"), [
    ({}, ROOT),
    ({"owner": "b"}, {**ROOT, "owner": "b"}),
    ({"owner": None}, {"headers": ROOT["headers"], "delivery": ROOT["delivery"]}),
    ({"headers": {"x-team": "b"}}, {**ROOT, "headers": {"X-Env": "a", "x-team": "b"}}),
    ({"headers": {"X-ENV": None, "X-New": "b"}}, {**ROOT, "headers": {"X-Team": "a", "X-New": "b"}}),
    ({"headers": None}, {"owner": "a", "delivery": ROOT["delivery"]}),
    ({"delivery": RETRY}, {**ROOT, "delivery": {"timeout": "1s", **RETRY}}),
    ({"delivery": {"Timeout": "9s"}}, {**ROOT, "delivery": {**ROOT["delivery"], "Timeout": "9s"}}),  # type: ignore[dict-item]
    ({"headers": "text"}, {**ROOT, "headers": "text"}),
    ({"query": None, "events": None}, {**ROOT, "query": None, "events": None}),  # nothing to remove: an error
    ({"headers": {"X-Other": None}}, {**ROOT, "headers": {**ROOT["headers"], "X-Other": None}}),  # type: ignore[dict-item]
])  # fmt: skip
def test_the_nearest_value_wins(own: dict[str, Any], expected: dict[str, Any]) -> None:
    """Three sections merge one level deeper, names of headers ignore case, and a null removes a value."""
    assert expected == merge(ROOT, own)


NAMES = st.sampled_from(["X-A", "x-a", "X-B"])
VALUES = st.none() | st.sampled_from(["1", "2"])
SECTIONS = st.none() | st.dictionaries(NAMES, VALUES, min_size=1, max_size=3).filter(
    lambda names: len({name.lower() for name in names}) == len(names)
)
DOCUMENTS = st.fixed_dictionaries({}, optional={
    "owner": st.none() | st.text(max_size=2), "campaigns": st.just("all"), "headers": SECTIONS, "query": SECTIONS,
})  # fmt: skip


def one_by_one(above: dict[str, Any], own: dict[str, Any]) -> dict[DocumentPath, Any]:
    """The merged units by the plain rule: every unit of `own`, and each of `above` that it does not decide on."""
    mine = {name: value for name, _, value in units(own)}
    kept = {name: value for name, path, value in units(above) if not is_mentioned(own, path) and name[:1] not in mine}
    removed = {name for name, value in mine.items() if value is None}
    known = {name for name, _, _ in units(above)} | {name[:1] for name, _, _ in units(above)}
    return {**kept, **{name: value for name, value in mine.items() if not (name in removed and name in known)}}


@given(DOCUMENTS, DOCUMENTS)
def test_merging_is_the_rule_for_each_unit(above: dict[str, Any], own: dict[str, Any]) -> None:
    """Each unit of the result is one of the webhook, or one of the defaults that the webhook does not decide on."""
    above = {key: value for key, value in above.items() if value is not None}
    merged = {name: value for name, _, value in units(merge(above, own))}
    assert one_by_one(above, own) == merged


@given(DOCUMENTS, st.sets(st.sampled_from(["owner", "headers", "query", "campaigns"])))
def test_moving_a_value_between_files_changes_nothing(document: dict[str, Any], moved: set[str]) -> None:
    """A webhook is the same whether its keys are in its own file or in the defaults."""
    document = without_nulls(document)
    above = {key: value for key, value in document.items() if key in moved}
    own = {key: value for key, value in document.items() if key not in moved}
    assert document == merge(merge({}, above), own)
    assert document == merge(merge(above, {}), document)


def without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    """Header names are distinct, and nothing is removed."""
    kept = {key: value for key, value in document.items() if value is not None}
    for key in MERGED_SECTIONS:
        if key in kept:
            names = {name.lower(): (name, value) for name, value in kept[key].items() if value is not None}
            kept[key] = dict(names.values())
    return kept


def test_units_can_be_removed() -> None:
    """A unit is a key, or a key of a section, whichever way its name is written."""
    assert {"headers": {"X-Env": "a"}, "delivery": ROOT["delivery"]} == without_units(
        ROOT, {("owner",), ("headers", "x-team")}
    )


def test_the_keys_with_a_default_are_those_of_the_schema() -> None:
    """The schema of a defaults file has exactly the keys that can have a default."""
    assert DEFAULTABLE_KEYS == tuple(load_schema("defaults.v1")["properties"])
