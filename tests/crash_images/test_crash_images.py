"""A power cut at any moment leaves a spool that opens, and that holds everything that was promised before.

README.md in this folder explains the record, the images and the invariants.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import pytest

from crash_images.mutants import IN_CODE, IN_THE_RECORD
from crash_images.power_cuts import Report, check, commits, is_frame_header
from crash_images.record import Begun, Create, MakeDirectory, Record, Returned, Step, Sync, Truncate, Unlink, Write
from crash_images.running import CannotRecord, fast_directory, record_after_kill, record_run
from crash_images.workload import CALLS

SEEDS = (1, 2, 3, 4)
MIN_IMAGES, MIN_IMAGES_OF_SOAK = 5_000, 50_000
SHARE = 0.2
NEW_SEEDS = 8


@pytest.fixture
def root() -> Iterator[Path]:
    with fast_directory() as directory:
        yield directory


# A short run for the planted faults: ingest, results that are not synced, the sync of each second, a checkpoint.
SHORT = (*("enqueue", "settle", "settle", "checkpoint") * 2, "enqueue", "settle", "settle", "sync") * 2


@cache
def recorded(seed: int, script: tuple[str, ...] = (), mutant: str = "") -> Record:
    """The record of a run, or of a short one that has only the calls of `script`; or a skip that gives the reason."""
    try:
        return record_run(seed, mutant=mutant, script=script, calls=0) if script else record_run(seed)
    except CannotRecord as reason:
        pytest.skip(f"SQLite cannot be observed: {reason}")


def show(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def checked(seeds: Iterator[int] | tuple[int, ...], root: Path, share: float) -> list[Report]:
    """Check the images of several seeds, and print the counts."""
    reports = []
    for seed in seeds:
        report = check(recorded(seed), root, share=share)
        show(
            f"seed {seed}: {report.transactions} transactions, {report.images} images, {report.distinct} distinct, "
            f"{len(report.violations)} violations"
        )
        assert [] == [str(one) for one in report.violations]
        reports.append(report)
    show(f"{sum(one.distinct for one in reports)} distinct images")
    return reports


@pytest.mark.starts_first(60)
def test_each_power_cut_leaves_a_sound_spool(root: Path) -> None:
    """Every image opens, holds each acknowledged event once, and ends with a transaction that may be the last."""
    assert MIN_IMAGES <= sum(one.distinct for one in checked(SEEDS, root, SHARE))


@pytest.mark.parametrize("script", [("quiet_upkeep",), ("enqueue",)])
def test_each_power_cut_of_a_short_run(script: tuple[str, ...], root: Path) -> None:
    """Results, then an `expire` that finds nothing, then the sync of each second: the results are on the disk. The
    first acknowledged events survive, although the spool's directory is new."""
    assert [] == [str(one) for one in check(recorded(1, script), root).violations]


@pytest.mark.soak
def test_many_power_cuts(root: Path) -> None:
    """The same for all images of fixed and of new seeds, which are printed."""
    seeds = (*SEEDS, *(secrets.randbelow(2**32) for _ in range(NEW_SEEDS)))
    assert MIN_IMAGES_OF_SOAK <= sum(one.distinct for one in checked(seeds, root, 1.0))


def after_kills(seed: int, kills: int, root: Path, share: float) -> int:
    """Check the images of a second process, after kills of a first one. Returns the number of distinct images."""
    record = recorded(seed)
    whole = [cut for cut in range(100, len(record.steps)) if not is_frame_header(record.steps[cut - 1])]
    distinct = 0
    for cut in Random(seed).sample(whole, kills):
        try:
            report = check(record_after_kill(record, cut, calls=10), root, share=share, after=cut)
        except CannotRecord as reason:
            pytest.skip(f"SQLite cannot be observed: {reason}")
        show(f"seed {seed}, killed after step {cut}: {report.distinct} distinct images")
        assert [] == [str(one) for one in report.violations]
        distinct += report.distinct
    return distinct


def test_power_cuts_after_a_kill(root: Path) -> None:
    """A killed process leaves changes that are not synced. A second one continues, and the power cut comes then."""
    assert after_kills(1, 3, root, 0.1)


