"""`hookline validate` and `hookline schema` from the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hookline.cli.commands.validate import github_report, gitlab_report, sarif_report
from hookline.cli.main import main
from hookline.cli.output.diagnostic_reports import _root_above
from hookline.config.loader import Inspection
from hookline.diagnostics import Diagnostic, Severity
from hookline.model import Desired
from hookline.schemas import schema_text

CASES = Path(__file__).parents[3] / "cases" / "validate"

# The part of SARIF 2.1.0 that is written here, by the specification's sections, and closed: whatever else the report
# came to hold would have to be looked up first.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}  # §3.12
RULE = {  # §3.49
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "shortDescription": TEXT,
        "fullDescription": TEXT,
        "help": TEXT,
        "defaultConfiguration": {"properties": {"level": {"enum": ["none", "note", "warning", "error"]}}},  # §3.50
    },
}
PLACE = {  # §3.29: uri is an RFC 3986 reference; lines and columns count from 1 (§3.30)
    "type": "object",
    "required": ["artifactLocation"],
    "additionalProperties": False,
    "properties": {
        "artifactLocation": {
            "properties": {"uri": {"type": "string", "pattern": r"^[A-Za-z0-9%._~:/@!$&'()*+,;=-]+$"}}
        },
        "region": {
            "additionalProperties": False,
            "properties": {name: {"type": "integer", "minimum": 1} for name in ("startLine", "startColumn")},
        },
    },
}
RESULT = {  # §3.27
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": TEXT,
        "locations": {"type": "array", "items": {"properties": {"physicalLocation": PLACE}}},
    },
}
DRIVER = {  # §3.19
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "rules": {"items": RULE}},
}
SARIF = {  # §3.13, §3.14
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {"required": ["driver"], "properties": {"driver": DRIVER}},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {"type": "array", "items": RESULT},
                },
            },
        },
    },
}

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
    """JSON contains the result, the counts, and every diagnostic with its location, and nothing else."""
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
    """SARIF describes the rule of each diagnostic, and gives its location as a region of the file."""
    run = json.loads(sarif_report(INSPECTION))["runs"][0]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["HL012"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert (place["region"], run["results"][0]["ruleIndex"]) == ({"startLine": 7, "startColumn": 6}, 0)


def many(count: int, severity: Severity = Severity.ERROR) -> Inspection:
    """An inspection with `count` diagnostics of a severity, in one file, from top to bottom."""
    findings = (
        Diagnostic(
            code="HL012", file="webhooks/a b.yaml", line=line, column=6, summary=f"number {line}", severity=severity
        )
        for line in range(1, count + 1)
    )
    return Inspection(Desired({}), tuple(findings), files=1, documents=1)


# The fields of a Code Quality report that GitLab reads (docs.gitlab.com, "Code Quality report format").
CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "pattern": "^HL[0-9]{3}$"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "additionalProperties": False,
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^/.]"},
                    "lines": {"required": ["begin"], "properties": {"begin": {"type": "integer", "minimum": 1}}},
                },
            },
        },
    },
}


@pytest.mark.parametrize("case", ["crossing", "everything-at-once", "valid"])
def test_gitlab_keeps_to_its_schema(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each finding has the fields that GitLab requires, and a fingerprint that no other finding has."""
    monkeypatch.chdir(CASES / case)
    code = main(["validate", "--format", "gitlab"])
    report = json.loads(capsys.readouterr().out)
    Draft202012Validator(CODE_QUALITY).validate(report)
    assert (code == 5) == bool(report)
    assert len(report) == len({one["fingerprint"] for one in report})


def test_a_finding_of_gitlab_keeps_its_fingerprint_when_it_moves() -> None:
    """GitLab shows new findings by their fingerprint, so another line of the same file is the same finding."""
    moved = replace(INSPECTION, diagnostics=tuple(replace(one, line=77) for one in INSPECTION.diagnostics))
    before, after = (json.loads(gitlab_report(one)) for one in (INSPECTION, moved))
    assert before[0]["location"]["lines"] != after[0]["location"]["lines"]
    assert [one["fingerprint"] for one in before] == [one["fingerprint"] for one in after]
    elsewhere = replace(INSPECTION.diagnostics[0], file="webhooks/other.yaml")
    (other,) = json.loads(gitlab_report(replace(INSPECTION, diagnostics=(elsewhere,))))
    assert other["fingerprint"] != before[0]["fingerprint"]


@pytest.mark.parametrize(("count", "commands"), [(9, 9), (10, 10), (200, 10)])
def test_github_never_drops_an_annotation(count: int, commands: int) -> None:
    """GitHub shows ten annotations of a severity: nine diagnostics, and the number of others in the log."""
    lines = github_report(many(count)).splitlines()
    assert commands == len([line for line in lines if line.startswith("::error ")])
    assert count == len([line for line in lines if "number " in line])
    if count > 9:
        more = count - 9
        words = f"{more} more error{'' if more == 1 else 's'}; see the log of this step"
        assert f"::error title=hookline::{words}" == lines[9]


def test_github_counts_each_kind_for_itself() -> None:
    """Warnings and errors have separate limits."""
    both = many(12).diagnostics + many(12, Severity.WARNING).diagnostics
    lines = github_report(Inspection(Desired({}), both, files=1, documents=1)).splitlines()
    counts = [len([line for line in lines if line.startswith(f"::{kind} ")]) for kind in ("error", "warning")]
    assert [10, 10] == counts


