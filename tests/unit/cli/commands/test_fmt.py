"""`hookline fmt`: files, standard input, and --check."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from hookline.cli.commands.fmt import MAX_COMPARED_LINES
from hookline.cli.main import main
from hookline.config.formatting import formatter
from hookline.config.formatting.layout import layout
from hookline.config.formatting.source_tree import SourceDocument
from hookline.config.yaml_parser import parse_yaml

WRITTEN = "name: 'a'\nversion: 1\n"
FORMATTED = "version: 1\nname: a\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "webhooks" / "acme"
    folder.mkdir(parents=True)
    (folder / "prod.yaml").write_text(WRITTEN)
    (folder / "_defaults.yaml").write_text("channels: ['sms']\nowner: crm\n")
    return folder


def test_files_are_replaced(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files of webhooks and of defaults are formatted, keep mode and link, and are named once."""
    (directory / "prod.yaml").chmod(0o640)
    (directory / "linked.yaml").symlink_to("prod.yaml")
    assert 0 == main(["fmt"])
    assert "formatted webhooks/acme/_defaults.yaml\nformatted webhooks/acme/linked.yaml\n" == capsys.readouterr().out
    assert (FORMATTED, 0o640) == (
        (directory / "prod.yaml").read_text(),
        (directory / "prod.yaml").stat().st_mode & 0o777,
    )
    assert (directory / "linked.yaml").is_symlink()
    assert "owner: crm\nchannels: [sms]\n" == (directory / "_defaults.yaml").read_text()
    assert ["_defaults.yaml", "linked.yaml", "prod.yaml"] == sorted(path.name for path in directory.iterdir())
    assert 0 == main(["fmt"])
    assert ("", "3 files are formatted already\n") == capsys.readouterr()


def test_a_path_is_one_file_or_directory(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A named file is formatted alone, also a defaults file. Files above or beside it are not touched."""
    (directory.parent / "_defaults.yaml").write_text("channels: ['sms']\nowner: crm\n")
    assert 0 == main(["fmt", "webhooks/acme/_defaults.yaml"])
    assert "formatted webhooks/acme/_defaults.yaml\n" == capsys.readouterr().out
    assert 0 == main(["fmt", "webhooks/acme"])
    assert "formatted webhooks/acme/prod.yaml\n" == capsys.readouterr().out
    assert 64 == main(["fmt", "webhooks/nothing.yaml"])
    assert "webhooks/nothing.yaml does not exist" in capsys.readouterr().err


def test_check_shows_the_difference(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check changes nothing, prints a unified diff and exits with 2; with 0 if everything is formatted."""
    assert 2 == main(["fmt", "--check", "webhooks/acme/prod.yaml"])
    assert (
        "--- webhooks/acme/prod.yaml\n+++ webhooks/acme/prod.yaml (formatted)\n@@ -1,2 +1,2 @@\n"
        "-name: 'a'\n version: 1\n+name: a\n"
    ) == capsys.readouterr().out
    assert WRITTEN == (directory / "prod.yaml").read_text()
    main(["fmt"])
    assert 0 == main(["fmt", "--check"])


@pytest.mark.parametrize(("before", "shown"), [
    (b"name: a\r\nversion: 1\r\n", "+version: 1\\r\n name: a\\r\n-version: 1\\r\n"),
    (b"version: 1\nname: a", "-name: a\n\\ No newline at end of file\n+name: a\n"),
    (b"headers: {X-Api-Key: 'abc'}\n", " (only within a hidden value)\n"),
    (b"query: {code: 'abc'}\nversion: 1\n", "+version: 1\n query: {code: [hidden]}\n-version: 1\n"),
])  # fmt: skip
def test_a_difference_hides_secrets_and_shows_line_ends(
    directory: Path, capsys: pytest.CaptureFixture[str], before: bytes, shown: str
) -> None:
    """A value that may be a secret is hidden as in every message. Line ends that change are visible."""
    (directory / "prod.yaml").write_bytes(before)
    assert 2 == main(["fmt", "--check", "webhooks/acme/prod.yaml"])
    assert capsys.readouterr().out.endswith(shown)


def test_a_very_long_file_is_not_compared(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The time of --check is bounded: the differences of a very long file are not shown."""
    (directory / "prod.yaml").write_text("name: 'a'\n" + "\n" * MAX_COMPARED_LINES)
    assert 2 == main(["fmt", "--check", "webhooks/acme/prod.yaml"])
    assert " (more than 20,000 lines, which are not compared)\n" in capsys.readouterr().out


def test_invalid_files_are_left_alone(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read is an error with its place; the others are formatted. 5 comes before 2."""
    (directory / "broken.yaml").write_text("name: [a\n")
    assert 5 == main(["fmt", "--check"])
    assert "webhooks/acme/broken.yaml:2:1: error[HL004]" in capsys.readouterr().err
    assert 5 == main(["fmt"])
    assert ("name: [a\n", FORMATTED) == (
        (directory / "broken.yaml").read_text(),
        (directory / "prod.yaml").read_text(),
    )


def test_no_bar_without_a_terminal(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For any number of files, a pipe or a log gets only the names."""
    for number in range(250):
        (directory / f"{number}.yaml").write_text(FORMATTED)
    assert 2 == main(["fmt", "--check", "webhooks"])
    output = capsys.readouterr()
    assert "" == output.err
    assert 2 == output.out.count("(formatted)")
    assert "\x1b" not in output.out


@pytest.mark.parametrize(("arguments", "code", "out"), [
    ("-", 0, FORMATTED), ("- --check", 2, "--- <stdin>\n"), ("- webhooks", 64, ""),
])  # fmt: skip
def test_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: str, code: int, out: str
) -> None:
    """- formats standard input to standard output, alone."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(WRITTEN.encode())))
    assert code == main(["fmt", *arguments.split()])
    assert capsys.readouterr().out.startswith(out)


def test_a_file_that_changes_meanwhile_is_kept(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that somebody saves while the file is formatted is not overwritten."""

    def and_edit(documents: Sequence[SourceDocument]) -> str:
        (directory / "prod.yaml").write_text("name: edited\n")
        return layout(documents)

    monkeypatch.setattr(formatter, "layout", and_edit)
    assert 1 == main(["fmt", "webhooks/acme/prod.yaml"])
    assert "has changed in the meantime" in capsys.readouterr().err
    assert "name: edited\n" == (directory / "prod.yaml").read_text()


def test_a_fault_of_the_formatter_changes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The values are compared before a file is replaced."""
    monkeypatch.setattr(formatter, "layout", lambda _: "version: 2\n")
    assert 1 == main(["fmt", "webhooks/acme/prod.yaml"])
    assert "formatting would have changed its meaning" in capsys.readouterr().err
    assert WRITTEN == (directory / "prod.yaml").read_text()


def test_the_hooks_of_pre_commit_format_the_named_files(directory: Path) -> None:
    """pre-commit names the changed files; the hook of the repository and that of `init` run the same command."""
    root = Path(__file__).parents[4]
    own = (root / ".pre-commit-hooks.yaml").read_text()
    template = (root / "src/hookline/templates/pre-commit-config.yaml").read_text()
    (hook,) = [one for one in parse_yaml(own).documents[0].value if one["id"] == "hookline-fmt"]
    assert "        entry: hookline fmt\n" in template
    assert "pass_filenames" not in hook
    assert 0 == main([*hook["entry"].split()[1:], "webhooks/acme/prod.yaml"])
    assert FORMATTED == (directory / "prod.yaml").read_text()
