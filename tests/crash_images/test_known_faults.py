"""Promises that the spool does not keep yet, each in its shortest run. A test that passes shows that the mark can go.

When the first one is fixed, remove `strict` and `_forgotten` from workload.py as well.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash_images.power_cuts import check
from crash_images.running import CannotRecord, fast_directory, record_run
from hookline.relay.spool.sqlite import disk_reserve


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(disk_reserve, "RESERVE_BYTES", 4096)
    with fast_directory() as directory:
        yield directory


def violations(root: Path, script: tuple[str, ...], lasting: tuple[str, ...]) -> set[str]:
    try:
        record = record_run(1, calls=0, script=script, strict=True)
    except CannotRecord as reason:
        pytest.skip(f"SQLite cannot be observed: {reason}")
    report = check(record, root, lasting=lasting, max_violations=1000)
    sys.stdout.writelines(f"{one}\n" for one in report.violations)
    return {one.finding.split(":")[0] for one in report.violations}


@pytest.mark.xfail(reason="a synced transaction without a change makes the spool forget that results are not synced")
def test_results_before_a_transaction_without_a_change_are_synced(root: Path) -> None:
    """Results, then `expire` that finds nothing, then the sync of each second: the results are on the disk."""
    assert set() == violations(root, ("quiet_upkeep",), ("spool",))


@pytest.mark.xfail(reason="the directory that holds the new directory of a spool is not synced")
def test_the_directory_of_a_new_spool_is_synced(root: Path) -> None:
    """The first acknowledged events survive, although the spool's directory is new."""
    assert set() == violations(root, ("enqueue",), ())
