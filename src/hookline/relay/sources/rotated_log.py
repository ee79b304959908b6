"""One log while it is followed: the file under its name, and those that it has been before."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from hookline.errors import HooklineError
from hookline.relay.delivery_record import Line
from hookline.relay.sources.checkpoints import Checkpoints
from hookline.relay.sources.file_reader import FileReader, ReadStatus
from hookline.relay.sources.input_files import STANDARD_INPUT, open_reader
from hookline.relay.sources.rotated_names import display_name, rotation_number
from hookline.relay.sources.rotation_search import (
    LOST_MESSAGE,
    MAX_TRIES,
    InodeIdentity,
    RotatedFile,
    find_rotated,
    find_unread_files,
)
from hookline.relay.sources.source import START_POSITION, Position, SourceLag, SourceLog


# A file of a log while that is followed.
class TrackedFile:
    """A file of a log. It is open while it is read; at rest it costs a look at its size.

    `attached`: it stands under a name that was asked for. `stamp` is its size and time of change (nanoseconds),
    `rested` those for which everything in it was read, and `key` that of what was read; `born` is the time of change
    at the first look.
    """

    def __init__(self, path: str, identity: InodeIdentity, stamp: tuple[int, int]) -> None:
        self.path = path
        self.identity = identity
        self.stamp = stamp
        self.rested: tuple[int, int] | None = None
        self.key = b""
        self.attached = True
        self.reader: FileReader | None = None
        self.born = stamp[1]
        self.dry_since: float | None = None
        self.retry_at = 0.0
        self.told: str | None = None

    @property
    def name(self) -> str:
        return display_name(self.path)


class LogRead(NamedTuple):
    """`more`: there may be more at once."""

    source: str
    lines: list[Line]
    position: Position
    more: bool


ROTATED_LINGER_SECONDS = (
    60.0  # seconds for which a rotated file is watched after its last line: writers may be slow to change over
)
RETRY_SECONDS = 1.0  # seconds until a file that could not be read is tried again


class RotatedLog:
    """The files of one log, each read to its end before the next one is begun.

    `path` is the log's name; `members` are further paths, where a pattern or directory has rotated files of it.
    `held` has the places of all trails by their identity, so that no file is read twice. With more than `most_open`
    of them, files of which everything was read are closed.
    """

    def __init__(
        self,
        path: str,
        held: dict[InodeIdentity, TrackedFile],
        checkpoints: Checkpoints,
        notes: SourceLog,
        *,
        named: bool,
        most_open: int,
    ) -> None:
        self.path = path
        self.members: Collection[str] = ()
        self.places: list[TrackedFile] = []
        self._held = held
        self._checkpoints = checkpoints
        self._notes = notes
        self._named = named
        self._most_open = most_open
        self._told: dict[tuple[str, str], dict[str, object]] = {}
        self._next_search = 0.0
        self._latest: int | None = None

    # -- looking

    def look(self, now: float) -> None:
        """See what stands under the names now, and let go of what is over."""
        if self.path == STANDARD_INPUT:
            return
        there = [(path, status) for path in {*self.members, self.path} if (status := self._status(path)) is not None]
        there.sort(key=lambda one: (one[0] == self.path, one[1].st_mtime_ns, rotation_number(one[0])))
        identities = {(status.st_dev, status.st_ino) for _, status in there}
        for place in self.places:
            if place.attached and place.identity not in identities and place.dry_since is not None:
                place.dry_since = now  # from now on its writers have some time to change over
            place.attached = place.identity in identities
        self._seek_closed()
        for path, status in there:
            self._look_at(path, status)
        is_missing = not self.places[-1].attached if self.places else self._named
        if is_missing and now >= self._next_search:
            # The log was renamed, perhaps while no relay ran, and no new one is there yet, or was for a moment.
            self._next_search = now + RETRY_SECONDS
            self._add_older(self._newest())
        for place in [one for one in self.places if self._is_over(one, now)]:
            if place.reader is not None and place.reader.unfinished:
                self._notes.warning(
                    "unfinished last line of a rotated file not read",
                    source=place.name,
                    bytes=place.reader.unfinished,
                )
            self._remove(place)

    def _seek_closed(self) -> None:
        """A file that is at rest when it is renamed is found by its new name, or else by what it was made into."""
        gone = []
        for place in [one for one in self.places if one.reader is None and not one.attached]:
            if (status := self._rotated(place)) is not None:
                place.stamp = (status.st_size, status.st_mtime_ns)
            else:
                gone.append(place)
        if gone:
            after = self._newest()
            for place in gone:
                self._remove(place)
            self._add_older(after)

    def _rotated(self, place: TrackedFile) -> os.stat_result | None:
        """The status of a file that has lost its name, if it has that of a rotated one of this log."""
        place.path, status = find_rotated(self.path, place.identity, last_seen=place.path)
        return status

    @property
    def _crowded(self) -> bool:
        return len(self._held) > self._most_open

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left of a log that only a pattern or directory had brought."""
        return not self._named and not self.members and not self.places

    def adopt(self, reader: FileReader) -> None:
        """Take over what is open already: standard input, which has no name to look at."""
        place = TrackedFile(self.path, (reader.device, reader.inode), (0, 0))
        place.reader = reader
        self.places.append(place)
        self._held.setdefault(place.identity, place)

    def _status(self, path: str) -> os.stat_result | None:
        if path == self.path and not self._named and path not in self.members:
            return None
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            if self._named and path == self.path and not self.places:
                self._notify_service_manager(path, "file does not exist yet, waiting for it")
            return None
        except (OSError, ValueError) as error:
            self._notify_service_manager(path, "file cannot be inspected, will try again", reason=str(error))
            return None
        if not stat.S_ISREG(status.st_mode):
            self._notify_service_manager(path, "not a regular file, ignored")
            return None
        self._forget_told(path)
        return status

    def _look_at(self, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        place = self._held.get(identity)
        if place is None:
            if path == self.path:
                self._add_older(self._newest())
            if identity in self._held:
                return  # it was renamed meanwhile, and is among the older ones
            place = self._add(path, status)
            # At once, since it may be renamed again. Then the next look finds it among the older ones.
            if not self._crowded and not self._open(place) and place.told is None:
                self._remove(place)
                return
        if place.reader is not None:
            place.reader.glance()
        place.path = path
        place.stamp = (status.st_size, status.st_mtime_ns)

    def _add(self, path: str, status: os.stat_result) -> TrackedFile:
        place = TrackedFile(path, (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns))
        newest = self.places[-1] if self.places else None
        # The log itself stays the last one, whatever shows up beside it.
        is_log = newest is not None and newest.attached and newest.path == self.path
        self.places.insert(len(self.places) - is_log, place)
        self._held[place.identity] = place
        return place

    def _newest(self) -> int | None:
        """When the newest of the files was modified that this trail has had."""
        self._latest = max((place.stamp[1] for place in self.places), default=self._latest)
        return self._latest

    def _add_older(self, after: int | None) -> bool:
        """Take in what the log was rotated to, newer than `after`. Whether there was any."""
        any_added = False
        wanted: set[InodeIdentity] = set()
        for _ in range(MAX_TRIES):
            behind = find_unread_files(self.path, self._checkpoints, held=self._held, after=after, wanted=wanted)
            if behind.lost:
                self._notify_service_manager(self.path, LOST_MESSAGE)
            after = behind.newest
            wanted |= {one.identity for one in behind.files}
            # One that was renamed between the search and the opening is searched for again, and so are those after
            # it, so that they keep their order.
            added = list(takewhile(bool, map(self._add_rotated, behind.files)))
            any_added |= bool(added)
            if len(added) == len(behind.files):
                break
        return any_added

    def _add_rotated(self, sibling: RotatedFile) -> bool:
        try:
            status = Path(sibling.path).stat()
        except OSError:
            return False
        if (status.st_dev, status.st_ino) != sibling.identity:
            return False
        place = self._add(sibling.path, status)
        place.attached = False
        if not self._open(place):
            self._remove(place)
            return False
        self._notes.info("rotated file is read first", source=display_name(sibling.path))
        return True

    # -- reading

    def read(self, now: float) -> LogRead:
        """The next lines of the oldest file that has any."""
        for index, place in enumerate(list(self.places)):
            if place.retry_at > now or place.rested == place.stamp:
                continue
            if place.reader is None and not self._open(place):
                place.retry_at = now + RETRY_SECONDS
                continue
            if (from_hand := self._from_hand(index)) is not None:
                return from_hand
            try:
                found = self._read(place, now)
            except HooklineError as error:
                self._tell_of(place, "file cannot be read, will try again", error)
                place.retry_at = now + RETRY_SECONDS
                continue
            if found is not None:
                return found
            if self._crowded and self.path != STANDARD_INPUT and (place.attached or self._rotated(place)):
                self.rest(place)
        return LogRead(self.path, [], START_POSITION, False)

    def _from_hand(self, index: int) -> LogRead | None:
        """Before a file is begun that may be a copy of a later one: what is in hand of that one."""
        reader = self.places[index].reader
        if reader is None or reader.has_begun:
            return None
        for later in self.places[index + 1 :]:
            if later.reader is not None and later.reader.full:
                lines = later.reader.from_hand()
                return LogRead(later.reader.name, lines, later.reader.take_position(), True)
        return None

    def _read(self, place: TrackedFile, now: float) -> LogRead | None:
        reader = place.reader
        assert reader is not None
        lines, came = reader.read(final=not place.attached)
        place.told = None
        if came is ReadStatus.REPLACED:
            return self._replaced(place, reader)
        position = reader.take_position()
        if came is ReadStatus.WAITING:
            return LogRead(reader.name, lines, position, bool(lines))
        if came is ReadStatus.DRY and place.dry_since is None:
            place.dry_since = now
        elif came is ReadStatus.MORE or lines:
            place.dry_since = None
        if came is ReadStatus.DRY and reader.at_definite_end:
            self.rest(place)
        if lines or position is not START_POSITION or came is ReadStatus.MORE:
            return LogRead(reader.name, lines, position, True)
        return None

    def _replaced(self, place: TrackedFile, reader: FileReader) -> LogRead:
        """The file was truncated, or written anew. What was in it may have been copied away: that is read first."""
        reader.take_position()
        lines: list[Line] = []
        if not self._is_copied(place, reader):
            lines = reader.last_words()
            if lost := reader.lost + reader.unfinished:
                self._notes.warning("file was truncated before all of it was read", source=place.name, bytes=lost)
        position = reader.take_position()
        self._notes.info("file was truncated or rewritten, reading it from its start", source=place.name)
        reader.restart()
        return LogRead(reader.name, lines, position, True)

    def _is_copied(self, place: TrackedFile, reader: FileReader) -> bool:
        """Whether there is a copy of what the file held, which is then read first."""
        if self.path == STANDARD_INPUT:
            return False
        others = [one for one in self.places if one is not place]
        after = None
        if not reader.key:  # nothing was read of it, so a copy can only be told by its time
            after = max((one.stamp[1] for one in others), default=place.born)
        is_there = any(one.reader is not None and one.reader.origin == reader.key != b"" for one in others)
        return self._add_older(after) or is_there

    def _open(self, place: TrackedFile) -> bool:
        try:
            reader = open_reader(place.path, self._checkpoints, self._notes)
        except HooklineError as error:
            self._tell_of(place, "file cannot be opened, will try again", error)
            return False
        if not isinstance(reader, FileReader) or (reader.device, reader.inode) != place.identity:
            reader.close()  # another one has got the name meanwhile: the next look finds out
            return False
        reader.expected = place.key
        place.reader = reader
        return True

    # -- letting go

    def rest(self, place: TrackedFile) -> None:
        """Close a file of which everything was read; it is opened again when it has changed."""
        place.rested = place.stamp
        if place.reader is not None:
            place.key = place.reader.key
            place.reader.close()
            place.reader = None

    def close(self) -> None:
        for place in list(self.places):
            self._remove(place)

    def _is_over(self, place: TrackedFile, now: float) -> bool:
        """Whether a file that has lost its name is done with."""
        if place.attached or place.dry_since is None or place is self.places[-1]:
            return False
        if place.reader is None:
            return place.rested == place.stamp and now - place.dry_since >= ROTATED_LINGER_SECONDS
        if place is self.places[-2] and place.reader.has_name and not self._crowded:
            return False  # its writers may not know yet that it was rotated, for as long as they like
        return now - place.dry_since >= ROTATED_LINGER_SECONDS

    def _remove(self, place: TrackedFile) -> None:
        self.places.remove(place)
        if self._held.get(place.identity) is place:
            del self._held[place.identity]
        if place.reader is not None:
            place.reader.close()

    # -- telling

    def lags(self) -> list[SourceLag]:
        return [reader.lag() for place in tuple(self.places) if (reader := place.reader) is not None]

    def _tell_of(self, place: TrackedFile, what: str, error: HooklineError) -> None:
        if place.told != error.message:
            place.told = error.message
            self._notes.warning(what, source=place.name, reason=error.message, hint=error.hint)

    def _notify_service_manager(self, path: str, what: str, **fields: object) -> None:
        """Once for as long as it is so."""
        if self._told.get((path, what)) != fields:
            self._told[path, what] = fields
            self._notes.warning(what, source=display_name(path), **fields)

    def _forget_told(self, path: str) -> None:
        """Nothing is wrong with it any more. What a search did not find is no fault of what it has found since."""
        for told in [(where, what) for where, what in self._told if where == path and what != LOST_MESSAGE]:
            del self._told[told]
