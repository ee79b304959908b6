"""Interprets file names: rotated files and their logs, and patterns."""

from __future__ import annotations

import re

# The names of logrotate (``.1``, ``-20261122``, with ``extension`` before the last part), log4j, Python and
# newsyslog: a date or a number, and the extension of the compression.
_TURN = r"[.\-_](?:\d[\dTZ:.\-_]*|old|bak)"
# ``-2`` before the extension is not a rotation: ``worker-2.log`` is a separate log beside ``worker.log``. A date has
# at least six digits.
_INNER_TURN = r"(?:\.\d[\dTZ:.\-_]*|[\-_](?=(?:[TZ:.\-_]*\d){6})\d[\dTZ:.\-_]*|[.\-_](?:old|bak))"
_PACKED = r"(?:\.(?:gz|zst|zstd|xz|bz2))?"
_ROTATED_NAME = re.compile(rf"(?P<base>.+?)(?P<turn>{_TURN})?(?P<packed>\.(?:gz|zst|zstd|xz|bz2))?", re.DOTALL)


# Packings that are not read. A warning names these files.
_UNREAD_PACKING = re.compile(r"(.+)\.(?:lz4|lzma|lzo|lz|Z|br|zip|7z|rar|tgz)", re.DOTALL)


def is_unread_packing(name: str, base: str) -> bool:
    """Returns whether `name` is a rotated file of the log `base` in a packing that is not read."""
    found = _UNREAD_PACKING.fullmatch(name)
    return found is not None and is_rotated(found[1], base)


def is_rotated(name: str, base: str) -> bool:
    """Returns whether `name` is a rotated or only compressed file of the log `base`. Both are without directories."""
    if name == base:
        return False
    if re.fullmatch(re.escape(base) + rf"(?:{_TURN})?{_PACKED}", name):
        return True
    stem, dot, extension = base.rpartition(".")
    return bool(stem) and bool(
        re.fullmatch(re.escape(stem) + _INNER_TURN + re.escape(dot + extension) + _PACKED, name)
    )


def are_rotations(one: str, other: str) -> bool:
    """Returns whether one name is a rotated file of the other, or both are rotated files of the same log."""
    return is_rotated(one, other) or is_rotated(other, one) or base_of(one)[0] == base_of(other)[0]


def base_of(name: str) -> tuple[str, bool]:
    """Returns the name of the log before its rotation (``app.log`` for ``app.log.2.gz``, the same for other names),
    and whether this name is of a compressed file.
    """
    found = _ROTATED_NAME.fullmatch(name)
    assert found is not None
    return found["base"], found["packed"] is not None


def display_name(name: str) -> str:
    """Returns the name as text for the spool, logs and status. The name of a file can contain any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unpacked_name(name: str) -> str:
    """Returns the name without the extension of its compression, if any."""
    found = _ROTATED_NAME.fullmatch(name)
    assert found is not None
    return name.removesuffix(found["packed"] or "")


def rotation_number(name: str) -> tuple[int, str]:
    """Returns a sort key for rotated files with the same time of change, the oldest first: ``.2`` before ``.1``."""
    found = re.search(r"\.(\d{1,4})(?:\.(?:gz|zst|zstd|xz|bz2))?$", name)
    return (-int(found[1]) if found else 0, name)
