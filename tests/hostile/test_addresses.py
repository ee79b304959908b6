"""Addresses with control characters, invisible characters or spaces are refused at every door."""

from __future__ import annotations

from pathlib import Path

import pytest

from builders import ACME, delivery, settlement
from contract.spool_stores import fresh, put
from hookline.cli.main import main
from hookline.model import MAX_NAME_CHARACTERS, Address
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_values import State
from hookline.state.rows import read_webhooks

INPUTS = Path(__file__).parent / "inputs"
BAD = [
    "a\x1b[2J/prod", "a/p\u202erod", "a\nb/prod", "a/prod\x85", "a /prod", "a/\u00a0prod", "\u200ba/prod", "a/b/c",
    "a/", "/b", "a", "", f"{'a' * (MAX_NAME_CHARACTERS + 1)}/b", "a/\ud800",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_refused(text: str) -> None:
    """The message shows the characters by their codes, and a short part of a long address."""
    with pytest.raises(ValueError, match="not an address") as refused:
        Address.parse(text)
    message = str(refused.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 250


@pytest.mark.parametrize("text", ["1234567890ABCDEF@AdobeOrg/prod", "söme/prod-2", "a/日本"])
def test_accepted(text: str) -> None:
    """Addresses that a webhook file may have."""
    assert text == str(Address.parse(text))


@pytest.mark.parametrize("text", BAD[:4])
def test_refused_on_the_command_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command with such an argument is a wrong use, and does not print it as it is."""
    spool = str(tmp_path / "spool")
    for command in ("pause", "resume", "retry-now"):
        assert 64 == main([command, "--spool", spool, text])
    assert 64 == main(["dead", "list", "--spool", spool, "--webhook", text])
    assert text not in capsys.readouterr().err  # each has a character that a terminal obeys or hides


def test_refused_in_a_state() -> None:
    """A row of the state with such an address makes the state unreadable."""
    with pytest.raises(ValueError, match="not an address"):
        read_webhooks([("a\x1b[2J", "prod", "{}")])


def test_refused_by_an_import(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Dead letters of such webhooks are not imported, and the messages contain no control character."""
    spool = str(tmp_path / "spool")
    file = INPUTS / "webhooks-with-control-characters.ndjson"
    assert 0 != main(["dead", "import", "--spool", spool, str(file)])
    shown = capfd.readouterr().err
    assert 3 == shown.count("not an address")
    assert all(line.isprintable() for line in shown.splitlines())


def test_trace_escapes_what_a_spool_contains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A spool that was written by other means cannot move the cursor of the person who traces an event."""
    directory = str(tmp_path / "spool")
    spool = spool_store(directory).open(since="now")
    address = Address("EVIL\x1b]0;owned\x07", "p\u202erod")
    put(spool, delivery("a", address=address, request_id="r1\x1b[2J"), delivery("b"))
    spool.settle([settlement(fresh(spool, ACME)[0], State.DEAD, reason="\x1b[31m")], now=1.0)
    spool.close()
    identity = delivery("a").id.hex()
    for arguments in (["trace", identity], ["trace", delivery("b").id.hex()], ["status"], ["dead", "list"]):
        assert 0 == main([*arguments, "--spool", directory])
    shown = capsys.readouterr().out
    assert "\\u001b]0;owned" in shown
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_trace_refuses_an_empty_id(text: str, tmp_path: Path) -> None:
    """An empty id would match every rejected line."""
    assert 64 == main(["trace", "--spool", str(tmp_path), text])
