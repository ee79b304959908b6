"""Inspects the names of a log, and logs each fault of a name once."""

from __future__ import annotations

import os
import stat

from hookline.relay.sources.rotated_names import display_name
from hookline.relay.sources.source import SourceLog


class NameInspection:
    """The names of one log. A fault of a name is logged again after the name was without it."""

    def __init__(self, logger: SourceLog) -> None:
        self._logger = logger
        self._faults: dict[tuple[str, str], dict[str, object]] = {}
        self._lost: dict[str, object] | None = None

    def status_of(self, path: str, *, is_awaited: bool) -> os.stat_result | None:
        """Returns the status of a regular file, otherwise None. Logs that an awaited file does not exist."""
        try:
            status = os.stat(path)
        except FileNotFoundError:
            if is_awaited:
                self._report(path, "file does not exist yet, waiting for it")
            return None
        except (OSError, ValueError) as error:
            self._report(path, "file cannot be inspected, will try again", reason=str(error))
            return None
        if not stat.S_ISREG(status.st_mode):
            self._report(path, "not a regular file, ignored")
            return None
        for key in [key for key in self._faults if key[0] == path]:
            del self._faults[key]
        return status

    def _report(self, path: str, event: str, **fields: object) -> None:
        if self._faults.get((path, event)) != fields:
            self._faults[path, event] = fields
            self._logger.warning(event, source=display_name(path), **fields)

    def report_lost(self, path: str, event: str, **fields: object) -> None:
        """Logs that the last read file is lost, unless that was logged with the same fields."""
        if self._lost != fields:
            self._lost = fields
            self._logger.warning(event, source=display_name(path), **fields)
