"""A spool is backed up while its relay runs, is lost, and is restored: no event is lost, and few are repeated."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from builders import as_lines, xdm_event
from hookline.relay.delivery.lane import max_unwritten
from hookline_process import Lab, Receiver
from postgres_server import shared_server
from waiting import wait_until

EVENTS = 1200
CONCURRENCY = 16
UNWRITTEN = CONCURRENCY + max_unwritten(CONCURRENCY)  # what is on the wire, and what is being written
LOG = "events.ndjson"


class Backup(NamedTuple):
    """How a spool is backed up, lost and restored, and the options of its relay."""

    save: Callable[[], object]
    lose: Callable[[], object]
    restore: Callable[[], object]
    options: tuple[str, ...]


def in_a_directory(lab: Lab) -> Backup:
    spool, copied = lab.directory / ".hookline" / "spool", lab.directory / "backup"
    return Backup(
        save=lambda: lab.hookline("spool", "copy", str(copied)),
        lose=lambda: shutil.rmtree(spool),
        restore=lambda: shutil.copytree(copied, spool),
        options=(),
    )


def in_postgresql(lab: Lab) -> Backup:
    server = shared_server()
    database = server.new_database()
    lab.environment["HOOKLINE_SPOOL"] = server.url(database)
    lab.hookline("spool", "init")
    dump = lab.directory / "spool.dump"

    def run(program: str, *arguments: object) -> None:
        subprocess.run([server.binaries / program, *map(str, arguments)], check=True, timeout=120)

    def lose() -> None:
        server.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)", f"CREATE DATABASE {database}")

    return Backup(
        save=lambda: run("pg_dump", "--format", "custom", "--file", dump, server.url(database)),
        lose=lose,
        restore=lambda: run("pg_restore", "--exit-on-error", "--dbname", server.url(database), dump),
        options=("--name", "log"),
    )


def recorded(receiver: Receiver) -> int:
    """The number of requests so far, as lines of the record."""
    return receiver.record_file.read_bytes().count(b"\n") if receiver.record_file.exists() else 0


@pytest.mark.parametrize("kind", [in_a_directory, in_postgresql])
def test_a_restored_spool_repeats_what_came_after_the_backup(kind: Callable[[Lab], Backup], tmp_path: Path) -> None:
    """Half of the events are in the spool at the backup, and half are read after it. All are delivered, once or
    twice: once if their result was recorded before the backup, or if they were not yet sent when the spool was lost.
    """
    lab = Lab(tmp_path)
    backup = kind(lab)
    lines = as_lines(xdm_event(number, number // 3) for number in range(EVENTS)).splitlines(keepends=True)
    half = EVENTS // 2
    (tmp_path / LOG).write_bytes(b"".join(lines[:half]))
    with lab.receiver("--no-verify-payload") as receiver:
        limits = {"concurrency": CONCURRENCY, "rateLimit": "300/s"}
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery=limits)
        with lab.running(*lab.relay_arguments(receiver, *backup.options, "--follow", LOG)) as relay:
            wait_until(lambda: recorded(receiver) > UNWRITTEN + 50, process=relay)
            before = recorded(receiver)
            backup.save()
            after = recorded(receiver)
            with (tmp_path / LOG).open("ab") as log:
                log.write(b"".join(lines[half:]))
            wait_until(lambda: recorded(receiver) > half + 50, process=relay)
        backup.lose()
        backup.restore()
        summary = lab.relay(receiver, *backup.options, LOG)
        sent = receiver.accepted()
    accepted = Counter(sent)
    assert (EVENTS, EVENTS - half, 0, 0) == (len(accepted), summary["read"], summary["pending"], summary["dead"])
    assert before - UNWRITTEN <= EVENTS - summary["delivered"] <= after
    assert {1} == {accepted[one] for one in sent[: before - UNWRITTEN]}
    assert 2 == max(accepted.values())
