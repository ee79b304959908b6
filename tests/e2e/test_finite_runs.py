"""A run with an end on a shared spool waits for everything that is stored, whichever process settles it."""

from __future__ import annotations

import pytest

from builders import as_lines, xdm_event
from hookline_process import Lab
from shared_spool import SharedSpoolDatabase
from waiting import wait_until

EVENTS = 5


def test_a_run_waits_for_the_deliveries_of_other_processes(lab: Lab) -> None:
    """The only slot belongs to a deliverer, so the relays that read and that drain deliver nothing themselves."""
    database = SharedSpoolDatabase(slots=1)
    where = ("--spool", database.url())
    with lab.receiver("--outage", "2s") as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        options = lab.relay_arguments(receiver)
        deliver = ("deliver", *where, *options[options.index("--allow-network") :])
        (lab.directory / "events").write_bytes(as_lines(xdm_event(n, n) for n in range(EVENTS)))
        with lab.running(*deliver) as deliverer:
            wait_until(lambda: bool(database.execute("SELECT 1 FROM spool.slot WHERE process IS NOT NULL")),
                       process=deliverer, detail=(lab.directory / "relay.log").read_text)  # fmt: skip
            read = ("--name", "mail", "events")
            impatient = lab.relay(receiver, *where, "--max-wait", "100ms", *read, code=4)
            assert (EVENTS, 0) == (impatient["read"], impatient["delivered"])
            drained = lab.relay(receiver, *where, "--drain", code=0)
            assert (0, EVENTS) == (drained["pending"], len(receiver.accepted()))
            with (lab.directory / "events").open("ab") as more:
                more.write(as_lines(xdm_event(n, n) for n in range(EVENTS, 2 * EVENTS)))
            whole = lab.relay(receiver, *where, *read, code=0)
            assert (EVENTS, EVENTS, 0) == (whole["read"], whole["delivered"], whole["pending"])
            assert deliverer.poll() is None


@pytest.mark.soak
def test_a_run_takes_over_what_a_dead_process_owned(lab: Lab) -> None:
    """The owner of all slots was killed. A run that would own nothing before that lease is over waits for it."""
    database = SharedSpoolDatabase(slots=8, lease_seconds=2.0)
    where = ("--spool", database.url())
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        options = lab.relay_arguments(receiver)
        deliver = ("deliver", *where, *options[options.index("--allow-network") :])
        with lab.running(*deliver) as deliverer:
            wait_until(lambda: [(8,)] == database.execute("SELECT count(process) FROM spool.slot"),
                       process=deliverer, detail=(lab.directory / "relay.log").read_text)  # fmt: skip
            deliverer.kill()
            deliverer.wait()
        summary = lab.relay(receiver, *where, "-", stdin=as_lines(xdm_event(n, n) for n in range(EVENTS)), code=0)
        assert (EVENTS, EVENTS) == (summary["read"], summary["delivered"])
