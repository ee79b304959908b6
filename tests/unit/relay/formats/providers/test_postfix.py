"""Lines of syslog, and what their times mean."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.formats.providers.postfix import SyslogMessage, from_journal, parse_syslog, parse_syslog_time

PARIS = ZoneInfo("Europe/Paris")


Message = SyslogMessage


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Oct 10 01:23:45 mx1 postfix/smtp[1]: hello", Message("Oct 10 01:23:45", "mx1", "postfix/smtp", "hello")),
        ("Oct  1 01:23:45 mx1 dovecot: hello", Message("Oct  1 01:23:45", "mx1", "dovecot", "hello")),
        ("<22>Oct 10 01:23:45 mx1 cron[9]: ", Message("Oct 10 01:23:45", "mx1", "cron", "")),
        ("2026-10-10T01:23:45+02:00 mx1 a[1]: b", Message("2026-10-10T01:23:45+02:00", "mx1", "a", "b")),
        ("<22>1 2026-10-10T01:23:45Z mx1 a 1 - - b", Message("2026-10-10T01:23:45Z", "mx1", "a", "b")),
        ('<22>1 2026-10-10T01:23:45Z m a 1 ID [x y="z]\\""][q] \ufeffb',
         Message("2026-10-10T01:23:45Z", "m", "a", "b")),
        ("<22>1 2026-10-10T01:23:45Z mx1 a - - -", Message("2026-10-10T01:23:45Z", "mx1", "a", "")),
        ("Oct 10 01:23:45.25 mx1 a[1]: b", Message("Oct 10 01:23:45.25", "mx1", "a", "b")),
        ("Oct 10 01:23:45 <mail.info> mx1 a[1]: b", Message("Oct 10 01:23:45", "mx1", "a", "b")),
        ("Oct 10 01:23:45 <2.6> mx1 a: b", Message("Oct 10 01:23:45", "mx1", "a", "b")),
        ("Oct 10 01:23:45 mx1 mail.info a[1]: b", Message("Oct 10 01:23:45", "mx1", "a", "b")),
        ("Oct 10 01:23:45 mx1 a[1]: [ID 197553 mail.info] b", Message("Oct 10 01:23:45", "mx1", "a", "b")),
        ("Oct 10 01:23:45 mx1 mail.info: b", Message("Oct 10 01:23:45", "mx1", "mail.info", "b")),
        ("hello world", None),
        ("Oct 10 hello", None),
        ('{"a": 1}', None),
        ("", None),
    ],
)  # fmt: skip
def test_line_is_taken_apart(line: str, expected: SyslogMessage | None) -> None:
    """In the forms of RFC 3164 and RFC 5424, with and without a priority."""
    assert expected == parse_syslog(line)


@pytest.mark.parametrize(
    ("time", "zone", "now", "expected"),
    [
        ("Dec 31 23:59:58", UTC, "2027-01-01T00:10:00Z", "2026-12-31T23:59:58+00:00"),
        ("Jan  1 00:00:03", UTC, "2027-01-01T00:10:00Z", "2027-01-01T00:00:03+00:00"),
        ("Jan  1 00:00:03", UTC, "2026-12-31T23:59:00Z", "2027-01-01T00:00:03+00:00"),
        ("Jan  3 00:00:03", UTC, "2026-12-31T23:59:00Z", "2026-01-03T00:00:03+00:00"),
        ("Jan  3 00:00:03.25", UTC, "2026-12-31T23:59:00Z", "2026-01-03T00:00:03.250000+00:00"),
        ("Feb 29 12:00:00", UTC, "2027-01-01T00:00:00Z", "2024-02-29T12:00:00+00:00"),
        ("Feb 30 12:00:00", UTC, "2027-01-01T00:00:00Z", None),
        ("Foo 10 12:00:00", UTC, "2027-01-01T00:00:00Z", None),
        ("Oct 10 25:00:00", UTC, "2027-01-01T00:00:00Z", None),
        ("Jul 14 12:00:00", PARIS, "2026-10-01T00:00:00Z", "2026-07-14T12:00:00+02:00"),
        ("Jan 14 12:00:00", PARIS, "2026-10-01T00:00:00Z", "2026-01-14T12:00:00+01:00"),
        ("Jan  1 00:10:00", timezone(timedelta(hours=10)), "2026-12-31T14:20:00Z", "2027-01-01T00:10:00+10:00"),
        ("2026-10-10T01:23:45.5", PARIS, "2026-10-10T00:00:00Z", "2026-10-10T01:23:45.500000+02:00"),
        ("2026-10-10T01:23:45Z", PARIS, "2026-10-10T00:00:00Z", "2026-10-10T01:23:45+00:00"),
        ("2026-99-10T01:23:45Z", UTC, "2026-10-10T00:00:00Z", None),
        ("", UTC, "2026-10-10T00:00:00Z", None),
    ],
)
def test_time_of_a_line(time: str, zone: tzinfo, now: str, expected: str | None) -> None:
    """The year is the last in which the time is not in the future, the zone the one that the user names."""
    assert expected == parse_syslog_time(time, zone=zone, now=datetime.fromisoformat(now).timestamp())


def test_without_a_clock_a_time_without_a_year_is_none() -> None:
    """Rather none than a wrong one."""
    assert parse_syslog_time("Oct 10 01:23:45", zone=UTC, now=None) is None
    assert parse_syslog_time("2026-10-10T01:23:45Z", zone=UTC, now=None) == "2026-10-10T01:23:45+00:00"


@given(st.integers(978_307_200, 4_102_272_000), st.integers(0, 364 * 86400))
def test_year_is_right_for_what_is_read_within_a_year(seconds: int, later: int) -> None:
    """A line that is read less than a year after it was written gets the year in which it was written."""
    written = datetime.fromtimestamp(seconds, UTC)
    line = written.strftime("%b %d %H:%M:%S")
    now = written + timedelta(seconds=max(0, later - 86400))
    assert written.isoformat() == parse_syslog_time(line, zone=UTC, now=now.timestamp())


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"MESSAGE": [104, 300], "_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "a", "__REALTIME_TIMESTAMP": "1"},
        {"MESSAGE": "m", "_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "a", "__REALTIME_TIMESTAMP": "soon"},
        {"MESSAGE": "m", "_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "a", "__REALTIME_TIMESTAMP": "9" * 40},
    ],
)
def test_journal_entry_without_its_parts_is_none(entry: dict[str, object]) -> None:
    """An entry whose message is neither text nor bytes, or that has no time, is no line of syslog."""
    assert from_journal(entry) is None
