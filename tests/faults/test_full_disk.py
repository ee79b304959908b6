"""While the spool's disk is full, the relay reports it, delivers, and pauses ingest until the disk has room."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from builders import as_lines, xdm_event
from hookline_process import HOOKLINE, Lab
from waiting import wait_until

# A private disk: only this process and its children see it, and it disappears with them.
ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
ON_A_SMALL_DISK = (
    "unshare", *ROOT, "--mount", "sh", "-c",
    'mount -t tmpfs -o size=96m tmpfs .hookline/spool && exec "$@"', "sh",
)  # fmt: skip
ALONE_ON_IT = ("sh", "-c", 'mount -t tmpfs -o size="$0" tmpfs spool && exec "$@"')
FIRST, MORE = 1_500, 4_000


@pytest.mark.parametrize("size", ["48m", "64m"])
def test_what_is_read_takes_no_room_from_outcomes(tmp_path: Path, size: str) -> None:
    """Ingest that retries all the time on a full disk never uses the released reserve. All outcomes are recorded."""
    (tmp_path / "spool").mkdir()
    script = Path(__file__).parents[1] / "full_disk_spool.py"
    ran = subprocess.run(
        ("unshare", *ROOT, "--mount", *ALONE_ON_IT, size, sys.executable, script, "spool"),
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ["read some", "recorded all"] == ran.stdout.splitlines()


def fill(disk: Path) -> Path:
    """Fill the disk."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))
    return ballast


@pytest.mark.starts_first(24)
def test_a_full_disk_stops_reading_and_not_delivering(lab: Lab) -> None:
    """A full disk does not stop deliveries from the spool. Other events wait in their file, and none is lost."""
    assert shutil.which("unshare") is not None
    spool = lab.directory / ".hookline" / "spool"
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback", delivery={"rateLimit": "400/s"})
        spool.mkdir(parents=True)
        log = lab.write_events("events", (xdm_event(n, n) for n in range(FIRST)))
        arguments = lab.relay_arguments(receiver, "--follow", "--log-level", "info", "events")
        with (lab.directory / "relay.log").open("wb") as said:
            relay = subprocess.Popen(
                (*ON_A_SMALL_DISK, *HOOKLINE, *arguments), cwd=lab.directory, stdin=subprocess.DEVNULL, stderr=said
            )
        try:
            disk = Path(f"/proc/{relay.pid}/root") / spool.relative_to("/")
            wait_until(lambda: len(receiver.accepted()) > 50)
            ballast = fill(disk)
            with log.open("ab") as file:
                file.write(as_lines(xdm_event(n, n) for n in range(FIRST, FIRST + MORE)))
            wait_until(lambda: "reading waits for the spool" in (lab.directory / "relay.log").read_text())
            wait_until(lambda: len(receiver.accepted()) >= FIRST)
            assert relay.poll() is None
            ballast.unlink()
            wait_until(lambda: "reading continues" in (lab.directory / "relay.log").read_text())
            wait_until(lambda: len(receiver.accepted()) >= FIRST + MORE)
            relay.send_signal(signal.SIGTERM)
            assert 0 == relay.wait(timeout=120)
        finally:
            relay.kill()
            relay.wait()
        accepted = receiver.accepted()
    sys.stderr.write((lab.directory / "relay.log").read_text()[-2000:])
    assert (FIRST + MORE, FIRST + MORE) == (len(accepted), len(set(accepted)))
