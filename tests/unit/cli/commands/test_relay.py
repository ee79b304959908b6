"""What a relay says at its end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from hookline.cli.commands.relay import print_ending
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.routing import Defaults
from hookline.relay.summary import Summary, summarize

SETTINGS = RelaySettings(defaults=Defaults(), format="payload")


def summed(**tally: int) -> Summary:
    return summarize({"pending": 0}, {"pending": 0, **tally}, 1.0)


@pytest.fixture
def pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "pipe")


def said(
    capsys: pytest.CaptureFixture[str],
    ending: Ending,
    summary: Summary,
    sources: Sequence[str] = (),
    *,
    followed: bool = False,
) -> str:
    print_ending(ending, summary, SETTINGS, sources=sources, followed=followed)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("tally", "expected"),
    [
        ({"read": 1000, "rejected": 1000}, "the first 1,000 events were all rejected, which looks"),
        ({"read": 1000, "duplicates": 1000}, "the first 1,000 events were all rejected, 1,000 of them by an earlier"),
        (
            {"read": 1001, "rejected": 1, "duplicates": 1000},
            "the first 1,001 events were all rejected, 1,000 of them",
        ),
    ],
    ids=["first run", "second run", "grown"],
)
def test_how_many_were_rejected(capsys: pytest.CaptureFixture[str], tally: dict[str, int], expected: str) -> None:
    """All that were read, also those that an earlier run had rejected and kept."""
    assert expected in said(capsys, Ending.WRONG_FORMAT, summed(**tally))


@pytest.mark.parametrize("sources", [(), ("events",), ("/var/log/*.log", "events")], ids=["drained", "file", "files"])
def test_stopped_where_nothing_is_lost(capsys: pytest.CaptureFixture[str], sources: Sequence[str]) -> None:
    """Of files, and of a spool that is only drained, the same command goes on, wherever it was stopped."""
    assert said(capsys, Ending.STOPPED, summed(), sources) == "Stopped: the same command goes on from here.\n"


def test_stopped_at_a_pipe(capsys: pytest.CaptureFixture[str], pipe: str) -> None:
    """What is still in a pipe goes with its reader: the same command would not go on."""
    for sources in (("-",), ("events", pipe)):
        told = said(capsys, Ending.STOPPED, summed(), sources)
        assert "what was taken out of the pipe is in the spool, what was still in it is not" in told
        assert "goes on from here" not in told


def test_stopped_while_following(capsys: pytest.CaptureFixture[str]) -> None:
    """What is followed has no end that a stop could come before: there is nothing to say."""
    assert not said(capsys, Ending.STOPPED, summed(), ["events"], followed=True)
