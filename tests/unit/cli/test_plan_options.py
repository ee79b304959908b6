"""Loading for plan: it reads each file once, and their order does not affect the plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.cli.output.plan_output import plan_as_json, plan_as_text
from hookline.cli.plan_options import load_desired, require_desired
from hookline.config import discovery
from hookline.config.loader import inspect
from hookline.escaping import is_invisible
from hookline.model import Address
from hookline.plan.deletion_guard import DeletionLimits
from hookline.plan.plan import Plan
from hookline.plan.planner import make_plan
from hookline.plan.render_markdown import render_markdown
from hookline.state.store import EMPTY, Snapshot, Stored

_visible = st.characters(codec="utf-8", exclude_categories=["C", "Z"]).filter(lambda one: not is_invisible(one))
names = st.text(_visible, min_size=1, max_size=8)
fields = st.fixed_dictionaries(
    {
        "name": names,
        "channels": st.sampled_from([["email"], ["email", "sms"], ["sms", "email"]]),
        "campaigns": st.just("all") | st.lists(st.sampled_from("abc"), min_size=1, unique=True),
    },
    optional={
        "headers": st.dictionaries(st.sampled_from(["X-A", "x-b", "X-c"]), st.sampled_from(["one", "2"]), min_size=1),
        "events": st.permutations(["sent", "delivered", "bounce", "error"]),
        "delivery": st.fixed_dictionaries({}, optional={"timeout": st.just("60s"), "ordering": st.just("none")}),
        "description": names,
        "enabled": st.booleans(),
    },
)
webhooks = st.dictionaries(st.sampled_from([f"s{number}" for number in range(8)]), fields, min_size=1)


def documents(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    common = {"version": 1, "organization": "acme", "url": "https://hooks.acme.example/"}
    return [{**common, "sandbox": sandbox, **each} for sandbox, each in found.items()]


def shuffled(document: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The same document with its keys in another order, on every level."""
    keys = data.draw(st.permutations(list(document)))
    return {key: shuffled(document[key], data) if isinstance(document[key], dict) else document[key] for key in keys}


def write_files(texts: dict[str, list[dict[str, Any]]]) -> None:
    """Create files with one document per line, in the given order."""
    shutil.rmtree("webhooks", ignore_errors=True)
    for name, held in texts.items():
        path = Path("webhooks", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"---\n{json.dumps(document, ensure_ascii=False)}\n" for document in held))


def plan_of(prior: Snapshot) -> Plan:
    inspection = inspect(Path("webhooks"))
    assert () == inspection.diagnostics
    return make_plan(prior, inspection.desired, DeletionLimits())


def applied(plan: Plan) -> Snapshot:
    return Snapshot("L", 1, {each.address: Stored.of(each.after) for each in plan.changes if each.after is not None})


@settings(max_examples=40)
@given(prior=webhooks, wanted=webhooks, data=st.data())
def test_shuffled_files_and_keys(
    prior: dict[str, Any], wanted: dict[str, Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The order of creation and the order of keys change no byte of the plan in any form."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("order"))
        write_files({f"{each['sandbox']}.yaml": [each] for each in documents(prior)})
        stored = applied(plan_of(EMPTY))
        texts = {f"{each['sandbox'][-1]}/{each['sandbox']}.yml": [each] for each in documents(wanted)}
        write_files(texts)
        plan = plan_of(stored)
        other = data.draw(st.permutations(list(texts.items())))
        write_files({name: [shuffled(document, data) for document in held] for name, held in other})
        again = plan_of(Snapshot("L", 1, dict(reversed(list(stored.webhooks.items())))))
        for render in (plan_as_json, plan_as_text, render_markdown):
            assert render(plan) == render(again)


@settings(max_examples=40)
@given(wanted=webhooks, data=st.data())
def test_documents_moved_between_files(
    wanted: dict[str, Any], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Documents in another order and in other files change only the locations in the plan."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("moved"))
        write_files({"all.yaml": documents(wanted)})
        plan = plan_of(EMPTY)
        moved: dict[str, list[dict[str, Any]]] = {}
        for each in data.draw(st.permutations(documents(wanted))):
            moved.setdefault(data.draw(st.sampled_from(["a.yaml", "b/c.yml"])), []).append(each)
        write_files(moved)
        again = plan_of(EMPTY)
        assert plan.fingerprint == again.fingerprint
        assert without_places(plan) == without_places(again)


def without_places(plan: Plan) -> str:
    document = json.loads(plan_as_json(plan))
    for change in document["changes"]:
        del change["source"]
    return json.dumps(document)


def test_files_are_read_once_for_many_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is read once, for any number of targets."""
    monkeypatch.chdir(tmp_path)
    every = documents({f"s{number}": {"name": "a", "channels": ["email"], "campaigns": "all"} for number in range(6)})
    write_files({f"{each['sandbox']}.yaml": [each] for each in every})
    read: list[discovery.FilePath] = []

    def counting(found: discovery.FilePath) -> Any:
        read.append(found)
        return discovery.read_file(found)

    monkeypatch.setattr("hookline.config.loader.read_file", counting)
    targets = tuple(Address("acme", f"s{number}") for number in (4, 2, 0))
    desired = load_desired(Path("webhooks"), (), targets)
    assert (6, True) == (len(read), desired.narrowed)
    assert tuple(reversed(targets)) == tuple(desired.webhooks)


def test_empty_directory_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If webhooks are stored, a missing or empty configuration directory causes a warning beside their deletion."""
    monkeypatch.chdir(tmp_path)
    config, stored = Path("webhooks"), Snapshot("L", 1, {Address("acme", "prod"): Stored.of({})})
    require_desired(config, load_desired(config, (), ()), stored)
    assert "warning: the configuration directory webhooks does not exist\n" == capsys.readouterr().err
    config.mkdir()
    require_desired(config, load_desired(config, (), ()), stored)
    assert "warning: the configuration directory webhooks contains no webhook\n" == capsys.readouterr().err
