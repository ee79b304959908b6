"""One wide line for each thing that happened: as text for people, or as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from hookline.units import utc_text

Level = Literal["debug", "info", "warning"]
_ORDER: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2}


class Log:
    """Hands `write` one line, newline included, for whatever is at least as grave as `level`.

    `clock` gives Unix seconds. Fields that are None are left out.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        level: Level,
        format: Literal["text", "json"],
        clock: Callable[[], float],
    ) -> None:
        self._out = write
        self._least = _ORDER[level]
        self._write = self._text if format == "text" else self._json
        self._clock = clock

    @property
    def debugging(self) -> bool:
        return self._least == 0

    def debug(self, what: str, **fields: object) -> None:
        self._say("debug", what, fields)

    def info(self, what: str, **fields: object) -> None:
        self._say("info", what, fields)

    def warning(self, what: str, **fields: object) -> None:
        self._say("warning", what, fields)

    def _say(self, level: Level, what: str, fields: dict[str, object]) -> None:
        if _ORDER[level] >= self._least:
            time = utc_text(self._clock(), "milliseconds")
            present = {key: value for key, value in fields.items() if value is not None}
            self._out(self._write(time, level, what, present) + "\n")

    @staticmethod
    def _text(time: str, level: Level, what: str, fields: dict[str, object]) -> str:
        return " ".join([time, level, what, *(f"{key}={_quoted(value)}" for key, value in fields.items())])

    @staticmethod
    def _json(time: str, level: Level, what: str, fields: dict[str, object]) -> str:
        return json.dumps({"time": time, "level": level, "event": what, **fields}, ensure_ascii=False, default=str)


def _quoted(value: object) -> str:
    """Bare where that is one word, else as a JSON string: control characters never reach a terminal."""
    text = str(value)
    return text if text.isprintable() and text and not set(text) & set(' "=') else json.dumps(text)
