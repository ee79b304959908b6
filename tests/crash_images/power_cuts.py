"""Cuts the power at each point of a record, and checks every image against the promises made before the cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from crash_images.choices import choices
from crash_images.disk import Disk
from crash_images.examination import Examination, Examiner
from crash_images.record import Begun, Create, Promise, Record, Returned, Step, Write
from crash_images.workload import SPOOL_DIRECTORY

_FRAME_HEADER_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Image:
    """One state of the disk. `cut`: the number of steps that were made. Images are numbered from 0 in each record."""

    number: int
    cut: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Violation:
    """An image that breaks an invariant."""

    seed: int
    image: Image
    finding: str

    def __str__(self) -> str:
        return f"seed {self.seed}, image {self.image.number}, power cut after step {self.image.cut}: {self.finding}"


@dataclass(slots=True)
class Report:
    """The result of all power cuts of one record."""

    images: int = 0
    distinct: int = 0
    transactions: int = 0
    violations: list[Violation] = field(default_factory=list)


def images(record: Record, *, share: float = 1.0, after: int = 0) -> Iterator[Image]:
    """The images of power cuts after more than `after` steps. The same record gives the same images.

    Of the chosen states, a `share` is drawn.
    """
    disk, random = Disk(), Random(record.seed)
    number = 0
    for cut, step in enumerate(record.steps, 1):
        new = disk.make(step)
        promised = isinstance(step, Returned) and step.promise is not Promise.NOTHING
        if cut <= after or not (new or (promised and disk.pending)):
            continue
        for choice in choices(disk, random, new=new):
            if random.random() < share:
                yield Image(number, cut, disk.files(choice))
                number += 1


@dataclass(frozen=True, slots=True)
class Bound:
    """The transactions that may be on the disk after a power cut: all up to `first`, and none after `last`."""

    first: int
    last: int
    lines: Mapping[str, int]


def is_frame_header(step: Step) -> bool:
    """Whether SQLite writes the header of a page in the write-ahead log. The page follows."""
    return isinstance(step, Write) and len(step.data) == _FRAME_HEADER_BYTES


def commits(steps: Sequence[Step]) -> list[int]:
    """The cuts at which a transaction of the spool is complete in the write-ahead log."""
    logs: set[int] = set()
    found = []
    for number, step in enumerate(steps):
        if isinstance(step, Create) and step.name == f"{SPOOL_DIRECTORY}/spool.db-wal":
            logs.add(step.inode)
        # The header of a frame has the page number, and the size of the database if the frame ends a transaction.
        match step:
            case Write(inode, _, data) if (
                inode in logs and len(data) == _FRAME_HEADER_BYTES and data[4:8] != bytes(4)
            ):
                found.append(number + 2)  # the page follows
    return found


def bounds(steps: Sequence[Step]) -> list[Bound]:
    """By cut: the bound that follows from the promises until then. Transaction 0 is the creation of the spool."""
    # The page may be on the disk before it is written: the log was restarted, and had the same page at this place.
    headers = {cut - 1 for cut in commits(steps)}
    first = last = before_call = 0
    lines: Mapping[str, int] = {}
    found = [Bound(0, 0, {})]
    for cut, step in enumerate(steps, 1):
        last += cut in headers
        if isinstance(step, Begun):
            before_call = last
        elif isinstance(step, Returned):
            lines = step.lines
            if step.promise is Promise.ALL or (step.promise is Promise.OWN and last > before_call):
                first = last
        found.append(Bound(first, last, lines))
    return found


def check(
    record: Record,
    root: Path,
    *,
    share: float = 1.0,
    after: int = 0,
    max_violations: int = 10,
) -> Report:
    """Examine the images of a record until `max_violations` are found.

    Args:
        record: The record.
        root: A directory for the images.
        share: The share of the images to examine.
        after: No power cut comes before this number of steps.
        max_violations: The number of violations at which to stop.

    Returns:
        The counts and the violations.
    """
    report = Report()
    examiner = Examiner(root, record.script)
    states, complete = states_of(record, examiner)
    report.transactions = len(complete)
    report.violations += [
        Violation(record.seed, image, finding)
        for image in complete
        for finding in examiner.examine(image.files).violations
    ]
    by_cut = bounds(record.steps)
    for image in images(record, share=share, after=after):
        if len(report.violations) >= max_violations:
            break
        report.images += 1
        findings = findings_of(examiner.examine(image.files), by_cut[image.cut], states)
        report.violations += [Violation(record.seed, image, finding) for finding in findings]
    report.distinct = len(examiner.examined)
    return report


def states_of(record: Record, examiner: Examiner) -> tuple[dict[bytes, list[int]], list[Image]]:
    """By state of the spool: the numbers of the transactions that lead to it, if the power is never cut.

    Also returns the image after each transaction, with the number -1.
    """
    disk = Disk()
    ends = set(commits(record.steps))
    new_spool = examiner.examine({})
    assert new_spool.state is not None
    states = {new_spool.state: [0]}
    complete: list[Image] = []
    for cut, step in enumerate(record.steps, 1):
        disk.make(step)
        if cut in ends:
            complete.append(Image(-1, cut, disk.files(disk.everything())))
            found = examiner.examine(complete[-1].files)
            if found.state is not None:
                states.setdefault(found.state, []).append(len(complete))
    return states, complete


def findings_of(examination: Examination, bound: Bound, states: Mapping[bytes, Sequence[int]]) -> list[str]:
    """The broken invariants of an image after a power cut."""
    findings = list(examination.violations)
    if examination.state is None:
        return findings
    for source, line in bound.lines.items():
        if examination.lines.get(source, 0) < line:
            findings.append(f"acknowledged means present: {source} has line {line}, the image "
                            f"{examination.lines.get(source, 0)}")  # fmt: skip
    numbers = states.get(examination.state)
    if numbers is None:
        findings.append("transactions are whole and in order: the image has a state between two of them")
    elif not any(bound.first <= number <= bound.last for number in numbers):
        findings.append(f"a synced transaction is never undone: the image ends with transaction {numbers[-1]}, "
                        f"of {bound.first} to {bound.last}")  # fmt: skip
    return findings
