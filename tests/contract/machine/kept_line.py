"""A rejected line in the model of a spool."""

from __future__ import annotations

from dataclasses import dataclass

from hookline.relay.delivery_record import DeadLine

LineKey = tuple[str, int, int, bytes]  # source, number, part, hash


@dataclass
class KeptLine:
    """A rejected line. The `n` of its letter is 0, because the model does not number lines."""

    letter: DeadLine
    replayed: bool = False

    @property
    def whole(self) -> bool:
        return self.letter.length == len(self.letter.data)


def line_key(letter: DeadLine) -> LineKey:
    return letter.source, letter.line, letter.part, letter.sha256
