"""`hookline forget` on the command line: approval, counts, exit codes, and no address in its output."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path

import pytest

from builders import delivery
from contract.spool_stores import fresh, put, put_rejected
from hookline.cli.main import main
from hookline.exit_codes import ExitCode
from hookline.observe.snapshot import LaneStatus, RelayStatus
from hookline.relay.spool.sqlite.embedded import EmbeddedStore

ANN = "ann@acme.example"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool at rest with a pending delivery and a rejected line of the recipient, and one of another."""
    spool = EmbeddedStore(tmp_path / "spool").open(since="now")
    put(spool, delivery("a", body=ANN.encode()), delivery("b"))
    put_rejected(spool, b"<Ann@acme.example>", b"other")
    spool.close()
    return tmp_path / "spool"


def forget(directory: Path, *options: str) -> int:
    return main(["forget", *options, "--spool", str(directory)])


def pending(directory: Path) -> int:
    spool = EmbeddedStore(directory).open(since="now")
    count = len(fresh(spool))
    spool.close()
    return count


def test_a_dry_run_shows_counts_and_changes_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.DONE == forget(directory, "ANN@acme.example", "--dry-run")
    shown = capsys.readouterr().out
    assert "Would remove 2 entries of the recipient." in shown
    assert "1  pending deliveries" in shown
    assert "1  rejected lines" in shown
    assert 2 == pending(directory)


def test_it_needs_an_approval_without_a_terminal(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ExitCode.BLOCKED == forget(directory, ANN)
    assert "give --yes" in capsys.readouterr().err
    assert 2 == pending(directory)


def test_the_counts_are_the_proof(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has each kind, and the places out of reach. It never repeats the address."""
    assert ExitCode.DONE == forget(directory, ANN, "--yes")
    out, err = capsys.readouterr()
    assert "Removed 2 entries of the recipient" in out
    assert "1  pending deliveries: counted as dead, with the reason forgotten" in out
    assert "the sources: event logs" in out
    assert ANN not in (out + err).lower()
    assert 1 == pending(directory)
    assert ExitCode.DONE == forget(directory, ANN)
    assert "Removed 0 entries" in capsys.readouterr().out


def test_the_recipient_from_standard_input(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it appears in no list of processes and in no history of a shell."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ANN}\n"))
    assert ExitCode.DONE == forget(directory, "-", "--yes")
    assert 1 == pending(directory)


def test_a_file_that_cannot_be_searched(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (directory / "old.gz").write_bytes(gzip.compress(ANN.encode()))
    assert ExitCode.INCOMPLETE == forget(directory, ANN, "--yes")
    assert "old.gz: not a text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipient", "code"), [("ann", ExitCode.WRONG_USE), ("1234", ExitCode.WRONG_USE), (ANN, ExitCode.UNUSABLE)]
)
def test_refusals(recipient: str, code: int, tmp_path: Path) -> None:
    """Text that is no recipient, and a spool that does not exist."""
    assert code == forget(tmp_path / "none", recipient, "--yes")


def test_deliveries_in_flight_are_reported(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A running relay has reported an attempt of a removed delivery, and one of another."""
    monkeypatch.setattr("hookline.cli.commands.forget._NOTICE_SECONDS", 0.0)
    store = EmbeddedStore(directory)
    relay = store.open(since="now")
    publisher = store.status_publisher()
    ids = [delivery(name).id.hex() for name in "ab"]
    lane = LaneStatus(webhook="acme/prod", phase="closed", in_flight=2, attempting=ids)
    publisher.publish(RelayStatus(version="1", process=os.getpid(), started=1.0, at=1.0, lanes=[lane]))
    assert ExitCode.DONE == forget(directory, ANN, "--yes")
    relay.close()
    assert "1 of them were in flight" in capsys.readouterr().out
