"""Names of readers on a shared spool: the same log under two names is read twice, and the relay warns."""

from __future__ import annotations

from builders import as_lines, xdm_event
from hookline_process import Lab
from shared_spool import SharedSpoolDatabase


def test_a_log_under_a_second_name_is_warned_of(lab: Lab) -> None:
    """The second name finds only duplicates. Its log names both names, and what to do."""
    where = ("--spool", SharedSpoolDatabase().url())
    (lab.directory / "events").write_bytes(as_lines(xdm_event(n, n) for n in range(5)))
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{receiver.port}/feedback")
        first = lab.hookline(*lab.relay_arguments(receiver, *where, "--name", "mail-1", "events"))
        second = lab.hookline(*lab.relay_arguments(receiver, *where, "--name", "mail-2", "events"))
        assert 5 == len(receiver.accepted())
    assert b"another --name" not in first.stderr
    assert b"another --name has read this file" in second.stderr
    assert b"source=events other=mail-1 read_as=events line=5" in second.stderr
