"""Texts for `--state` and `--spool` that are neither a path nor an address: every command refuses them, and none
shows a password or creates a file.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hookline.cli.main import COMMANDS, main
from hookline.relay.spool.factory import spool_store
from hookline.storage_location import address_scheme, without_passwords

PASSWORD = "correct-horse"
UNCLEAR = {
    "nothing": "",
    "blanks": "  ",
    "quoted": f'"postgresql://ada:{PASSWORD}@db/hl"',
    "quote at the end": f"postgresql://ada:{PASSWORD}@db/hl'",
    "blank before": f" postgresql://ada:{PASSWORD}@db/hl",
    "line break after": f"postgresql://ada:{PASSWORD}@db/hl\n",
    "one slash": f"postgresql:/ada:{PASSWORD}@db/hl",
    "no slash": f"postgresql:ada:{PASSWORD}@db/hl",
    "no scheme": f"ada:{PASSWORD}@db:5432/hl",
    "two slashes": f"//ada:{PASSWORD}@db/hl",
    "host and port": "db.acme.example:5432/hl",
    "connection string": f"host=db dbname=hl password={PASSWORD}",
    "connection string with blanks": f"host = db  password = '{PASSWORD}'",
    "JDBC": f"jdbc:postgresql://db/hl?user=ada&password={PASSWORD}",
    "assignment": f"HOOKLINE_STATE=postgresql://ada:{PASSWORD}@db/hl",
    "home": "~/hookline/state",
    "home of a user": "~ada/state",
    "variable": "$HOME/state",
    "variable in braces": "/srv/${TENANT}/state",
    "command": "$(pwd)/state",
    "template": "{{ state }}",
    "percent-encoded": f"postgresql%3A%2F%2Fada%3A{PASSWORD}%40db%2Fhl",
    "an option": "--spool",
    "other scheme": f"mysql://ada:{PASSWORD}@db/hl",
    "NATS": f"nats://ada:{PASSWORD}@db/hl",
    "drive": "C:\\hookline\\state",
    "parameters": "state.db?mode=memory",
    "an address in a path": f"state/postgresql://ada:{PASSWORD}@db/hl",
    "control character": "state\x1b[2J.db",
}
# The arguments that a command needs before it opens a state or a spool.
ARGUMENTS = {
    "blame": ["acme/prod"], "show": ["acme/prod"], "rollback": ["--to", "1"], "export": ["exported"],
    "jwks": ["acme/prod"], "trace": ["12345678"], "pause": ["acme/prod"], "resume": ["acme/prod"],
    "retry-now": ["acme/prod"], "relay": ["events.ndjson"], "dead show": ["line-1"], "dead replay": ["--all"],
    "dead discard": ["--all"], "dead export": ["--out", "letters"], "dead import": ["letters"],
}  # fmt: skip


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand."""
    for name, (module, _) in COMMANDS.items():
        command = getattr(importlib.import_module(module), f"{name.replace('-', '_')}_command")
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())
        else:
            yield name, command


def having(option: str) -> list[str]:
    return [name for name, command in commands() if any(option in parameter.opts for parameter in command.params)]


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOOKLINE_STATE", "HOOKLINE_SPOOL", "HOOKLINE_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def refuses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that ends with 64, shows no password and writes no file."""
    assert 64 == main(arguments)
    found = capsys.readouterr()
    assert PASSWORD not in found.out + found.err
    assert "Traceback" not in found.err
    assert [] == list(Path().iterdir())
    return found.err


@pytest.mark.parametrize("option", ["--state", "--spool"])
@pytest.mark.parametrize("text", UNCLEAR.values(), ids=UNCLEAR)
def test_every_command_refuses_it(option: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A location that is not understood is wrong use (64) for every command that takes one, with the next step."""
    named = having(option)
    assert len(named) > 8
    for name in named:
        message = refuses([*name.split(), *ARGUMENTS.get(name, []), option, text], capsys)
        assert message.startswith(f"error: {option}: "), name
        assert "hint: give " in message, name


def test_an_unknown_kind_of_spool(capsys: pytest.CaptureFixture[str]) -> None:
    """An address of another database is refused as a spool, in each spelling of its scheme."""
    for scheme in ("mysql", "redis", "MYSQL"):
        message = refuses(["status", "--spool", f"{scheme}://ada:{PASSWORD}@db/hl"], capsys)
        assert f"unknown kind of spool: {scheme.lower()}://" in message


@pytest.mark.parametrize("variable", ["HOOKLINE_STATE", "HOOKLINE_SPOOL", "HOOKLINE_CONFIG", "HOOKLINE_SECRETS_DIR"])
def test_empty_variable(variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty variable is refused by name, because the default would be another place than meant."""
    monkeypatch.setenv(variable, "")
    command = {"HOOKLINE_SPOOL": "status", "HOOKLINE_SECRETS_DIR": "check"}.get(variable, "plan")
    message = refuses([command], capsys)
    assert message.startswith(f"error: the variable {variable} is empty\n  hint: unset it")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["plan", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["plan", "--config", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["export", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["spool", "recover", f"postgresql://ada:{PASSWORD}@db/hl", "new"],
        ["spool", "recover", "old", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["show", f"postgresql://ada:{PASSWORD}@db/hl"],
        ["relay", f"nats://ada:{PASSWORD}@broker/events"],
        ["relay", "--follow", "events.ndjson", f"kafka://ada:{PASSWORD}@broker/events"],
        ["explain", f"password={PASSWORD}"],
        [f"postgresql://ada:{PASSWORD}@db/hl"],
    ],
    ids=str,
)
def test_password_in_a_wrong_place(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """An address that is given as another argument is not echoed with its password."""
    assert main(arguments) in (1, 8, 64)
    found = capsys.readouterr()
    assert PASSWORD not in found.out + found.err
    assert [] == list(Path().iterdir())


@pytest.mark.parametrize(
    "path",
    [".hookline/state.db", "state.db", "/srv/hook line/state.db", "./-x", "./a:b", "../a=b", "ACME@AdobeOrg/état"],
)
def test_paths(path: str) -> None:
    """A clear path stays one, with blanks, dashes and letters of any language."""
    assert address_scheme(path, "--state", "") is None


def test_passwords_in_messages() -> None:
    """Only the password is hidden: the message stays readable."""
    shown = without_passwords(f"no postgresql://ada:p@{PASSWORD}@db/hl, password='{PASSWORD}' or a:b at 10:30")
    assert "no postgresql://ada:****@db/hl, password=**** or a:b at 10:30" == shown


@pytest.mark.parametrize("arguments", [["init"], ["receive", "--listen", "127.0.0.1:0", "--tls-dir"]])
def test_no_directory_gets_the_name_of_an_address(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nor do commands that create a directory create one with a password in its name."""
    refuses([*arguments, f"postgresql://ada:{PASSWORD}@db/hl"], capsys)


@pytest.mark.parametrize(
    "text", ["postgresql://ada:{}@db/hl", "ada:{}@db/hl", "host=db password={}", "{}@acme.example"]
)
def test_trace_does_not_repeat_a_password(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message for an unknown id may be in the log of a job. It also leaves out a recipient."""
    spool = str(tmp_path / "spool")
    spool_store(spool).create_if_missing(since="now")
    capsys.readouterr()
    assert 1 == main(["trace", "--spool", spool, text.format(PASSWORD)])
    found = capsys.readouterr()
    assert PASSWORD not in found.out + found.err
