"""What a format is: how the relay understands one provider's lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from hookline.relay.fates import Delivery, Rejected, Skipped
from hookline.relay.feedback import Event
from hookline.relay.hints import Hints


class Text(msgspec.Struct, frozen=True):
    """A line that is not JSON. `fault` says why it is not, for the formats that need JSON."""

    text: str
    fault: str


# What a line turns out to hold. Several of them where one line speaks of several messages or recipients. A Delivery
# was routed once before, and keeps its id and its route.
Reading = Event | Delivery | Skipped | Rejected


class Format(Protocol):
    """A module of this package that has these five names, and stands in FORMATS.

    Neither function raises for anything that a line can hold. STATUSES are the sender's words that are relayed, and
    the platform's words for them; all others are skipped, and counted under their own name. OTHERS are those of them
    that the sender documents: any further one is a novelty.
    """

    NAME: str
    STATUSES: Mapping[str, str]
    OTHERS: tuple[str, ...]

    def recognizes(self, value: object, /) -> bool:
        """Whether the line is of this form at all, be it sound or not. Asked of every format, in turn, for ``auto``.

        `value` is the line's decoded JSON, or a Text. Looks at a key or two; at most one format may say yes.
        """
        ...

    def events(self, value: object, hints: Hints, /) -> Iterable[Reading]:
        """What the line says, never nothing. Called once, also for lines that this format does not recognize when
        the user has named it: these are Rejected with what is missing. What an event does not carry itself is looked
        for where `hints` say. Where a line can hold many events they are made one by one: whoever asks may have had
        enough (formats.bounds)."""
        ...


# Reads a line of a format's most frequent form straight from its bytes. None: it is not sure, so decode the line and
# ask the format. Whatever it returns must be what the format's `events` would have said, and no other format may
# recognize the line. The first thing it does is to look for a name that only its own lines have.
Quick = Callable[[bytes], Event | None]
