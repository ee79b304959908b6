"""The steps of the demo: from webhook files to delivered feedback, with an endpoint that fails."""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import as_file, files
from pathlib import Path

import click

from hookline.cli.demo.demo_commands import DemoCommands
from hookline.exit_codes import ExitCode

DEMO_PORT = 8443  # in the files of the demo
_ORGANIZATION = "1234567890ABCDEF@AdobeOrg"
_PROD = f"{_ORGANIZATION}/prod"


def play(directory: Path, port: int, commands: DemoCommands) -> None:
    """Run the demo in `directory`, which has the webhooks and the key. Raises HooklineError if a step fails.

    `port` is the port of 127.0.0.1 to which the webhooks point.
    """
    config, state = ("--config", f"{directory}/webhooks"), ("--state", f"{directory}/state.db")
    secrets = ("--secrets-dir", f"{directory}/secrets")
    _heading("Validate the webhook files")
    commands.run("validate", *config)
    _heading("Plan the changes")
    commands.run("plan", *config, *state)
    _heading("Apply the plan")
    commands.run("apply", *config, *state, "--auto-approve")
    _heading("Give the public key to the receiver")
    commands.run("jwks", _PROD, *state, *secrets, output=directory / "prod.jwks.json")
    _heading("Start a receiver that is down at first and then fails one request in ten")
    with commands.receiver(directory / "port", *_receive(directory, port)):
        _heading("Relay the events of an export")
        # One line of the export is cut off, so the relay ends with 3.
        commands.run(
            *("relay", "-", "--organization", _ORGANIZATION, "--sandbox", "prod"),
            *(*state, "--spool", f"{directory}/spool", *secrets, "--ca-file", f"{directory}/tls/ca.pem"),
            *("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128", "--log-level", "warning"),
            source=directory / "events.ndjson",
            expected=ExitCode.INCOMPLETE,
        )
        _heading("Stop the receiver; it prints its counts")
    _heading("Accepted requests, by webhook")
    _print_received(directory / "received.ndjson")
    _heading("Dead letters, with their reasons")
    commands.run("dead", "list", "--spool", f"{directory}/spool")


def copy_demo_files(directory: Path, port: int) -> None:
    """Copy the webhooks, with `port` in their URLs, and the events, so that a user can change them."""
    with as_file(files("hookline") / "demo_files") as found:
        (directory / "events.ndjson").write_bytes((found / "events.ndjson").read_bytes())
        for source in sorted((found / "webhooks").rglob("*.yaml")):
            target = directory / source.relative_to(found)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text("utf-8").replace(f":{DEMO_PORT}/", f":{port}/"), "utf-8")


def _receive(directory: Path, port: int) -> tuple[str, ...]:
    return (
        *("receive", "--listen", f"127.0.0.1:{port}", "--outage", "300ms", "--fail", "503:0.1", "--seed", "11"),
        *("--jwks", f"{directory}/prod.jwks.json", "--audience", "feedback-receiver", "--protect", "/feedback/prod"),
        *("--tls-dir", f"{directory}/tls", "--port-file", f"{directory}/port"),
        *("--record", f"{directory}/received.ndjson", "--quiet"),
    )


def _print_received(record: Path) -> None:
    requests: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    signed: Counter[str] = Counter()
    ids: dict[str, set[str]] = {}
    for text in record.read_text().splitlines():
        line = json.loads(text)
        path = line["path"]
        requests[path] += 1
        if 200 <= (line["status"] or 0) < 300:
            accepted[path] += 1
            signed[path] += line["verified"]["jwt"] is True
            ids.setdefault(path, set()).add(line["headers"]["webhook-id"])
    click.echo(f"{'webhook path':<20}{'requests':>10}{'accepted':>10}{'events':>8}{'JWT verified':>14}")
    for path in sorted(requests):
        events = len(ids.get(path, ()))
        click.echo(f"{path:<20}{requests[path]:>10}{accepted[path]:>10}{events:>8}{signed[path]:>14}")


def _heading(text: str) -> None:
    click.echo(f"\n== {text}")
