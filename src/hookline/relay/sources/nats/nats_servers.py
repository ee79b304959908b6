"""The servers of a cluster, and when to try the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

FIRST_BACKOFF_SECONDS: Final = 0.25
MAX_BACKOFF_SECONDS: Final = 10.0


class NatsServers:
    """The server that the address names, and those that a server has named. They are tried in turn."""

    def __init__(self, first: tuple[str, int], random: Callable[[], float]) -> None:
        """`random` returns a number from 0 to 1."""
        self._servers = [first]
        self._random = random
        self._next = 0
        self._failures = 0

    def current(self) -> tuple[str, int]:
        """Returns the host and port of the server to try now."""
        return self._servers[self._next % len(self._servers)]

    def learn(self, servers: Iterable[tuple[str, int]]) -> None:
        """Adds servers of the cluster."""
        self._servers += [one for one in dict.fromkeys(servers) if one not in self._servers]

    def succeeded(self) -> None:
        """The current server works."""
        self._failures = 0

    def failed(self) -> float:
        """The current server does not work. Returns the seconds until the next one is tried.

        The time grows with each round of all servers. It has jitter, so that many relays do not come at once.
        """
        self._next += 1
        rounds = self._failures // len(self._servers)
        self._failures += 1
        longest = min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * float(1 << min(rounds, 16)))
        return longest * (0.5 + self._random() / 2)
