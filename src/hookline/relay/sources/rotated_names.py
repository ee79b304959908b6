"""What names say: which are rotated files of which log, which are patterns."""

from __future__ import annotations

import re

# logrotate (``.1``, ``-20261122``, with ``extension`` before the last part), log4j, Python, newsyslog: a date or a
# number, and what packed it.
_TURN = r"[.\-_](?:\d[\dTZ:.\-_]*|old|bak)"
# Before the extension ``-2`` is no rotation but a neighbour: ``worker-2.log`` is live beside ``worker.log``. A date
# has six digits or more.
_INNER_TURN = r"(?:\.\d[\dTZ:.\-_]*|[\-_](?=(?:[TZ:.\-_]*\d){6})\d[\dTZ:.\-_]*|[.\-_](?:old|bak))"
_PACKED = r"(?:\.(?:gz|zst|zstd))?"
_ROTATED_NAME = re.compile(rf"(?P<base>.+?)(?P<turn>{_TURN})?(?P<packed>\.(?:gz|zst|zstd))?", re.DOTALL)


def is_rotated(name: str, base: str) -> bool:
    """Whether a file name is that of a rotated (or only packed) file of the log `base`. Both without directories."""
    if name == base:
        return False
    if re.fullmatch(re.escape(base) + rf"(?:{_TURN})?{_PACKED}", name):
        return True
    stem, dot, extension = base.rpartition(".")
    return bool(stem) and bool(
        re.fullmatch(re.escape(stem) + _INNER_TURN + re.escape(dot + extension) + _PACKED, name)
    )


def are_rotations(one: str, other: str) -> bool:
    """Whether one of the names is that of a rotated file of the other, or both are of the same log."""
    return is_rotated(one, other) or is_rotated(other, one) or base_of(one)[0] == base_of(other)[0]


def base_of(name: str) -> tuple[str, bool]:
    """The name that a log has before it is rotated, and whether this one is packed.

    ``app.log.2.gz`` is of ``app.log``. A name that looks like no rotated one is its own base.
    """
    found = _ROTATED_NAME.fullmatch(name)
    assert found is not None
    return found["base"], found["packed"] is not None


def display_name(name: str) -> str:
    """The name as it goes into the spool, log lines and pages: a file may be called by any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unpacked_name(name: str) -> str:
    """The name of the file that this one was made of, if it is packed; else its own."""
    found = _ROTATED_NAME.fullmatch(name)
    assert found is not None
    return name.removesuffix(found["packed"] or "")


def rotation_number(name: str) -> tuple[int, str]:
    """Sorts the rotated files of a log that were changed at the same time, oldest first: ``.2`` is before ``.1``."""
    found = re.search(r"\.(\d{1,4})(?:\.(?:gz|zst|zstd))?$", name)
    return (-int(found[1]) if found else 0, name)


def is_pattern(name: str) -> bool:
    """Whether a name has what a shell would expand."""
    return any(sign in name for sign in "*?[")
