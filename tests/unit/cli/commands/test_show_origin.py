"""The origin of each value: `plan`, `plan --verbose` and `show --origin`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hookline.cli.main import main

DEFAULTS = "channels: [email]\ncampaigns: all\ndelivery:\n  timeout: 20s\n  retry: {maxAge: 24h}\n"
WEBHOOK = (
    "version: 1\norganization: ACME@Org\nsandbox: prod\nname: Feedback\nurl: https://hooks.acme.example/feedback\n"
    "headers: {X-Team: crm}\n"
)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks" / "acme").mkdir(parents=True)
    (tmp_path / "webhooks" / "_defaults.yaml").write_text(DEFAULTS)
    (tmp_path / "webhooks" / "acme" / "prod.yaml").write_text(WEBHOOK)
    return tmp_path / "webhooks"


def output(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert 0 == main(list(arguments))
    return capsys.readouterr().out


def test_a_plan_names_the_defaults_file(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value from a defaults file has its place; with --verbose every value has one, in text and in Markdown."""
    text = output(capsys, "plan")
    assert '/channels: ["email"]  (webhooks/_defaults.yaml:1)\n' in text
    assert '/delivery/retry/maxAge: "24h"  (webhooks/_defaults.yaml:5)\n' in text
    assert '/headers/x-team: "crm"\n' in text
    verbose = output(capsys, "plan", "--verbose")
    assert '/headers/x-team: "crm"  (webhooks/acme/prod.yaml:6)\n' in verbose
    assert '/name: "Feedback"  (webhooks/acme/prod.yaml:4)\n' in verbose
    assert '/channels: ["email"]  (webhooks/_defaults.yaml:1)\n' in output(capsys, "plan", "--format", "markdown")


def test_a_changed_default_is_shown_at_its_place(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An update that a defaults file causes names the line there. A value that is gone has no place."""
    output(capsys, "apply", "--auto-approve")
    (directory / "_defaults.yaml").write_text(DEFAULTS.replace("20s", "30s").replace("  retry: {maxAge: 24h}\n", ""))
    text = output(capsys, "plan")
    assert '/delivery/timeout: "20s" -> "30s"  (webhooks/_defaults.yaml:4)\n' in text
    assert '/delivery/retry/maxAge: "24h" -> (default)\n' in text


def test_moving_a_value_plans_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that moves between a webhook and its defaults files changes no plan, and no saved state."""
    output(capsys, "apply", "--auto-approve")
    (directory / "_defaults.yaml").unlink()
    (directory / "acme" / "_defaults.yaml").write_text("campaigns: all\ndelivery: {timeout: 20s}\n")
    rest = "channels: [email]\ndelivery: {retry: {maxAge: 1d}}\n"
    (directory / "acme" / "prod.yaml").write_text(WEBHOOK + rest)
    assert output(capsys, "plan").startswith("No changes")


def test_the_origin_of_an_applied_webhook(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each applied value has its place in the files, if they have the same value."""
    output(capsys, "apply", "--auto-approve")
    (directory / "_defaults.yaml").write_text(DEFAULTS.replace("20s", "30s"))
    shown = output(capsys, "show", "--origin", "ACME@Org/prod")
    lines = {line.split()[0]: line.split()[-1] for line in shown.splitlines()}
    assert "webhooks/_defaults.yaml:1" == lines["/channels"]
    assert "webhooks/acme/prod.yaml:6" == lines["/headers/x-team"]
    assert "-" == lines["/delivery/timeout"]
    document = json.loads(output(capsys, "show", "--origin", "ACME@Org/prod", "--format", "json"))
    found = {one["path"]: one["origin"] for one in document}
    assert {"file": "webhooks/_defaults.yaml", "line": 2, "column": 12} == found["/campaigns"]
    assert found["/delivery/timeout"] is None


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (("ACME@Org/prod", "--format", "yaml"), 64, "origins cannot be shown as yaml"),
    (("plan.json",), 64, "plan.json is a saved plan, which has no origins"),
    (("ACME@Org/prod", "--config", "other"), 1, "no valid file in other declares ACME@Org/prod"),
])  # fmt: skip
def test_origins_that_do_not_exist(
    directory: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, message: str
) -> None:
    """A saved plan and another directory have no origins, and the message names the next step."""
    output(capsys, "plan", "--out", "plan.json")
    output(capsys, "apply", "--auto-approve")
    assert code == main(["show", "--origin", *arguments])
    error = capsys.readouterr().err
    assert message in error
    assert "hint:" in error
