"""Inputs that other programs leave behind: without line ends, with holes, or with nothing that is an event.

Each is read by the command `relay --dry-run` or `relay`, with a webhook that is disabled, so nothing is sent.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from builders import document, xdm_event
from hookline.model import Address
from hostile.meeting import command

ACME = Address("ACME@AdobeOrg", "prod")
SYSLOG = b"Nov 27 12:00:0%d mx1 postfix/smtp[12]: 4ABC%d: to=<a@x.example>, relay=mx[192.0.2.1]:25, delay=1, "
SYSLOG += b"delays=0/0/0/1, dsn=2.0.0, status=sent (250 ok)"
MAIL = (SYSLOG % (1, 1)) + b"\n" + (SYSLOG % (2, 2))


def event(number: int) -> bytes:
    return json.dumps(xdm_event(number, number)).encode()


OBJECTS = b"".join(map(event, range(3)))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with an applied webhook."""
    (tmp_path / "webhooks").mkdir()
    (tmp_path / "webhooks" / "prod.yaml").write_text(
        json.dumps(document(ACME, url="https://hooks.acme.test/feedback", enabled=False))
    )
    command(tmp_path, "apply", "--auto-approve")
    return tmp_path


def relay(directory: Path, *arguments: str) -> tuple[int, dict[str, int], str]:
    """The exit code, the summary and the words of a relay."""
    given = ("relay", "--organization", str(ACME.organization), "--sandbox", "prod", "--summary", "json")
    said = command(directory, *given, *arguments)
    assert "Traceback" not in said
    code, _, words = said.partition(" ")
    summary, _ = json.JSONDecoder().raw_decode(words[words.index('{"read"') :])
    return int(code), summary, words


def old(path: Path, data: bytes) -> str:
    """A file that nobody has written for a while."""
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))
    return path.name


@pytest.mark.parametrize(
    ("name", "data", "read"),
    [
        ("mail.log.1.gz", gzip.compress(MAIL), 2),
        ("mail.log", MAIL, 2),
        ("objects.json", OBJECTS, 3),
        ("objects.json.gz", gzip.compress(OBJECTS), 3),
        ("objects-in-a-line.json", OBJECTS + b"\n" + event(7) + b" " + event(8) + b"\n", 5),
        ("large-objects.json", b"".join(map(event, range(4000))), 4000),
        ("holes.ndjson", event(1) + b"\n" + b"\0" * 40 + event(2) + b"\n", 2),
        ("hole-behind-a-line.ndjson", event(1) + b"\0" * 9000 + event(2) + b"\n", 2),
        ("joined.ndjson", b"\xef\xbb\xbf" + event(1) + b"\n\xef\xbb\xbf" + event(2) + b"\n", 2),
        ("sequence.json", b"\x1e" + event(1) + b"\n\x1e" + event(2) + b"\n", 2),
    ],
)
def test_every_event_is_read(directory: Path, name: str, data: bytes, read: int) -> None:
    """The end of the input and the bytes between the events cost no event."""
    code, summary, words = relay(directory, old(directory / name, data))
    assert (read, read) == (summary["read"], summary["pending"]), words
    assert 4 == code  # the webhook is disabled, so the deliveries are pending
    assert 0 == relay(directory, name)[1]["read"]


@pytest.mark.parametrize("rest", [b'{"requestId":"half', b"Nov 27 12:00:02 mx1", b"words"])
def test_bytes_that_remain_are_named(directory: Path, rest: bytes) -> None:
    """A run that leaves bytes unread never ends with 0, and continues with them."""
    name = old(directory / "events.ndjson", event(1) + b"\n" + rest)
    for options in (("--dry-run",), ()):
        code, summary, words = relay(directory, *options, name)
        assert code in {3, 4}
        assert 1 == summary["read"]
        assert f"events.ndjson: {len(rest)} bytes after its last line end not read" in words
    with (directory / name).open("ab") as file:
        file.write(b"\n")
    assert 1 == relay(directory, name)[1]["read"]


