"""Directories, pipes, sockets and devices in the place of a file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.exit_codes import ExitCode

OUT_OF_PLACE = {
    "webhooks/_defaults.yml": "is a directory",
    "webhooks/acme/_defaults.yaml": "is a directory",
    "webhooks/linked.yaml": "is a directory",
    "webhooks/pipe.yaml": "is a pipe",
    "webhooks/prod.yaml": "is a directory",
    "webhooks/socket.yaml": "is a socket",
}
NAMED = "name a webhook file or a directory of webhook files; write the output of a command to a file first"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("_defaults.yml", "acme/_defaults.yaml", "prod.yaml", ".hidden.yaml", "plain"):
        Path("webhooks", name).mkdir(parents=True)
    Path("webhooks/linked.yaml").symlink_to("plain")
    os.mkfifo("webhooks/pipe.yaml")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("webhooks/socket.yaml")
    return tmp_path / "webhooks"


def lines_of(text: str) -> tuple[dict[str, str], set[str]]:
    """The finding of each file, and the hints."""
    shown = text.splitlines()
    found = dict(line.split(": error[HL001]: ") for line in shown if "error[HL001]" in line)
    findings = {name: finding.partition(", not a file")[0] for name, finding in found.items()}
    return findings, {line.removeprefix("  hint: ") for line in shown if line.startswith("  hint")}


@pytest.mark.parametrize("command", ["validate", "fmt", "plan"])
def test_everything_with_the_name_of_a_file_is_reported(
    directory: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The webhook, or its defaults, would silently be missing. Each error has a place and a next step."""
    assert ExitCode.INVALID_CONFIGURATION == main([command])
    output = capsys.readouterr()
    findings, hints = lines_of(output.out + output.err)
    assert OUT_OF_PLACE == findings
    assert {
        "move it out of this directory",
        "put the file _defaults.yml in its place, or rename the directory: its name must not end with .yml",
        *(
            f"put the file {name}.yaml in its place, or rename the directory: its name must not end with .yaml"
            for name in ("_defaults", "linked", "prod")
        ),
    } == hints


@pytest.mark.parametrize("command", ["validate", "fmt"])
@pytest.mark.parametrize("name", ["webhooks/_defaults.yml", "webhooks/acme/_defaults.yaml", "webhooks/prod.yaml"])
def test_a_named_directory_is_reported_too(
    directory: Path, command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A narrowed run reports the same as a run without paths."""
    assert ExitCode.INVALID_CONFIGURATION == main([command, name])
    output = capsys.readouterr()
    assert OUT_OF_PLACE[name] == lines_of(output.out + output.err)[0][name]


@pytest.mark.parametrize("command", ["validate", "fmt"])
@pytest.mark.parametrize(
    ("path", "finding"),
    [("/dev/null", "is a device"), ("webhooks/pipe.yaml", "is a pipe"), ("webhooks/socket.yaml", "is a socket")],
)
def test_the_hint_for_a_path_that_is_named(
    directory: Path, command: str, path: str, finding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody shall remove /dev/null: the hint says which paths can be named."""
    Path("webhooks/_defaults.yml").rmdir()
    assert ExitCode.INVALID_CONFIGURATION == main([command, path])
    output = capsys.readouterr()
    assert ({path: finding}, {NAMED}) == lines_of(output.out + output.err)


def test_the_output_of_a_command_as_a_path(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell gives `<(command)` as a link in /dev/fd. The error is not that it leaves the directory."""
    reading, writing = os.pipe()
    try:
        assert ExitCode.INVALID_CONFIGURATION == main(["validate", f"/dev/fd/{reading}"])
    finally:
        os.close(reading)
        os.close(writing)
    assert ({f"/dev/fd/{reading}": "is a pipe"}, {NAMED}) == lines_of(capsys.readouterr().out)


def test_a_policy_that_is_no_file(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not below the configuration directory, so the hint is not to move it."""
    assert ExitCode.INVALID_CONFIGURATION == main(["policy", "test", "/dev/null"])
    hints = lines_of(capsys.readouterr().err)[1]
    assert {"name a YAML file with version: 1 and rules"} == hints


def test_the_configuration_directory_may_have_any_name(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named explicitly, so it cannot be meant as a file."""
    Path("all.yaml").mkdir()
    Path("all.yaml/prod.yaml").write_text("name: a\n")
    assert 0 == main(["fmt", "--config", "all.yaml"])
    assert "1 file is formatted already\n" == capsys.readouterr().err
