"""Whose the files are that hookline makes, and which it refuses to believe."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookline_process import ADDRESS, FACTS, Lab

LOG = str(FACTS / "xdm-feedback-events.ndjson")
RELAY = ("relay", "--organization", "acme@AdobeOrg", "--sandbox", "prod", "--max-wait", "0")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask that takes nothing away."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def used(lab: Lab) -> Lab:
    """A state with a webhook, and a spool with what could not be delivered to it."""
    lab.apply("https://nobody.invalid/")
    lab.hookline(*RELAY, LOG, code=4)
    return lab


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_under_any_umask(lab: Lab, open_umask: None) -> None:
    """State, spool, saved plans, exports and records are their owner's alone."""
    lab.apply("https://nobody.invalid/")
    lab.hookline("plan", "--out", "plan.json")
    lab.hookline("export", "exported")
    lab.hookline(*RELAY, LOG, code=4)
    with lab.receiver():
        record = mode(lab.directory / "received.ndjson")
    roots = [lab.directory / name for name in (".hookline", "exported", "plan.json")]
    made = [path for root in roots for path in (root, *root.rglob("*"))]
    assert len(made) > 8
    assert {} == {str(path): oct(mode(path)) for path in made if mode(path) & 0o077}
    assert 0o600 == record


@pytest.mark.parametrize("name", [".", "spool.db"])
def test_spool_that_everybody_can_write(used: Lab, name: str) -> None:
    """It is refused by the relay and by who looks at it, with the way out; a sticky directory of ours is fine."""
    path = used.directory / ".hookline" / "spool" / name
    path.chmod(mode(path) | 0o002)
    for command in ((*RELAY, LOG), ("dead", "list")):
        done = used.hookline(*command, code=8)
        assert b"anybody can write to" in done.stderr
        assert b"chmod" in done.stderr
    if name == ".":
        path.chmod(0o1777)
        used.hookline("dead", "list")


def test_spool_database_that_is_a_link(used: Lab) -> None:
    """A database that leads elsewhere is refused."""
    path = used.directory / ".hookline" / "spool" / "spool.db"
    path.rename(used.directory / "elsewhere.db")
    path.symlink_to(used.directory / "elsewhere.db")
    assert b"is a link" in used.hookline("dead", "list", code=8).stderr


@pytest.mark.parametrize("part", ["state", "spool", "new state", "new spool"])
def test_directory_far_above_that_everybody_can_write(used: Lab, part: str) -> None:
    """Who can rename a directory above state or spool can replace them: refused; a sticky one of ours is fine."""
    above = used.directory / "open"
    kept = above / "between" / "hookline"
    kept.mkdir(parents=True)
    if not part.startswith("new"):
        (used.directory / ".hookline").rename(kept / ".hookline")
    above.chmod(0o777)
    if "state" in part:
        commands = [["apply", "--auto-approve"]] if "new" in part else [["show", ADDRESS], ["plan"], [*RELAY, LOG]]
        option = ("--state", str(kept / ".hookline" / "state.db"))
    else:
        commands = [[*RELAY, LOG]] if "new" in part else [["dead", "list"], [*RELAY, LOG]]
        option = ("--spool", str(kept / ".hookline" / "spool"))
        used.environment["HOOKLINE_STATE"] = str(next(used.directory.rglob("state.db")))
        if "new" not in part:
            move_out_of(above, used)
    for command in commands:
        refused = used.hookline(*command, *option, code=8).stderr.decode()
        assert f"anybody can write to {above}, a directory on the way to" in refused
        assert f"chmod o-w {above}" in refused
    above.chmod(0o1777)
    used.hookline(*commands[0], *option, code=4 if part == "new spool" else 0)


def move_out_of(above: Path, lab: Lab) -> None:
    """Keep the state where only we can write, so that only the spool is refused."""
    state = next(above.rglob("state.db"))
    state.rename(lab.directory / "state.db")
    lab.environment["HOOKLINE_STATE"] = str(lab.directory / "state.db")


def test_link_in_a_directory_that_everybody_can_write(used: Lab) -> None:
    """The directory of a link decides where it leads, so it counts, too."""
    above = used.directory / "open"
    above.mkdir()
    (above / "link").symlink_to(used.directory / ".hookline")
    above.chmod(0o777)
    refused = used.hookline("plan", "--state", str(above / "link" / "state.db"), code=8).stderr
    assert f"anybody can write to {above}, a directory on the way to".encode() in refused


@pytest.mark.parametrize("name", ["state.db", "."])
def test_state_that_everybody_can_write(used: Lab, name: str) -> None:
    """Whoever can write the state says where feedback goes: it is refused, as is one whose directory is open."""
    path = used.directory / ".hookline" / name
    path.chmod(mode(path) | 0o002)
    for command in (("show", ADDRESS), ("plan",), (*RELAY, LOG)):
        assert b"anybody can write to" in used.hookline(*command, code=8).stderr
