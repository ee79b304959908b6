"""What a running relay says of itself to other commands: a file in the spool's directory, made anew all the time.

Only the relay that holds the lock writes it, and takes it away at its end. After a kill it stays; the lock tells then
that nobody is there.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from hookline.observe.snapshot import RelayStatus
from hookline.private_files import replace_file
from hookline.relay.spool.sqlite.lock import holder_of

STATUS_FILE: Final = "relay.json"
_decoder = msgspec.json.Decoder(RelayStatus)


class StatusFile:
    """Of one spool's directory. A full disk is no reason for anything: then there is no news."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / STATUS_FILE
        self._writing = threading.Lock()
        self._out = False

    def publish(self, facts: RelayStatus) -> None:
        """Replace the file as a whole; it is not synced, since it means nothing after a crash. From any thread."""
        with self._writing:
            if not self._out:
                self._replace(facts)

    def withdraw(self) -> None:
        """There is no relay any more: nothing is shown after this, whoever is still about to."""
        with self._writing:
            self._out = True
            self._remove()

    def _replace(self, facts: RelayStatus) -> None:
        try:
            replace_file(self._path, msgspec.json.encode(facts), synced=False)
        except OSError:  # rather nothing than what was true some time ago
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def read_status_file(directory: Path) -> tuple[str | None, RelayStatus | None]:
    """Who holds the spool, and what that relay said last. The second is None without the first, or while the relay is
    starting, cannot write, or is of another version."""
    holder = holder_of(directory)
    if holder is None:
        return None, None
    try:
        facts = _decoder.decode((directory / STATUS_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return holder, None
    return holder, facts if holder.startswith(f"process {facts.process} ") else None
