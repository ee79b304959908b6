"""Under what a skipped event is counted: its reason, and the name of a status that is not relayed.

The reasons are a fixed number of words of ours. The names are other people's, so there is a bound to how many of them
become counters, and to what they look like: a log of a million invented statuses makes no million counters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hookline.relay.fates import Skipped

MOST_NAMES: Final = 50
LONGEST_NAME: Final = 40
OTHER: Final = "other"
_SEPARATOR: Final = ":"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /")


class Names:
    """Admits the first MOST_NAMES different names, for as long as it lives; all others are ``other``.

    `counted` are keys under which events have been counted before (of a summary, or of a spool's tally): their names
    are admitted already.
    """

    def __init__(self, counted: Iterable[str] = ()) -> None:
        named = (key.removeprefix("skipped:").partition(_SEPARATOR)[2] for key in counted)
        self._admitted = {name for name in named if name and name != OTHER}

    def key(self, skipped: Skipped) -> str:
        """``no_webhook``, or ``status_not_relayed:open``."""
        if skipped.name is None:
            return skipped.reason
        return f"{skipped.reason}{_SEPARATOR}{self._name(skipped.name)}"

    def _name(self, name: str) -> str:
        if name in self._admitted:
            return name
        if len(self._admitted) >= MOST_NAMES or not 0 < len(name) <= LONGEST_NAME or not _PLAIN.issuperset(name):
            return OTHER
        self._admitted.add(name)
        return name
