"""Each folder of tests/cases/validate: `hookline validate` in it prints its expected.txt, exit code and all."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.config.discovery import WebhookFile
from hookline.config.document_access import RuleFinding
from hookline.config.error_codes import TITLES
from hookline.config.file_validator import (
    MAX_DIAGNOSTICS_PER_CODE,
    MAX_DIAGNOSTICS_PER_CODE_AND_FILE,
    MAX_EXPLAINED_DOCUMENTS,
    validate_file,
)
from hookline.config.schema import schema_validator
from hookline.config.yaml_parser import MAX_DOCUMENTS

VALID = b"""---
version: 1
organization: 1234567890ABCDEF@AdobeOrg
sandbox: prod
name: Feedback
channels: [email]
url: https://hooks.acme.example/
campaigns: all
"""
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
    """Every code of webhook files is reached by a case. Policies and plans have those from HL080 on."""
    shown = {
        code
        for case in CASES
        for code in re.findall(r"error\[(HL\d+)\]", (case / "expected.txt").read_text(encoding="utf-8"))
    }
    assert {code for code in TITLES if code < "HL080"} == shown


def test_no_case_shows_a_secret() -> None:
    """No finding about a secret in a file repeats the secret."""
    written = ["3c469e9d6c5875d37a43f353d4f88e61", "5eb63bbbe01eeed093cb22bb8f5acdc3", "dXNlcjpwYXNz", "user:pass"]
    written += ["s3cr3tvalue", "ghp_abcdefghijklmnop", "sk_live_abcdefghijklmnop"]
    texts = [(case / "expected.txt").read_text() for case in CASES]
    files = [file.read_bytes() for case in CASES for file in (case / "webhooks").rglob("*.yaml")]
    assert written == [secret for secret in written if any(secret.encode() in file for file in files)]
    assert [secret for secret in written for text in texts if secret in text] == []


def test_broken_documents_cost_and_print_a_bounded_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file with 8,000 broken documents, the first 200 are explained, and at most 100 findings of each code."""
    explained = 0

    def check_schema(value: object) -> list[RuleFinding]:
        nonlocal explained
        explained += 1
        return check(value)

    check = schema_validator.check_schema
    monkeypatch.setattr(schema_validator, "check_schema", check_schema)
    found = validate_file(WebhookFile("all.yaml", b"---\nversion: 1\n" * 8000))
    assert MAX_EXPLAINED_DOCUMENTS == explained
    assert MAX_DIAGNOSTICS_PER_CODE_AND_FILE + 1 == len(found.diagnostics)
    assert 8000 == len(found.documents)
    assert {None} == {document.canonical for document in found.documents}


def test_a_valid_document_after_many_broken_ones_is_read() -> None:
    """Beyond the documents that are explained, valid and broken ones are still distinguished."""
    found = validate_file(WebhookFile("all.yaml", b"---\nversion: 1\n" * 300 + VALID + b"---\nversion: 1\n"))
    assert [300] == [document.index for document in found.documents if document.canonical is not None]
    assert "101 more documents from here have errors" == found.diagnostics[-1].summary


@pytest.mark.parametrize("text", [
    "authentication: {type: jwt, keys: [" + "{}," * 20_000 + "]}",
    "campaigns: [" + ",".join(f"{{a: {number}}},x{number}" for number in range(20_000)) + "]",
    "campaigns: [" + "a," * 200_000 + "]",
    "campaigns: [" + "no," * 200_000 + "]",
    "".join(f"k{number}: no\n" for number in range(60_000)),
], ids=["keys", "items of several kinds", "equal items", "ambiguous items", "ambiguous values"])  # fmt: skip
def test_work_for_a_document_is_bounded(text: str) -> None:
    """A document with very many errors is explained in part, in a time that grows with its length."""
    began = time.process_time()
    found = validate_file(WebhookFile("all.yaml", text.encode()))
    assert "HL017" in {one.code for one in found.diagnostics}
    assert len(found.diagnostics) < 10 * MAX_DIAGNOSTICS_PER_CODE
    assert time.process_time() - began < 20


def test_number_of_documents_is_bounded() -> None:
    """A file with more documents than anybody writes is refused, and the rest is not read."""
    found = validate_file(WebhookFile("all.yaml", b"--- a\n" * (2 * MAX_DOCUMENTS)))
    assert MAX_DOCUMENTS == len(found.documents)
    assert any(one.code == "HL005" and one.line == MAX_DOCUMENTS + 1 for one in found.diagnostics)


def test_long_items_that_differ_at_their_ends_are_not_the_same() -> None:
    """Only the items that are equal are reported."""
    items = [f"{'a' * 70}{number}" for number in (1, 2, 2)]
    found = validate_file(WebhookFile("all.yaml", VALID.replace(b"campaigns: all", f"campaigns: {items}".encode())))
    assert ["campaigns[2]"] == [one.summary.partition(":")[0] for one in found.diagnostics]
