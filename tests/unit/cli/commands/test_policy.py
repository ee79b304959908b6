"""`hookline policy test`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders import document, entry
from hookline.cli.main import main
from hookline.model import Address
from hookline.state.factory import open_state
from hookline.state.store import EMPTY

WEBHOOK = """\
version: 1
organization: acme
sandbox: {sandbox}
name: Feedback
channels: [email]
url: https://hooks.acme.example/{sandbox}
campaigns: all
"""
OWNER = """\
version: 1
rules:
  - {id: owner, message: name an owner, require: {required: [owner]}}
  - {id: labs, message: no SMS, when: {organization: labs}, require: {properties: {channels: {const: [email]}}}}
freeze:
  - {id: long, reason: the winter sale, from: '2020-01-01', to: '2900-01-01'}
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two webhook files, of which one names an owner, and one applied webhook without an owner."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "webhooks"
    folder.mkdir()
    (folder / "prod.yaml").write_text(WEBHOOK.replace("{sandbox}", "prod") + "owner: crm\n")
    (folder / "stage.yaml").write_text(WEBHOOK.replace("{sandbox}", "stage"))
    (tmp_path / "policy.yaml").write_text(OWNER)
    store = open_state(".hookline/state.db")
    store.commit(EMPTY, {Address("acme", "prod"): document("prod")}, entry())
    return tmp_path


def test_shows_what_would_violate_the_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """Webhooks of the files with their places, those of the state, rules about no webhook, and active windows."""
    assert 6 == main(["policy", "test", "policy.yaml"])
    assert (
        """\
Of 2 webhooks in the files, 1 would violate it.
! webhooks/stage.yaml:1:1: deny[HL090] owner: acme/stage: name an owner
    "owner" is a required property
Of 1 webhook in the state, 1 would violate it.
! deny[HL090] owner: acme/prod: name an owner
    "owner" is a required property
Rule labs is about no webhook: check its `when`.
The freeze window long includes the present time.
"""
        == capsys.readouterr().out
    )


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The same as JSON."""
    assert 6 == main(["policy", "test", "policy.yaml", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (["acme/stage"], ["acme/prod"]) == tuple(
        [one["address"] for one in found[where]] for where in ("files", "state")
    )
    assert (["labs"], ["long"]) == (found["unused"], found["frozen"])


def test_changes_nothing_and_succeeds(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy that every webhook satisfies gives 0. The state has no policy afterwards."""
    Path("policy.yaml").write_text(
        OWNER.replace("deny", "warn").replace("owner, require", "owner, level: warn, require")
    )
    assert 0 == main(["policy", "test", "policy.yaml"])
    assert "warn[HL090]" in capsys.readouterr().out
    assert open_state(".hookline/state.db").read().policy is None


def test_errors_have_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    """All errors of a policy file are shown, each with its line and a caret."""
    Path("policy.yaml").write_text(OWNER.replace("required:", "requird:").replace("2900-", "2000-"))
    assert 5 == main(["policy", "test", "policy.yaml"])
    shown = capsys.readouterr().err
    assert "policy.yaml:3:51: error[HL081]" in shown
    assert "did you mean required?" in shown
    assert "policy.yaml:6:5: error[HL086]: ends before it begins" in shown
    assert 2 == shown.count("^")


def test_without_a_state_or_valid_files(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A note says what could not be tried."""
    Path("webhooks/stage.yaml").write_text("version: 1\n")
    assert 0 == main(["policy", "test", "policy.yaml", "--state", "other.db"])
    shown = capsys.readouterr().err
    assert "nothing was applied yet" in shown
    assert "`hookline validate` shows them" in shown


@pytest.mark.parametrize("name", ["missing.yaml", "webhooks"])
def test_a_file_that_cannot_be_read(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file is wrong use; a directory is an error with its code."""
    assert (5 if name == "webhooks" else 64) == main(["policy", "test", name])
    assert name in capsys.readouterr().err
