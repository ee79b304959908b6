"""The log: one wide line for each event, as text for people or as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, Literal

from hookline.escaping import escape_json, printable, shortened
from hookline.units import utc_text

Level = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
_ORDER: dict[Level, int] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
# A line may contain text from outside, such as a request id of 900 KB.
MAX_VALUE_CHARACTERS: Final = 200


class Log:
    """Formats log lines. Omits fields that are None, and cuts long values.

    Args:
        write: Called with each line, including its newline. It must not block.
        level: The lowest level that is written.
        format: The format of the lines.
        clock: Returns Unix seconds.
        lines_lost: Returns the number of lines that could not be written.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        *,
        level: Level,
        format: LogFormat,
        clock: Callable[[], float],
        lines_lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self.lines_lost = lines_lost
        self.is_json = format == "json"
        self._write = write
        self._min_level = _ORDER[level]
        self._format = _text_line if format == "text" else _json_line
        self._clock = clock

    @property
    def debugging(self) -> bool:
        return self._min_level == 0

    def debug(self, what: str, **fields: object) -> None:
        self._log("debug", what, fields)

    def info(self, what: str, **fields: object) -> None:
        self._log("info", what, fields)

    def warning(self, what: str, **fields: object) -> None:
        self._log("warning", what, fields)

    def _log(self, level: Level, message: str, fields: dict[str, object]) -> None:
        if _ORDER[level] >= self._min_level:
            self._write(self.line(level, message, **{key: _cut(value) for key, value in fields.items()}))

    def line(self, level: Level, message: str, /, **fields: object) -> str:
        """A line with whole values, at any level. The caller writes it."""
        time = utc_text(self._clock(), "milliseconds")
        present = {key: value for key, value in fields.items() if value is not None}
        return self._format(time, level, message, present) + "\n"


def _cut(value: object) -> object:
    return shortened(value, MAX_VALUE_CHARACTERS) if isinstance(value, str) else value


def _text_line(time: str, level: Level, message: str, fields: dict[str, object]) -> str:
    return " ".join([time, level, message, *(f"{key}={_quoted(value)}" for key, value in fields.items())])


def _json_line(time: str, level: Level, message: str, fields: dict[str, object]) -> str:
    document = {"time": time, "level": level, "event": message, **fields}
    return escape_json(json.dumps(document, ensure_ascii=False, default=str))


def _quoted(value: object) -> str:
    """The value as it is if it is one word, else as a JSON string, which escapes control characters."""
    text = str(value)
    return text if text and printable(text) == text and not set(text) & set(' "=') else escape_json(json.dumps(text))
