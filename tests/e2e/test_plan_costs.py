"""plan, apply and rollback beside a spool with pending deliveries."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from builders import as_lines, xdm_event
from hookline.cli.main import main
from hookline.model import Address
from hookline.relay.spool.activity import MinuteActivity, minute_of
from hookline.relay.spool.factory import spool_store
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


def measured(seconds: float) -> None:
    """Ten minutes ago, the endpoint accepted attempts of this duration."""
    spool = spool_store(".hookline/spool").open(since="now")
    minute = minute_of(time.time()) - 10
    spool.record_activity([MinuteActivity(minute, Address("acme", "prod"), 10, 0, seconds, seconds, 3, 10 * seconds)])
    spool.close()


def test_a_plan_forecasts_the_backlog_at_both_limits(capsys: pytest.CaptureFixture[str]) -> None:
    """plan shows how long pending deliveries take with the present limits, and with the planned ones."""
    leave_pending(40)
    measured(1.6)
    write(PROD, delivery={"rateLimit": "2/s"})
    main(["plan"])
    assert "    drain: 4 s; with this change 20 s\n" in capsys.readouterr().out
    write(PROD, enabled=False)
    main(["plan"])
    assert "    drain: 4 s; with this change no forecast for 40: disabled\n" in capsys.readouterr().out
    write(PROD, name="Other")
    main(["plan", "--format", "text", "--format", "markdown=plan.md", "--format", "json=plan.json"])
    assert "    drain: 4 s\n" in capsys.readouterr().out
    assert "drain" not in Path("plan.md").read_text() + Path("plan.json").read_text()


def test_check_and_status_forecast_the_backlog(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a relay, the limits are those of the state. check warns about deliveries that become too old."""
    leave_pending(40)
    measured(1.6)
    main(["status"])
    assert "drain         4 s, if no new events come" in capsys.readouterr().out
    main(["check", "acme/prod"])
    assert re.search(r"ok +backlog +40 pending: 4 s\n", capsys.readouterr().out)
    write(PROD, delivery={"rateLimit": "1/m", "retry": {"maxDelay": "1m", "maxAge": "10m"}})
    assert 0 == main(["apply", "--auto-approve"])
    capsys.readouterr()
    main(["check", "acme/prod", "--format", "json"])
    (report,) = json.loads(capsys.readouterr().out)
    finding = report["findings"][-1]
    assert ("backlog", "warning") == (finding["step"], finding["grade"]), finding
    assert re.fullmatch(r"40 pending: 10 min; (29|30|31) pass maxAge before", finding["detail"])
    main(["status", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    (drain,) = [one["drain"] for one in document["webhooks"] if one["drain"] is not None]
    assert (drain["expiring"], drain["seconds"]) == (document["drain"]["expiring"], document["drain"]["seconds"])
    assert round(1 / 60, 3) == drain["perSecond"]
    main(["status", "--format", "json", "--state", "none.db"])
    assert "limits not known" in capsys.readouterr().out
