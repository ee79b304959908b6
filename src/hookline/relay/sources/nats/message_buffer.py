"""Messages on their way from the event loop of the source to the reader's thread. All methods are for any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple


class Message(NamedTuple):
    """A message: its stream, its number in it, and its data."""

    stream: bytes
    number: int
    data: bytes


class MessageBuffer:
    """A queue. `on_room` is called after messages were taken out."""

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._ended = False
        self._failure: Exception | None = None
        self._changed = threading.Condition()
        self._on_room = on_room

    def put(self, message: Message) -> None:
        """Adds a message, except after the end."""
        with self._changed:
            if self._ended:
                return
            self._messages.append(message)
            self._bytes += len(message.data)
            self._changed.notify_all()

    def size(self) -> tuple[int, int]:
        """Returns the number of messages, and of their bytes."""
        with self._changed:
            return len(self._messages), self._bytes

    def end(self) -> None:
        """No message follows: `take` returns those that are left."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drops all messages: `take` returns nothing more."""
        with self._changed:
            self._messages.clear()
            self._bytes = 0
        self.end()

    def fail(self, error: Exception) -> None:
        """No message follows: after those that are left, `take` raises the error."""
        with self._changed:
            self._failure = error
        self.end()

    def take(self, *, max_messages: int, max_bytes: int, wait_seconds: float) -> list[Message]:
        """Returns messages of one stream: at most `max_messages`, and about `max_bytes`. Waits for the first one.

        Raises the error of `fail`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._ended, wait_seconds)
            if not self._messages and self._failure is not None:
                raise self._failure
            taken: list[Message] = []
            while self._messages and len(taken) < max_messages and max_bytes > 0:
                if self._messages[0].stream != (taken or self._messages)[0].stream:
                    break
                message = self._messages.popleft()
                taken.append(message)
                max_bytes -= len(message.data)
                self._bytes -= len(message.data)
        if taken:
            self._on_room()
        return taken

    def is_over(self) -> bool:
        """Returns whether `take` returns nothing more."""
        with self._changed:
            return self._ended and not self._messages and self._failure is None
