"""Writes the events of a simulation into the relay's input: a growing log, complete files, or a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from simulation.events import SimulatedEvent
from simulation.inputs import SimulatedLog, SimulatedPipe
from simulation.scenario import Input, Scenario
from simulation.world import World

# A steady log receives one event in each interval.
STEADY_INTERVAL_SECONDS: Final = 0.2
# At the end, a producer writes this many events at once, because a pipe takes only a bounded number of bytes.
PIPE_CHUNK_EVENTS: Final = 20


class InputWriter:
    """The writer of one simulation's input, in `directory`."""

    def __init__(self, world: World, scenario: Scenario, events: Sequence[SimulatedEvent], directory: Path) -> None:
        """Create the writer. It writes nothing before `begin`.

        Args:
            world: Time and chance.
            scenario: The kind of input, and its events.
            events: The events in their order.
            directory: An existing directory.
        """
        self._world = world
        self._scenario = scenario
        self._events = events
        self._directory = directory
        self._unwritten = list(events)
        self._log = SimulatedLog(directory / "events.log", world)
        self._pipe: SimulatedPipe | None = None
        self._is_finishing = False

    @property
    def all_written(self) -> bool:
        """Whether the relay can read everything by now."""
        return not self._unwritten and (self._pipe is None or self._pipe.all_written)

    def begin(self) -> None:
        """Write the files, or plan the bursts in which the events arrive."""
        world, scenario = self._world, self._scenario
        if scenario.input is Input.FILES:
            self._write_files()
        elif scenario.events.steady:
            self._write_steadily()
        else:
            for _ in range(world.random.randint(1, 12)):
                world.after(world.random.uniform(0.0, scenario.active_seconds * 0.8), self._write_burst)

    def open_sources(self) -> list[str]:
        """The sources for the command line of a relay that starts now. The producer of a pipe starts with it."""
        match self._scenario.input:
            case Input.LOG:
                return [str(self._directory / "events.log")]
            case Input.FILES:
                return [str(self._directory)]
            case Input.PIPE:
                self._start_producer()
                return [str(self._directory / "events")]

    def finish(self) -> None:
        """Write the rest. A log gets it at once, a pipe in chunks."""
        self._is_finishing = True
        if self._scenario.input is Input.LOG:
            self._write(self._take_unwritten(len(self._unwritten)))
        elif self._pipe is not None and not self._pipe.closed:
            self._write(self._take_unwritten(PIPE_CHUNK_EVENTS))
            if self.all_written and self._pipe.all_read:
                self._pipe.close()
            else:
                self._world.after(0.2, self.finish)

    def close(self) -> None:
        """The producer of a pipe ends."""
        if self._pipe is not None:
            self._pipe.close()

    def rotate(self) -> None:
        """Rotate the log in one of three ways.

        The log must have a line that the relay has stored: a first run reads no older files, and the relay cannot
        find the copy of a log that it has never read.
        """
        if not self._log.has_durable_line:
            return
        kind = self._world.random.choice(("rename", "create", "copy"))
        self._world.note(f"the log is rotated: {kind}")
        if kind == "copy":
            self._log.rotate_by_copy()
        else:
            self._log.rotate_by_rename(recreate=kind == "create")

    def _start_producer(self) -> None:
        """The data in a pipe is lost with its reader, so the producer begins with the first event again."""
        self.close()
        self._pipe = SimulatedPipe(self._directory / "events")
        self._unwritten = list(self._events)
        if self._is_finishing:
            self._world.after(0.1, self.finish)

    def _write_files(self) -> None:
        number = 0
        while self._unwritten:
            number += 1
            log = SimulatedLog(self._directory / f"events-{number:03}.log", self._world)
            count = self._world.random.randint(1, max(1, self._scenario.events.count // 2))
            log.append(self._take_unwritten(count), complete=True)

    def _write_steadily(self) -> None:
        """One burst, and then events at an even rate."""
        if len(self._unwritten) == len(self._events):
            self._write(self._take_unwritten(len(self._events) // 2))
        self._write(self._take_unwritten(1))
        if self._unwritten:
            self._world.after(STEADY_INTERVAL_SECONDS, self._write_steadily)

    def _write_burst(self) -> None:
        count = self._world.random.randint(1, max(1, self._scenario.events.count // 4))
        self._write(self._take_unwritten(count))

    def _take_unwritten(self, count: int) -> list[SimulatedEvent]:
        taken, self._unwritten = self._unwritten[:count], self._unwritten[count:]
        return taken

    def _write(self, events: list[SimulatedEvent]) -> None:
        if self._scenario.input is Input.LOG:
            self._log.append(events, complete=self._is_finishing or self._world.chance(0.7))
        elif self._pipe is not None and not self._pipe.closed:
            for event in events:
                event.written(self._world.now)
            self._pipe.write(b"".join(event.line() for event in events))
        if events:
            self._world.note(f"{len(events)} events are written")
