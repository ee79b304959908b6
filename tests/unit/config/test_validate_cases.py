"""Each folder of tests/cases/validate: `hookline validate` in it prints its expected.txt, exit code and all."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.config import inspect
from hookline.config.codes import TITLES

CASES = sorted((Path(__file__).parents[2] / "cases" / "validate").iterdir())

VALID = """\
version: 1
organization: 1234567890ABCDEF@AdobeOrg
sandbox: prod
name: Feedback
channels: [email]
url: https://hooks.acme.example/feedback
campaigns: all
"""


def _named_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")


def _large_document(folder: Path) -> None:
    (folder / "large.yaml").write_text(VALID + f"description: {'a' * (1 << 20)}\n")


def _link_outside(folder: Path) -> None:
    (folder.parent / "outside.yaml").write_text(VALID)
    (folder / "link.yaml").symlink_to(folder.parent / "outside.yaml")


# What a repository cannot hold, or should not.
BUILT: dict[str, Callable[[Path], None]] = {"HL001": _named_pipe, "HL005": _large_document, "HL015": _link_outside}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Validating the case's directory prints what its expected.txt says, and ends with that exit code."""
    monkeypatch.chdir(case)
    code = main(["validate"])
    assert (case / "expected.txt").read_text(encoding="utf-8") == f"{capsys.readouterr().out}exit {code}\n"


@pytest.mark.parametrize("code", BUILT)
def test_built_case(code: str, tmp_path: Path) -> None:
    """What only a file system can hold is found too, and is the only finding."""
    folder = tmp_path / "webhooks"
    folder.mkdir()
    BUILT[code](folder)
    assert [code] == [diagnostic.code for diagnostic in inspect(folder).diagnostics]


def test_every_code_is_met() -> None:
    """Every code of the table is reached by a case, and no case shows a code that is not in the table."""
    shown = {code for case in CASES for code in re.findall(r"error\[(HL\d+)\]", (case / "expected.txt").read_text())}
    assert set(TITLES) == shown | set(BUILT)


def test_no_case_shows_a_secret() -> None:
    """A secret that stands in a file is not repeated by any finding about it."""
    written = ["3c469e9d6c5875d37a43f353d4f88e61", "5eb63bbbe01eeed093cb22bb8f5acdc3", "dXNlcjpwYXNz", "user:pass"]
    texts = [(case / "expected.txt").read_text() for case in CASES]
    files = [file.read_bytes() for case in CASES for file in (case / "webhooks").rglob("*.yaml")]
    assert written == [secret for secret in written if any(secret.encode() in file for file in files)]
    assert [secret for secret in written for text in texts if secret in text] == []
