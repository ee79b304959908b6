"""The configuration directory as commands find it: missing, mistyped, empty, behind links, with files left out."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hookline.cli.main import main

FILE = """\
version: 1
organization: acme
sandbox: {sandbox}
name: {name}
channels: [email]
url: https://hooks.acme.example/{sandbox}
campaigns: all
"""


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("HOOKLINE_", "GIT"))]:
        monkeypatch.delenv(name)


def write(path: str, sandbox: str = "prod", name: str = "Feedback") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FILE.format(sandbox=sandbox, name=name))
    return file


def applied(*sandboxes: str) -> None:
    """Apply a webhook for each sandbox, from a directory that is gone afterwards."""
    for sandbox in sandboxes:
        write(f"before/{sandbox}.yaml", sandbox)
    assert 0 == main(["apply", "--auto-approve", "--config", "before"])


NOTHING: dict[str, Callable[[], object]] = {
    "missing": lambda: None,
    "mistyped": lambda: write("webhook/prod.yaml"),
    "empty": Path("webhooks").mkdir,
    "a broken link": lambda: Path("webhooks").symlink_to("elsewhere"),
    "a read-me": lambda: write("webhooks/README.md"),
    "capital letters": lambda: write("webhooks/acme/prod.YAML"),
    "short and capital": lambda: write("webhooks/prod.YML"),
    "mixed letters": lambda: write("webhooks/prod.Yaml"),
    "hidden": lambda: write("webhooks/.prod.yaml"),
    "in a hidden directory": lambda: write("webhooks/.drafts/prod.yaml"),
    "another suffix": lambda: write("webhooks/prod.json"),
}


@pytest.mark.parametrize("make", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("command", [["validate"], ["plan"], ["apply", "--auto-approve"]], ids=lambda found: found[0])
def test_no_webhook_file(make: Callable[[], object], command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A directory without a webhook file is wrong use (64) in every command that reads it, with the next step."""
    make()
    assert 64 == main(command)
    found = capsys.readouterr()
    assert "error: the configuration directory webhooks " in found.err
    assert "--config" in found.err
    assert 1 == found.err.count("the configuration directory webhooks ")
    assert not Path(".hookline").exists()