def test_nothing_new_states_how_to_read_it_again(directory: Path) -> None:
    """A file that an earlier run has read gives the next step."""
    name = old(directory / "events.ndjson", b"{}\n")
    assert 3 == relay(directory, name)[0]
    code, summary, words = relay(directory, name)
    assert (0, 0) == (code, summary["read"])
    assert "an earlier run has read events.ndjson to the end" in words
    assert "--from-start" in words
    assert 1 == relay(directory, "--from-start", name)[1]["read"]
    assert "the input contains no line" in relay(directory, old(directory / "empty", b""))[2]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b'{"hello":1}\n' * 3, 3, "No line was recognized"),
        (b"words\n", 3, "No line was recognized"),
        (json.dumps({**xdm_event(1, 1), "_experience": None}).encode() + b"\n", 3, "No line was recognized"),
        (event(1).replace(b"feedbackStatus", b"x") + b"\n", 3, ""),
        (b"Nov 27 12:00:01 mx1 postfix/qmgr[1]: 4ABC: removed\n", 0, "no line contains an event"),
        (MAIL.replace(b"=sent", b"=deferred") + b"\n", 0, "all events were skipped by rule"),
        (b"Nov 27 12:00:01 mx1 sendmail[7]: 4A: to=<a@example.com>, stat=Sent\n", 3, "was not understood"),
    ],
)
def test_run_that_delivers_nothing_states_the_reason(directory: Path, data: bytes, code: int, words: str) -> None:
    """It ends with 3 if nothing was recognized, and with 0 if all was skipped by rule."""
    name = old(directory / "events.ndjson", data)
    found, summary, said = relay(directory, name)
    assert (code, 0) == (found, summary["delivered"])
    assert words in said


def test_mail_log_without_a_webhook_ends_with_3(directory: Path) -> None:
    """The lines of other programs and results that are not final do not hide that no result has a webhook."""
    other = b"Nov 27 12:00:01 mx1 postfix/qmgr[1]: 4ABC: removed\n"
    deferred = MAIL.splitlines(keepends=True)[0].replace(b"status=sent", b"status=deferred")
    name = old(directory / "mail.log", other + deferred + MAIL)
    code, summary, words = relay(directory, "--organization", "nowhere", name)
    assert (3, 0) == (code, summary["pending"])
    assert '"no_webhook": 2' in words
    assert "No webhook is applied" in words


def test_results_that_are_not_understood_are_named_at_the_end(directory: Path) -> None:
    """With the command that shows them, also if other results were read."""
    strange = b"Nov 27 12:00:01 mx1 sendmail[7]: 4AS1: to=<a@example.com>, dsn=5.1.1, stat=User unknown\n"
    _, summary, words = relay(directory, old(directory / "mail.log", strange + MAIL))
    assert 2 == summary["pending"]
    assert '"unread_outcome": 1' in words
    assert "1 line looks like a result of a mail server and was not understood" in words
    assert "formats test" in words


def test_log_without_any_event_stops_the_run(directory: Path) -> None:
    """JSON of no known format counts like lines that cannot be read, and blank lines do not count."""
    name = old(directory / "other.ndjson", b'{"level":"info"}\n\n' * 1500)
    code, summary, words = relay(directory, name)
    assert 1 == code
    assert 1000 <= summary["read"] < 1600
    assert "none of the first" in words


def test_mail_log_full_of_other_lines_is_read(directory: Path) -> None:
    """The lines of known programs are recognized, so a mail log may begin with thousands of them."""
    other = b"Nov 27 12:00:01 mx1 postfix/qmgr[1]: 4ABC: removed\n"
    code, summary, _ = relay(directory, old(directory / "mail.log", other * 1500 + MAIL))
    assert (4, 1502, 2) == (code, summary["read"], summary["pending"])
