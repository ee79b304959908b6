"""The words of `retry-now`, and the webhooks that a spool does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import delivery, document, entry
from contract.spool_stores import put
from hookline.cli.commands.endpoint_control import retry_text
from hookline.cli.main import main
from hookline.model import Address
from hookline.observe.snapshot import LaneStatus
from hookline.relay.spool.factory import spool_store
from hookline.state.factory import open_state
from hookline.state.store import EMPTY
from postgres_server import new_state


@pytest.mark.parametrize(
    ("due", "pending", "phase", "expected"),
    [
        (0, 0, None, "no delivery is pending"),
        (2, 3, None, "2 retries are due now; a running relay starts sending within a second"),
        (1, 1, "closed", "1 retry is due now; a running relay starts"),
        (0, 7, "open", "was open (http 503): a running relay sends one of 7 pending deliveries as a probe"),
        (0, 1, "gone", "was gone (http 503): a running relay sends one of 1 pending delivery as a probe"),
        (0, 4, "closed", "no retry waits for a later time; a running relay already sends the 4 pending deliveries"),
    ],
)
def test_the_effect_of_retry_now(due: int, pending: int, phase: str | None, expected: str) -> None:
    """It depends on the circuit breaker: after a success of one probe, the others follow."""
    lane = None if phase is None else LaneStatus(webhook="a/b", phase=phase, reason="http 503")
    assert expected in retry_text(due, pending, lane)


@pytest.mark.parametrize("command", [["pause", "acme/prod"], ["retry-now", "acme/prod"], ["dead", "import"]])
def test_only_init_creates_a_shared_spool(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its owner chooses its slots, its lease and its role."""
    state, shared, letters = str(tmp_path / "state.db"), new_state(), tmp_path / "letters.ndjson"
    open_state(state).commit(EMPTY, {Address("acme", "prod"): document()}, entry())
    letters.write_text("{}\n")
    more = [str(letters)] if command[-1] == "import" else ["--state", state]
    assert 8 == main([*command, "--spool", shared, *more])
    assert "create it with `hookline spool init`" in capsys.readouterr().err
    assert not spool_store(shared).exists()


def test_a_mistyped_webhook_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`dead` commands select nothing for a webhook that the spool does not know, and name the nearest one."""
    directory = str(tmp_path / "spool")
    spool = spool_store(directory).open(since="now")
    put(spool, delivery("a"))
    spool.close()
    for command in (["replay"], ["list"], ["export"], ["discard", "--yes"]):
        assert 0 == main(["dead", *command, "--spool", directory, "--webhook", "acme/prd"])
        shown = capsys.readouterr().err
        assert "the spool has no webhook acme/prd" in shown
        assert "acme/prod" in shown
