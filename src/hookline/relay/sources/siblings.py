"""The files that a log was rotated to: what an earlier run, or an earlier look, had not read of them yet."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.looking import Identity, Known, Look, Sibling
from hookline.relay.sources.naming import is_rotated, turn, unpacked_name

TRIES = 20  # to see files in one moment, while a rotation renames them


class Behind(msgspec.Struct, frozen=True):
    """What is to be read before a log, oldest first.

    `newest`: when the newest file that is known was modified (nanoseconds; None: none is), for another search.
    `log`: what stood under the log's name meanwhile. Whoever opens one of these has to see that it is still that.
    """

    files: list[Sibling]
    newest: int | None
    log: Identity | None


def left_behind(
    path: str, checkpoints: Checkpoints, *, held: Collection[Identity], after: int | None = None
) -> Behind:
    """The rotated files of the log `path` that are to be read before it. `held` are read anyway.

    - one that a checkpoint says is unfinished;
    - those that are newer than the newest known one: they were the log itself while nobody looked. `after` is when
      that was modified last (nanoseconds), where the caller has it open.

    A log that was never read has none: its past was not asked for.
    """
    look = Look(checkpoints)
    there = _seen_at_once(path, look)
    log = next((one for one in there if one.path == path), None)
    siblings = [one for one in _without_doubles(there) if one.path != path and one.identity not in held]
    siblings.sort(key=lambda one: (one.modified, turn(one.path)))
    newest = after
    # Where the log is known itself, nobody rotated it since, and what came before it was read before it.
    if newest is None and not (log is not None and log.in_place):
        siblings = _with_newest_made_out(siblings, look)
        newest = max((one.modified for one in siblings if one.known is not Known.NOT), default=None)
    return Behind([one for one in siblings if _is_wanted(one, newest)], newest, log.identity if log else None)


def _seen_at_once(path: str, look: Look) -> list[Sibling]:
    """The log and its rotated files as they stood at one moment, not as a rotation was moving them."""
    there: list[Sibling] = []
    for _ in range(TRIES):
        before = names_of(path)
        there = [one for one in map(look.at, before) if one is not None]
        if before == names_of(path):
            break
    return there


def _without_doubles(there: list[Sibling]) -> list[Sibling]:
    """Files that begin alike may all fit to a checkpoint that was reached early. It was written for one of them:

    the one in whose inode it still is, else the newest.
    """
    owners: dict[bytes, Sibling] = {}
    for one in sorted(there, key=lambda one: (one.in_place, one.modified)):
        owners[one.key] = one
    return [
        one if not one.key or owners[one.key] is one else msgspec.structs.replace(one, known=Known.NOT)
        for one in there
    ]


def _with_newest_made_out(siblings: list[Sibling], look: Look) -> list[Sibling]:
    """Go back through the compressed ones until one is known for certain: logs with a long header all begin alike."""
    made_out = list(siblings)
    for index in range(len(made_out) - 1, -1, -1):
        one = made_out[index]
        if one.known in {Known.FINISHED, Known.UNFINISHED} or (one.known is Known.PACKED and look.is_known(one.path)):
            break
        made_out[index] = msgspec.structs.replace(one, known=Known.NOT)
    return made_out


def _is_wanted(one: Sibling, newest: int | None) -> bool:
    match one.known:
        case Known.UNFINISHED:
            return True
        case Known.FINISHED:
            return False
        case Known.NOT | Known.PACKED:
            return newest is not None and one.modified >= newest


def names_of(path: str) -> dict[str, Identity]:
    """What stands under the log's name and those of its rotated files."""
    directory, name = os.path.split(path)
    found: dict[str, Identity] = {}
    with suppress(OSError):
        for one in Path(directory or ".").iterdir():
            if one.name == name or is_rotated(one.name, name):
                with suppress(OSError):
                    status = one.stat()
                    known_as = path if one.name == name else str(Path(directory) / one.name)
                    found[known_as] = (status.st_dev, status.st_ino)
    # Whoever compresses a file removes it once the archive is whole: until then the archive may be half of it.
    unpacked = {one: unpacked_name(one) for one in found}
    return {one: found[one] for one in found if unpacked[one] in {one, path} or unpacked[one] not in found}
