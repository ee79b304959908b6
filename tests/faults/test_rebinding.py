"""A name that changes its meaning, asked of a real name server by the system's own resolver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import xdm_event
from hookline_process import Lab

PROGRAM = Path(__file__).parents[1] / "dns_rebinding.py"
PUBLIC, LOOPBACK, METADATA = "93.184.215.14", "127.0.0.1", "169.254.169.254"
# A network and mounts of its own, which only this process and its children see and which go with them.
ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
APART = ("unshare", *ROOT, "--mount", "--net")


def happened(lab: Lab, transport: str, answers: list[list[str]], events: int = 2) -> Any:
    """What a relay and its endpoints did while the name server gave these answers in turn."""
    assert shutil.which("unshare") is not None
    lab.apply("https://hooks.acme.test:8443/feedback", delivery={"concurrency": 1})
    lab.write_events("events", (xdm_event(n, n) for n in range(events)))
    done = subprocess.run(
        (*APART, sys.executable, str(PROGRAM), str(lab.directory), transport, json.dumps(answers)),
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("transport", ["engine", "httpx"])
def test_rebinding(lab: Lab, transport: str) -> None:
    """The address that was checked is the one that is connected to: had the name been asked again, it would not be.

    The next connection asks anew; what it is told then is forbidden, and nobody is connected to.
    """
    what = happened(lab, transport, [[PUBLIC], [LOOPBACK]])
    assert (4, 1, 1) == (what["code"], what["summary"]["delivered"], what["summary"]["pending"]), what
    assert (1, 0) == (what["public"], what["forbidden"])
    assert what["asked"] >= 2
    assert "refused address of hooks.acme.test: 127.0.0.1 is loopback" in what["log"], what["log"]


@pytest.mark.parametrize("transport", ["engine", "httpx"])
@pytest.mark.parametrize(
    ("beside", "words"),
    [
        (LOOPBACK, "127.0.0.1 is loopback"),
        (METADATA, "169.254.169.254 is a cloud's metadata service"),
        ("::1", "::1 is loopback"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1 is private"),
        ("64:ff9b::7f00:1", "64:ff9b::7f00:1 is NAT64 of 127.0.0.1, which is loopback"),
    ],
)
def test_one_forbidden_answer_refuses_all(lab: Lab, transport: str, beside: str, words: str) -> None:
    """A public address beside a forbidden one is not connected to either."""
    what = happened(lab, transport, [[PUBLIC, beside]], events=1)
    assert (4, 0, 1) == (what["code"], what["summary"]["delivered"], what["summary"]["pending"]), what
    assert (0, 0) == (what["public"], what["forbidden"])
    assert f"refused address of hooks.acme.test: {words}" in what["log"], what["log"]


def test_public_needs_no_permission(lab: Lab) -> None:
    """The same name with nothing but a public address is delivered to, over a look-up for each connection."""
    what = happened(lab, "engine", [[PUBLIC]], events=3)
    assert (0, 3) == (what["code"], what["summary"]["delivered"]), what
    assert (3, 0, 3) == (what["public"], what["forbidden"], what["asked"])
