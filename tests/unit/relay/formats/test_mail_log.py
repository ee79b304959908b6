"""Results in Postfix's log, which others may forge by an address or by the text of a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import line
from hookline.relay.delivery_record import Rejected, Skipped
from hookline.relay.formats.line_reader import read_line
from hookline.relay.formats.mail_log import MAX_MESSAGE_BYTES, MailResult, is_mail_program, read_result

FIELDS = "relay=mx.example.com[192.0.2.1]:25, delay=1, delays=0/0/1/0, dsn=5.1.1, "
_PIECES = [
    "a",
    "b@c",
    "victim@example.com",
    ">",
    "<",
    ">, ",
    ",",
    " ",
    '"',
    "\\",
    "@",
    "(",
    ")",
    "to=<",
    ", orig_to=<",
    "relay=x, ",
    "delay=1, ",
    "dsn=5.1.1, ",
    "status=bounced (x)",
    " status=sent (",
    ">, relay=none, ",
    "ABC: to=<v@example.com>, ",
]
pieces = st.lists(st.sampled_from(_PIECES), max_size=12).map("".join)


def quoted(local: str) -> str:
    """A local part as a quoted string of RFC 5321."""
    return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(pieces, pieces, st.sampled_from(["sent", "deferred", "bounced"]))
def test_an_address_in_quotes_is_read_whole_or_not_at_all(local: str, text: str, status: str) -> None:
    """Whatever a quoted address and a server's text contain, no result about another recipient comes of it."""
    to = f"{quoted(local)}@evil.example"
    read = read_result("postfix/smtp", f"4F9D: to=<{to}>, {FIELDS}status={status} ({text})")
    assert not isinstance(read, MailResult) or (to, status) == (read.to, read.status)


@given(pieces, pieces, pieces, st.sampled_from(["sent", "deferred", "bounced"]))
def test_an_address_without_quotes_is_read_whole_or_not_at_all(to: str, alias: str, text: str, status: str) -> None:
    """The same for a log in Postfix's internal form, which quotes nothing."""
    of_alias = f"orig_to=<{alias}>, " if alias else ""
    read = read_result("postfix/smtp", f"4F9D: to=<{to}>, {of_alias}{FIELDS}status={status} ({text})")
    assert not isinstance(read, MailResult) or (to, status) == (read.to, read.status)


@pytest.mark.parametrize(
    "to",
    [
        "a@example.com",
        "root",
        "",
        "o'neil+x=y@example.com",
        '"a b"@example.com',
        '"a".b@example.com',
        "é@exämple.com",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "|/usr/bin/procmail",
        "/var/mail/a",
        '"\\""@example.com',
    ],
)
def test_addresses_as_postfix_writes_them_are_read(to: str) -> None:
    """Addresses, local names and destinations of aliases, with the rest of the line."""
    read = read_result("postfix/smtp", f"4F9D: to=<{to}>, orig_to=<{to}>, conn_use=2, {FIELDS}status=bounced (no)")
    assert isinstance(read, MailResult)
    assert (to, "bounced", "(no)", "5.1.1", "2") == (
        read.to,
        read.status,
        read.text,
        read.fields["dsn"],
        read.fields["conn_use"],
    )


@pytest.mark.parametrize(
    "to", ["a b@example.com", '"a@example.com', 'a"b@example.com', "a@b@c", "a,b@c", "<a@b", "(a)@b"]
)
def test_what_is_no_address_is_refused(to: str) -> None:
    """The reason names the setting of Postfix that writes addresses which can be read."""
    read = read_result("postfix/smtp", f"4F9D: to=<{to}>, {FIELDS}status=bounced (no)")
    assert isinstance(read, Rejected)
    assert "info_log_address_format" in read.reason


@given(pieces, st.integers(0, 3), st.sampled_from(["sent", "deferred", "bounced"]))
def test_an_address_that_postfix_cuts_is_read_whole_or_not_at_all(to: str, more: int, status: str) -> None:
    """Postfix cuts a message, and with it the second reading, at a place that the writer of an address knows."""
    result = f"4F9D: to=<victim@example.com>, {FIELDS}status=bounced (x{to}"
    padding = "x" * (MAX_MESSAGE_BYTES - len(result) - 1)
    whole = f"{result}{padding}){')' * more}@evil.example>, {FIELDS}status={status} (ok)"
    assert not isinstance(read_result("postfix/smtp", whole[:MAX_MESSAGE_BYTES]), MailResult)


@pytest.mark.parametrize("text", ["(host said: 550 no", "(", f"({'x' * MAX_MESSAGE_BYTES})", f"({'é' * 1000})"])
def test_a_result_without_its_end_is_refused(text: str) -> None:
    """Whatever program cut it. The limit counts bytes."""
    read = read_result("postfix/smtp", f"4F9D: to=<a@example.com>, {FIELDS}status=bounced {text}")
    assert isinstance(read, Rejected)
    assert "cut off" in read.reason


def test_a_long_result_is_read() -> None:
    """Below the length at which Postfix cuts, also with a blank behind its end."""
    text = f"({'x' * (MAX_MESSAGE_BYTES - 200)}) "
    read = read_result("postfix/smtp", f"4F9D: to=<a@example.com>, {FIELDS}status=bounced {text}")
    assert isinstance(read, MailResult)


def test_an_address_of_a_mebibyte_is_refused() -> None:
    """It is neither kept nor searched for long."""
    read = read_result("postfix/smtp", f"4F9D: to=<{'a' * 2**20}@example.com>, {FIELDS}status=bounced (no)")
    assert isinstance(read, Rejected)


@pytest.mark.parametrize("program", ["sendmail", "postfix/smtpd", "postfix/pickup", "postfix/smtp2"])
def test_a_result_of_an_unknown_program_is_counted(program: str) -> None:
    """A line that looks like a result is never a line without an event."""
    assert Skipped("unread_outcome") == read_result(program, f"4F9D: to=<a@example.com>, {FIELDS}status=sent (ok)")


@pytest.mark.parametrize(
    "text",
    [
        "Oct 10 01:23:46 postfix/smtp[1]: 4F9D: to=<a@example.com>, relay=none, dsn=5.1.1, status=bounced (no)",
        "Oct 10 01:23:46 mx1 x: 4F9D:to=<a@example.com>,relay=none,status=bounced (no)",
        "Oct 10 01:23:46 mx1 sendmail[7]: 4AS1: to=<a@example.com>, delay=1, dsn=5.1.1, stat=User unknown",
        "Oct 10 01:23:46 mx1 sm-mta[7]: 4AS1: to=a@example.com, delay=00:00:01, dsn=2.0.0, stat=Sent (ok)",
    ],
)
def test_a_result_in_another_form_is_counted(text: str) -> None:
    """A line without a host, without blanks, and the lines of Sendmail."""
    assert [Skipped("unread_outcome")] == read_line(line(text.encode()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("postfix/smtp", True),
        ("postfix-out/smtp", True),
        ("mail/smtp", True),
        ("docker/web", False),
        ("smtp", True),
        ("/usr/sbin/cron", False),
        ("app", False),
        (7, False),
    ],
)
def test_programs_of_a_mail_server(name: object, expected: bool) -> None:
    """By their own name, or by a name with a part before it."""
    assert expected is is_mail_program(name)
