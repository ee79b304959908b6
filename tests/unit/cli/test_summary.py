"""What a relay says at its end."""

from __future__ import annotations

import pytest

from hookline.cli.summary import print_ending
from hookline.relay.daemon import Ending, Settings
from hookline.relay.routing import Defaults
from hookline.relay.summary import Summary, summarize

SETTINGS = Settings(defaults=Defaults(), format="payload")


def summed(**tally: int) -> Summary:
    return summarize({"pending": 0}, {"pending": 0, **tally}, 1.0)


def said(
    capsys: pytest.CaptureFixture[str],
    ending: Ending,
    summary: Summary,
) -> str:
    print_ending(ending, summary, SETTINGS, followed=False)
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
