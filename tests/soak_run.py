"""The parts of a soak run: numbered events, a log that rotates during writes, and the audit."""

from __future__ import annotations

import gzip
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Final

from builders import as_lines, xdm_event
from faulty_endpoint import MANNERS, Entry, Ledger

EVENTS_OF_A_MESSAGE: Final = 3


def message_of(number: int) -> int:
    """The message of an event. A message has three events; events of three other messages lie between them."""
    return number // 12 * 4 + number % 4


def line_of(number: int) -> bytes:
    return as_lines([xdm_event(number, message_of(number))])


class RotatingLog:
    """A log at `path`, in its own directory, that is written and rotated as by programs and logrotate.

    Writes end anywhere in a line, so that a reader sees partial lines. Rotated files are numbered, `-0001` first.
    """

    def __init__(self, path: Path, random: Random) -> None:
        path.parent.mkdir()
        self.path = path
        self.written = 0
        self._file = path.open("ab", buffering=0)
        self._random = random
        self._rest = b""
        self._rotations = 0

    def write(self, lines: int) -> None:
        """Write the next events. The last one may be partial; the next write begins with its rest."""
        text = self._rest + b"".join(map(line_of, range(self.written, self.written + lines)))
        self.written += lines
        kept = self._random.choice((0, 0, self._random.randrange(1, 200)))
        whole = max(len(text) - kept, len(self._rest))
        while whole:
            piece = text[: min(whole, self._random.randrange(1, 65_536))]
            self._file.write(piece)
            text = text[len(piece) :]
            whole -= len(piece)
        self._rest = text

    def complete(self) -> None:
        """Write the rest of the last line."""
        self._file.write(self._rest)
        self._rest = b""

    def close(self) -> None:
        """Write the rest of the last line and close the file."""
        self.complete()
        self._file.close()

    def rename(self, late: int) -> None:
        """Rename and create: the writer writes `late` lines into the renamed file before it opens the new one."""
        self.path.rename(self._next_name())
        self.write(late)
        self.complete()
        self._file.close()
        self._file = self.path.open("ab", buffering=0)

    def copy_and_truncate(self) -> None:
        """Copy and truncate. Lines between the two are lost, so the reader must have read everything before."""
        shutil.copyfile(self.path, self._next_name())
        self._file.truncate(0)

    def compress(self) -> None:
        """Compress as gzip does: write under the final name, copy the original's times, then remove the original.

        The newest rotated file stays, because the writer may still have it open.
        """
        for plain in self._rotated()[:-1]:
            with plain.open("rb") as source, gzip.open(f"{plain}.gz", "wb", compresslevel=1) as target:
                shutil.copyfileobj(source, target)
            shutil.copystat(plain, f"{plain}.gz")
            plain.unlink()

    def forget(self) -> None:
        """Remove the compressed files, as logrotate does. The reader must have read them."""
        for path in self.path.parent.glob(f"{self.path.name}-*.gz"):
            path.unlink()

    def _rotated(self) -> list[Path]:
        return sorted(path for path in self.path.parent.glob(f"{self.path.name}-*") if path.suffix != ".gz")

    def _next_name(self) -> Path:
        self._rotations += 1
        return self.path.with_name(f"{self.path.name}-{self._rotations:04}")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Repeated acceptances, by their explanation.

    The endpoint's manner lost the answer; a kill of the sender came between an answer and its commit; or the answer
    came after the sender's timeout.
    """

    by_manner: Counter[str] = field(default_factory=Counter)
    by_kill: Counter[int] = field(default_factory=Counter)
    too_late: int = 0
    unexplained: tuple[Entry, ...] = ()

    def __str__(self) -> str:
        lost, killed = self.by_manner.total(), self.by_kill.total()
        worst = max(self.by_kill.values(), default=0)
        return (
            f"{lost + killed + self.too_late} accepted again: {lost} after a lost answer, {killed} after a kill "
            f"(at most {worst} at one), {self.too_late} answered too late, {len(self.unexplained)} unexplained"
        )


class Audit:
    """The accepted events of the endpoint, by their numbers."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = Ledger(ledger)
        self._accepted: dict[str, list[Entry]] = {}
        self._numbers: set[int] = set()
        self._lives: set[int] = set()
        self._first_missing = 0

    def update(self) -> None:
        for entry in self._ledger.news():
            self._lives.add(entry.life)
            if entry.accepted:
                self._accepted.setdefault(entry.identity, []).append(entry)
                self._numbers.add(number_of(entry))

    def accepted(self) -> int:
        """The number of distinct accepted events."""
        self.update()
        return len(self._numbers)

    def first_missing(self) -> int:
        """The first event that is not accepted. A producer can restart here."""
        self.update()
        while self._first_missing in self._numbers:
            self._first_missing += 1
        return self._first_missing

    def has_heard_of(self, life: int) -> bool:
        """Whether this life has sent a request, accepted or not."""
        self.update()
        return life in self._lives

    def missing(self, events: int) -> set[int]:
        self.update()
        return set(range(events)) - self._numbers

    def entries(self) -> list[list[Entry]]:
        """The accepted requests of each delivery, in the order of their arrival."""
        return list(self._accepted.values())

    def identities(self) -> int:
        """The number of distinct accepted deliveries: one per event if events keep their identity."""
        return len(self._accepted)

    def bodies_changed(self) -> list[str]:
        """Deliveries whose requests differ in their bytes."""
        return [
            identity for identity, entries in self._accepted.items() if len({one.checksum for one in entries}) > 1
        ]

    def out_of_order(self) -> list[int]:
        """Messages whose events were first accepted out of order."""
        latest: dict[int, int] = {}
        wrong = []
        for number in (number_of(entries[0]) for entries in self._accepted.values()):  # a dict keeps the order
            message = message_of(number)
            if latest.get(message, -1) > number:
                wrong.append(message)
            latest[message] = number
        return wrong

    def duplicates(self, *, killed: Iterable[int], timeout: float) -> Duplicates:
        """Explain the repeated acceptances.

        `killed` are the lives that ended with SIGKILL; `timeout` is the sender's timeout in seconds.
        """
        found, dead, late, unexplained = Duplicates(), set(killed), 0, []
        for entries in self._accepted.values():
            for before, after in pairwise(entries):
                if MANNERS[before.manner].loses_the_answer:
                    found.by_manner[before.manner] += 1
                elif before.life in dead and before.life < after.life:
                    found.by_kill[before.life] += 1
                elif before.time / 1e9 - before.sent > timeout - 0.5:
                    late += 1
                else:
                    unexplained.append(after)
        return Duplicates(found.by_manner, found.by_kill, late, tuple(unexplained))


def number_of(entry: Entry) -> int:
    return int(entry.request_id.removeprefix("request-"))
