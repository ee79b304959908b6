"""The advice that `relay` prints at the end of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hookline.cli.run_advice import print_advice
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.secrets import SecretResolver
from hookline.relay.summary import Summary, summarize
from hookline.wiring.run_options import RelayOptions

OPTIONS = RelayOptions(
    state="state.db",
    spool="spool",
    sources=(),
    settings=RelaySettings(defaults=Defaults(), format="payload"),
    resolver=SecretResolver(environment={}, directory=Path("secrets")),
    rules=NetworkRules(),
)


def summed(**tally: int) -> Summary:
    return summarize({"pending": 0}, {"pending": 0, **tally}, 1.0)


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def advice(
    capsys: pytest.CaptureFixture[str],
    ending: Ending,
    summary: Summary,
    sources: Sequence[str] = (),
    *,
    followed: bool = False,
) -> str:
    print_advice(ending, summary, replace(OPTIONS, sources=sources, follow=followed))
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        ({"read": 1000, "rejected": 1000}, "none of the first 1,000 events was recognized, which looks"),
        (
            {"read": 1000, "duplicates": 1000},
            "first 1,000 events was recognized, 1,000 of them by an earlier",
        ),
        (
            {"read": 1001, "rejected": 1, "duplicates": 1000},
            "none of the first 1,001 events was recognized, 1,000 of them",
        ),
    ],
    ids=["first run", "second run", "grown"],
)
def test_how_many_were_rejected(capsys: pytest.CaptureFixture[str], tally: dict[str, int], expected: str) -> None:
    """The message counts all lines read, also those that an earlier run rejected and kept."""
    assert expected in advice(capsys, Ending.WRONG_FORMAT, summed(**tally))


@pytest.mark.parametrize(
    ("spool", "expected"),
    [
        ("spool", "3 still pending: `hookline relay --drain` delivers them.\n"),
        ("postgresql://db.acme.example/feedback", "3 still pending: the processes that own their endpoints deliver"),
    ],
)
def test_who_delivers_what_is_pending(capsys: pytest.CaptureFixture[str], spool: str, expected: str) -> None:
    """A relay that gives up waiting on a shared spool leaves to other processes what they own."""
    print_advice(Ending.TIMED_OUT, summed(pending=3), replace(OPTIONS, spool=spool))
    assert expected in capsys.readouterr().err


def test_deliveries_of_other_relays_need_no_advice(capsys: pytest.CaptureFixture[str]) -> None:
    """All that was stored until the end of the input is settled. Others have stored more since."""
    assert not advice(capsys, Ending.SETTLED, summed(read=2, delivered=2, pending=3), ["events"])


@pytest.mark.parametrize("sources", [(), ("events",), ("/var/log/*.log", "events")], ids=["drained", "file", "files"])
def test_stopped_where_nothing_is_lost(capsys: pytest.CaptureFixture[str], sources: Sequence[str]) -> None:
    """With files, and with a spool that is only drained, the same command continues after a stop."""
    assert advice(capsys, Ending.STOPPED, summed(), sources) == "Stopped: run the same command to continue.\n"


def test_stopped_at_a_pipe(capsys: pytest.CaptureFixture[str], pipe: str) -> None:
    """The unread lines of a pipe are lost, so the same command would not continue."""
    for sources in (("-",), ("events", pipe)):
        text = advice(capsys, Ending.STOPPED, summed(), sources)
        assert "the lines that were read from the pipe are in the spool, its unread lines are lost" in text
        assert "run the same command" not in text


def test_stopped_while_following(capsys: pytest.CaptureFixture[str]) -> None:
    """A followed file has no end that a stop could precede, so there is no advice."""
    assert not advice(capsys, Ending.STOPPED, summed(), ["events"], followed=True)


def test_a_move_into_the_spool_is_carried() -> None:
    """The account of a run adds up if deliveries came from another spool meanwhile."""
    summary = summarize({"pending": 2}, {"pending": 4, "read": 3, "moved_in": 5, "delivered": 6}, 1.0)
    assert (3 + 7, 6 + 4) == (summary.read + summary.carried, summary.delivered + summary.pending)
