"""The types of options: one notation for durations, times and ages, in options, the environment and webhook files."""

from __future__ import annotations

import io
import json
import re
import time
from contextlib import redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from builders import document
from hookline.cli.main import COMMANDS, main, program
from hookline.cli.options import DURATION, TIME, HeadedCommand
from hookline.config.loader import inspect
from hookline.schemas import load_schema

SECONDS = {"100ms": 0.1, "10s": 10, "5m": 300, "90m": 5400, "24h": 86_400, "3d": 259_200}


def _converted(kind: click.ParamType[float], text: str) -> float:
    return kind.convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), SECONDS.items())
def test_durations_are_one_notation(text: str, seconds: float, tmp_path: Path) -> None:
    """A duration that one place accepts is accepted by all: options, the schema of editors, and webhook files."""
    assert seconds == _converted(DURATION, text)
    patterns = set(re.findall(r'"pattern": "(\^\(0\|[^"]*ms[^"]*)"', json.dumps(load_schema("webhook"))))
    assert [pattern for pattern in patterns if re.search(pattern, text)] == list(patterns) != []
    file = tmp_path / "prod.yaml"
    file.write_text(json.dumps(document(delivery={"retry": {"maxAge": "7d"}, "timeout": "10s"})))
    assert () == inspect(tmp_path).diagnostics


