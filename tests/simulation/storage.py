"""The storage of a simulated spool, as the simulation and its checks use it: a disk, or a database server."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from simulation.checks.spool_view import SpoolView
from simulation.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFaults:
    """The faults of a time. Probabilities are for each commit; `seconds` are the limits of the time of each job.

    `failed_sync`: the commit fails, and whether it is stored is unknown. For a database, `full` = 1 means that the
    server does not answer at all.
    """

    full: float = 0.0
    failed_sync: float = 0.0
    seconds: tuple[float, float] = (0.0001, 0.003)


class SimulatedStorage(Protocol):
    """The storage of one spool.

    Attributes:
        faults: The faults that are active now.
        is_ill: Outcomes may remain unwritten, and the checks expect nothing in time.
        kill_at_commit: The process ends at this commit, counted from now; None if no kill is planned.
        killed_image: The files that a kill at a commit left, until they are restored.
    """

    faults: StorageFaults
    is_ill: bool
    kill_at_commit: int | None
    killed_image: dict[str, bytes] | None

    def fail(self, faults: StorageFaults) -> None:
        """Activate these faults. The storage is ill until `trust`."""

    def heal(self) -> None:
        """End the faults. The relay needs some seconds to write everything that it holds."""

    def trust(self) -> None:
        """From now on the checks expect everything in time, unless new faults are active."""

    @property
    def has_failed_commit(self) -> bool:
        """A commit is written that the relay does not acknowledge, and that may be lost."""

    def by_operator(self) -> AbstractContextManager[None]:
        """The commits of this block are those of another process, which has no faults."""

    def image(self) -> dict[str, bytes]:
        """The files of the spool as a killed process leaves them."""

    def power_cut_image(self) -> dict[str, bytes]:
        """The files of the spool after a power cut of the relay's machine."""

    def restore(self, image: dict[str, bytes]) -> None:
        """Make these the files of the spool. No connection of the ended process is open afterwards."""

    def view(self) -> AbstractContextManager[SpoolView | None]:
        """A view of the spool for the checks. It is None if no relay has created the spool yet."""

    def view_of_copy(self) -> AbstractContextManager[SpoolView | None]:
        """A view of the spool that a process left."""


class PlannedFaults:
    """The faults and the kill that are planned: the part of SimulatedStorage that all storages have in common."""

    def __init__(self, world: World) -> None:
        self.faults = StorageFaults()
        self.is_ill = False
        self.kill_at_commit: int | None = None
        self.killed_image: dict[str, bytes] | None = None
        self._world = world

    def fail(self, faults: StorageFaults) -> None:
        self.faults = faults
        self.is_ill = True

    def heal(self) -> None:
        self.faults = StorageFaults()

    def trust(self) -> None:
        if self.faults == StorageFaults():
            self.is_ill = False

    def _kill_moment(self, *moments: str) -> str:
        """Count one commit of the process. Returns one of the moments if it ends at this one, otherwise no text."""
        if self.kill_at_commit is None:
            return ""
        self.kill_at_commit -= 1
        if self.kill_at_commit > 0:
            return ""
        self.kill_at_commit = None
        return self._world.random.choice(moments)
