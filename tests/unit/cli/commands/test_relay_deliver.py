"""The command `deliver`: it has the options of a relay that reads nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from hookline.cli.commands.relay import deliver_command, relay_command


def test_without_a_webhook_there_is_nothing_to_deliver_to(tmp_path: Path) -> None:
    """It reads no events that could be skipped; the relay does."""
    where = ("--state", str(tmp_path / "state.db"), "--spool", str(tmp_path / "spool"))
    delivering = CliRunner().invoke(deliver_command, where)
    assert "so there is nothing to deliver to" in delivering.output
    assert "skipped" not in delivering.output
    reading = CliRunner().invoke(relay_command, [*where, "-"])
    assert "so every event would be skipped; nothing was read" in reading.output


@pytest.mark.parametrize("option", ["--spool-max", "--max-wait", "--follow"])
def test_it_has_no_option_for_input(option: str) -> None:
    """A limit for reading would have no effect."""
    refused = CliRunner().invoke(deliver_command, [option, "5"])
    assert f"No such option '{option}'" in refused.output
