"""The forms in which a recipient is found in the texts of a spool."""

from __future__ import annotations

import base64
import json

import pytest

from hookline.errors import WrongUse
from hookline.relay.spool.recipient import Recipient

ANN = Recipient("Ann@Acme.example")
PHONE = Recipient("+49 171 1234567")
JSON_LINE = json.dumps({"message": json.dumps({"to": "é\nann@acme.example"})})


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "ANN@acme.EXAMPLE",
        "550 <ann@acme.example>: unknown",
        "rcpt=ann@acme.example, relay=mx",
        "ann@acme.example-17",
        "sent to ...ann@acme.example.",
        '{"to": "ann\\u0040acme.example"}',
        JSON_LINE,
        json.dumps({"log": JSON_LINE}),
        "To=%22Ann%22%20%3Cann%40acme.example%3E",
        "To=ann%2540acme.example",
        "ann=40acme.example",
        "ann&#64;acme.example",
        "bounces+ann=acme.example@mail.example",
        "SRS0=Hh=TT=acme.example=ann@mail.example",
        '{"data_base64": "' + in_base64('{"to": "ann@acme.example"}') + '"}',
        "data/" + in_base64("xx ann@acme.example"),
        in_base64(in_base64("ann@acme.example")),
    ],
)
def test_an_email_address_is_found(text: str) -> None:
    assert ANN.is_in(text)
    assert ANN.is_in(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "joann@acme.example",
        "j.ann@acme.example",
        "ann+shop@acme.example",
        "ann@acme.example.org",
        "ann@acme.examples",
        "ann@acme.example-shop.org",
        "ann at acme.example",
        in_base64("joann@acme.example"),
        "",
        None,
    ],
)
def test_another_address_is_not_found(text: str | None) -> None:
    assert not ANN.is_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "+491711234567",
        "491711234567",
        "00491711234567",
        "011 49 171 123-4567",
        "(+49) 171/123 45 67",
        "To=%2B491711234567&From=",
        "whatsapp:+491711234567",
        in_base64('{"to": "+491711234567"}'),
    ],
)
def test_a_phone_number_is_found(text: str) -> None:
    for form in ("+491711234567", "0049 171 1234567", "tel:+49-171-1234567", "491711234567"):
        assert Recipient(form).is_in(text), form


@pytest.mark.parametrize("text", ["4917112345678", "7491711234567", "49171123456"])
def test_another_number_is_not_found(text: str) -> None:
    assert not PHONE.is_in(text)


def test_international_domains_have_two_forms() -> None:
    """In ASCII, in Unicode, and with combining characters."""
    for form in ("ann@münchen.example", "ann@xn--mnchen-3ya.example"):
        for text in ("ann@MÜNCHEN.example", "ann@mu\u0308nchen.example", "ann@xn--mnchen-3ya.example"):
            assert Recipient(form).is_in(text)


def test_bytes_that_are_no_text() -> None:
    assert ANN.is_in(b"\xff\xfe ann@acme.example \x80")


@pytest.mark.parametrize("text", ["", "ann", "@", "ann@", "@acme.example", "1234567", "a b@acme.example", "*@*.*\n"])
def test_anything_else_is_refused(text: str) -> None:
    """The message does not repeat the text."""
    if text.startswith("*"):
        assert not Recipient(text).is_in("ann@acme.example")  # no pattern
        return
    with pytest.raises(WrongUse) as refused:
        Recipient(text)
    assert not text or len(text) < 3 or text not in str(refused.value)


def test_its_repr_does_not_show_it() -> None:
    assert "Recipient(…)" == repr(ANN)
