"""The places of values that are not shown, because they are under a key whose name looks secret."""

from __future__ import annotations

from hookline.config.source_text import SourcePosition


class HiddenSpans:
    """`begin` is the beginning of the hidden value that is open; None if none is."""

    def __init__(self) -> None:
        self.begin: SourcePosition | None = None
        self._closed: list[tuple[SourcePosition, SourcePosition | None]] = []

    def end(self, position: SourcePosition, value: object) -> None:
        """Ends the open value, if one is open. A reference is shown."""
        if self.begin is None:
            return
        names = list(value) if isinstance(value, dict) else []
        if names not in (["env"], ["file"]) or not isinstance(value[names[0]], str):  # type: ignore[index]
            self._closed.append((self.begin, position))
        self.begin = None

    def spans(self) -> list[tuple[SourcePosition, SourcePosition | None]]:
        """Returns the beginning and end of each hidden value.

        A value that is still open, because the text cannot be parsed to its end, has no end.
        """
        return self._closed if self.begin is None else [*self._closed, (self.begin, None)]
