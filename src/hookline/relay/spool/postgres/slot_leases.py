"""The leases of one process: the slots that it owns, and the sources that it reads.

A process has one row in `process`, which expires by the server's clock unless it is renewed. A slot names its owner
and has an epoch, which grows with each change of the owner. A transaction that settles locks the rows of its slots
first (FENCE), so the owner changes before or after it, and a former owner finds nothing to write.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Collection, Mapping
from typing import Final

from hookline.errors import SpoolStalled
from hookline.model import Address
from hookline.relay.spool.leases import Membership
from hookline.relay.spool.postgres.lease_statements import (
    ADD_READER,
    DIE,
    JOIN,
    LOCK_JOINS,
    LOCK_MOVES,
    OWN,
    OWN_READER,
    RELEASE,
    RENEW,
    SHARES,
    TAKE,
    TAKE_READER,
    TAKEOVER,
)
from hookline.relay.spool.postgres.slots import slot_of
from hookline.relay.spool.postgres.spool_connection import SpoolConnection
from hookline.relay.spool.postgres.transfer.exclusive_access import being_moved

SENDING_PART_OF_LEASE: Final = 0.8  # the owner stops a fifth of the lease before its end
# After an outage of the server, a process that was first to come back leaves the others this part of a lease.
PATIENT_PART_OF_LEASE: Final = 0.5


def fair_share(rank: int, processes: int, slots: int) -> int:
    """The number of slots that a process should own: ⌊slots / processes⌋ or ⌈slots / processes⌉.

    `rank` is its place in the order of joining, from 0. The first ones get the larger shares. So a process that joins
    changes no share by more than it takes, and one that leaves makes no share smaller.
    """
    low, larger = divmod(slots, processes)
    return low + (rank < larger)


def boot_clock() -> float:
    """Seconds since the machine has started, including the time for which it was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SlotLeases:
    """The leases of this process. `owned` has the epoch of each slot that it owns; it is replaced as a whole.

    Its calls are made from one thread, on a connection of their own. `is_valid` and `owned` are read from any thread.
    """

    def __init__(self, connection: SpoolConnection, *, kind: str, name: str, now: float) -> None:
        """Create it. `kind` is ``relay`` or ``deliver``; `now` is the Unix time at the start."""
        self.token = uuid.uuid4()
        self.owned: Mapping[int, int] = {}
        self.reader_epoch: int | None = None
        self._connection = connection
        self._kind = kind
        self._name = name
        self._now = now
        self._valid_until = 0.0
        self._patient_until = 0.0

    @property
    def lease_seconds(self) -> float:
        return self._connection.lease_seconds

    def slot_of(self, address: Address) -> int:
        return slot_of(address, self._connection.slots)

    @property
    def is_valid(self) -> bool:
        """Whether the lease still lasts, counted from before its latest renewal was sent."""
        return boot_clock() < self._valid_until

    @property
    def valid_seconds(self) -> float:
        return self._valid_until - boot_clock()

    def join(self) -> None:
        """Become one of the processes of the spool, with a new token and without slots."""
        self._connection.check_again()
        self._connection.connect()
        started, seconds = boot_clock(), self._connection.lease_seconds
        self._lose()
        self.token = uuid.uuid4()
        values = (
            self.token, self._kind, self._name, socket.gethostname(), os.getpid(), self._now,
            self._connection.newest_format, seconds,
        )  # fmt: skip
        if not self._connection.run((LOCK_MOVES, ()), (LOCK_JOINS, ()), (JOIN, values))[-1]:
            raise being_moved(self._connection)
        self._valid_until = started + seconds * SENDING_PART_OF_LEASE

    def renew(self) -> bool:
        """Extend the lease, also one that is over if no process has taken anything of it.

        Returns:
            False if everything is lost. `join` begins again.

        Raises:
            SpoolStalled: the lease is not extended, as far as this process knows.
        """
        started, seconds = boot_clock(), self._connection.lease_seconds
        if not self._connection.query(RENEW, (seconds, self.token)):
            self._lose()
            return False
        if started >= self._valid_until:
            self._patient_until = started + seconds * PATIENT_PART_OF_LEASE
        self._valid_until = started + seconds * SENDING_PART_OF_LEASE
        return True

    def rebalance(self) -> Membership:
        """Free the slots of expired processes, take free ones up to the fair share, and read those that it owns."""
        if boot_clock() >= self._patient_until:
            self._connection.query(TAKEOVER)
        shares: dict[uuid.UUID, int] = dict(self._connection.query(SHARES))
        if self.token not in shares:
            raise SpoolStalled(f"the lease on the spool {self._connection.address} is over")
        target = fair_share(list(shares).index(self.token), len(shares), self._connection.slots)
        if (missing := target - shares[self.token]) > 0:
            self._connection.query(TAKE, (self.token, missing))
        self.owned = dict(self._connection.query(OWN, (self.token,)))
        return Membership(self.owned, target, len(shares))

    def release(self, slots: Collection[int]) -> None:
        """Give slots up, after their lanes have ended. A slot whose settlement is still in progress remains owned."""
        released = {slot for (slot,) in self._connection.query(RELEASE, (self.token, list(slots)))}
        self.owned = {slot: epoch for slot, epoch in self.owned.items() if slot not in released}

    def take_reader(self, name: str) -> bool:
        """Become the reader of the file sources of a name. False: another process is."""
        self._connection.query(ADD_READER, (name,))
        self._connection.query(TAKE_READER, (self.token, name))
        found = self._connection.query(OWN_READER, (self.token, name))
        self.reader_epoch = found[0][0] if found else None
        return self.reader_epoch is not None

    def leave(self) -> None:
        """Give everything up at once."""
        self._connection.query(DIE, (self.token,))
        self._lose()
        self._connection.query(TAKEOVER)

    def _lose(self) -> None:
        self.owned, self.reader_epoch, self._valid_until = {}, None, 0.0

    def close(self) -> None:
        """Close the connection. What was not given up ends with the lease."""
        self._connection.close()