@pytest.mark.parametrize("make", NOTHING.values(), ids=NOTHING)
def test_no_webhook_file_deletes_nothing(make: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    """If webhooks are applied, plan shows the deletions that would follow; plan and apply are blocked (6)."""
    applied("prod", "stage")
    make()
    state = Path(".hookline/state.db").read_bytes()
    for command in (["plan"], ["apply", "--auto-approve"]):
        capsys.readouterr()
        assert 6 == main(command)
        found = capsys.readouterr()
        assert "- acme/prod" in found.out
        assert "no webhook would be left" in found.out
        assert "warning: the configuration directory webhooks " in found.err
    assert state == Path(".hookline/state.db").read_bytes()
    assert 0 == main(["drift"])
    assert 0 == main(["export", "exported"])


def test_path_without_a_webhook_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A PATH that has no webhook file is wrong use (64), also beside one that has some."""
    write("webhooks/acme/prod.yaml")
    write("webhooks/beta/prod.YAML")
    for command in ("validate", "plan", "apply"):
        capsys.readouterr()
        assert 64 == main([command, "webhooks/acme", "webhooks/beta"])
        found = capsys.readouterr().err
        assert "error: webhooks/beta contains no webhook file" in found
        assert "webhooks/beta/prod.YAML is not read (its name must end with .yaml or .yml, in small letters)" in found


def test_a_misnamed_file_deletes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was renamed to .YAML is named, and the deletion of its webhook is blocked, also in a saved plan."""
    applied("prod", "stage")
    write("webhooks/stage.yaml", "stage")
    write("webhooks/prod.YAML")
    capsys.readouterr()
    assert 6 == main(["plan", "--out", "plan.json"])
    found = capsys.readouterr()
    assert "warning: webhooks/prod.YAML is not read: its name must end with .yaml or .yml" in found.err
    assert "blocked: its file may be one that is not read because of its name: webhooks/prod.YAML" in found.out
    assert 6 == main(["apply", "--auto-approve"])
    assert 6 == main(["apply", "plan.json", "--auto-approve"])
    assert 0 == main(["apply", "plan.json", "--auto-approve", "--allow-delete", "acme/prod"])


def test_everything_that_is_left_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Each file and directory that is not read has a warning. Files that people keep beside webhooks have none."""
    write("webhooks/acme/prod.yaml")
    for name in ("README.md", "CODEOWNERS", ".gitkeep", "acme/.gitignore", ".git/config.yaml"):
        write(f"webhooks/{name}")
    reasons = {
        "webhooks/stage.Yml": "its name must end with .yaml or .yml, in small letters",
        "webhooks/.drafts": "it is hidden",
        "webhooks/acme/.dev.yaml": "it is hidden",
        "webhooks/acme/old.yaml~": "its name does not end with .yaml or .yml",
        "webhooks/acme/test": "its name does not end with .yaml or .yml",
    }
    for name in reasons:
        write(f"{name}/dev.yaml" if name.endswith("drafts") else name)
    expected = {f"warning: {name} is not read: {reason}" for name, reason in reasons.items()}
    for command in (["validate"], ["plan"], ["plan", "--target", "acme/prod"], ["apply", "--auto-approve"]):
        capsys.readouterr()
        assert 0 == main(command)
        assert expected == {line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")}
    main(["validate", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)["leftOut"]
    assert reasons == {one["file"]: one["reason"] for one in listed}


def test_many_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """At most 20 warnings are printed, misnamed files first, and the number of the others is shown."""
    write("webhooks/prod.yaml")
    for number in range(30):
        write(f"webhooks/{number:02}.txt")
    write("webhooks/stage.YAML")
    assert 0 == main(["validate"])
    lines = capsys.readouterr().err.splitlines()
    assert 21 == len(lines)
    assert lines[0].startswith("warning: webhooks/stage.YAML is not read")
    assert "warning: 11 more are not read; `hookline validate --format json` names all" == lines[-1]


def mounted() -> None:
    """A volume as Kubernetes mounts it: links lead through ..data into a hidden directory with the time."""
    write("volume/..2026_11_28/prod.yaml")
    write("volume/..2026_11_28/acme/stage.yaml", "stage")
    write("volume/..2026_11_28/acme/teams/dev.yaml", "dev")
    Path("volume/..data").symlink_to("..2026_11_28")
    Path("volume/prod.yaml").symlink_to("..data/prod.yaml")
    Path("volume/acme").symlink_to("..data/acme")


@pytest.mark.parametrize("config", ["volume", "link", "volume/..data"])
def test_mounted_volume(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Links of files and of directories into a hidden place are read, and nothing is left out."""
    mounted()
    Path("link").symlink_to("volume/..data")
    assert 0 == main(["validate", "--config", config])
    found = capsys.readouterr()
    assert ("", "3 webhooks in 3 files are valid\n") == (found.err, found.out)
    assert 0 == main(["apply", "--auto-approve", "--config", config])
    assert 0 == main(["plan", "--detailed-exitcode", "--config", config])


def test_path_in_a_mounted_volume(capsys: pytest.CaptureFixture[str]) -> None:
    """A PATH below a linked directory is read as well."""
    mounted()
    assert 0 == main(["validate", "--config", "volume", "volume/acme"])
    assert "2 webhooks in 2 files are valid\n" == capsys.readouterr().out


def test_linked_directories(capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that is read by its own name is not read again by a link; a link out of all of them is an error."""
    write("webhooks/acme/prod.yaml")
    write("webhooks/shared/stage.yaml", "stage")
    Path("webhooks/acme/again").symlink_to("../shared")
    assert 0 == main(["validate"])
    assert "2 webhooks in 2 files are valid\n" == capsys.readouterr().out
    assert 0 == main(["validate", "webhooks/acme"])
    assert "2 webhooks in 2 files are valid\n" == capsys.readouterr().out
    Path("webhooks/acme/up").symlink_to("..")
    assert 0 == main(["validate"])
    assert "" == capsys.readouterr().err
    assert 0 == main(["validate", "webhooks/acme"])
    warning = "warning: webhooks/acme/up is not read: it is a link to a directory above it\n"
    assert warning == capsys.readouterr().err
    write("outside/dev.yaml", "dev")
    Path("webhooks/acme/out").symlink_to("../../outside")
    assert 5 == main(["validate"])
    assert "webhooks/acme/out: error[HL015]" in capsys.readouterr().out
