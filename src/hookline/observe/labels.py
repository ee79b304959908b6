"""A bounded number of label values: what a metrics server stores grows with every value that it ever sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OTHER: Final = "other"


class Labels:
    """Gives at most `most` names a label of their own; all others share OTHER.

    A name that shares OTHER stays there, so that the sum does not fall when somebody leaves it. A name that is gone
    gives its place back, and comes back to a place of its own if there is one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: set[str] = set()
        self._shared: set[str] = set()

    def admit(self, names: Iterable[str]) -> None:
        """These are all names that there are now. The first ones in alphabetical order get what places are left."""
        present = set(names)
        self._own &= present
        for name in sorted(present - self._own - self._shared):
            (self._own if len(self._own) < self._most else self._shared).add(name)

    def of(self, name: str) -> str | None:
        """The label of a name. None: it has left a place of its own, and is not shown."""
        if name in self._own:
            return name
        return OTHER if name in self._shared else None
