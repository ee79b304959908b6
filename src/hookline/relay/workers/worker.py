"""A worker process: makes the POSTs that its relay orders, over connections of its own, and reports what came.

It decides nothing. Which delivery is attempted when, with which headers and which token, is its relay's business.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence

from hookline.errors import HooklineError
from hookline.relay.delivery.headers import Header
from hookline.relay.delivery.opening import Opening, opening_by
from hookline.relay.delivery.outcome import Answer, Failure, Fault, Result
from hookline.relay.delivery.port import Attempt
from hookline.relay.delivery.poster import Poster
from hookline.relay.delivery.wording import as_fault
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


class _Desk:
    """One poster, opened when it is first needed. Headers are one object for as long as they stay the same."""

    def __init__(self, order: Open, opened: Opening) -> None:
        self._order = order
        self._opening = opened
        self._poster: Poster | None = None
        self.headers: tuple[Header, ...] = ()

    async def post(self, order: Post, headers: Sequence[Header]) -> Result:
        try:
            # A client certificate that was just being replaced is there at the next attempt.
            poster = self._poster = self._poster or self._open()
        except HooklineError as fault:
            return as_fault(fault)
        attempt = Attempt(order.id, order.body, order.attempt, order.at, order.event_time)
        return await poster.post(headers, attempt, deadline=order.deadline, signature=order.signature)

    async def aclose(self) -> None:
        if self._poster is not None:
            await self._poster.aclose()

    def _open(self) -> Poster:
        return self._opening(self._order.target, self._order.certificates(), self._order.limit)


class Worker(asyncio.Protocol):
    """The worker's end of the socket. `prepare` makes posters as the first message says; `over`: no more orders."""

    def __init__(self, prepare: Callable[[Setup], Opening]) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self._prepare = prepare
        self._opening: Opening | None = None
        self._frames = Frames[Order](list[Order])
        self._desks: dict[int, _Desk] = {}
        self._reports: list[Report] = []
        self._posts: dict[int, asyncio.Task[None]] = {}
        self._closings: set[asyncio.Task[None]] = set()
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for order in self._frames.feed(data):
            self._obey(order)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        if not self.over.done():
            self.over.set_result(None)

    async def aclose(self) -> None:
        """Break off what is under way and close every connection."""
        for post in self._posts.values():
            post.cancel()
        await asyncio.gather(*self._posts.values(), *self._closings, return_exceptions=True)
        for desk in self._desks.values():
            await desk.aclose()

    def _obey(self, order: Order) -> None:
        match order:
            case Post():
                desk = self._desks[order.poster]
                work = self._post(order, desk, desk.headers)  # those that hold now, whatever is said next
                self._posts[order.number] = asyncio.get_running_loop().create_task(work)
            case Use():
                self._desks[order.poster].headers = order.headers
            case Open():
                assert self._opening is not None
                self._desks[order.poster] = _Desk(order, self._opening)
            case Cancel():
                if (post := self._posts.pop(order.number, None)) is not None:
                    post.cancel()
            case Close():
                closing = asyncio.get_running_loop().create_task(self._desks.pop(order.poster).aclose())
                self._closings.add(closing)
                closing.add_done_callback(self._closings.discard)
            case Setup():
                self._opening = self._prepare(order)

    async def _post(self, order: Post, desk: _Desk, headers: Sequence[Header]) -> None:
        try:
            result = await desk.post(order, headers)
        except Exception as bug:  # a poster never raises; if one does, the relay must not wait for ever
            result = Fault(f"internal error: {type(bug).__name__}: {bug}")
        self._posts.pop(order.number, None)
        if not self._reports:
            asyncio.get_running_loop().call_soon(self._flush)
        self._reports.append(_report(order.number, result))

    def _flush(self) -> None:
        reports, self._reports = self._reports, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(reports))


def _report(number: int, result: Result) -> Report:
    match result:
        case Answer(status, retry_after):
            return Answered(number, status, retry_after)
        case Failure(kind, detail):
            return Failed(number, kind, detail)
        case Fault(detail):
            return Faulted(number, detail)


def _prepare(setup: Setup) -> Opening:
    return opening_by(setup.transport, setup.rules(), time.time, setup.through())


async def _work(connected: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    _, worker = await loop.create_unix_connection(lambda: Worker(_prepare), sock=connected)
    await worker.over
    await worker.aclose()


def main() -> None:
    """Work until the socket, whose descriptor is the one argument, is closed. The relay alone says when to stop."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # it was started with these blocked, so that none could end it
    asyncio.run(_work(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
