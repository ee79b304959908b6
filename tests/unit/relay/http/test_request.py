from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import webhook
from hookline import __version__
from hookline.config.rules.url_rules import check_url
from hookline.errors import HooklineError, SecretUnavailable
from hookline.model import EnvRef, SecretRef, Webhook
from hookline.relay.auth.credentials import fixed_headers
from hookline.relay.http import request
from hookline.relay.http.exchange import Attempt
from hookline.relay.http.request import _parse_any, attempt_headers, parse_target
from hookline.relay.secrets import SecretResolver

NAME = "HOOKLINE_SECRET_KEY"


def with_headers(*headers: tuple[str, str | SecretRef]) -> Webhook:
    return webhook(headers=headers)


def resolver(value: str = "") -> SecretResolver:
    return SecretResolver(environment={NAME: value}, directory=Path("/nonexistent"))


def test_fixed() -> None:
    """Every attempt has the content type, hookline's name and version, and the webhook's headers with secrets."""
    expected = [
        (b"content-type", b"application/json"),
        (b"user-agent", f"hookline/{__version__}".encode()),
        (b"x-team", b"crm"),
        (b"x-key", b"s3cr3t"),
    ]
    assert expected == fixed_headers(with_headers(("x-team", "crm"), ("x-key", EnvRef(NAME))), resolver("s3cr3t\n"))


@pytest.mark.parametrize(
    "value", ["a\nb", "a\r\nx: y", "a\x00b", "a\x7fb", "a\x85b", "€", " a", "a ", "a\n\n", "\t", "\udc80"]
)
def test_unsendable(value: str) -> None:
    """A secret that is no valid header value is refused by its reference, and the message does not contain it."""
    with pytest.raises(SecretUnavailable, match=r"header x-key: secret \{env: HOOKLINE_SECRET_KEY\}") as caught:
        fixed_headers(with_headers(("x-key", EnvRef(NAME))), resolver(value))
    assert repr(value)[1:-1] not in caught.value.message or value in (" a", "a ", "\t")


@pytest.mark.parametrize("value", ["a\nb", "€"])
def test_unsendable_literal(value: str) -> None:
    """A literal value that is no valid header value is refused, too."""
    with pytest.raises(SecretUnavailable, match="header x-team: its value"):
        fixed_headers(with_headers(("x-team", value)), resolver())


@pytest.mark.parametrize(("value", "sent"), [("a b\tc", b"a b\tc"), ("Zoë", b"Zo\xeb"), ("x", b"x"), ("", b"")])
def test_sendable(value: str, sent: bytes) -> None:
    """Visible Latin-1 characters with spaces and tabs between them are sent, also none at all."""
    assert (b"x-team", sent) in fixed_headers(with_headers(("x-team", value)), resolver())


def test_attempt() -> None:
    """An attempt carries the delivery id in hex, its time in whole seconds, its number and the event's time."""
    attempt = Attempt(bytes(range(16)), b"{}", 3, 1_800_000_000.9, "2026-11-22T10:00:00Z")
    expected = [
        (b"webhook-id", b"000102030405060708090a0b0c0d0e0f"),
        (b"webhook-timestamp", b"1800000000"),
        (b"hookline-attempt", b"3"),
        (b"hookline-event-time", b"2026-11-22T10:00:00Z"),
    ]
    assert expected == attempt_headers(attempt)


@pytest.mark.parametrize("time", [None, "", "a\r\nx-other: b", "now or later", "é", "9" * 65])
def test_event_time_left_out(time: str | None) -> None:
    """An event time that is absent or no valid header value is left out."""
    names = {name for name, _ in attempt_headers(Attempt(b"i" * 16, b"{}", 1, 0.0, time))}
    assert b"hookline-event-time" not in names
    assert len(names) == 3


_LABELS = st.one_of(
    st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True),
    st.from_regex(r"xn--[a-z0-9-]{1,12}", fullmatch=True),
    st.text(min_size=1, max_size=4).map(lambda text: "xn--" + text.encode("punycode").decode()),
    st.sampled_from(["xn--a", "xn--i-7iq", "XN--STRAE-OQA", "xn--", "a", "faß"]),
)
_PATHS = st.from_regex(r"(/([a-z.;=%0-9~!$&'()*+,@:-]|%2[eEfF]){0,6}){0,4}(\?[a-z=&;%0-9/?'-]{0,8})?", fullmatch=True)


@given(st.lists(_LABELS, min_size=1, max_size=3), _PATHS)
def test_an_accepted_url_is_sent_as_it_is_written(labels: list[str], path: str) -> None:
    """Every URL that validate accepts has a host that the client can send to, and its path is not changed."""
    url = f"https://{'.'.join(labels)}{path}"
    if not list(check_url({"url": url})):
        target = parse_target(url)
        assert ".".join(labels).lower() == target.host
        sent = target.path.decode()
        assert (path if path.startswith("/") else f"/{path}") == sent.replace("%27", "'")


_PLAIN_URLS = st.from_regex(
    r"https?://[a-c1.-]{1,4}(:(443|80|8443|0443|65536|a)?)?(/[a-b.~%2?=&-]{0,4}){0,3}", fullmatch=True
)


@given(_PLAIN_URLS, st.sampled_from([b"", b"key=1"]))
def test_the_quick_way_reads_a_url_as_httpx_does(url: str, query: bytes) -> None:
    """Most URLs are split without httpx, which takes long to load. The result is the same."""
    try:
        read = _parse_any(url, query)
    except HooklineError:
        with pytest.raises(HooklineError):
            parse_target(url, query)
    else:
        assert read == parse_target(url, query)


@pytest.mark.parametrize("url", ["https://hooks.acme.example/feedback", "https://localhost:8443/f.php?team=crm&x="])
def test_a_common_url_is_read_quickly(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _parse_any(url, b"key=1")
    monkeypatch.setattr(request, "_parse_any", None)
    assert expected == parse_target(url, b"key=1")
