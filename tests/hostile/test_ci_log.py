"""Hostile names in the log of a CI job: its runner finds no command in the output of any command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hookline_process import Lab

EVIL = "##[add-mask]x%0Atrue%0Ay ::add-mask::true ##vso[task.setvariable variable=a]b"
ADDRESS = "##[group]x/::debug::y"
CI = {"CI": "true", "GITHUB_ACTIONS": "true"}


@pytest.fixture
def evil(lab: Lab) -> Lab:
    """An applied webhook with commands in its names, and a changed file."""
    lab.environment = CI
    organization, sandbox = ADDRESS.split("/")
    document = {
        "version": 1, "organization": organization, "sandbox": sandbox, "name": EVIL, "channels": ["email"],
        "url": "https://hooks.example.com/x", "campaigns": ["::error::c"], "description": f"a\n{EVIL}\nb\n",
    }  # fmt: skip
    path = lab.directory / "webhooks" / "a.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps(document))
    lab.hookline("apply", "--auto-approve")
    path.write_text(json.dumps({**document, "owner": EVIL}))
    return lab


def commands(text: str) -> list[str]:
    return re.findall(r"::|##[\w.-]*\[", text)


def test_no_command_prints_a_runner_command(evil: Lab) -> None:
    """Results, messages and warnings of the commands that CI runs contain the names, and nothing to execute."""
    plan = evil.hookline("plan", "--out", "plan.json", "--format", "text")
    assert b"\\u005badd-mask" in plan.stdout
    for arguments in (
        *(["plan"], ["plan", "--format", "markdown"], ["plan", "--format", "json"], ["list"], ["history"], ["drift"]),
        *(["list", "--format", "yaml"], ["show", ADDRESS], ["blame", ADDRESS], ["show", "no::such/##[x]"]),
        *(["show", "plan.json"], ["validate", "::no::such"], ["explain", "##[x]"], ["::no::such"]),
        *(["apply", "plan.json", "--auto-approve"], ["rollback", "--to", "1"]),
    ):
        done = evil.hookline(*arguments, code=None)
        assert [] == commands((done.stdout + done.stderr).decode()), arguments


def test_json_and_yaml_keep_their_meaning(evil: Lab) -> None:
    """Programs that read the output get the names as they are; files are the same in CI and elsewhere."""
    shown = json.loads(evil.hookline("show", ADDRESS, "--format", "json").stdout)
    assert EVIL == shown["name"]
    (evil.directory / "copy.yaml").write_bytes(evil.hookline("show", ADDRESS).stdout)
    evil.hookline("validate", "copy.yaml")
    in_ci = evil.hookline("plan", "--out", "a.json").stdout
    evil.environment = dict.fromkeys(CI, "")
    assert in_ci != evil.hookline("plan", "--out", "b.json").stdout
    assert Path(evil.directory, "a.json").read_bytes() == Path(evil.directory, "b.json").read_bytes()


def test_annotations_are_commands(lab: Lab) -> None:
    """Only `validate --format github` prints commands: its own, with every value in them escaped."""
    lab.environment = CI
    (lab.directory / "webhooks").mkdir()
    (lab.directory / "webhooks" / "a.yaml").write_text('version: 1\n"##[add-mask]x::y": 1\n')
    text = lab.hookline("validate", "--format", "github", code=5).stdout.decode()
    assert all(line.startswith("::error file=webhooks/a.yaml,") for line in text.splitlines())
    assert {"::"} == set(commands(text))
    assert 2 * len(text.splitlines()) == text.count("::")


def test_invisible_characters_are_escaped_in_json(lab: Lab) -> None:
    """C1 controls and invisible characters of an event log are escapes in the JSON of every command."""
    event = {"\x9b31m": "\x9b31mred\x85\u202e\x7f\u3164\U000e0041"}
    lines = [json.dumps({"imsOrg": "a", "sandbox": {"name": "p", "id": event}, "channel": "\x9b2J\u2066push"}),
             json.dumps({"\x9b": 1}, ensure_ascii=False), "{\x9b31m\u2800", "\x9b\u061c\u2064"]  # fmt: skip
    (lab.directory / "log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    lab.apply("https://hooks.acme.example/")
    lab.hookline("relay", "--log-format", "json", "--max-wait", "0s", "log", code=None)
    listed = json.loads(lab.hookline("dead", "list", "--format", "json").stdout)
    assert listed
    for arguments in (
        ["formats", "test", "--output", "json", "log"], ["dead", "list", "--format", "json"], ["dead", "export"],
        ["dead", "show", listed[0]["id"]], ["status", "--format", "json"], ["dead", "list"],
        ["relay", "--from-start", "--dry-run", "--log-format", "json", "log"],
    ):  # fmt: skip
        done = lab.hookline(*arguments, code=None)
        text = (done.stdout + done.stderr).decode()
        assert re.search("[^\n -~]", re.sub("[…·]", "", text)) is None, (arguments, text)


def test_a_letter_of_another_alphabet_is_seen(lab: Lab) -> None:
    """An update whose values look alike shows their code points, in the text and in the comment."""
    for before, after in (("caf\u00e9", "cafe\u0301"), ("prod", "pr\u043ed")):
        lab.apply("https://hooks.acme.example/", name=before)
        path = lab.directory / "webhooks" / "acme@AdobeOrg" / "prod.yaml"
        path.write_text(json.dumps({**json.loads(path.read_text()), "name": after}))
        shown = lab.hookline("plan", "--format", "text", "--format", "markdown=plan.md").stdout.decode()
        for text in (shown, (lab.directory / "plan.md").read_text()):
            assert "(they look alike)" in text
            assert text.isascii()
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "Москва"}))
    assert "Москва" in lab.hookline("plan").stdout.decode()


def test_the_name_of_an_imported_file_is_escaped(lab: Lab) -> None:
    """`dead import *.ndjson` names each refused line: a file's name cannot reverse the message or colour it."""
    name = "l\x1b[31m\u202e.ndjson"
    (lab.directory / name).write_text('{"hookline": "\u202e"}\n', encoding="utf-8")
    errors = lab.hookline("dead", "import", name, code=1).stderr.decode()
    assert "l\\u001b[31m\\u202e.ndjson:1: " in errors
    assert re.search("[\x1b\u202e]", errors) is None
