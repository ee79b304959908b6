"""The wrappers that container runtimes and journald put around a program's line: CRI, Docker's json-file, journal.

https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md (podman's k8s-file is the
same), https://docs.docker.com/engine/logging/drivers/json-file/ and https://systemd.io/JOURNAL_EXPORT_FORMATS/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.event import Event
from hookline.relay.formats.format import Format, LineText, ParsedEvent
from hookline.relay.formats.mail_log import UNREAD_OUTCOME, is_mail_program, looks_like_outcome

CRI: Final = "cri"
DOCKER: Final = "docker"
JOURNALD: Final = "journald"
SYSLOG: Final = "syslog"  # `postfix.unwrap_syslog` reads it
DOCKER_PART_BYTES: Final = 16 * 1024  # Docker cuts longer lines

_STREAMS = ("stdout", "stderr")
# Time, stream, and F for a whole line or P for a part of one, perhaps with further tags.
_CRI = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) (?P<stream>stdout|stderr) "
    r"(?P<tag>[FP])(?::[^ ]*)?(?: (?P<text>.*))?",
    re.DOTALL,
)
_JOURNAL_FIELDS = ("__REALTIME_TIMESTAMP", "_HOSTNAME", "SYSLOG_IDENTIFIER", "_TRANSPORT", "PRIORITY")
LONG_MESSAGE: Final = "MESSAGE: null, because journalctl leaves out long fields; add its option --all"
_CUT = "the container's runtime cut the line into parts; the relay does not join them"
_NO_EVENT = Skipped("not_an_event")


class Wrapped(msgspec.Struct, frozen=True):
    """A program's line in a wrapper.

    Attributes:
        name: the wrapper.
        text: the program's line.
        envelope: the wrapper's own fields, for the paths of ``--map``.
        time: the time at which the line was logged, in ISO 8601.
        is_part: the runtime has cut the line, and this is not its end.
        fault: the reason why the wrapper has no text.
    """

    name: str
    text: str
    envelope: dict[str, Any]
    time: str | None = None
    is_part: bool = False
    fault: str | None = None


def unwrap(item: object) -> Wrapped | None:
    """Returns the program's line if the item is a wrapper, otherwise None. A mail log in a journal stays as it is."""
    if not isinstance(item, dict):
        return _unwrap_cri(item.text) if isinstance(item, LineText) and item.text[:1].isdigit() else None
    if "MESSAGE" in item:
        return _unwrap_journal(item)
    if "log" not in item:
        return None
    text, time = item["log"], item.get("time")
    if not (isinstance(text, str) and isinstance(time, str) and item.get("stream") in _STREAMS):
        return None
    # The runtime writes the line end of a whole line.
    return Wrapped(DOCKER, text.rstrip("\r\n"), item, time, is_part=not text.endswith("\n"))


def _unwrap_cri(line: str) -> Wrapped | None:
    found = _CRI.fullmatch(line)
    if found is None:
        return None
    envelope = {"time": found["time"], "stream": found["stream"]}
    return Wrapped(CRI, found["text"] or "", envelope, found["time"], is_part=found["tag"] == "P")


def _unwrap_journal(entry: dict[str, Any]) -> Wrapped | None:
    if not any(name in entry for name in _JOURNAL_FIELDS):
        return None
    text = journal_text(entry["MESSAGE"]) or ""
    if is_mail_program(entry.get("SYSLOG_IDENTIFIER")) and not text.lstrip().startswith(("{", "[")):
        return None
    time = journal_time(entry.get("__REALTIME_TIMESTAMP"))
    if entry["MESSAGE"] is None:
        return Wrapped(JOURNALD, "", entry, time, fault=LONG_MESSAGE)
    return Wrapped(JOURNALD, text, entry, time)


def journal_text(message: object) -> str | None:
    """Returns the text of a field. journald writes a text that is not UTF-8 as a list of bytes."""
    if isinstance(message, list) and all(type(byte) is int and 0 <= byte < 256 for byte in message):
        return bytes(message).decode("utf-8", "replace")
    return message if isinstance(message, str) else None


def journal_time(microseconds: object) -> str | None:
    """Returns an entry's time in ISO 8601, from its text of Unix microseconds."""
    if not (isinstance(microseconds, str) and microseconds.isdecimal() and len(microseconds) <= 17):  # year 5138
        return None
    return datetime.fromtimestamp(int(microseconds) / 1_000_000, UTC).isoformat(timespec="microseconds")


def read_rest(wrapped: Wrapped, formats: Mapping[str, Format]) -> Skipped | Rejected | None:
    """Returns the result for a wrapper whose text no format reads, or None if it can contain events.

    Programs print all kinds of text. Only the beginning of JSON, or of a list, can be a lost event.
    """
    if wrapped.fault:
        return Rejected(wrapped.fault)
    text = wrapped.text.strip()
    if text.startswith(("{", "[")):
        return Rejected(_CUT) if wrapped.is_part and not text.endswith(("}", "]")) else None
    line = LineText(text, "not JSON")
    if unwrap(line) or any(known.recognizes(line) for known in formats.values()):
        # Docker's last line has no line end either, but is shorter than a part.
        is_cut = wrapped.is_part and (wrapped.name == CRI or len(wrapped.text) >= DOCKER_PART_BYTES)
        return Rejected(_CUT) if is_cut else None
    return UNREAD_OUTCOME if looks_like_outcome(text) else _NO_EVENT


def with_time(parsed: ParsedEvent, wrapped: Wrapped) -> ParsedEvent:
    """Adds the time of the wrapper to an event that has none."""
    if isinstance(parsed, Event) and parsed.time is None and wrapped.time is not None:
        return msgspec.structs.replace(parsed, time=wrapped.time)
    return parsed
