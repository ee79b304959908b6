"""The source of messages of a NATS stream. Its event loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial
from random import SystemRandom
from typing import Final

import msgspec

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.line_splitter import KEPT_LINE_BYTES, MAX_LINE_BYTES
from hookline.relay.sources.nats.acknowledged_floor import AcknowledgedFloor
from hookline.relay.sources.nats.acknowledger import Acknowledger
from hookline.relay.sources.nats.jetstream import ConsumerInfo
from hookline.relay.sources.nats.message_buffer import Message, MessageBuffer
from hookline.relay.sources.nats.nats_client import BrokerContext, SecureClient, connect
from hookline.relay.sources.nats.nats_consumer import Consumer, preview_consumer, ready_consumer
from hookline.relay.sources.nats.nats_credentials import ANONYMOUS, NatsCredentials
from hookline.relay.sources.nats.nats_faults import CLIENT_FAULTS, ServerAway, fault
from hookline.relay.sources.nats.nats_servers import NatsServers
from hookline.relay.sources.nats.nats_session import Session, cancel
from hookline.relay.sources.nats.nats_target import NatsTarget
from hookline.relay.sources.source import (
    MAX_BYTES_PER_BATCH,
    MAX_LINES_PER_BATCH,
    START_POSITION,
    Batch,
    Messages,
    Position,
    SourceLag,
    SourceLog,
)

AWAY_SECONDS: Final = 60.0  # a finite run ends when the server is away for longer
END_SECONDS: Final = 10.0


class NatsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a source.

    Attributes:
        follow: wait for new messages.
        preview: a dry run: acknowledge nothing.
        credentials: those of the user.
        tls: verifies servers.
        wait_seconds: the longest wait of `read`.
    """

    follow: bool
    preview: bool = False
    credentials: NatsCredentials = ANONYMOUS
    tls: BrokerContext
    wait_seconds: float = 60.0


