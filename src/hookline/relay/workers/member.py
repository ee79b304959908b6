"""One worker process as its relay sees it: orders go out in groups, reports come in."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.outcome import Answer, Failure, Fault, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.workers.messages import (
    Answered,
    Cancel,
    Close,
    Failed,
    Faulted,
    Frames,
    Open,
    Order,
    Post,
    Report,
    Setup,
    Use,
    frame,
)

# A worker keeps the deadlines. One that is so many seconds behind is stuck.
PATIENCE_SECONDS: Final = 5.0
_END_SECONDS: Final = 2.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Ordered(NamedTuple):
    """`due` is on the loop's clock."""

    poster: int
    due: float
    result: asyncio.Future[Result | None]


class Process:
    """A worker process and this side's end of the socket to it. Whoever dies, the other finds the socket closed."""

    def __init__(self, environment: dict[str, str] | None) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "hookline.relay.workers.worker", str(theirs.fileno())]
            # Blocked, as the worker inherits it, until it ignores them: Ctrl-C is for the relay, which needs its
            # workers to finish what is in flight.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
                )
            except BaseException:
                self.socket.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """Wait for its end, which its closed socket tells it; the exit code, negative for a signal."""
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Member(asyncio.Protocol):
    """A worker from its start to its end. `gone` is called once, when its socket is closed."""

    def __init__(self, setup: Setup, gone: Callable[[Member], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._gone = gone
        self._frames = Frames[Report](list[Report])
        self._orders: list[Order] = [setup]
        self._flushing = False
        self._transport: asyncio.Transport | None = None
        self._ordered: dict[int, _Ordered] = {}
        self._number = 0
        self._open: set[int] = set()
        self._headers: dict[int, Sequence[Header]] = {}
        self._suspect: int | None = None
        self.busy = Counter[int]()

    # -- what the crew asks for

    @property
    def is_there(self) -> bool:
        return self._transport is not None

    async def post(
        self, opened: Open, headers: Sequence[Header], attempt: Attempt, deadline: float, signature: str
    ) -> Result | None:
        """Have one POST made; None: the worker came to its end meanwhile."""
        poster = opened.poster
        if poster not in self._open:
            self._open.add(poster)
            self._say(opened)
        if self._headers.get(poster) is not headers:
            self._headers[poster] = headers
            self._say(Use(poster, tuple(headers)))
        number = self._number = self._number + 1
        self._say(
            Post(
                number, poster, attempt.id, attempt.body, attempt.number, attempt.at, attempt.event_time, deadline,
                signature,
            )
        )  # fmt: skip
        result: asyncio.Future[Result | None] = self._loop.create_future()
        self._ordered[number] = _Ordered(poster, self._loop.time() + deadline, result)
        self.busy[poster] += 1
        try:
            return await result
        except asyncio.CancelledError:
            if self._ordered.pop(number, None) is not None:  # there is no report yet
                self._idle(poster)
                self._say(Cancel(number))
            raise

    def close(self, poster: int) -> None:
        """There will be no more posts by this poster."""
        if poster in self._open:
            self._open.discard(poster)
            self._headers.pop(poster, None)
            self._say(Close(poster))

    def is_stuck(self) -> bool:
        """Whether a result was overdue at the last call, and still is. A relay that was itself stopped for a while
        finds many overdue, and has not yet read that they are there."""
        now = self._loop.time()
        overdue = min((n for n, one in self._ordered.items() if one.due + PATIENCE_SECONDS < now), default=None)
        before, self._suspect = self._suspect, overdue
        return overdue is not None and overdue == before

    def hang_up(self) -> None:
        """The worker ends when it finds that."""
        if self._transport is not None:
            self._transport.abort()

    # -- what the socket tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for report in self._frames.feed(data):
                self._settle(report)
        except msgspec.DecodeError:  # not a worker of this version: its files were replaced while we ran
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        self._transport = None
        ordered, self._ordered = self._ordered, {}
        for one in ordered.values():
            if not one.result.done():
                one.result.set_result(None)
        self.busy.clear()
        self._gone(self)

    def _settle(self, report: Report) -> None:
        ordered = self._ordered.pop(report.number, None)
        if ordered is None:  # it was cancelled meanwhile
            return
        self._idle(ordered.poster)
        if not ordered.result.done():
            ordered.result.set_result(_result(report))

    def _idle(self, poster: int) -> None:
        """It has one post less to make."""
        self.busy[poster] -= 1
        if not self.busy[poster]:
            del self.busy[poster]

    def _say(self, order: Order) -> None:
        self._orders.append(order)
        if not self._flushing and self._transport is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """One frame for all that one round of the loop has ordered."""
        self._flushing = False
        if self._transport is not None and self._orders:
            orders, self._orders = self._orders, []
            self._transport.write(frame(orders))


def _result(report: Report) -> Result:
    match report:
        case Answered(_, status, retry_after):
            return Answer(status, retry_after)
        case Failed(_, kind, detail):
            return Failure(kind, detail)
        case Faulted(_, detail):
            return Fault(detail)