def test_nothing_in_the_log_is_taken_for_a_command() -> None:
    """The content of a file cannot become a command of GitHub's runner, in either syntax."""
    hostile = Diagnostic(code="HL020", file="::error::a.yaml", line=1, column=1, summary="##[add-mask]x")
    report = github_report(Inspection(Desired({}), (hostile,) * 10, files=1, documents=1))
    assert [] == [line for line in report.splitlines()[10:] if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize("inspection", [INSPECTION, many(0), many(30), many(3, Severity.WARNING)])
def test_sarif_keeps_to_its_schema(inspection: Inspection) -> None:
    """The log is valid for OASIS's SARIF 2.1.0 schema."""
    log = json.loads(sarif_report(inspection))
    assert [] == [error.message for error in Draft202012Validator(SARIF).iter_errors(log)]


def test_sarif_rules_explain_themselves() -> None:
    """Each rule has a stable id, and the help that `explain` prints, with its examples."""
    rule = json.loads(sarif_report(INSPECTION))["runs"][0]["tool"]["driver"]["rules"][0]
    assert (rule["id"], rule["shortDescription"]["text"]) == ("HL012", "the URL is not an https URL")
    assert "    url: http://hooks.acme.example/feedback\n" in rule["help"]["markdown"]
    assert "    url: https://hooks.acme.example/feedback\n" in rule["help"]["text"]


@pytest.mark.parametrize(("file", "uri"), [
    ("webhooks/a b.yaml", "webhooks/a%20b.yaml"), ("/srv/webhooks/ä.yaml", "file:///srv/webhooks/%C3%A4.yaml"),
    ("webhooks/a#b?.yaml", "webhooks/a%23b%3F.yaml"),
])  # fmt: skip
def test_sarif_locations_are_uris(file: str, uri: str) -> None:
    """Files are URI references relative to the repository's root, as code scanning needs them."""
    found = Inspection(Desired({}), (replace(DIAGNOSTIC, file=file),), files=1, documents=1)
    result = json.loads(sarif_report(found))["runs"][0]["results"][0]
    assert uri == result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif", "gitlab"])
def test_valid_in_every_format(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Valid files give exit code 0 in every format. stderr names the files that are not read, and nothing else."""
    monkeypatch.chdir(CASES / "valid")
    assert main(["validate", "--format", form]) == 0
    printed = capsys.readouterr()
    hidden = ("webhooks/.hidden", "webhooks/acme/.broken.yaml")
    assert "".join(f"warning: {name} is not read: it is hidden\n" for name in hidden) == printed.err
    assert printed.out.strip()


def test_a_path_narrows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the named files are validated and counted."""
    monkeypatch.chdir(CASES / "everything-at-once")
    assert main(["validate", "webhooks/acme/a-first.yaml"]) == 0
    assert capsys.readouterr().out == "1 webhook in 1 file is valid\n"


def test_without_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run in the wrong directory fails, because a CI job there must not pass."""
    monkeypatch.chdir(tmp_path)
    assert main(["validate"]) == 64
    assert "the configuration directory webhooks does not exist" in capsys.readouterr().err


def test_schema_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is printed byte for byte; without a name, the names of all schemas."""
    assert main(["schema", "webhook"]) == 0
    assert schema_text("webhook.v1") == capsys.readouterr().out
    assert main(["schema"]) == 0
    assert "webhook.v1" in capsys.readouterr().out.splitlines()


def test_schema_of_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is wrong use; the message lists the known names."""
    assert main(["schema", "webhok"]) == 64
    assert "webhook.v1" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["github", "sarif", "gitlab"])
def test_paths_begin_at_the_root_of_the_repository(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a subdirectory of a repository, annotations and code scanning get the path that GitHub knows."""
    webhooks = tmp_path / "repository" / "team a" / "webhooks"
    webhooks.mkdir(parents=True)
    (webhooks / "prod.yaml").write_text("version: 1\n")
    monkeypatch.chdir(webhooks.parent)
    assert 5 == main(["validate", "--format", form])
    outside = capsys.readouterr().out
    (tmp_path / "repository" / ".git").write_text("gitdir: elsewhere")
    _root_above.cache_clear()
    assert 5 == main(["validate", "--format", form])
    _root_above.cache_clear()
    path = "team%20a/webhooks/prod.yaml" if form == "sarif" else "team a/webhooks/prod.yaml"
    assert path in capsys.readouterr().out
    assert path not in outside
    assert "webhooks/prod.yaml" in outside


def test_an_annotation_contains_no_other_command() -> None:
    """A value in a finding cannot begin a second command of the runner, in an annotation or in the lines after it."""
    text = "##[add-mask]x\n::stop-commands::y"
    hostile = [Diagnostic(code="HL012", summary=f"{number} {text}", file="::a.yaml") for number in range(12)]
    for line in github_report(Inspection(Desired({}), tuple(hostile), documents=1, files=1)).splitlines():
        command = line.removeprefix("::error ")
        assert "##[" not in command
        assert line.count("::") == (2 if line.startswith("::") else 0)