class NatsSource:
    """Implements LineSource. One message is one line, whose number is the message's number in the stream."""

    def __init__(
        self, target: NatsTarget, options: NatsOptions, positions: Callable[[], list[Position]], logger: SourceLog
    ) -> None:
        """Create the source and start its thread, which connects. `read` raises the errors.

        Args:
            target: the stream and its consumer.
            options: see NatsOptions.
            positions: returns the positions of the spool. Called from the thread of the source.
            logger: the log.
        """
        self._target = target
        self._options = options
        self._logger = logger
        self._positions = positions
        self._floor = AcknowledgedFloor()
        self._stored_floor = (b"", 0)
        self._info: ConsumerInfo | None = None
        self._bytes_read = 0
        self._loop = asyncio.new_event_loop()
        self._buffer = MessageBuffer(partial(self._call, self._note_room))
        self._acknowledger = Acknowledger()
        self._stop = asyncio.Event()
        self._session: Session | None = None
        self._is_finished = False
        self._was_ready = False
        self._reported: str | None = None
        self._away_since: float | None = None
        self._servers = NatsServers(target.server, SystemRandom().random)
        self._thread = threading.Thread(target=self._run_loop, name="nats", daemon=True)
        self._thread.start()

    # -- LineSource

    def read(self) -> Batch:
        name = self._target.name
        messages = self._buffer.take(
            max_messages=MAX_LINES_PER_BATCH, max_bytes=MAX_BYTES_PER_BATCH, wait_seconds=self._options.wait_seconds
        )
        end = not messages and self._buffer.is_over()
        if not messages or self._options.preview:
            return Batch(name, [_line(one) for one in messages], self._position(), end)
        floor = self._floor.current
        self._bytes_read += sum(len(one.data) for one in messages)
        stream = messages[0].stream
        numbers = [one.number for one in messages]
        return Batch(
            name,
            [_line(one) for one in messages],
            self._position(),
            False,
            messages=Messages(stream, numbers, floor.settled if floor.stream == stream else 0),
            on_durable=partial(self._call, self._acknowledger.durable, [(stream, number) for number in numbers]),
        )

    def _position(self) -> Position:
        """Returns the position up to which all messages are acknowledged, if it has moved."""
        floor = self._floor.current
        if (floor.stream, floor.latest) == self._stored_floor:
            return START_POSITION
        self._stored_floor = (floor.stream, floor.latest)
        return Position(name=self._target.name, key=floor.stream, line=floor.latest)

    def lags(self) -> list[SourceLag]:
        position = Position(name=self._target.name, line=self._floor.current.latest)
        info = self._info
        return [SourceLag(self._target.name, position, None, None if info is None else info.num_pending)]

    def progress(self) -> tuple[int, int | None]:
        return self._bytes_read, None

    def stray_bytes(self) -> int:
        return 0

    def unfinished(self) -> list[tuple[str, int]]:
        return []

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None:
        self._is_finished = True
        self._buffer.stop()
        self._call(self._note_room)

    def close(self) -> None:
        self.finish()
        self._call(self._stop.set)
        self._thread.join(END_SECONDS)

    # -- the thread of the source

    def _call(self, function: Callable[..., None], *args: object) -> None:
        """Calls a function on the loop of the source. Does not wait."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            return  # the loop has ended with an error, which `read` has raised

    def _run_loop(self) -> None:
        try:
            self._loop.run_until_complete(self._run())
        except Exception as error:
            self._buffer.fail(error)
        finally:
            self._loop.run_until_complete(_end_tasks())
            self._close_connections()
            self._loop.close()

    def _close_connections(self) -> None:
        """Close the connections that were being opened when their task was cancelled. The client does not know them,
        and the event loop has no public way to name them."""
        for transport in list(getattr(self._loop, "_transports", {}).values()):
            transport.abort()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _run(self) -> None:
        """Connects, again and again, until `close`."""
        while not self._stop.is_set():
            try:
                await self._connect_and_read_until_stopped()
                continue
            except CLIENT_FAULTS as error:
                found = fault(error, self._target)
            except (HooklineError, ServerAway) as error:
                found = error
            if self._stop.is_set():
                return
            self._report(found)
            await self._pause(self._servers.failed())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return

    def _report(self, error: Exception) -> None:
        """Logs a fault once. Raises HooklineError if the run ends with it."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        follow, reason = self._options.follow, str(error)
        if isinstance(error, HooklineError) and not (follow and self._was_ready):
            raise error
        if not follow and (not self._was_ready or now - self._away_since > AWAY_SECONDS):
            raise HooklineError(
                f"{self._target.name}: the server is away: {reason}",
                hint="run the same command when it is back: messages that were not acknowledged are delivered again",
            ) from error
        if self._reported != (kind := reason if isinstance(error, HooklineError) else "away"):
            self._reported = kind
            hint = error.hint if isinstance(error, HooklineError) else None
            event = "source is away, the relay tries again"
            self._logger.warning(event, source=self._target.name, reason=reason, hint=hint)

    async def _connect_and_read_until_stopped(self) -> None:
        work, stop = asyncio.ensure_future(self._connect_and_read()), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([work, stop], return_when=asyncio.FIRST_COMPLETED)
            if self._session is not None:
                await work  # the session gives the messages back
            elif work.done():
                work.result()
        finally:
            await cancel([work, stop])

    async def _connect_and_read(self) -> None:
        options = self._options
        client = await connect(
            self._target, self._servers.current(), credentials=options.credentials, tls=options.tls
        )
        try:
            self._servers.learn(client.usable_servers())
            consumer = await self._find_consumer(client)
            session = self._session = Session(
                client, consumer, self._target, buffer=self._buffer, acknowledger=self._acknowledger,
                on_info=partial(self._on_info, consumer), is_finite=not self._options.follow,
            )  # fmt: skip
            session.is_pulling = not self._is_finished
            self._note_ready(consumer)
            await session.run(self._stop)
        finally:
            self._session = None
            await client.close()

    async def _find_consumer(self, client: SecureClient) -> Consumer:
        if self._options.preview:
            return await preview_consumer(client, self._target)
        return await ready_consumer(client, self._target, self._known_floor)

    def _known_floor(self, stream: bytes) -> int:
        """Returns the message of a stream up to which all were acknowledged, as the spool or this relay knows it."""
        stored = [one.line for one in self._positions() if one.key == stream]
        seen = self._floor.current
        return max([*stored, seen.latest if seen.stream == stream else 0])

    def _note_ready(self, consumer: Consumer) -> None:
        name = self._target.name
        if consumer.is_new:
            self._logger.info("consumer created", source=name, consumer=consumer.name)
        if self._reported is not None:
            self._logger.info("source is back", source=name)
        self._servers.succeeded()
        self._was_ready, self._reported, self._away_since = True, None, None

    def _note_room(self) -> None:
        if self._session is not None:
            self._session.is_pulling = not self._is_finished
            self._session.note_room()

    def _on_info(self, consumer: Consumer, info: ConsumerInfo) -> None:
        self._info = info
        if consumer.acknowledges:
            self._floor.report(consumer.identity, info.ack_floor.stream_seq, time.monotonic())
            nothing_left = info.num_ack_pending == 0 and self._acknowledger.is_idle
        else:
            session = self._session
            nothing_left = session is not None and session.received == info.delivered.consumer_seq
        if not self._options.follow and info.num_pending == 0 and nothing_left and not self._buffer.size()[0]:
            self._buffer.end()


async def _end_tasks() -> None:
    """Cancels the tasks of the client, some of which it leaves behind."""
    await cancel(asyncio.all_tasks() - {asyncio.current_task()})


def _line(message: Message) -> Line:
    data = message.data.removesuffix(b"\n").removesuffix(b"\r")
    if len(data) <= MAX_LINE_BYTES:
        return Line(message.number, data, len(data))
    return Line(message.number, data[:KEPT_LINE_BYTES], len(data), hashlib.sha256(data).digest())
