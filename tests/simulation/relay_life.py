"""The lives and deaths of the relay: it starts, crashes or ends on its own, and starts again on the files it left."""

from __future__ import annotations

from typing import Final

from hookline.errors import HooklineError
from hookline.model import Webhook
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.routing import Defaults
from simulation.endpoints import SimulatedTransport
from simulation.event_loop import SimulatedLoop
from simulation.parts import SimulationParts
from simulation.process import ProcessSettings, RelayProcess
from simulation.scenario import Input

# After the faults have ended, everything drains within this time: the longest retry delay of a scenario, and the
# time that its largest backlog needs at its lowest rate.
DRAIN_SECONDS: Final = 900.0
MAX_FAILED_STARTS: Final = 50
# The --name of the relay on a shared spool.
READER: Final = "log"
YEAR_SECONDS: Final = 365 * 24 * 3600.0


class RelayLife:
    """The relay of one simulation: one process after the other.

    Attributes:
        process: The process that runs now; None between two of them.
        crashes: The number of kills and power cuts.
        ages_are_exact: The clock was not set before a start. A relay cannot notice that, and so it takes old
            deliveries for older or younger than they are.
    """

    def __init__(self, parts: SimulationParts) -> None:
        self.process: RelayProcess | None = None
        self.crashes = 0
        self.ages_are_exact = True
        self._parts = parts
        self._world = parts.world
        self._storage = parts.storage
        self._failures = 0
        self._crash_after: list[float] = []

    # -- a process and its signals

    def start(self) -> None:
        """Start a process, unless one runs."""
        if self.process is not None:
            return
        loop = SimulatedLoop(self._world, shuffle=self._parts.scenario.shuffle, job_seconds=self._job_seconds)
        shared = self._parts.store.shared
        command = ProcessSettings(
            sources=self._parts.writer.open_sources(),
            follow=self._parts.scenario.input is Input.LOG,
            settings=RelaySettings(
                defaults=Defaults(),
                dedupe_window_seconds=YEAR_SECONDS,
                max_wait_seconds=DRAIN_SECONDS,
                grace_seconds=5.0,
                retain_seconds=YEAR_SECONDS,
            ),
            name=READER if shared and self._parts.scenario.input is not Input.PIPE else "",
        )
        self._world.note("the relay starts")
        if self._world.clock_was_set:
            self.ages_are_exact = False
        self.process = RelayProcess(
            self._world,
            loop,
            store=self._parts.store,
            state=self._parts.state,
            command=command,
            make_transport=self._make_transport,
        )
        self._parts.invariants.process_started(self.process)
        if self._crash_after:
            process = self.process
            self._world.after(self._crash_after.pop(), lambda: self._crash_again(process))

    def crash_after(self, seconds: list[float]) -> None:
        """Kill each of the next processes this long after its start."""
        self._crash_after = seconds[::-1]

    def _crash_again(self, process: RelayProcess) -> None:
        if self.process is process:
            self._world.note("kill -9 soon after the start")
            self.crash(self._storage.image(), how="killed")

    def plan_restart(self) -> None:
        """Start the relay again soon."""
        self._world.after(self._world.random.choice((0.0, 0.5, 5.0)), self.start)

    def stop(self) -> None:
        """Send SIGTERM."""
        if self.process is not None:
            self._world.note("SIGTERM")
            self.process.stop()

    def reload(self) -> None:
        """Send SIGHUP."""
        if self.process is not None:
            self.process.reload()

    def _job_seconds(self) -> float:
        return self._world.random.uniform(*self._storage.faults.seconds)

    def _make_transport(self, webhook: Webhook, process: RelayProcess) -> SimulatedTransport:
        parts = self._parts
        return SimulatedTransport(
            webhook, parts.endpoints[webhook.url], parts.events, parts.invariants.requests, process
        )

    # -- its death

    def crash(self, image: dict[str, bytes], *, how: str) -> None:
        """End the process. The disk keeps the files of `image`."""
        self.crashes += 1
        self._end_process(image, how)
        self.plan_restart()

    def take_ending(self, process: RelayProcess) -> Ending | None:
        """Check a process that has ended on its own. Returns its ending; None after an error."""
        failure = process.error
        self._world.note(f"the relay has ended: {process.ending.name if process.ending else failure}")
        if not process.main.cancelled() and (unexpected := process.main.exception()) is not None:
            self._world.violate("no internal error", f"{unexpected!r}")
        self._end_process(None, "stopped" if failure is None else "failed")
        if failure is not None:
            self._check_failure(failure)
        return process.ending

    def _end_process(self, image: dict[str, bytes] | None, how: str) -> None:
        """Close everything of the process. Without an image the files remain as they are."""
        if self.process is not None:
            self.process.kill()
            self.process = None
        self._storage.restore(self._storage.image() if image is None else image)
        self._parts.invariants.check_image(how)

    def _check_failure(self, failure: BaseException) -> None:
        self._failures += 1
        if not self._storage.is_ill and not isinstance(failure, HooklineError):
            self._world.violate("no internal error", f"{failure!r}")
        if self._failures > MAX_FAILED_STARTS:
            self._world.violate("progress", f"the relay cannot start: {failure}")

    def close(self) -> None:
        """End the process, if one runs, without a check."""
        if self.process is not None:
            self.process.kill()
        self._parts.writer.close()
        self._storage.restore({})
