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
MAX_MESSAGE_BYTES: Final = 2000  # msg_syslog(3): Postfix cuts longer messages

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
UNREAD_OUTCOME: Final = Skipped("unread_outcome")
_AMBIGUOUS = Rejected("it can be read in two ways: an address or a text in it contains a result of its own")
_CUT = Rejected("it was cut off, so it is not certain that its address ends before the result")
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
    """Returns whether a text contains the fields of a result, as Postfix or Sendmail (``stat=``) writes them. If it
    is not read, a result may be missing.
    """
    return ("to=<" in text and "status=" in text) or (", stat=" in text and "to=" in text)


def read_result(program: str, message: str) -> MailResult | Skipped | Rejected:
    """Reads a message of a program. Returns Skipped if it contains no result."""
    if not looks_like_outcome(message):
        without = _WITHOUT_RECIPIENT.search(message)
        return Skipped("status_not_relayed", without[1]) if without else _NO_EVENT
    if program.rpartition("/")[2] not in _AGENTS:
        return UNREAD_OUTCOME
    found = _DELIVERY.match(message)
    if found is None:
        is_address = _BEGINNING.match(message) is None or _BEGINNING_WITH_ADDRESS.match(message)
        return UNREAD_OUTCOME if is_address else _NO_ADDRESS
    queue_id, to, alias, written, status, text = found.groups()
    # Also in a quoted string, because Postfix's internal form writes a quotation mark of an address as it is.
    if _has_second_reading(text) or (
        '"' in message and (_has_second_reading(to) or _has_second_reading(alias or ""))
    ):
        return _AMBIGUOUS
    if len(to) > MAX_ADDRESS_CHARACTERS:
        return _NO_ADDRESS
    if _is_cut(message, text):
        return _CUT
    fields = dict([part.split("=", 1) for part in written.split(", ")[:-1]])
    if alias:
        fields["orig_to"] = alias
    return MailResult(queue_id, to, fields, status, text)


def _has_second_reading(part: str) -> bool:
    return _AFTER_ADDRESS[0] in part or _AFTER_ADDRESS[1] in part


def _is_cut(message: str, text: str) -> bool:
    """Returns whether the end of a message is missing, and with it perhaps the second end of its address."""
    if text.startswith("(") and not text.rstrip().endswith(")"):
        return True
    # A character has at most four bytes.
    return len(message) * 4 >= MAX_MESSAGE_BYTES and len(message.encode()) >= MAX_MESSAGE_BYTES
