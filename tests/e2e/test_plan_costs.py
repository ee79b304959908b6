"""plan, apply and rollback beside a spool with pending deliveries."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builders import as_lines, xdm_event
from hookline.cli.main import main
from hookline_process import LOOPBACK

PROD = Path("webhooks/prod.yaml")


@pytest.fixture(autouse=True)
def _applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in which two webhooks are applied. Nothing listens at their endpoints."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("HOOKLINE_", "GIT"))]:
        monkeypatch.delenv(name)
    write(Path("webhooks/stage.yaml"), sandbox="stage")
    main(["apply", "--auto-approve"])
    write(PROD)
    main(["apply", "--auto-approve"])


def write(file: Path, **fields: Any) -> None:
    document = {
        "version": 1, "organization": "acme", "sandbox": "prod", "name": "Feedback", "channels": ["email", "sms"],
        "url": "https://localhost:1/feedback", "campaigns": "all", **fields,
    }  # fmt: skip
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(document))


def leave_pending(number: int) -> None:
    Path("events.ndjson").write_bytes(as_lines(xdm_event(one, one) for one in range(number)))
    of = ("--organization", "acme", "--sandbox", "prod")
    assert 4 == main(["relay", *of, *LOOPBACK, "--max-wait", "0", "events.ndjson"])


def test_costs_are_shown_before_the_approval(capsys: pytest.CaptureFixture[str]) -> None:
    """plan, apply, a saved plan and rollback state how many pending deliveries they affect, and their end."""

    def shown(code: int, *command: str) -> list[str]:
        capsys.readouterr()
        assert code == main(list(command))
        return [line.strip() for line in capsys.readouterr().out.splitlines()]

    leave_pending(3)
    write(PROD, url="https://hooks.acme.example/feedback")
    moved = "3 pending deliveries are sent to the new URL"
    assert moved in shown(0, "plan", "--out", "plan.json")
    assert 3 == json.loads(Path("plan.json").read_text())["changes"][0]["pending"]
    assert moved in shown(6, "apply")
    assert moved in shown(6, "apply", "plan.json")

    PROD.unlink()
    for code, *command in ((0, "plan"), (6, "apply"), (6, "rollback", "--to", "1")):
        found = shown(code, *command)
        assert "3 pending deliveries become dead letters" in found, command
        assert "3 pending deliveries become dead letters." == found[-1], command

    write(PROD, enabled=False)
    stops = "sending stops: 3 pending deliveries remain in the spool until it is enabled"
    assert stops in shown(0, "apply", "--auto-approve")
    write(PROD)
    assert "sending starts: 3 pending deliveries are sent" in shown(0, "plan")
    unknown = "sending starts: pending deliveries, if there are any, are sent"
    assert unknown in shown(6, "apply", "--spool", "none")


def test_a_saved_plan_is_counted_again(capsys: pytest.CaptureFixture[str]) -> None:
    """apply of a saved plan shows the number of the moment, not that of the plan."""
    PROD.unlink()
    main(["plan", "--out", "plan.json"])
    assert "    pending deliveries, if there are any, become dead letters\n" in capsys.readouterr().out
    leave_pending(2)
    assert 6 == main(["apply", "plan.json"])
    assert "    2 pending deliveries become dead letters\n" in capsys.readouterr().out