def test_power_cuts_after_a_kill_of_a_new_spool(root: Path) -> None:
    """The first process is killed while it creates the spool. The names that it left are synced by the second one."""
    record = recorded(1, ("enqueue",))
    made = next(cut for cut, step in enumerate(record.steps, 1) if isinstance(step, MakeDirectory))
    opened = next(cut for cut, step in enumerate(record.steps, 1) if isinstance(step, Returned))
    for cut in {*range(made, opened, 8), *range(opened - 4, opened + 1)}:
        report = check(record_after_kill(record, cut, calls=1), root, share=0.05, after=cut)
        assert [] == [str(one) for one in report.violations], f"killed after step {cut}"


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_many_power_cuts_after_a_kill(seed: int, root: Path) -> None:
    """The same for many kills."""
    assert after_kills(seed, 10, root, 0.5)


def test_the_runs_have_everything() -> None:
    """The runs make all calls, grow and restart and truncate the log, move it into the database, and reopen."""
    records = [recorded(seed) for seed in SEEDS]
    names = {step.call for record in records for step in record.steps if isinstance(step, Begun)}
    assert len(CALLS) - len({"retry", "sync", "quiet_upkeep", "reader", "reopen"}) + 3 <= len(names)
    for record in records:
        logs = {
            step.inode for step in record.steps if isinstance(step, Create) and step.name.endswith("spool.db-wal")
        }
        headers = [step.inode for step in record.steps if isinstance(step, Write) and step.inode in logs
                   and step.offset == 0]  # fmt: skip
        assert len(headers) > len(set(headers)), "a log is restarted"
        assert any(isinstance(step, Write) and step.inode == 1 for step in record.steps)
        assert len(logs) > 2, "a spool is reopened"
        assert any(isinstance(step, Unlink) for step in record.steps)
        assert any(isinstance(step, Sync) and step.inode in logs for step in record.steps)
        assert len(commits(record.steps)) > 30
    assert any(isinstance(step, Truncate) and step.size == 0 for record in records for step in record.steps)


def test_a_seed_gives_the_same_record() -> None:
    """Two processes write the same bytes in the same order, so that a seed and a number name an image."""
    first = recorded(7, SHORT)
    recorded.cache_clear()
    assert first.steps == recorded(7, SHORT).steps


def shape(step: Step) -> Step | tuple[int, int, int]:
    """A step without the bytes that SQLite draws at random."""
    return (step.inode, step.offset, len(step.data)) if isinstance(step, Write) else step


def test_strace_records_the_same() -> None:
    """The VFS misses no call: the kernel receives the same writes, truncations, syncs and changes of names."""
    try:
        traced = record_run(1, script=SHORT, traced=True)
    except CannotRecord as reason:
        pytest.skip(f"no second record: {reason}")
    try:
        observed = record_run(1, script=SHORT, traced=False)
    except CannotRecord as reason:
        pytest.skip(f"no first record: {reason}")
    assert [shape(step) for step in observed.steps] == [shape(step) for step in traced.steps]


# By planted fault: the invariant that catches it, and the seed that is tried first.
CAUGHT_BY = {
    "enqueue is not synced": ("acknowledged means present", 1),
    "the position is written before its rows": ("the position covers exactly its rows", 1),
    "the position is written after its rows": ("the position covers exactly its rows", 1),
    "a checkpoint does not sync the log first": ("the database is sound", 1),
    "a checkpoint does not sync the database": ("acknowledged means present", 1),
    "the log is never synced": ("acknowledged means present", 1),
    "the sync of each second is missing": ("a synced transaction is never undone", 2),
    "the directory is never synced": ("acknowledged means present", 1),
}


@pytest.mark.parametrize("mutant", sorted({*IN_CODE, *IN_THE_RECORD}))
def test_a_planted_fault_is_caught(mutant: str, root: Path) -> None:
    """Each planted fault breaks an invariant in some image."""
    finding, likely = CAUGHT_BY[mutant]
    for seed in sorted(SEEDS, key=lambda seed: seed != likely):
        report = check(recorded(seed, SHORT, mutant), root, share=0.5, max_violations=10)
        if report.violations:
            break
    show(
        f"{mutant}: {report.images} images of seed {seed}: {report.violations[0] if report.violations else 'missed'}"
    )
    assert any(finding in one.finding for one in report.violations)
