"""Machines are upgraded one after the other while events flow, and then the format of their spool is changed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise

import pytest

from contract.spool_stores import balanced
from faulty_endpoint import running
from hookline.relay.spool.factory import spool_store
from hookline_process import HOOKLINE, Lab, clean_environment
from postgres_server import running_server
from shared_machines import Machines, apply_webhooks, event_line
from soak_run import Audit
from waiting import wait_until

LEASE_SECONDS = 3.0
EVENTS_PER_STEP = 200
LOG = "events.ndjson"
# The next version: it knows one format more, and the statements that lead to it.
NEWER = (
    sys.executable,
    "-c",
    """
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.postgres.spool_migrations import SHARED_SPOOL_MIGRATIONS
newest = SpoolConnection.newest_format
SHARED_SPOOL_MIGRATIONS[newest] = ("ALTER TABLE spool.delivery ADD COLUMN added integer NOT NULL DEFAULT 0",)
SpoolConnection.newest_format = newest + 1
from hookline.cli.main import run
run()
""",
)


@contextmanager
def machines_with_spool(lab: Lab) -> Iterator[Machines]:
    with ExitStack() as stack:
        server = stack.enter_context(running_server())
        endpoint = stack.enter_context(running(lab.directory / "endpoint"))
        machines = Machines(lab, server, server.new_database(), endpoint, stack, LEASE_SECONDS)
        spool_store(machines.location()).create(lease_seconds=LEASE_SECONDS)
        apply_webhooks(machines, concurrency=8)
        yield machines


def migrate(machines: Machines, program: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    command = (*program, "spool", "migrate", "--spool", machines.location())
    return subprocess.run(command, capture_output=True, check=False, timeout=120, env=clean_environment())


@pytest.mark.soak
def test_a_rolling_upgrade_loses_nothing(lab: Lab) -> None:
    """A reader and a deliverer of the older version are replaced by the newer one, which works beside the other in
    the older format. Then the newer version changes the format while both run. Only events that are in flight at that
    moment can be sent again.
    """
    with machines_with_spool(lab) as machines:
        audit, written = Audit(machines.endpoint.ledger), 0

        def more_events() -> None:
            nonlocal written
            with (lab.directory / LOG).open("ab") as log:
                log.write(b"".join(map(event_line, range(written, written + EVENTS_PER_STEP))))
            written += EVENTS_PER_STEP

        def all_accepted() -> None:
            wait_until(lambda: not audit.missing(written), detail=machines.logs)

        more_events()
        machines.add("reader", "relay", "--follow", "--name", "log", LOG)
        machines.add("deliverer", "deliver")
        wait_until(machines.is_balanced, detail=machines.logs)
        for name in ("deliverer", "reader"):
            refused = migrate(machines, NEWER)
            assert (8, True) == (refused.returncode, b"is in use by an older hookline" in refused.stderr)
            more_events()
            machines.stop(name)
            machines.processes[name].program = NEWER
            machines.start(name)
            wait_until(machines.is_balanced, detail=machines.logs)
            all_accepted()
        assert b"Nothing to do" in migrate(machines, HOOKLINE).stdout
        more_events()
        begun = time.time()
        assert b"from format 1 to 2" in migrate(machines, NEWER).stdout
        ended = time.time()
        more_events()
        all_accepted()
        wait_until(machines.is_balanced, detail=machines.logs)
        older = migrate(machines, HOOKLINE)
        assert (8, True) == (older.returncode, b"written by a newer hookline" in older.stderr)
        assert machines.all_run(), machines.logs()
        for name in machines.processes:
            machines.stop(name)
        assert (written, [], []) == (audit.identities(), audit.out_of_order(), audit.bodies_changed())
        tally = dict(spool_store(machines.location()).statistics().spool_status(now=ended).tally)
        assert (written, 0, True) == (tally["read"], tally["pending"], balanced(tally))
        repeated = [pair for entries in audit.entries() for pair in pairwise(entries)]
        assert all(begun <= again.time / 1e9 <= ended + LEASE_SECONDS for _, again in repeated)
