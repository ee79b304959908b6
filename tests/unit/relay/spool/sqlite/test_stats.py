"""How the embedded spool counts for `status`, and shows which relay holds it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hookline.model import Address
from hookline.observe.snapshot import ProcessStatus, RelayStatus
from hookline.relay.spool.sqlite.embedded import STATUS_FILE, StatusFile, read_status_file
from hookline.relay.spool.sqlite.lock import holder_of
from hookline.relay.spool.sqlite.sqlite_spool import SqliteSpool

ACME, OTHER = Address("acme", "prod"), Address("other", "prod")
DAY = 86_400.0


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    opened = SqliteSpool(tmp_path, since="2026-05-18T17:01:25+00:00")
    yield opened
    opened.close()


def test_counts_come_from_indexes_alone(spool: SqliteSpool, tmp_path: Path) -> None:
    """SQLite answers the counts from an index: with a million rows, a count that reads rows takes seconds."""
    with closing(sqlite3.connect(tmp_path / "spool.db")) as connection:
        for state in (0, 2):
            statement = f"SELECT count(*) FROM delivery d WHERE d.state = {state} AND d.webhook = 1"
            (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            assert "USING INDEX delivery_" in plan[3]
            steps = {step[1] for step in connection.execute(f"EXPLAIN {statement}")}
            assert "Column" not in steps  # by which a value of a row is read


# -- the lock and the status of its holder


def relay_facts(process: int) -> RelayStatus:
    return RelayStatus(version="1", process=process, started=1.0, at=2.0)


def test_an_earlier_relays_words_are_not_believed(spool: SqliteSpool, tmp_path: Path) -> None:
    """The file of a killed relay, or an unreadable one, is not the status of the relay that holds the spool now."""
    StatusFile(tmp_path).publish(relay_facts(os.getpid() + 1))
    without_status = [ProcessStatus(holder=holder_of(tmp_path) or "")]
    assert without_status == list(read_status_file(tmp_path).processes)
    (tmp_path / STATUS_FILE).write_bytes(b'{"half')
    assert without_status == list(read_status_file(tmp_path).processes)


def test_the_file_is_private_and_goes_away(tmp_path: Path) -> None:
    """Only its owner can read the file. After the end of the relay, a late `publish` does not write it."""
    status_file = StatusFile(tmp_path)
    status_file.publish(relay_facts(1))
    assert 0o600 == (tmp_path / STATUS_FILE).stat().st_mode & 0o777
    status_file.withdraw()
    status_file.publish(relay_facts(1))
    assert [] == list(tmp_path.iterdir())


def test_a_draft_of_a_killed_relay_is_removed(tmp_path: Path) -> None:
    """A relay that was killed while it wrote its status leaves a draft. The next one removes it."""
    (tmp_path / f".{STATUS_FILE}.0123456789abcdef").write_bytes(b'{"half')
    StatusFile(tmp_path).publish(relay_facts(1))
    assert [STATUS_FILE] == [path.name for path in tmp_path.iterdir()]


def test_asking_does_not_keep_a_relay_from_starting(tmp_path: Path) -> None:
    """While other processes ask for the holder all the time, each of many starts succeeds."""
    SqliteSpool(tmp_path, since="now").close()
    asking = "import sys; from pathlib import Path; from hookline.relay.spool.sqlite.lock import holder_of\n"
    asking += "while True: holder_of(Path(sys.argv[1]))"
    with subprocess.Popen((sys.executable, "-c", asking, str(tmp_path))) as process:
        try:
            for _ in range(50):
                SqliteSpool(tmp_path, since="now").close()
        finally:
            process.kill()
