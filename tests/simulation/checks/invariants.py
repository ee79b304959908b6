"""The guarantees as invariants: checked at every request, after every commit, at every crash, and at the end.

Each violation names its invariant; docs/reference/guarantees.md explains the names. This module informs the checks
of the folder about everything that happens.
"""

from __future__ import annotations

from collections.abc import Mapping

from hookline.model import Address
from simulation.checks.endpoint_history import EndpointHistories
from simulation.checks.lockout_check import LockoutCheck
from simulation.checks.progress_checks import ProgressChecks
from simulation.checks.request_checks import RequestChecks
from simulation.checks.spool_checks import SpoolChecks
from simulation.checks.spool_view import SpoolView
from simulation.events import SimulatedEvent
from simulation.process import RelayProcess
from simulation.state import SimulatedState
from simulation.storage import SimulatedStorage
from simulation.world import World


class Invariants:
    """All checks of one simulation, except the final one."""

    def __init__(
        self,
        world: World,
        events: Mapping[int, SimulatedEvent],
        storage: SimulatedStorage,
        state: SimulatedState,
        *,
        is_reread: bool,
    ) -> None:
        """Create the checks.

        Args:
            world: Time and chance.
            events: The events by number.
            storage: The storage of the spool.
            state: The stored state.
            is_reread: The input begins again after a crash, so that events are read in several orders.
        """
        self._world = world
        self._storage = storage
        self._state = state
        self._histories = EndpointHistories(world, storage, state)
        self._progress = ProgressChecks(world, self._histories, storage)
        self.requests = RequestChecks(world, events, self._histories, storage, is_reread=is_reread)
        self._lockout = LockoutCheck(world, events)
        self.spool = SpoolChecks(world, events, storage, state)

    # -- the life of a process

    def process_started(self, process: RelayProcess) -> None:
        """The checks of requests follow this process from now on."""
        self.requests.process_started(process)
        self._histories.process_started()

    def check_each_second(self, process: RelayProcess) -> None:
        """Check the running relay and its spool."""
        dispatcher = process.dispatcher
        if dispatcher is None:
            return
        self._progress.check_memory(dispatcher)
        with self._storage.view() as view:
            if view is None:
                return
            self.spool.check_accounting(view)
            self.spool.note_durable(view)
            self.spool.check_present(view, "while the relay runs")
            self._lockout.run()
            if process.crash_guard is not None and process.crash_guard.waiting is not None:
                self._histories.time_passed()
            elif not process.stopping:
                self._progress.check_progress(dispatcher, view)

    def check_image(self, how: str) -> None:
        """Check the files that a process left. `how` it ended: killed, cut off from power, stopped, failed."""
        with self._storage.view_of_copy() as view:
            if view is None:
                self.spool.check_missing_spool()
                return
            if (problem := view.problem()) is not None:
                self._world.violate("intact database", problem)
            self._check_left_spool(view, how)

    def _check_left_spool(self, view: SpoolView, how: str) -> None:
        self.spool.check_accounting(view)
        self.spool.check_present(view, f"after the process was {how}")
        self.spool.check_repeats(view, how)
        self.spool.note_in_hand(view)
        self.spool.note_durable(view)
        self._histories.process_ended(view)
        self.requests.process_ended()

    # -- changes from outside

    def requests_permitted(self, address: Address) -> None:
        """An operator ran `retry-now`: earlier requests to wait no longer count."""
        self._histories.requests_permitted(address)

    def configured(self, address: Address) -> None:
        """An apply changed, created or deleted this webhook."""
        self._histories.configured(address, self._state.webhooks.get(address))

    def time_passed(self) -> None:
        """The machine slept. Nothing could make progress."""
        self._histories.time_passed()

    def clock_set(self) -> None:
        """The machine's clock was set."""
        self._progress.clock_set()
        self._histories.clock_set()
