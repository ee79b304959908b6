"""What a soak run is made of: numbered events, a log that rotates while it is written, and the audit at the end."""

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
    """Each message has three events, with those of three others between them."""
    return number // 12 * 4 + number % 4


def line_of(number: int) -> bytes:
    return as_lines([xdm_event(number, message_of(number))])


class RotatingLog:
    """A log at `path`, in a directory of its own, written and rotated as programs and logrotate do it.

    Lines are written in any pieces, so that a reader meets half lines. Rotated files are named by when they were
    rotated, `-0001` first.
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
        """The next events, the last of them perhaps only in part: the next write begins with its rest."""
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
        """Write the rest of the last line, and no more."""
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
        """Only sound when all that is written has been read: what comes between copy and truncation would be lost."""
        shutil.copyfile(self.path, self._next_name())
        self._file.truncate(0)

    def compress(self) -> None:
        """As gzip does it: the compressed file grows under its final name, gets the original's times, and then the
        original goes. The newest of the rotated files is left, since the writer may still have it open."""
        for plain in self._rotated()[:-1]:
            with plain.open("rb") as source, gzip.open(f"{plain}.gz", "wb", compresslevel=1) as target:
                shutil.copyfileobj(source, target)
            shutil.copystat(plain, f"{plain}.gz")
            plain.unlink()

    def forget(self) -> None:
        """Remove what is compressed, as logrotate does with the oldest. Only sound when it has been read."""
        for path in self.path.parent.glob(f"{self.path.name}-*.gz"):
            path.unlink()

    def _rotated(self) -> list[Path]:
        return sorted(path for path in self.path.parent.glob(f"{self.path.name}-*") if path.suffix != ".gz")

    def _next_name(self) -> Path:
        self._rotations += 1
        return self.path.with_name(f"{self.path.name}-{self._rotations:04}")


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Repeated acceptances, each by what explains it: the manner in which the endpoint lost the answer before, the
    life whose kill came between an answer and its commit, or an answer that came when the sender had given up."""

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
    """What the endpoint has accepted so far, by the numbers of the events."""

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
        """How many different events are accepted."""
        self.update()
        return len(self._numbers)

    def first_missing(self) -> int:
        """All events before this one are accepted, so a producer may begin again here."""
        self.update()
        while self._first_missing in self._numbers:
            self._first_missing += 1
        return self._first_missing

    def has_heard_of(self, life: int) -> bool:
        """Whether this life has sent anything, accepted or not."""
        self.update()
        return life in self._lives

    def missing(self, events: int) -> set[int]:
        self.update()
        return set(range(events)) - self._numbers

    def identities(self) -> int:
        """How many different deliveries were accepted: one for each event, when events keep their identity."""
        return len(self._accepted)

    def bodies_changed(self) -> list[str]:
        """Deliveries of which not every request had the same bytes."""
        return [
            identity for identity, entries in self._accepted.items() if len({one.checksum for one in entries}) > 1
        ]

    def out_of_order(self) -> list[int]:
        """Messages of which a later event was accepted before an earlier one. First acceptances count."""
        latest: dict[int, int] = {}
        wrong = []
        for number in (number_of(entries[0]) for entries in self._accepted.values()):  # a dict keeps the order
            message = message_of(number)
            if latest.get(message, -1) > number:
                wrong.append(message)
            latest[message] = number
        return wrong

    def duplicates(self, *, killed: Iterable[int], timeout: float) -> Duplicates:
        """`killed` are the lives that ended with SIGKILL. `timeout` is how long the sender waits, in seconds."""
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
