"""Pausing, resuming and hurrying webhooks from outside of the relay: short transactions beside a running one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from hookline.model import Address
from hookline.relay.spool.sqlite import webhook_status
from hookline.relay.spool.sqlite.database import open_existing, transaction

RETRIES_PER_CHUNK = 5000


class SqliteWebhookControl(AbstractContextManager["SqliteWebhookControl"]):
    """Of a spool that is there. Raises SpoolUnusable when it is not, or cannot be written. Times are Unix seconds.

    A running relay sees what was said here within a second; without one it is kept for the next.
    """

    def __init__(self, directory: Path, *, chunk: int = RETRIES_PER_CHUNK) -> None:
        self._connection = open_existing(directory)
        self._chunk = chunk

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def pause(self, address: Address, *, now: float) -> bool:
        """Hold a webhook. False: it was paused already."""
        return self._pause(address, True, now)

    def resume(self, address: Address, *, now: float) -> bool:
        """Let a paused webhook go. False: it was not paused."""
        return self._pause(address, False, now)

    def _pause(self, address: Address, paused: bool, now: float) -> bool:
        with transaction(self._connection):
            return webhook_status.set_paused(
                self._connection, webhook_status.number_of(self._connection, address), paused, now
            )

    def retry_now(self, address: Address, *, now: float) -> int:
        """Make every waiting retry of a webhook due, and have its endpoint tried at once, also after a 410.

        Returns how many retries that are. Cut off in the middle it has made some of them due; say it again.
        """
        with transaction(self._connection):
            number = webhook_status.number_of(self._connection, address)
        total = 0
        while made := self._make_due(number, now):
            total += made
        with transaction(self._connection):
            webhook_status.note_retry_now(self._connection, number, now)
        return total

    def _make_due(self, number: int, now: float) -> int:
        with transaction(self._connection):
            return webhook_status.make_due(self._connection, number, now, self._chunk)
