"""The platform's classes of failed email, and the mapping of a provider's failures to them.

The classes are the platform's "email error types". Enhanced status codes are those of RFC 3463.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from hookline.relay.event import MessageFailure

Category = Literal["sync", "async"]
BounceKind = Literal["Hard", "Soft", "Ignored"]


# Code → its name, and its type, unless the provider gives a better one.
CLASSES: Mapping[int, tuple[str, BounceKind]] = {
    1: ("Undetermined", "Ignored"),
    10: ("Invalid Recipient", "Hard"),
    15: ("Recipient Refused", "Hard"),
    20: ("Soft Bounce", "Soft"),
    21: ("DNS Failure", "Soft"),
    22: ("Mailbox Full", "Soft"),
    23: ("Too Large", "Ignored"),
    24: ("Timeout", "Ignored"),
    25: ("Admin Failure", "Ignored"),
    30: ("Generic Bounce: No RCPT", "Ignored"),
    40: ("Generic Bounce", "Ignored"),
    50: ("Mail Block", "Ignored"),
    51: ("Spam Block", "Ignored"),
    52: ("Spam Content", "Ignored"),
    53: ("Prohibited Attachment", "Ignored"),
    54: ("Relaying Denied", "Soft"),
    60: ("Auto-Reply", "Ignored"),
    70: ("Transient Failure", "Ignored"),
    100: ("Challenge-Response", "Soft"),
}

_BY_STATUS: Mapping[str, int] = {
    **dict.fromkeys(("5.1.1", "5.1.10"), 10),
    **dict.fromkeys(("4.4.3", "4.4.4", "5.1.2", "5.4.4"), 21),
    **dict.fromkeys(("4.2.2", "5.2.2"), 22),
    **dict.fromkeys(("5.2.3", "5.3.4"), 23),
    **dict.fromkeys(("4.4.1", "4.4.2", "4.4.7"), 24),
}
_BY_DIGIT: Mapping[str, int] = {"5": 30, "4": 20}
_POLICY = (".7.", 50)  # RFC 3463 §3.8: security or policy
_SPAM_BLOCK = 51
_SUPPRESSED = 25
_SOFT_BOUNCE, _NO_RECIPIENT = 20, 30
# Classes that are no more precise than a first digit.
_GENERAL = (1, 20, 30, 70)
# By the first digit of a status code: the classes that do not outrank it if it gives a reason. A temporary failure
# is not one of the Hard ones.
_WEAK = {"5": _GENERAL, "4": (*_GENERAL, *(code for code, (_, kind) in CLASSES.items() if kind == "Hard"))}
_SPAM_WORDS = ("spam", "unsolicited", "junk mail")

# The enhanced status code of a failure. It must not match a part of an IPv4 address or of a longer number. A code
# that begins with 2 means success; in the text of a failure it is usually the version of a program.
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?!\.?\d)")
_REPLY = re.compile(r"(?<![\d.-])([45])\d\d(?=[ -]|$)")


def enhanced_status(*texts: str | None) -> str | None:
    """Returns the first enhanced status code of a failure in one of the texts. One that gives no reason (``5.0.0``)
    is returned only if there is no other.
    """
    general = None
    for text in texts:
        for found in _ENHANCED.finditer(text or ""):
            if not _is_general(found[1]):
                return found[1]
            general = general or found[1]
    return general


def _is_general(status: str) -> bool:
    return status.endswith(".0.0")


def is_permanent(status: str | None, *wordings: str | None) -> bool:
    """Returns whether the failure is permanent, by its enhanced status code or the reply code in a text."""
    return (status or _reply(*wordings) or "")[:1] == "5"


def classify(status: str | None, *wordings: str | None, provider: int | None = None) -> int | None:
    """Returns the class of a failure, or None if nothing determines it.

    The enhanced status code decides if it has a class of its own, then `provider` (the class that the provider
    gives), then the first digit of the status code or of the reply code in a text. Neither a general class of the
    provider nor a permanent failure outranks a status code that gives the reason of another.
    """
    if not status or status[0] not in _BY_DIGIT:
        return provider or _BY_DIGIT.get(_reply(*wordings) or "")
    if status[1:].startswith(_POLICY[0]):
        is_spam = any(word in (text or "").lower() for text in wordings for word in _SPAM_WORDS)
        return _SPAM_BLOCK if is_spam else _POLICY[1]
    if own := _BY_STATUS.get(status):
        return own
    if provider and (provider not in _WEAK[status[0]] or _is_general(status)):
        return provider
    return _BY_DIGIT[status[0]]


def _reply(*wordings: str | None) -> str | None:
    """Returns the first digit of the reply code (RFC 5321 §4.2) in a text, such as ``550 unknown``."""
    for text in wordings:
        if text and (found := _REPLY.search(text)):
            return found[1]
    return None


def email_failure(
    code: int | None, category: Category, kind: BounceKind | None = None, wording: str | None = None
) -> MessageFailure:
    """Returns the failure of an email in the platform's words, or as `wording` if no class matches.

    Type and class never contradict each other: an invalid recipient is Hard, and a hard failure is no soft bounce.
    """
    if code == _SOFT_BOUNCE and kind == "Hard":
        code = _NO_RECIPIENT
    known = CLASSES.get(code) if code is not None else None
    if known is None:
        return MessageFailure(category=category, type=kind, reason=wording)
    name, usual = known
    return MessageFailure(
        category=category, type=usual if usual == "Hard" else kind or usual, code=str(code), reason=name
    )


def suppressed_by_sender() -> MessageFailure:
    """Returns the failure of a message that the sender's own provider or server did not send, such as one to an
    address of its suppression list. With every provider it is an `error`, because no recipient's server refused it.
    """
    return email_failure(_SUPPRESSED, "sync")
