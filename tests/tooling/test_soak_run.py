"""The tools of the soak tests see what they are there to see."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from faulty_endpoint import MANNERS
from soak_run import Audit, Duplicates, RotatingLog, line_of

SECOND = 1_000_000_000
TIMEOUT = 3


def audit(path: Path, *entries: tuple[int, int, str], waited: Sequence[float] = (), checksum: int = 7) -> Audit:
    """An audit of these acceptances: number of the event, life of the sender, manner; `waited` in seconds, each."""
    with path.open("w") as file:
        for at, (number, life, manner) in enumerate(entries):
            time = 1_000_000 * SECOND + at
            sent = 1_000_000 - (waited[at] if waited else 0)
            fields = (time, int(sent), "/feedback", life, f"id-{number}", f"request-{number}", checksum, manner)
            file.write("\t".join(map(str, fields)) + "\n")
    made = Audit(path)
    made.update()
    return made


def duplicates(made: Audit, *killed: int) -> Duplicates:
    return made.duplicates(killed=killed, timeout=TIMEOUT)


def test_what_is_missing(tmp_path: Path) -> None:
    """An event that was answered, but not accepted, is missing."""
    made = audit(tmp_path / "ledger", (0, 1, "accept"), (1, 2, "error"), (2, 4, "accept-hang"))
    assert {1} == made.missing(3)
    assert 1 == made.first_missing()
    assert [True, True, False, True] == [made.has_heard_of(life) for life in (1, 2, 3, 4)]


def test_order_of_a_message(tmp_path: Path) -> None:
    """Events 0, 4 and 8 are of one message; only first acceptances have an order."""
    good = ((0, 1, "accept"), (1, 1, "accept"), (4, 1, "accept"), (0, 1, "accept"), (8, 1, "accept"))
    assert [] == audit(tmp_path / "good", *good).out_of_order()
    assert [0] == audit(tmp_path / "bad", (0, 1, "accept"), (8, 1, "accept"), (4, 1, "accept")).out_of_order()


def test_changed_bytes(tmp_path: Path) -> None:
    """A body that differs between two attempts is found."""
    path = tmp_path / "ledger"
    audit(path, (0, 1, "accept-reset"))
    first = path.read_text()
    audit(path, (0, 1, "accept"), checksum=8)
    path.write_text(first + path.read_text())
    made = Audit(path)
    made.update()
    assert ["id-0"] == made.bodies_changed()


@pytest.mark.parametrize("manner", [name for name, manner in MANNERS.items() if manner.accepts])
def test_lost_answers_explain_duplicates(tmp_path: Path, manner: str) -> None:
    """An answer whose head was not complete explains the repetition, a complete one does not."""
    found = duplicates(audit(tmp_path / "ledger", (0, 1, manner), (0, 1, "accept")))
    complete = manner in ("accept", "accept-close", "accept-cut-body")
    assert (0, 1) if complete else (1, 0) == (found.by_manner[manner], len(found.unexplained))


def test_kills_explain_duplicates(tmp_path: Path) -> None:
    """A kill explains what a later life repeats; another life's kill, and a stop, do not."""
    entries = ((0, 1, "accept"), (0, 2, "accept"))
    made = audit(tmp_path / "ledger", *entries)
    assert {1: 1} == duplicates(made, 1).by_kill
    assert 1 == len(duplicates(made).unexplained)
    assert 1 == len(duplicates(made, 2).unexplained)
    within = audit(tmp_path / "within", (0, 1, "accept"), (0, 1, "accept"))
    assert 1 == len(duplicates(within, 1).unexplained), "repeated by the same life"


def test_late_answers_explain_duplicates(tmp_path: Path) -> None:
    """What the endpoint accepted when the sender had given up is sent again."""
    entries = ((0, 1, "accept"), (0, 1, "accept"))
    assert 1 == duplicates(audit(tmp_path / "late", *entries, waited=(TIMEOUT, 0))).too_late
    assert 0 == duplicates(audit(tmp_path / "soon", *entries, waited=(TIMEOUT - 1, 0))).too_late


def test_half_an_entry_waits(tmp_path: Path) -> None:
    """An entry that is still being written is read when it is whole."""
    path = tmp_path / "ledger"
    audit(path, (0, 1, "accept"))
    whole = path.read_text()
    path.write_text(whole[:-20])
    made = Audit(path)
    assert 0 == made.first_missing()
    path.write_text(whole)
    assert 1 == made.first_missing()


@pytest.mark.parametrize("seed", range(5))
def test_rotating_loses_nothing(tmp_path: Path, seed: int) -> None:
    """However the log was cut up, renamed and compressed: its files in their order are all of the lines."""
    random = Random(seed)
    log = RotatingLog(tmp_path / "log" / "events.log", random)
    for _ in range(40):
        match random.randrange(4):
            case 0:
                log.rename(late=random.randrange(20))
            case 1:
                log.compress()
            case _:
                log.write(random.randrange(20))
    log.close()
    rotated = sorted(log.path.parent.glob("events.log-*"))
    assert {".gz"} < {path.suffix for path in rotated}
    texts = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in (*rotated, log.path)
    ]
    assert b"".join(map(line_of, range(log.written))) == b"".join(texts)
