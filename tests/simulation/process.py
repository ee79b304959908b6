"""One life of a relay in the simulation: the real parts, connected as `run_relay` connects them."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from hookline.errors import HooklineError
from hookline.model import Webhook
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery.attempt import Endpoint
from hookline.relay.delivery.dispatcher import Dispatcher
from hookline.relay.delivery.endpoint import HttpEndpoint
from hookline.relay.http.address_policy import NetworkRules
from hookline.relay.http.request import Target
from hookline.relay.http.tls import Certificates
from hookline.relay.http.transport import Transport
from hookline.relay.relay import Ending, RelaySettings
from hookline.relay.secrets import SecretResolver
from hookline.relay.slots.ownership import Ownership
from hookline.relay.sources.files.leased_source import LeasedSource
from hookline.relay.sources.open import open_sources
from hookline.relay.sources.source import LineSource, Position
from hookline.relay.sources.timing import Timing
from hookline.relay.sources.watching.inotify import Inotify
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.factory import SpoolStore
from hookline.relay.spool.opened_spool import OpenedSpool, join_shared, opened_spool
from hookline.relay.spool.spool import Spool
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.state.store import StateStore
from hookline.wiring.run_options import Machine, RelayOptions
from hookline.wiring.run_relay import build_relay
from simulation.database.simulated_store import SimulatedStore
from simulation.event_loop import SimulatedLoop
from simulation.world import World
from source_reader import no_watcher

# The longest deadline of a scenario, an hour in which the machine slept, and some time for jobs.
MAX_MILLISECONDS: Final = (5.0 + 3600.0 + 60.0) * 1000

# The longest wait of a read. Lines that arrive during a wait are read after it, because a job is one step.
READ_SECONDS: Final = 0.1

MakeTransport = Callable[[Webhook, "RelayProcess"], Transport]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """The command line of the relay: its sources, whether it follows them, its settings, and its name on a shared
    spool."""

    sources: list[str]
    follow: bool
    settings: RelaySettings
    name: str = ""


class OneClose:
    """A source that is closed once: the relay closes it at its end, and the operating system after a kill."""

    def __init__(self, source: LineSource) -> None:
        self.read, self.lags, self.progress = source.read, source.lags, source.progress
        self.unfinished, self.already_read, self.finish = source.unfinished, source.already_read, source.finish
        self.stray_bytes = source.stray_bytes
        self._source = source
        self._open = True

    def close(self) -> None:
        """Close the source, the first time."""
        if self._open:
            self._open = False
            self._source.close()


class RelayProcess:
    """One relay from start to end.

    Attributes:
        ending: How the run ended; None while it runs, and after an error.
        error: The error that ended the run.
        dispatcher: The relay's dispatcher, once it runs.
        crash_guard: The relay's guard against crashes, once it runs.
        stopping: The process has received SIGTERM.
        started_at: The time of its start, of World.now.
        loop: Its event loop.
        main: Its main task.
    """

    def __init__(
        self,
        world: World,
        loop: SimulatedLoop,
        *,
        store: SpoolStore,
        state: StateStore,
        command: ProcessSettings,
        make_transport: MakeTransport,
    ) -> None:
        """Create a process whose main task has not run yet.

        Args:
            world: Time and chance.
            loop: The event loop of this process.
            store: The spool's store.
            state: The stored state.
            command: The command line.
            make_transport: Creates the transport of a webhook's endpoint for this process.
        """
        self.loop = loop
        self.started_at = world.now
        self.ending: Ending | None = None
        self.error: BaseException | None = None
        self.dispatcher: Dispatcher | None = None
        self.crash_guard: CrashGuard | None = None
        self.stopping = False
        self._world = world
        self._store = store
        self._state = state
        self._command = command
        self._make_transport = make_transport
        seed = world.random.getrandbits(64)
        self._random = Random(seed)
        self._has_inotify = seed % 2 == 0
        self._source: LineSource | None = None
        self._spool: Spool | None = None
        self._ownership: Ownership | None = None
        self._log = Log(self._note, level="info", format="text", clock=world.wall)
        self.main = loop.create_task(self._run())

    def _note(self, line: str) -> None:
        """Add a log line to the trace, and check the duration in it."""
        self._world.note(f"log  {line[25:].rstrip()}")
        found = re.search(r" milliseconds=(\S+)", line)
        if found is not None and not 0.0 <= float(found[1]) <= MAX_MILLISECONDS:
            self._world.violate("true durations", line.rstrip())

    @property
    def owns_spool(self) -> bool:
        """Whether the process holds the lock of the spool."""
        return self._spool is not None

    def stop(self) -> None:
        """Send SIGTERM once. A second one would end the process at once."""
        if not self.stopping:
            self.stopping = True
            self.loop.signal(signal.SIGTERM)

    def reload(self) -> None:
        """Send SIGHUP."""
        self.loop.signal(signal.SIGHUP)

    def kill(self) -> None:
        """Send SIGKILL. The operating system closes all files and connections."""
        self.loop.kill()
        if self._source is not None:
            self._source.close()
        if self._spool is not None:
            # Not close(): it would write, and a killed process writes nothing. The lock is not part of the port.
            # A shared spool has none; the database closes its connections.
            if not self._store.shared:
                self._spool._lock.release()  # type: ignore[attr-defined]
            self._spool = None

    async def _run(self) -> None:
        try:
            self.ending = await self._run_relay()
        except (HooklineError, OSError) as error:
            self.error = error

    async def _run_relay(self) -> Ending:
        opened = await self._open_spool()
        spool = self._spool = opened.spool
        thread = SpoolThread(spool, self._log)
        try:
            relay, status_collector = build_relay(
                RelayOptions(
                    state="",
                    spool="",
                    sources=self._command.sources,
                    settings=self._command.settings,
                    resolver=SecretResolver(environment={}, directory=Path("/nonexistent")),
                    rules=NetworkRules(),
                    follow=self._command.follow,
                ),
                state_store=self._state,
                store=self._store,
                thread=thread,
                log=self._log,
                machine=Machine(
                    clock=RelayClock(self._world.wall, self._world.even),
                    random=self._random,
                    descriptor_limit=lambda: 1024,
                    open_source=self._open_source,
                    make_endpoint=self._make_endpoint,
                ),
                opened=opened,
            )
            # The checks read the lanes of the dispatcher. The relay has no public way to it.
            self.dispatcher = relay._parts.dispatcher
            self.crash_guard = relay._parts.crash_guard
            self._ownership = relay._ownership
            relay.handle_signals()
            try:
                async with relay.lease_kept():
                    return await relay.run()
            finally:
                status_collector.close()
        finally:
            thread.close()
            # A killed process gets here too, when its coroutine is closed.
            if not self.loop.dead:
                self._spool = None
                spool.close()

    async def _open_spool(self) -> OpenedSpool:
        """As `run_relay` does."""
        if not self._store.shared:
            return opened_spool(self._store.open(since="the start of the simulation"))
        return await join_shared(self._store, self._log, kind="relay", name=self._command.name)

    def _open_source(self, positions: Iterable[Position]) -> LineSource:
        timing = self._timing()
        if self._command.name:
            self._source = OneClose(
                LeasedSource(
                    self._take_reader,
                    lambda: self._open_files(self._stored_positions(), timing),
                    self._log,
                    name=self._command.name,
                    timing=timing,
                )
            )
        else:
            self._source = OneClose(self._open_files(positions, timing))
        return self._source

    def _take_reader(self) -> int | None:
        """Called in the reader's simulated thread, which is the real one of the whole simulation."""
        return None if self._ownership is None else self._ownership.take_reader(self._command.name)

    def _stored_positions(self) -> list[Position]:
        """A relay repeats this call until the spool answers. A simulated thread cannot wait for that."""
        assert isinstance(self._store, SimulatedStore)
        assert self._spool is not None
        with self._store.simulated.by_operator():
            return list(self._spool.positions())

    def _timing(self) -> Timing:
        return Timing(
            monotonic=self._world.even,
            wall=self._world.wall,
            sleep=self._world.sleep,
            poll=self._world.poll,
            # The files are real, and inotify reports their changes in order and at once.
            open_watcher=Inotify.open if self._has_inotify else no_watcher,
            wait_seconds=READ_SECONDS,
        )

    def _open_files(self, positions: Iterable[Position], timing: Timing) -> LineSource:
        return open_sources(
            self._command.sources,
            positions,
            follow=self._command.follow,
            logger=self._log,
            timing=timing,
        )

    def _make_endpoint(self, webhook: Webhook) -> Endpoint:
        def make_transport(target: Target, certificates: Certificates, limit: int) -> Transport:
            return self._make_transport(webhook, self)

        return HttpEndpoint(
            webhook,
            resolver=SecretResolver(environment={}, directory=Path("/nonexistent")),
            clock=self._world.wall,
            random=self._random.randbytes,
            transport_factory=make_transport,
        )
