"""The exit codes of every command. CI pipelines and service managers rely on them."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """If several codes apply, plan returns 5 before 6 before 2, and relay returns 4 before 3."""

    DONE = 0
    # I/O, network, an internal error, a failed check, an unknown webhook or request.
    FAILED = 1
    # plan --detailed-exitcode: the plan has changes.
    CHANGES = 2
    # Finished, but some events are dead letters, were rejected, or have no applied webhook.
    INCOMPLETE = 3
    # The relay stopped while deliveries are pending in the spool.
    STILL_PENDING = 4
    INVALID_CONFIGURATION = 5
    # A safety rule blocks the command, or approval is missing and there is no terminal.
    BLOCKED = 6
    # The state has changed since the plan was made, or a concurrent apply won.
    STALE = 7
    # The state or the spool is locked, missing, empty, damaged, or written by a newer version.
    UNUSABLE = 8
    # drift: the state differs from the changes that were applied.
    DRIFTED = 9
    # Wrong use of the command line. click's own 2 would be mistaken for CHANGES.
    WRONG_USE = 64
    # 128 + SIGINT, as shells report it.
    INTERRUPTED = 130
