"""Acknowledges messages after they are durable, and keeps the others from being delivered again.

All methods run on the event loop of the source.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final

from nats.aio.client import Client

_ACKNOWLEDGE: Final = b"+ACK"
_IN_PROGRESS: Final = b"+WPI"
_DELIVER_AGAIN: Final = b"-NAK"
_MESSAGES_AT_ONCE: Final = 500  # then the loop does other work

# The stream and the number of a message.
MessageKey = tuple[bytes, int]


class Acknowledger:
    """The messages that were received and are not acknowledged, each with the subject of its answer.

    A subject is valid in any connection, so that a message of an earlier connection is acknowledged in the next one.
    """

    def __init__(self) -> None:
        self._waiting: dict[MessageKey, str] = {}
        self._durable: deque[str] = deque()
        self._wake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether all messages that were received are acknowledged."""
        return not self._waiting and not self._durable

    def received(self, key: MessageKey, reply: str) -> bool:
        """Notes a message. Returns whether it is new: one that waits already is delivered again."""
        is_new = key not in self._waiting
        self._waiting[key] = reply
        return is_new

    def durable(self, keys: Iterable[MessageKey]) -> None:
        """Notes messages that the spool has stored."""
        self._durable.extend(reply for key in keys if (reply := self._waiting.pop(key, None)) is not None)
        self._wake.set()

    async def run(self, client: Client, *, keep_seconds: float) -> None:
        """Acknowledges durable messages, and every `keep_seconds` keeps those that wait, until it is cancelled.

        Raises an error of the client. What was not sent is sent in the next call.
        """
        loop = asyncio.get_running_loop()
        next_keep = loop.time()
        while True:
            await self.acknowledge(client)
            if loop.time() >= next_keep:
                next_keep = loop.time() + keep_seconds
                await self._send(client, deque(self._waiting.values()), _IN_PROGRESS)
            try:
                async with asyncio.timeout_at(next_keep):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def acknowledge(self, client: Client) -> None:
        """Acknowledges all messages that are durable."""
        self._wake.clear()
        await self._send(client, self._durable, _ACKNOWLEDGE)

    async def give_back(self, client: Client) -> None:
        """Acknowledges the durable messages, and lets the server deliver the others to another relay at once."""
        await self.acknowledge(client)
        await self._send(client, deque(self._waiting.values()), _DELIVER_AGAIN)
        self._waiting.clear()

    async def _send(self, client: Client, replies: deque[str], answer: bytes) -> None:
        sent = 0
        while replies:
            await client.publish(replies[0], answer)
            replies.popleft()
            sent += 1
            if sent % _MESSAGES_AT_ONCE == 0:
                await asyncio.sleep(0)
