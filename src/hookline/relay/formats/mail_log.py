"""The messages in which Postfix's programs report the result for a recipient, read strictly.

Senders choose their recipients' addresses, and remote servers the text of a result. Both may contain a result about
somebody else. An address is therefore read in the form of RFC 5321 §4.1.2, where only a quoted string contains
special characters, and a message with a second possible reading is refused.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from hookline.relay.delivery_record import Rejected, Skipped

# Delivery agents, and the programs that report a result in their place: cleanup for a refused message, the queue
# manager for a destination that it does not try.
_AGENTS: Final = frozenset(
    {"smtp", "lmtp", "local", "virtual", "pipe", "error", "retry", "discard", "bounce", "cleanup"}
    | {"qmgr", "oqmgr", "nqmgr"}
)
MAX_ADDRESS_CHARACTERS: Final = 1024  # RFC 5321 §4.5.3.1 permits 320

_ADDRESS = r'(?:(?:[^\s"<>(),:;\\\[\]@]++|"(?:[^"\\]++|\\.)*+")++(?:@[^\s"<>(),;\\@]++)?+)?+'  # may be empty
_DELIVERY = re.compile(
    rf"(?P<queue_id>[0-9A-Za-z]++): to=<(?P<to>{_ADDRESS})>, (?:orig_to=<(?P<orig_to>{_ADDRESS})>, )?+"
    r"(?P<fields>(?:(?!status=)[a-z_]++=[^\s,<>]*+, )*+)status=(?P<status>[A-Za-z-]++)(?:, ?| |$)(?P<text>.*)",
    re.DOTALL,
)
_BEGINNING = re.compile(r"[0-9A-Za-z]++: to=<")
_BEGINNING_WITH_ADDRESS = re.compile(rf"[0-9A-Za-z]++: to=<{_ADDRESS}>, ")
_WITHOUT_RECIPIENT = re.compile(r" status=((?:force-)?expired), returned to sender$")
# A message that can be read in two ways has this once more.
_AFTER_ADDRESS = (">, relay=", ">, orig_to=<")

_NO_EVENT = Skipped("not_an_event")
_UNREAD = Skipped("unread_outcome")
_AMBIGUOUS = Rejected("it can be read in two ways: an address or a text in it contains a result of its own")
_NO_ADDRESS = Rejected(
    "to: not an address of RFC 5321, so its end is not certain (Postfix: `info_log_address_format = external`)"
)


class MailResult(msgspec.Struct, frozen=True):
    """The result for one recipient. `fields` are ``relay``, ``delay``, ``dsn`` … as written."""

    queue_id: str
    to: str
    fields: dict[str, str]
    status: str
    text: str


def is_mail_program(name: object) -> bool:
    """Returns whether a program's name is one of Postfix's: ``postfix/smtpd``, ``postfix-out/smtp``, ``smtp``."""
    return isinstance(name, str) and (name.startswith("postfix") or name.rpartition("/")[2] in _AGENTS)


def looks_like_outcome(text: str) -> bool:
    """Returns whether a text contains the fields of a result. If it is not read, a result may be missing."""
    return " to=<" in text and " status=" in text


def read_result(program: str, message: str) -> MailResult | Skipped | Rejected:
    """Reads a message of a program. Returns Skipped if it contains no result."""
    if not looks_like_outcome(message):
        without = _WITHOUT_RECIPIENT.search(message)
        return Skipped("status_not_relayed", without[1]) if without else _NO_EVENT
    if program.rpartition("/")[2] not in _AGENTS:
        return _UNREAD
    found = _DELIVERY.match(message)
    if found is None:
        is_address = _BEGINNING.match(message) is None or _BEGINNING_WITH_ADDRESS.match(message)
        return _UNREAD if is_address else _NO_ADDRESS
    if len(found["to"]) > MAX_ADDRESS_CHARACTERS:
        return _NO_ADDRESS
    # Also in a quoted string, because Postfix's internal form writes a quotation mark of an address as it is.
    parts = (found["to"], found["orig_to"] or "", found["text"])
    if any(again in part for again in _AFTER_ADDRESS for part in parts):
        return _AMBIGUOUS
    fields = dict(part.split("=", 1) for part in found["fields"].split(", ")[:-1])
    if found["orig_to"]:
        fields["orig_to"] = found["orig_to"]
    return MailResult(found["queue_id"], found["to"], fields, found["status"], found["text"])