@pytest.mark.parametrize("text", ["1w", "90", "1.5h", "1h30m", "3 d", "", "d", "9" * 400 + "d", "9" * 5000 + "d"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """Other text is an error of the command line, also a number that no computer can hold."""
    with pytest.raises(click.BadParameter, match=r"not a duration.*3d|duration too long"):
        _converted(DURATION, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30:00", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01 12:30:00", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30:00+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_time(text: str, expected: datetime) -> None:
    """A time without a zone is in UTC."""
    assert expected.timestamp() == _converted(TIME, text)


@pytest.mark.parametrize(("text", "seconds"), SECONDS.items())
def test_an_age(text: str, seconds: float) -> None:
    """A duration is an age: the time so long before now."""
    before = time.time()
    found = _converted(TIME, text) + seconds
    assert before - 0.001 <= found <= time.time() + 0.001


@pytest.mark.parametrize("text", ["yesterday", "2h ago", "-2h", "2026-13-01", "", "9" * 400 + "d"])
def test_neither_a_time_nor_an_age(text: str) -> None:
    """Other text is refused with an example of both."""
    with pytest.raises(click.BadParameter, match=r"2026-11-01.*2h"):
        _converted(TIME, text)


def _relay() -> click.Command:
    command = program.get_command(click.Context(program), "relay")
    assert command is not None
    return command


def test_the_relays_options_are_grouped() -> None:
    """Every option of the relay is below a heading with its subject."""
    assert isinstance(_relay(), HeadedCommand)
    shown = CliRunner().invoke(program, ["relay", "--help"]).output
    headings = re.findall(r"^(\w[\w ]*):$", shown, re.MULTILINE)
    assert len(headings) >= 6
    assert {"State and spool", "Input", "Secrets", "Network", "Monitoring and output"} <= set(headings)
    other = shown.partition("Other options:\n")[2].partition("\n\n")[0]
    (only,) = other.splitlines()  # "-h" is before it if the program has run before in this process
    assert only.endswith("--help  Show this message and exit.")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_variable_of_each_option_and_ends_with_examples(name: str) -> None:
    """Each option shows its environment variable. The last lines are commands that can be copied."""
    shown = CliRunner().invoke(program, [name, "--help"], terminal_width=400).output
    command = program.get_command(click.Context(program), name)
    assert command is not None
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert [] == [option.envvar for option in options if f"env var: {option.envvar}" not in shown]
    ending = [line.strip() for line in shown.rstrip().splitlines()]
    last = ending[-1]
    assert re.match(r"(Example(, \w+)?: +)?(hookline|echo) ", last), last


def test_no_example_has_a_made_up_address() -> None:
    """Addresses in examples have the form of real ones: an organization of the platform, and a sandbox."""
    found = []
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        found += re.findall(r"(?<= )[\w@]+/(?:prod|stage)\b", "\n".join(str(one.epilog) for one in (command, *inner)))
    assert len(found) > 10
    assert {"ACME@AdobeOrg/prod", "ACME@AdobeOrg/stage"} == set(found)


@pytest.mark.parametrize(
    ("variables", "arguments", "message"),
    [
        (
            {"HOOKLINE_RELAY_MAX_WAIT": "soon"},
            ["relay"],
            "HOOKLINE_RELAY_MAX_WAIT (option --max-wait): not a duration",
        ),
        ({"HOOKLINE_RELAY_FOLLOW": "perhaps"}, ["relay"], "HOOKLINE_RELAY_FOLLOW (option --follow)"),
        ({"HOOKLINE_DEAD_LIST_SINCE": "x"}, ["dead", "list"], "HOOKLINE_DEAD_LIST_SINCE (option --since)"),
        ({"HOOKLINE_PLAN_TARGET": "x"}, ["plan"], "HOOKLINE_PLAN_TARGET (option --target)"),
        ({"HOOKLINE_STATE": "ftp://x"}, ["list"], "--state comes from the environment variable HOOKLINE_STATE"),
        ({"HOOKLINE_STATE": "."}, ["list"], "--state comes from the environment variable HOOKLINE_STATE"),
        ({"HOOKLINE_SPOOL": "nowhere"}, ["status"], "--spool comes from the environment variable HOOKLINE_SPOOL"),
        (
            {"HOOKLINE_RELAY_DEDUPE_WINDOW": "60d"},
            ["relay", "x"],
            "--dedupe-window comes from the environment variable HOOKLINE_RELAY_DEDUPE_WINDOW",
        ),
        (
            {"HOOKLINE_RELAY_MAXWAIT": "1s"},
            ["relay", "--state", "nowhere", "x"],
            "no option reads HOOKLINE_RELAY_MAXWAIT; did you mean HOOKLINE_RELAY_MAX_WAIT?",
        ),
    ],
)
def test_an_error_names_the_variable(
    variables: dict[str, str], arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that came from the environment is reported with the variable's name, and a misspelt variable too."""
    monkeypatch.chdir(tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    written = io.StringIO()
    with redirect_stderr(written):
        assert main(arguments) != 0
    assert message in written.getvalue()


def test_a_variable_is_named_in_json_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--log-format json`, the relay names variables in lines of JSON."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOKLINE_RELAY_DEDUPE_WINDOW", "60d")
    monkeypatch.setenv("HOOKLINE_RELAY_MAXWAIT", "1s")
    written = io.StringIO()
    with redirect_stderr(written):
        assert 64 == main(["relay", "--log-format", "json", "x"])
    warning, error = map(json.loads, written.getvalue().splitlines())
    assert warning["message"].endswith("did you mean HOOKLINE_RELAY_MAX_WAIT?")
    assert error["note"].endswith("HOOKLINE_RELAY_DEDUPE_WINDOW")


def test_an_option_on_the_command_line_is_not_said_to_be_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line has precedence, and then no variable is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOOKLINE_RELAY_MAX_WAIT", "1s")
    monkeypatch.setenv("HOOKLINE_RELAY_SERVICE_HOST", "10.0.0.1")  # Kubernetes sets such variables
    assert 64 == main(["relay", "--max-wait", "soon"])
    assert main(["relay", "--state", "ftp://x"]) != 0
    shown = capsys.readouterr().err
    assert "'--max-wait'" in shown
    assert [] == re.findall(r"comes from|option --|no option reads|env var", shown)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["plna"], "did you mean `hookline plan`?"),
        (["retrynow"], "did you mean `hookline retry-now`?"),
        (["replay"], "did you mean `hookline dead replay`?"),
        (["dead", "lst"], "Did you mean 'list'?"),
        (["relay", "--folow"], "Did you mean '--follow'?"),
        (["quux"], "`hookline --help` lists the commands"),
    ],
)
def test_a_wrong_word_gets_a_suggestion(
    arguments: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong command or option is answered with the nearest right one."""
    assert 64 == main(arguments)
    assert suggestion in capsys.readouterr().err


def test_suggestions_know_the_commands_of_groups() -> None:
    """The table of commands in groups, which exists so that no group is imported, is complete."""
    from hookline.cli import main as module  # noqa: PLC0415 - the table is private

    context = click.Context(program)
    groups = {name: program.get_command(context, name) for name in COMMANDS}
    found = {name: set(one.commands) for name, one in groups.items() if isinstance(one, click.Group)}
    assert found == {name: set(inner) for name, inner in module._INNER.items()}
