"""The dead letters: the filters of `dead list`, and one letter whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hookline.model import Address, Channel, FeedbackStatus
from hookline.observe.status import moment
from hookline.relay.delivery_record import DeadDelivery, DeadLetter, DeadLine, parse_history
from hookline.relay.spool.admin import Filter

# The names of the filters, as in the form and in the options of `dead list`.
LETTER_FILTERS: Final = ("webhook", "channel", "status", "reason", "http-status", "since", "until")
# A page further behind needs a filter: each one reads all letters before it.
MAX_LETTER_PAGES: Final = 20
MAX_SHOWN_BODY_CHARACTERS: Final = 200_000
MAX_SKIPPED_LETTERS: Final = 1000
_KEY: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,20})?_[0-9]{1,6}")
_HTTP_STATUS: Final = re.compile(r"[1-5][0-9]{2}")


@dataclass(frozen=True, slots=True)
class LetterPageEnd:
    """The end of a page: the time of its last letter, and the number of letters of that time that were shown.

    New letters have later times, so they do not move the letters of the next page, as they would move a number.
    """

    at: float
    shown: int

    @classmethod
    def parse(cls, text: str) -> LetterPageEnd:
        """Raises ValueError."""
        at, _, shown = text.partition("_")
        if not _KEY.fullmatch(text) or not (found := cls(float(at), int(shown))).is_usable:
            raise ValueError(f"not the end of a page: {text!r:.60} (begin with the first page)")
        return found

    @property
    def is_usable(self) -> bool:
        """Whether the letters of its time are few enough to be read again and left out."""
        return self.shown <= MAX_SKIPPED_LETTERS

    def __str__(self) -> str:
        return f"{self.at!r}_{self.shown}"

    @classmethod
    def of_page(cls, letters: Sequence[DeadLetter], before: LetterPageEnd | None) -> LetterPageEnd:
        """The end of a page with these letters, which comes after `before`."""
        last = letters[-1].at
        shown = sum(one.at == last for one in letters)
        return cls(last, shown + (before.shown if before is not None and before.at == last else 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRow:
    identity: str
    at: str
    webhook: str | None
    channel: str | None
    status: str | None
    http: int | None
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeLetter:
    """One letter. `steps` are its recorded attempts. `body` is the payload or the line, None if it is not shown."""

    row: LetterRow
    request_id: str | None
    event_time: str | None
    attempts: int | None
    detail: str | None
    size_bytes: int
    steps: Sequence[tuple[str, str]]
    body: str | None


def letter_filter(values: Mapping[str, str], parse_time: Callable[[str], float]) -> Filter:
    """The filter of a request. Raises ValueError, with a message for users, for a wrong value.

    `parse_time` reads a time, or an age before now, as Unix seconds.
    """
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    http = given.get("http-status")
    if http is not None and not _HTTP_STATUS.fullmatch(http):
        raise ValueError(f"not an HTTP status: {http!r} (write 422)")
    channel, status = given.get("channel"), given.get("status")
    return Filter(
        webhook=Address.parse(given["webhook"]) if "webhook" in given else None,
        channel=None if channel is None else str(Channel(channel)),
        status=None if status is None else str(FeedbackStatus(status)),
        reason=given.get("reason"),
        http=None if http is None else int(http),
        since=parse_time(given["since"]) if "since" in given else None,
        until=parse_time(given["until"]) if "until" in given else None,
    )


def letter_row(letter: DeadLetter, mask: Callable[[str], str]) -> LetterRow:
    delivery = letter if isinstance(letter, DeadDelivery) else None
    return LetterRow(
        identity=letter_identity(letter),
        at=moment(letter.at) or "",
        webhook=None if delivery is None else str(delivery.webhook),
        channel=None if delivery is None else delivery.channel,
        status=None if delivery is None else delivery.status,
        http=None if delivery is None else delivery.http,
        source=f"{letter.source}:{letter.line}",
        reason=mask(letter.reason),
    )


def letter_identity(letter: DeadLetter) -> str:
    """The id that `dead show` accepts."""
    return letter.id.hex() if isinstance(letter, DeadDelivery) else f"line-{letter.n}"


def whole_letter(letter: DeadLetter, mask: Callable[[str], str], *, with_body: bool) -> WholeLetter:
    row = letter_row(letter, mask)
    match letter:
        case DeadDelivery():
            steps = [
                ("replayed", moment(one.at) or "")
                if one.number == 0
                else (f"attempt {one.number}", f"{moment(one.at)}, {mask(one.reason)}")
                for one in parse_history(letter.history)
            ]
            return WholeLetter(
                row=row,
                request_id=letter.request_id,
                event_time=letter.event_time,
                attempts=letter.attempts,
                detail=None if letter.detail is None else mask(letter.detail),
                size_bytes=len(letter.body),
                steps=steps,
                body=_text(letter.body) if with_body else None,
            )
        case DeadLine():
            return WholeLetter(
                row=row,
                request_id=None,
                event_time=None,
                attempts=None,
                detail=None,
                size_bytes=letter.length,
                steps=(),
                body=_text(letter.data) if with_body else None,
            )


def _text(data: bytes) -> str:
    text = data.decode("utf-8", "backslashreplace")
    if len(text) <= MAX_SHOWN_BODY_CHARACTERS:
        return text
    return f"{text[:MAX_SHOWN_BODY_CHARACTERS]}… (cut; `hookline dead show` prints all of it)"
