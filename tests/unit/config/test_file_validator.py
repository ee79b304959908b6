"""Each folder of tests/cases/validate: `hookline validate` in it prints its expected.txt, exit code and all."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.config.error_codes import TITLES

CASES = sorted((Path(__file__).parents[2] / "cases" / "validate").iterdir())


def build(case: Path, directory: Path) -> None:
    """Copy a case, and create the files of its generate.json, which a repository cannot or should not contain."""
    shutil.copytree(case, directory, dirs_exist_ok=True)
    for one in json.loads((case / "generate.json").read_text()):
        path = directory / one["file"]
        path.parent.mkdir(parents=True, exist_ok=True)
        match one:
            case {"link": target}:
                path.symlink_to(target)
            case {"pipe": True}:
                os.mkfifo(path)
            case {"size": size}:
                with path.open("wb") as file:
                    file.truncate(size)
            case _:
                middle = one.get("repeat", "") * one.get("times", 1)
                path.write_text(one.get("before", "") + middle + one.get("after", ""), encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`hookline validate` in the case's directory prints its expected.txt with the exit code."""
    if (case / "generate.json").exists():
        build(case, tmp_path)
        monkeypatch.chdir(tmp_path)
    else:
        monkeypatch.chdir(case)
    code = main(["validate"])
    assert (case / "expected.txt").read_text(encoding="utf-8") == f"{capsys.readouterr().out}exit {code}\n"


def test_a_hundred_broken_files() -> None:
    """There are at least a hundred broken files among the cases, each named by a finding."""
    places = (
        (case.name, line.split(": error[", 1)[0].split(":")[0])
        for case in CASES
        for line in (case / "expected.txt").read_text(encoding="utf-8").splitlines()
        if re.match(r"webhooks/\S+: error\[", line)
    )
    assert len(set(places)) >= 100


def test_every_code_is_met() -> None:
    """Every code of the table is reached by a case, and no case shows a code that is not in the table."""
    shown = {
        code
        for case in CASES
        for code in re.findall(r"error\[(HL\d+)\]", (case / "expected.txt").read_text(encoding="utf-8"))
    }
    assert set(TITLES) == shown


def test_no_case_shows_a_secret() -> None:
    """No finding about a secret in a file repeats the secret."""
    written = ["3c469e9d6c5875d37a43f353d4f88e61", "5eb63bbbe01eeed093cb22bb8f5acdc3", "dXNlcjpwYXNz", "user:pass"]
    texts = [(case / "expected.txt").read_text() for case in CASES]
    files = [file.read_bytes() for case in CASES for file in (case / "webhooks").rglob("*.yaml")]
    assert written == [secret for secret in written if any(secret.encode() in file for file in files)]
    assert [secret for secret in written for text in texts if secret in text] == []
