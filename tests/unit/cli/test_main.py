"""The program: it finds commands, names variables, and maps errors to messages and exit codes."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hookline.__main__ import start
from hookline.cli.garbage_collection import OBJECTS_PER_COLLECTION
from hookline.cli.main import COMMANDS, main, program
from hookline.exit_codes import ExitCode

ERRORS = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Each command by its full name, including groups and their commands."""
    context = click.Context(program)
    for name in COMMANDS:
        command = program.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())


@pytest.mark.parametrize(("name", "command"), list(every_command()), ids=str)
def test_every_command_explains_itself(name: str, command: click.Command) -> None:
    """Help has a sentence, an example that names the command, and a text for each option."""
    assert command.help
    example = (command.epilog or "").replace("\n", " ")
    assert "Example" in example
    assert f"hookline {name}" in example
    assert [] == [option.name for option in command.params if isinstance(option, click.Option) and not option.help]


@pytest.mark.parametrize(("name", "command"), list(every_command()), ids=str)
def test_every_option_has_its_variable(name: str, command: click.Command) -> None:
    """Every option has an environment variable with its typed name; `check` and `deliver` use the relay's, too."""
    for option in command.params:
        if isinstance(option, click.Option):
            typed = max(option.opts, key=len).lstrip("-").upper().replace("-", "_")
            own = f"HOOKLINE_{name.upper().replace(' ', '_')}_{typed}"
            relays = {f"HOOKLINE_RELAY_{typed}"} if name in {"check", "deliver"} else set()
            assert option.envvar in {own, f"HOOKLINE_{typed}", *relays}


def test_a_variable_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOOKLINE_DEAD_LIST_FORMAT replaces --format: a wrong value is wrong use."""
    monkeypatch.setenv("HOOKLINE_DEAD_LIST_FORMAT", "xml")
    assert 64 == main(["dead", "list"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["plan", "--no-such-option"],
        ["relay", "--max-wait", "soon"],
        ["relay", "--listen", "a..b:99"],
        ["relay", "--listen", "\udcff:99"],
        ["dead", "list", "--reason", "\udcff"],
        ["dead", "list", "--webhook", "a/\udcff"],
    ],
)
def test_wrong_use_is_64(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """click's own 2 would be mistaken for "there are changes"."""
    assert 64 == main(arguments)
    assert "Traceback" not in capsys.readouterr().err


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes in the reference has a row for each code, and no other row."""
    table = ERRORS.read_text().partition("## Exit codes")[2].partition("## ")[0]
    assert [int(code) for code in ExitCode] == [
        int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
    ]


def test_help_imports_no_command() -> None:
    """`hookline --help` is fast because no command's module, and none of the large libraries, is loaded for it."""
    code = (
        "import sys; from hookline.cli.main import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith('hookline.cli.') and not m.startswith('hookline.cli.output')"
        " and m not in ('hookline.cli.main', 'hookline.cli.garbage_collection', 'hookline.cli.variables')"
        " or m == 'hookline.cli.output.relay_output'"
        " or m in ('httpx', 'jsonschema', 'deepdiff', 'jwt', 'yaml', 'rich', 'msgspec')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stderr.strip()
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("--version", ("difflib", "hookline.model", "importlib.resources", "yaml")),
        (
            "validate",
            ("hookline.relay", "hookline.state", "deepdiff", "jsonschema", "msgspec", "sqlite3", "tempfile"),
        ),
        ("list", ("hookline.relay.http", "deepdiff", "httpx", "jsonschema", "yaml")),
        (
            "plan",
            (
                *(
                    "hookline.provenance",
                    "hookline.relay.spool.spool",
                    "hookline.relay.spool.spool_values",
                    "asyncio",
                    "cryptography",
                    "deepdiff",
                    "httpx",
                ),
                *("jsonschema", "logging", "msgspec", "multiprocessing", "rich", "subprocess"),
            ),
        ),
    ],
)
def test_commands_import_only_their_libraries(tmp_path: Path, command: str, unneeded: tuple[str, ...]) -> None:
    """A command does not load the libraries of others: CI starts a new process for each one."""
    (tmp_path / "webhooks").mkdir()
    (tmp_path / "webhooks" / "a.yaml").write_text(
        "version: 1\norganization: acme\nsandbox: prod\nname: n\nchannels: [email]\n"
        "url: https://hooks.acme.example/\ncampaigns: all\n"
    )
    code = (
        f"import sys; from hookline.cli.main import main; main([{command!r}]);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "hookline.cli.main" in loaded
    assert set() == loaded & set(unneeded)


def test_a_relay_imports_no_library_of_others(tmp_path: Path) -> None:
    """A relay without a terminal, and with the default transport, starts without rich, httpx and httpcore."""
    (tmp_path / "webhooks").mkdir()
    (tmp_path / "webhooks" / "a.yaml").write_text(
        "version: 1\norganization: acme\nsandbox: prod\nname: n\nchannels: [email]\n"
        "url: https://hooks.acme.example/\ncampaigns: all\n"
    )
    (tmp_path / "events").touch()
    code = (
        "import sys; from hookline.cli.main import main;"
        "main(['apply', '--auto-approve']); main(['relay', 'events']);"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "hookline.relay.http.client" in loaded
    assert set() == loaded & {"h11", "httpcore", "httpx", "jsonschema", "pygments", "rich"}


def test_garbage_is_collected_rarely_beside_many_files() -> None:
    """A command that reads webhook files looks for unused objects after many new ones."""
    code = (
        "import atexit, gc, sys; from hookline.cli.main import run;"
        "atexit.register(lambda: print(gc.get_threshold()[0], file=sys.stderr));"
        "sys.argv = ['hookline', 'plan', '--help']; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert str(OBJECTS_PER_COLLECTION) == done.stderr.strip()


def test_a_relay_collects_only_new_garbage(tmp_path: Path) -> None:
    """It collects as often as Python does, and what was loaded at its start is left out."""
    code = (
        "import atexit, gc, sys; from hookline.cli.main import run;"
        "atexit.register(lambda: print(gc.isenabled(), gc.get_threshold()[0], gc.get_freeze_count() > 10_000));"
        "sys.argv = ['hookline', 'relay', '/dev/null']; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "hookline apply" in done.stderr, "it began, and found no state"
    assert f"True {gc.get_threshold()[0]} True" == done.stdout.strip()


def test_dead_letters_are_filtered_by_the_words_of_the_contract() -> None:
    """--channel accepts email and sms; --status accepts the four feedback statuses."""
    output = CliRunner().invoke(program, ["dead", "list", "--help"]).output
    assert "[email|sms]" in output
    assert "[sent|delivered|bounce|error]" in output


class _InterruptsLoading:
    """Finds one module, and is interrupted meanwhile."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "hookline.cli.main":
            raise KeyboardInterrupt


def test_the_program_is_interrupted_while_it_loads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the first tenth of a second ends a command as later, without a traceback."""
    monkeypatch.delitem(sys.modules, "hookline.cli.main")
    monkeypatch.setattr(sys, "meta_path", [_InterruptsLoading(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        start()
    assert ExitCode.INTERRUPTED == ended.value.code
    assert "Interrupted.\n" == capsys.readouterr().err
