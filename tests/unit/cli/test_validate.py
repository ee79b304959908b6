"""`hookline validate` and `hookline schema` as they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.cli.reports import github_report, sarif_report
from hookline.config import Inspection
from hookline.diagnostics import Diagnostic
from hookline.model import Desired
from hookline.schemas import schema_text

CASES = Path(__file__).parents[2] / "cases" / "validate"
DIAGNOSTIC = Diagnostic(
    code="HL012",
    file="web,hooks/a:b.yaml",
    line=7,
    column=6,
    summary="url: 100% wrong,\nfound it",
    hint="write: https",
)
INSPECTION = Inspection(Desired({}), (DIAGNOSTIC,), files=1, documents=1)


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON: whether it is valid, what was looked at, and every finding with its place, and no more."""
    monkeypatch.chdir(CASES / "crossing")
    assert main(["validate", "--format", "json"]) == 5
    report = json.loads(capsys.readouterr().out)
    assert (report["valid"], report["webhooks"], report["files"]) == (False, 4, 3)
    found = report["diagnostics"][1]
    assert list(found) == ["code", "severity", "file", "line", "column", "address", "summary", "hint"]
    assert (found["code"], found["file"], found["line"], found["column"]) == ("HL070", "webhooks/b.yaml", 3, 10)
    assert found["address"] == "1234567890ABCDEF@AdobeOrg/prod"


def test_github_annotations_are_escaped() -> None:
    """Properties escape colons and commas too; a message does not; neither can begin another command."""
    expected = (
        "::error file=web%2Chooks/a%3Ab.yaml,line=7,col=6,title=HL012"
        "::url: 100%25 wrong,%0Afound it%0Ahint: write: https"
    )
    assert expected == github_report(INSPECTION)


def test_sarif_names_rule_and_region() -> None:
    """As SARIF: the rule of each finding is described, and its place is a region of the file."""
    run = json.loads(sarif_report(INSPECTION))["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["HL012"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["region"], run["results"][0]["ruleIndex"]) == ({"startLine": 7, "startColumn": 6}, 0)


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif"])
def test_valid_in_every_format(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing wrong is exit code 0 in every format, with nothing on stderr."""
    monkeypatch.chdir(CASES / "valid")
    assert main(["validate", "--format", form]) == 0
    printed = capsys.readouterr()
    assert (printed.err, bool(printed.out.strip())) == ("", True)


def test_a_path_narrows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the named files are looked at, and the count says so."""
    monkeypatch.chdir(CASES / "everything-at-once")
    assert main(["validate", "webhooks/acme/a-first.yaml"]) == 0
    assert capsys.readouterr().out == "1 webhook in 1 file is valid\n"


def test_without_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the wrong directory nothing is valid: a CI job there must not pass."""
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 64
    assert "there is no configuration directory webhooks" in capsys.readouterr().err


def test_schema_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is printed byte for byte, and the names of all without one."""
    assert main(["schema", "webhook"]) == 0
    assert schema_text("webhook.v1") == capsys.readouterr().out
    assert main(["schema"]) == 0
    assert "webhook.v1" in capsys.readouterr().out.splitlines()


def test_schema_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is wrong use, with those that there are."""
    assert main(["schema", "webhok"]) == 64
    assert "webhook.v1" in capsys.readouterr().err
