"""The places of values in webhook files."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.config.loader import load
from hookline.model import Address, FileLocation, SourcePlace

TEXT = """\
version: 1
organization: acme
sandbox: stage
name: Stage
channels: [sms]
url: https://hooks.acme.example/stage
campaigns: all
---
version: 1
organization: acme
sandbox: {name: prod}
name: Feedback
channels: [sms, email]
url: https://hooks.acme.example/a
authentication:
  type: jwt
  algorithm: HS256
  keys:
    - {id: a, secret: {env: HOOKLINE_SECRET_A}}
headers:
  X-Team: crm
campaigns: all
"""
PROD = Address("acme", "prod")


@pytest.mark.parametrize(
    ("pointer", "line", "column"),
    [
        ("/url", 14, 6),
        ("/endpoint/host", 14, 6),
        ("/sandbox/name", 11, 17),
        ("/authentication/type", 16, 9),
        ("/authentication/lifetime", 15, 1),
        ("/authentication/keys/0/id", 19, 12),
        ("/headers/x-team", 21, 11),
        ("/channels/1", 13, 11),
        ("/delivery/retry/maxAge", 9, 1),
        ("", 9, 1),
    ],
)
def test_a_value_has_its_place(tmp_path: Path, pointer: str, line: int, column: int) -> None:
    """A value that the file does not write has the place of its nearest parent."""
    file = tmp_path / "a.yaml"
    file.write_text(TEXT)
    declared = load(tmp_path).webhooks[PROD]
    assert SourcePlace(str(file), line, column) == declared.place_of(pointer)


def test_a_file_that_is_gone_leaves_the_line(tmp_path: Path) -> None:
    """If the file cannot be read again, the place is the line on which its document begins."""
    file = tmp_path / "a.yaml"
    file.write_text(TEXT)
    declared = load(tmp_path).webhooks[PROD]
    file.unlink()
    assert FileLocation(str(file), 9) == declared.source
    assert SourcePlace(str(file), 9, 1) == declared.place_of("/url")
