"""Lists the files to which a log was rotated: beside its name, and beside the files to which its name is a link."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from hookline.relay.sources.files.read_context import ReadContext
from hookline.relay.sources.rotated_names import display_name, is_rotated, is_unread_packing, unpacked_name

MAX_PACKED_NAMES = 5
InodeIdentity = tuple[int, int]
"""Device and inode."""


def find_names(path: str, target: str, context: ReadContext) -> dict[str, InodeIdentity]:
    """Returns the files with the log's name or the name of a rotated file, by path, in the order of their paths.

    `target` is the resolved path at which an earlier run read the log through a link. A link that was switched since
    leaves that file, and perhaps others with names that differ in their numbers.
    """
    found: dict[str, InodeIdentity] = {}
    current = os.path.realpath(path)
    places = dict.fromkeys((path, current, target or current))
    known: dict[InodeIdentity, str] = {}
    for place in places:
        is_old_target = bool(target) and place == target != current
        for file, identity in _beside(place, context, with_alike=is_old_target):
            if known.setdefault(identity, file) == file:
                found[file] = identity
    # A program that compresses a file removes it when the archive is complete. Until then the archive is left out.
    unpacked = {file: unpacked_name(file) for file in found}
    return {
        file: found[file] for file in sorted(found) if unpacked[file] in {file, path} or unpacked[file] not in found
    }


def find_unread_packings(path: str, target: str, context: ReadContext) -> Iterator[str]:
    """Yields the names of rotated files in a packing that is not read, at most a few."""
    for place in dict.fromkeys((path, os.path.realpath(path), target or path)):
        directory, name = os.path.split(place)
        with suppress(OSError):
            near = context.listings.of(directory or ".").beginning_with(name.rpartition(".")[0] or name)
            yield from islice((display_name(one) for one in near if is_unread_packing(one, name)), MAX_PACKED_NAMES)


def _beside(place: str, context: ReadContext, *, with_alike: bool) -> Iterator[tuple[str, InodeIdentity]]:
    """Yields the file at `place`, and the rotated files beside it."""
    directory, name = os.path.split(place)
    with suppress(OSError):
        status = os.stat(place)
        yield place, (status.st_dev, status.st_ino)
    with suppress(OSError):
        listing = context.listings.of(directory or ".")
        stem = re.split(r"\d", name)[0] if with_alike else name.rpartition(".")[0] or name
        for other in listing.beginning_with(stem):
            if other == name or not (is_rotated(other, name) or (with_alike and _are_alike(other, name))):
                continue
            file = os.path.join(directory, other)
            if (leads_to := listing.links.get(other)) is not None:
                root = os.path.realpath(directory or ".")
                if not context.links.admits(leads_to, root):
                    continue
            with suppress(OSError):
                status = os.stat(file)
                yield file, (status.st_dev, status.st_ino)


def _are_alike(name: str, other: str) -> bool:
    """Returns whether the names differ in their numbers only, as ``app-20261127.log`` and ``app-20261128.log.gz``."""
    return _without_numbers(name) == _without_numbers(other)


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "0", unpacked_name(name))
