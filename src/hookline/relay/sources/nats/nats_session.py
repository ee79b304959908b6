"""One connection to a server, with the consumer of the source: receives messages, and acknowledges those that are
durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg

from hookline.relay.sources.nats.acknowledger import Acknowledger
from hookline.relay.sources.nats.jetstream import (
    CONSUMER_NOT_FOUND,
    NANOSECONDS,
    ConsumerInfo,
    JetStreamError,
    ask,
)
from hookline.relay.sources.nats.message_buffer import Message, MessageBuffer
from hookline.relay.sources.nats.nats_client import SecureClient
from hookline.relay.sources.nats.nats_consumer import Consumer, refusal
from hookline.relay.sources.nats.nats_faults import ServerAway
from hookline.relay.sources.nats.nats_target import NatsTarget
from hookline.relay.sources.source import MAX_BYTES_PER_BATCH, MAX_LINES_PER_BATCH

PULL_SECONDS: Final = 30.0  # a request for messages ends after this time, and the next one follows
REQUEST_HEARTBEAT_SECONDS: Final = 5.0  # the server shows at this interval that it still has the request
NEXT_REQUEST_SECONDS: Final = 0.2  # after a request that the server has ended early
INFO_SECONDS: Final = 2.0  # between requests for the state of the consumer
FINITE_INFO_SECONDS: Final = 0.1  # the same in a finite run, which ends when no message is left
FLUSH_SECONDS: Final = 3
CANCEL_SECONDS: Final = 0.1  # after this time, a task that has not ended is cancelled again
KEEPS_PER_ACK_WAIT: Final = 3  # a message that waits is kept this often within the time after which it comes again


class Session:
    """Reads through an open connection until it ends."""

    def __init__(
        self,
        client: SecureClient,
        consumer: Consumer,
        target: NatsTarget,
        *,
        buffer: MessageBuffer,
        acknowledger: Acknowledger,
        on_info: Callable[[ConsumerInfo], None],
        is_finite: bool,
    ) -> None:
        """Create the session of a connection.

        Args:
            client: the connection.
            consumer: the consumer.
            target: the source.
            buffer: gets the messages.
            acknowledger: notes each message.
            on_info: called with each state of the consumer.
            is_finite: the run waits for the end of the messages.
        """
        self._client = client
        self._consumer = consumer
        self._target = target
        self._buffer = buffer
        self._acknowledger = acknowledger
        self._on_info = on_info
        self._is_finite = is_finite
        self._room = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = client.new_inbox()
        self._pulls = 0
        self._is_alive = False  # since the last look, the server has answered the current request
        self._wanted = 0  # messages that the current request may still bring
        self._brought = 0  # messages that it has brought
        self._is_large = False  # the next message is larger than the limit of a request
        self._was_refused = False  # the server has ended the current request without a message
        self._pull_ended = asyncio.Event()
        self.is_pulling = True
        self.received = 0

    def note_room(self) -> None:
        """The buffer has room again."""
        self._room.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads until `stop` is set. Then the messages that are not durable are given back.

        Raises ServerAway when the connection ends, HooklineError when the server refuses the consumer.
        """
        subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)
        works = [self._pull(), self._watch(), self._until_closed(), self._until_refused(), self._failed, stop.wait()]
        if self._consumer.acknowledges:
            seconds = self._consumer.ack_wait_seconds / KEEPS_PER_ACK_WAIT
            works.append(self._acknowledger.run(self._client, keep_seconds=seconds))
        tasks = [asyncio.ensure_future(one) for one in works]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel(tasks)
        # The server would deliver the messages that are given back to the request that is still open.
        await subscription.unsubscribe()
        await self._client.flush(FLUSH_SECONDS)
        if self._consumer.acknowledges:
            await self._acknowledger.give_back(self._client)
        await self._client.flush(FLUSH_SECONDS)

    async def _until_closed(self) -> None:
        await self._client.closed.wait()
        raise ServerAway("the connection has ended")

    async def _until_refused(self) -> None:
        await asyncio.shield(self._client.refused)

    # -- messages

    async def _pull(self) -> None:
        """Requests messages while the buffer has room for them."""
        while True:
            messages, size = self._buffer.size()
            if not self.is_pulling or messages >= MAX_LINES_PER_BATCH or size >= MAX_BYTES_PER_BATCH:
                self._room.clear()
                await self._room.wait()
                continue
            if self._was_refused:
                await asyncio.sleep(NEXT_REQUEST_SECONDS)
            await self._request_messages()
            while not self._pull_ended.is_set():
                self._is_alive = False
                try:
                    async with asyncio.timeout(2 * REQUEST_HEARTBEAT_SECONDS + 1):
                        await self._pull_ended.wait()
                except TimeoutError:
                    if not self._is_alive:
                        break  # the request was lost

    async def _request_messages(self) -> None:
        config = self._consumer.config
        limit = config.max_expires / NANOSECONDS if config.max_expires else PULL_SECONDS
        expires = min(PULL_SECONDS, limit)
        batch = 1 if self._is_large else min(MAX_LINES_PER_BATCH, config.max_batch or MAX_LINES_PER_BATCH)
        body: dict[str, Any] = {"batch": batch, "expires": int(expires * NANOSECONDS)}
        if expires > 2 * REQUEST_HEARTBEAT_SECONDS:
            body["idle_heartbeat"] = int(REQUEST_HEARTBEAT_SECONDS * NANOSECONDS)
        if not self._is_large:
            body["max_bytes"] = min(MAX_BYTES_PER_BATCH, config.max_bytes or MAX_BYTES_PER_BATCH)
        self._pulls += 1
        self._wanted, self._brought, self._was_refused = batch, 0, False
        self._pull_ended.clear()
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer.stream}.{self._consumer.name}",
            msgspec.json.encode(body),
            reply=f"{self._inbox}.{self._pulls}",
        )

    async def _on_message(self, message: Msg) -> None:
        self._is_alive = True
        if not message.reply:
            self._on_status(message)
            return
        number = message.metadata.sequence.stream
        self.received += 1
        self._wanted -= 1
        self._brought += 1
        self._is_large = False
        key = (self._consumer.identity, number)
        if not self._consumer.acknowledges or self._acknowledger.received(key, message.reply):
            self._buffer.put(Message(self._consumer.identity, number, message.data))
        if self._wanted == 0:
            self._pull_ended.set()

    def _on_status(self, message: Msg) -> None:
        """The end of a request, or a sign that the server still has it."""
        headers = message.headers or {}
        status, text = headers.get("Status", ""), headers.get("Description", "")
        if message.subject != f"{self._inbox}.{self._pulls}" or status == "100":
            return
        if status == "503":
            self._fail(ServerAway("no server of JetStream answers"))
        elif status == "409" and "exceeds maxbytes" in text.lower():
            self._is_large = not self._brought
        elif status == "409" and "consumer deleted" in text.lower():
            self._fail(ServerAway("the consumer was removed"))
        elif status == "409" and "push based" in text.lower():
            self._fail(refusal(JetStreamError(409, 0, text), self._target))
        # Leadership Change, Server Shutdown, Exceeded MaxWaiting, but not Batch Completed or the end of its time
        self._was_refused = not self._brought and not self._is_large and status != "408"
        self._pull_ended.set()

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    # -- the state of the consumer

    async def _watch(self) -> None:
        subject = f"CONSUMER.INFO.{self._consumer.stream}.{self._consumer.name}"
        while True:
            try:
                self._on_info(await ask(self._client, subject, None, ConsumerInfo))
            except JetStreamError as error:
                if error.err_code == CONSUMER_NOT_FOUND:
                    raise ServerAway("the consumer was removed") from error
                raise refusal(error, self._target) from error
            await asyncio.sleep(FINITE_INFO_SECONDS if self._is_finite else INFO_SECONDS)


async def cancel(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancels tasks until all have ended.

    Before Python 3.12, asyncio.wait_for drops a cancellation if its result comes at the same moment.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)  # their exceptions are looked at
