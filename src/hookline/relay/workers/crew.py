"""The worker processes of one relay: who makes which POST, and what happens when one of them dies.

The relay reads, keeps, orders and judges in its own process, so that what it decides holds for all: the order of a
message's events, an endpoint's limits, its breaker and its pause. What costs most, TLS and HTTP, is done by the
workers (docs/decisions/0031-workers-post-the-relay-decides.md).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from hookline.errors import HooklineError
from hookline.observe.log import Log
from hookline.relay.delivery.certificates import Certificates, context_for
from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.outcome import Fault, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import Poster
from hookline.relay.delivery.target import Target
from hookline.relay.workers.member import Member, Process
from hookline.relay.workers.messages import Open, Setup

WATCH_SECONDS: Final = 1.0
# A worker that ends sooner than this is not replaced at once: its next might do the same.
SHORT_LIFE_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 1.0

_FEWER: Final = "a smaller --workers needs fewer of them"

Start = Callable[[], Process]


class Crew:
    """Workers, each replaced when it ends. `start` makes a process; `replaced`: how many were so far."""

    def __init__(self, setup: Setup, start: Start, log: Log) -> None:
        self.replaced = 0
        self._setup = setup
        self._start = start
        self._log = log
        self._members: dict[Member, tuple[Process, float]] = {}
        self._posters = 0
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @classmethod
    @asynccontextmanager
    async def of(cls, size: int, setup: Setup, start: Start, log: Log) -> AsyncIterator[Crew]:
        """A crew of so many that is ended with the block. Raises HooklineError when they cannot be started."""
        crew = cls(setup, start, log)
        watching = asyncio.create_task(crew._watch())
        try:
            for _ in range(size):
                await crew._hire()
            yield crew
        finally:
            watching.cancel()
            await crew._end()

    @property
    def processes(self) -> list[int]:
        """The process ids of those that are there."""
        return sorted(process.pid for member, (process, _) in self._members.items() if member.is_there)

    def open(self, target: Target, certificates: Certificates, limit: int) -> Poster:
        """Implements `opening.Opening`: posts from whichever worker has least to do for this target."""
        self._posters += 1
        return SharedPoster(self, Open.of(self._posters, target, limit, certificates), certificates)

    def closed(self, poster: int) -> None:
        for member in self._members:
            member.close(poster)

    async def best(self, poster: int, until: float) -> Member | None:
        """The worker to make the next POST; None when there was none until then, on the loop's clock."""
        while not (there := [member for member in self._members if member.is_there]):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._changed.wait()
            except TimeoutError:
                return None
        # The same webhook's work is spread evenly, and those with one connection do not all meet at the first worker.
        turn = poster % len(there)
        return min(there[turn:] + there[:turn], key=lambda member: member.busy[poster])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for member, (process, _) in self._members.items():
                if member.is_stuck():
                    self._log.warning("a worker process does not answer and is ended", process=process.pid)
                    process.kill()

    async def _end(self) -> None:
        """End all of them. What they were still posting is over."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        leaving = list(self._members.items())
        for member, _ in leaving:
            member.hang_up()
        await asyncio.gather(*(asyncio.to_thread(process.end) for _, (process, _) in leaving))

    async def _hire(self) -> None:
        try:
            process = self._start()
        except OSError as error:
            raise HooklineError(f"cannot start a worker process: {error.strerror}", hint=_FEWER) from error
        member = Member(self._setup, self._gone)
        self._members[member] = process, time.monotonic()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: member, sock=process.socket)
        except BaseException:
            del self._members[member]
            process.kill()
            raise
        self._changed.set()

    def _gone(self, member: Member) -> None:
        if self._closing:
            return
        process, since = self._members.pop(member)
        task = asyncio.get_running_loop().create_task(self._replace(process, since))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, process: Process, since: float) -> None:
        code = await asyncio.to_thread(process.end)
        self._log.warning("a worker process has ended, another one is started", process=process.pid, code=code)
        if time.monotonic() - since < SHORT_LIFE_SECONDS:
            await asyncio.sleep(PAUSE_SECONDS)
        self.replaced += 1
        told = None
        while True:
            try:
                return await self._hire()
            except HooklineError as error:  # no memory, no more processes: the others go on
                if told != error.message:
                    self._log.warning("a worker process cannot be started, will try again", reason=error.message)
                told = error.message
                await asyncio.sleep(PAUSE_SECONDS)


class SharedPoster:
    """Implements `poster.Poster` over a crew."""

    def __init__(self, crew: Crew, opened: Open, certificates: Certificates) -> None:
        self._crew = crew
        self._open = opened
        self._is_closed = False
        # A certificate that cannot be used is found here, before a worker finds it.
        self._context = context_for(certificates)

    async def post(
        self, headers: Sequence[Header], attempt: Attempt, *, deadline: float, signature: str = ""
    ) -> Result:
        """Make one POST; see the port.

        When the worker dies meanwhile, another one posts once more: that says nothing of the endpoint. It may have
        had the request, which its webhook-id tells.
        """
        until = asyncio.get_running_loop().time() + deadline
        try:
            return await self._post(headers, attempt, until, signature)
        finally:
            if self._is_closed:  # a worker may have opened it once more for this
                self._crew.closed(self._open.poster)

    async def _post(self, headers: Sequence[Header], attempt: Attempt, until: float, signature: str) -> Result:
        for _ in range(2):
            member = await self._crew.best(self._open.poster, until)
            left = until - asyncio.get_running_loop().time()
            if member is None or left <= 0:
                return Fault("no worker process was there in time to post this")
            result = await member.post(self._open, headers, attempt, left, signature)
            if result is not None:
                return result
        return Fault("two worker processes ended while they posted this")

    async def aclose(self) -> None:
        self._is_closed = True
        self._crew.closed(self._open.poster)
