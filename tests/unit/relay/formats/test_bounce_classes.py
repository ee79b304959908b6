"""The platform's classification of failed email."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hookline.relay.event import MessageFailure
from hookline.relay.formats.bounce_classes import CLASSES, classify, email_failure, enhanced_status, is_permanent

FACTS = Path(__file__).parents[3] / "facts"


def test_classes_are_the_platforms() -> None:
    """Every code with its name and type, and no other."""
    with (FACTS / "bounce-codes.csv").open(newline="") as file:
        expected = {int(row["code"]): (row["name"], row["type"]) for row in csv.DictReader(file)}
    assert expected == dict(CLASSES)


@pytest.mark.parametrize(
    ("status", "wording", "expected"),
    [
        ("5.1.1", None, 10),
        ("5.1.10", None, 10),
        ("4.2.2", None, 22),
        ("5.2.2", None, 22),
        ("5.2.3", None, 23),
        ("5.3.4", None, 23),
        ("4.4.1", None, 24),
        ("4.4.2", None, 24),
        ("4.4.7", None, 24),
        ("4.4.3", None, 21),
        ("4.4.4", None, 21),
        ("5.1.2", None, 21),
        ("5.4.4", None, 21),
        ("5.7.1", None, 50),
        ("5.7.1", "Our system has detected that this message is likely UNSOLICITED mail", 51),
        ("5.7.26", "blocked as spam", 51),
        ("5.7.26", "unauthenticated", 50),
        ("5.7.606", "Access denied, banned sending IP", 50),
        ("4.7.0", "unusual rate of unsolicited mail from your address", 51),
        ("4.7.28", "rate limited", 50),
        ("4.7.650", None, 50),
        ("5.0.0", None, 30),
        ("5.1.0", "spam", 30),
        ("4.7.1", "spam", 51),
        ("2.0.0", None, None),
        ("2.0.0", "550 no such user", 30),
        (None, "550 no such user", 30),
        (None, "smtp; 421 try again", 20),
        (None, "port 5500 of 192.0.2.1", None),
        (None, None, None),
    ],
)
def test_class_by_status(status: str | None, wording: str | None, expected: int | None) -> None:
    """Certain statuses have a class of their own, the others one by their first digit."""
    assert expected == classify(status, wording)


def test_class_by_what_the_provider_calls_it() -> None:
    """The provider's class counts unless the status has a class of its own; a status without a reason has none, and
    a general class of the provider is no more precise than the first digit of a status.
    """
    assert classify(None, "550 something", provider=22) == 22
    assert classify("5.1.1", None, provider=22) == 10
    assert classify("5.0.0", None, provider=22) == 22
    assert classify("5.0.0", None, provider=1) == 1
    assert classify("4.0.0", None, provider=10) == 10
    assert classify("4.2.1", None, provider=10) == 20, "a temporary failure is no invalid recipient"
    assert classify("4.2.1", None, provider=22) == 22
    assert classify("5.3.0", None, provider=53) == 53
    assert classify("5.3.0", None, provider=1) == 30
    assert classify("5.0.0", None) == 30
    assert classify("2.0.0", None, provider=22) == 22


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("550 5.1.1 <a@example.com>: unknown", "5.1.1"),
        ("smtp;452-4.2.2 over quota", "4.2.2"),
        ("5.1.10", "5.1.10"),
        ("(#5.7.0)", "5.7.0"),
        ("host 5.1.1.7 said no", None),
        ("version 15.1.1", None),
        ("550 rejected by FooMTA 2.4.1: user unknown", None),
        ("2.0.0 queued, then 5.1.1", "5.1.1"),
        ("5.0.0 (#5.1.1)", "5.1.1"),
        ("5.0.0 failed", "5.0.0"),
        ("5.1", None),
        ("", None),
        (None, None),
    ],
)
def test_status_in_a_wording(text: str | None, expected: str | None) -> None:
    """It is found wherever servers write it, and an address of four numbers is not taken for one."""
    assert expected == enhanced_status(text)


@pytest.mark.parametrize(
    ("status", "wording", "expected"),
    [
        ("5.2.2", None, True),
        ("4.2.2", "550", False),
        (None, "550 unknown", True),
        (None, "450 busy", False),
        (None, None, False),
    ],
)
def test_permanent_by_status_or_reply(status: str | None, wording: str | None, expected: bool) -> None:
    """The enhanced status decides; without one, the reply code."""
    assert expected is is_permanent(status, wording)


def test_failure_speaks_the_platforms_language() -> None:
    """Code and reason are of the table; the type is the provider's where it knows better."""
    expected = MessageFailure(category="sync", type="Hard", code="10", reason="Invalid Recipient")
    assert expected == email_failure(10, "sync", wording="550 no such user")
    expected = MessageFailure(category="async", type="Soft", code="30", reason="Generic Bounce: No RCPT")
    assert expected == email_failure(30, "async", "Soft")


def test_type_and_class_never_contradict_each_other() -> None:
    """An invalid recipient is a hard failure, and a hard failure is never a soft bounce."""
    assert "Hard" == email_failure(10, "sync", "Soft").type
    assert "Hard" == email_failure(15, "sync", "Ignored").type
    hard = email_failure(20, "sync", "Hard")
    assert ("30", "Hard") == (hard.code, hard.type)


@pytest.mark.parametrize("code", [None, 90])
def test_failure_without_a_class_keeps_the_providers_wording(code: int | None) -> None:
    """Only then does the provider's own text reach the payload."""
    assert MessageFailure(category="sync", reason="Bad content") == email_failure(code, "sync", wording="Bad content")
