"""`hookline explain` from the command line."""

from __future__ import annotations

import pytest

from hookline.cli.main import main
from hookline.config.error_codes import TITLES


def test_explains_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the meaning of a code, the reason, the mistake and its correction."""
    expected = """\
HL012: the URL is not an https URL

Feedback contains the addresses of recipients, and the request can carry credentials. hookline sends
both only encrypted.

Wrong:
    url: http://hooks.acme.example/feedback

Right:
    url: https://hooks.acme.example/feedback
"""
    assert main(["explain", "HL12"]) == 0
    assert expected == capsys.readouterr().out


def test_lists_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a code, lists all codes in order, one per line."""
    assert main(["explain"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TITLES)


@pytest.mark.parametrize(("text", "hint"), [
    ("HL0122", "HL012 (the URL is not an https URL)"),
    ("alias", "did you mean HL010 (YAML aliases are not allowed in webhook files)?"),
    ("zzzzz", "`hookline explain` without a code lists all codes"),
])  # fmt: skip
def test_an_unknown_code_is_wrong_use(text: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown code is an error with the nearest known codes."""
    assert main(["explain", text]) == 64
    printed = capsys.readouterr().err
    assert f"unknown code: {text}" in printed
    assert hint in printed
