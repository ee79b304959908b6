"""Listings of directories, kept while the directory has not changed, and the links that a listing may follow."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from hookline.relay.sources.timing import Timing

_CLOCK_TICK_SECONDS: Final = 0.05  # changes this close together can have the same time in a file system
_MAX_AGE_SECONDS: Final = 5.0  # file systems with coarse times may show a change of a directory late
_MAX_AGE_PER_NAME_SECONDS: Final = 0.001  # a long listing is expensive
_MAX_LISTINGS: Final = 1000


class Listing(msgspec.Struct, frozen=True):
    """The regular files of a directory, by name in order. `links` are the names of links, with their targets."""

    names: list[str]
    links: Mapping[str, str]

    def beginning_with(self, prefix: str) -> Iterator[str]:
        for index in range(bisect_left(self.names, prefix), len(self.names)):
            if not self.names[index].startswith(prefix):
                return
            yield self.names[index]


class LinkRule(msgspec.Struct, frozen=True):
    """Decides about files that were found by listing a directory or a pattern, and not named by the operator.

    Someone who may create a link in a watched directory must not be able to make the relay read its own keys. A link
    is followed if it ends below the listed directory or below one of `below`, which are resolved paths.
    """

    below: tuple[str, ...] = ()

    def admits(self, target: str, root: str) -> bool:
        """Returns whether the resolved path of a file is below the resolved `root` or an admitted directory."""
        return any(_is_below(target, directory) for directory in (root, *self.below))


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory if directory.endswith("/") else directory + "/")


class Listings:
    """The listings of the directories of a run."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._kept: dict[str, tuple[tuple[int, int, int], float, Listing]] = {}

    def of(self, directory: str) -> Listing:
        """Lists a directory, unless it has not changed since it was listed. Raises OSError."""
        status = os.stat(directory)
        stamp = status.st_dev, status.st_ino, status.st_mtime_ns
        now = self._timing.wall()
        kept = self._kept.get(directory)
        if kept is not None and kept[0] == stamp:
            max_age = _MAX_AGE_SECONDS + len(kept[2].names) * _MAX_AGE_PER_NAME_SECONDS
            if 0 <= now - kept[1] < max_age:
                return kept[2]
        listing = _list(directory)
        if kept is not None and kept[2] == listing:
            listing = kept[2]
        if len(self._kept) >= _MAX_LISTINGS:
            self._kept.pop(next(iter(self._kept)))
        if now - status.st_mtime >= _CLOCK_TICK_SECONDS:
            self._kept[directory] = stamp, now, listing
        else:
            self._kept.pop(directory, None)
        return listing


def _list(directory: str) -> Listing:
    names: list[str] = []
    links: dict[str, str] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_symlink():
                links[entry.name] = os.path.realpath(entry.path)
            try:
                if entry.is_file():
                    names.append(entry.name)
            except OSError:
                continue
    return Listing(sorted(names), links)
