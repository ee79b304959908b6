"""The `hookline` program: finds a command, runs it, and maps its errors to messages and exit codes."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Any

import click
from click.shell_completion import CompletionItem

from hookline import __version__
from hookline.cli.garbage_collection import collect_rarely
from hookline.cli.output.error_output import format_error
from hookline.cli.output.standard_streams import finish_output, install_streams
from hookline.cli.variables import name_variable, name_variables
from hookline.errors import HooklineError, InvalidConfiguration, OutputLost
from hookline.exit_codes import ExitCode
from hookline.settings import ENVIRONMENT_PREFIX, in_ci
from hookline.storage_location import without_passwords

# Name → module and summary. The module defines the click command as `<name>_command`. It is imported only when the
# command is used, so `--help` takes less than 150 ms.
COMMANDS = {
    "demo": ("hookline.cli.commands.demo", "Run hookline once, from webhook files to delivered feedback."),
    "init": ("hookline.cli.commands.init", "Create a repository of webhook files, with its CI."),
    "validate": ("hookline.cli.commands.validate", "Validate webhook files; needs no state."),
    "move": ("hookline.cli.commands.move", "Give a webhook another address in its file."),
    "fmt": ("hookline.cli.commands.fmt", "Format webhook files and defaults files."),
    "explain": ("hookline.cli.commands.explain", "Explain an error code that validate or plan printed."),
    "plan": ("hookline.cli.commands.plan", "Show the changes that apply would make."),
    "apply": ("hookline.cli.commands.apply", "Apply the changes in the webhook files to the stored state."),
    "rollback": ("hookline.cli.commands.rollback", "Return the stored state to an earlier serial."),
    "policy": ("hookline.cli.commands.policy", "Show, try and set the policy that plan and apply obey."),
    "list": ("hookline.cli.commands.list", "List the applied webhooks."),
    "show": ("hookline.cli.commands.show", "Show one applied webhook, or a saved plan."),
    "history": ("hookline.cli.commands.history", "Show every apply."),
    "blame": ("hookline.cli.commands.history", "Show which apply set which field of a webhook."),
    "drift": ("hookline.cli.commands.drift", "Check whether the state is still the one that was applied."),
    "export": ("hookline.cli.commands.export", "Write webhook files from the stored state."),
    "relay": ("hookline.cli.commands.relay", "Read events and deliver their feedback."),
    "deliver": ("hookline.cli.commands.relay", "Deliver from a spool that several processes share; read nothing."),
    "formats": ("hookline.cli.commands.formats", "List the formats of event logs, or try them on a file."),
    "sample": ("hookline.cli.commands.sample", "Print realistic events for an applied webhook."),
    "status": ("hookline.cli.commands.status", "Show the spool and the relay that uses it."),
    "serve": ("hookline.cli.commands.serve", "Serve a read-only page of webhooks, lanes and dead letters."),
    "trace": ("hookline.cli.commands.trace", "Show the events of one API request and their results."),
    "pause": ("hookline.cli.commands.endpoint_control", "Pause the deliveries to a webhook."),
    "resume": ("hookline.cli.commands.endpoint_control", "Resume a paused webhook."),
    "retry-now": ("hookline.cli.commands.endpoint_control", "Try a webhook's endpoint at once."),
    "dead": ("hookline.cli.commands.dead", "List, show, replay, discard, export and import dead letters."),
    "forget": ("hookline.cli.commands.forget", "Remove the data of one recipient from the spool."),
    "spool": ("hookline.cli.commands.spool", "Create, move, copy, migrate or recover a spool."),
    "check": ("hookline.cli.commands.check", "Check whether deliveries to endpoints can succeed."),
    "jwks": ("hookline.cli.commands.jwks", "Print a webhook's public keys as a JWK Set."),
    "schema": ("hookline.cli.commands.schema", "Print a JSON Schema."),
    "limits": ("hookline.cli.commands.limits", "Print every limit of size, count and time."),
    "receive": ("hookline.cli.commands.receive", "Run a local HTTPS receiver for development."),
    "verify": ("hookline.cli.commands.verify", "Check one request that receive has recorded."),
    "unit": ("hookline.cli.commands.operations", "Print the systemd unit of the relay."),
    "alerts": ("hookline.cli.commands.operations", "Print alert rules for Prometheus, or a dashboard for Grafana."),
    "completion": ("hookline.cli.commands.completion", "Print a completion script for a shell."),
}


# The commands of groups, for suggestions only.
_INNER = {
    "dead": ("list", "show", "replay", "discard", "export", "import"),
    "formats": ("test",),
    "policy": ("show", "test", "set", "clear"),
    "spool": ("init", "move", "migrate", "copy", "recover"),
}
_PATHS = (*COMMANDS, *(f"{group} {name}" for group, names in _INNER.items() for name in names))
_ENDINGS = {name: f"{group} {name}" for group, names in _INNER.items() for name in names if name not in COMMANDS}


class LazyGroup(click.Group):
    """Lists the commands by name and summary. Imports a command only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest commands if there is no such command. click would compare with commands that it holds."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

        found = [_ENDINGS[name]] if name in _ENDINGS else get_close_matches(name, _PATHS)
        near = [f"`hookline {known}`" for known in found]
        hint = f"did you mean {' or '.join(near)}?" if near else "`hookline --help` lists the commands"
        raise click.UsageError(f"no such command: {name!r}\n  hint: {hint}", ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        name_variables(command, (ENVIRONMENT_PREFIX, cmd_name))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete from names and summaries, because Tab must not import every command."""
        found = [(name, text) for name, (_, text) in COMMANDS.items() if name.startswith(incomplete)]
        return [CompletionItem(name, help=text) for name, text in found] + click.Command.shell_complete(
            self, ctx, incomplete
        )


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
    epilog="""\b
Examples:
  hookline validate && hookline plan && hookline apply
  hookline relay events.ndjson
  hookline show ACME@AdobeOrg/prod""",
)
@click.version_option(__version__, prog_name="hookline", allow_from_autoenv=False)  # CI may set HOOKLINE_VERSION
def program() -> None:
    """Keep feedback webhooks as code, and deliver the feedback."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code. Only an internal error raises an exception."""
    try:
        code: Any = program.main(args=arguments, prog_name="hookline", standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return ExitCode.INTERRUPTED
    except click.ClickException as wrong:
        name_variable(wrong)
        exit_code = ExitCode.WRONG_USE if isinstance(wrong, click.UsageError) else ExitCode.FAILED
        _show(wrong, sys.argv[1:] if arguments is None else arguments, exit_code)
        return exit_code
    except InvalidConfiguration as invalid:
        from hookline.cli.output.diagnostic_output import diagnostic_text  # noqa: PLC0415 - loaded only for output

        for diagnostic in invalid.diagnostics:
            click.echo(diagnostic_text(diagnostic), err=True)
        return invalid.exit_code
    except OutputLost as lost:
        if not lost.reader_left:  # `hookline list | head -1` needs no message
            click.echo(format_error(lost), err=True, nl=False)
        return lost.exit_code
    except HooklineError as error:
        if _relay_writes_json(sys.argv[1:] if arguments is None else arguments):
            from hookline.cli.output.relay_output import error_line  # noqa: PLC0415 - loaded only for output

            click.echo(error_line(error), err=True, nl=False)
            return error.exit_code
        click.echo(format_error(error), err=True, nl=False)
        return error.exit_code
    except OSError as failed:  # a command that touches a file has its own message; this one is better than none
        place = f"{failed.filename}: " if failed.filename is not None else ""
        click.echo(format_error(HooklineError(f"{place}{failed.strerror or failed}")), err=True, nl=False)
        return ExitCode.FAILED
    return code if isinstance(code, int) else 0


def _show(error: click.ClickException, arguments: list[str], code: ExitCode) -> None:
    """Write click's message to stderr, without the passwords of an address in a wrong place."""
    if _relay_writes_json(arguments):
        from hookline.cli.output.relay_output import usage_error_line  # noqa: PLC0415 - loaded only for output

        click.echo(usage_error_line(without_passwords(error.format_message()), code), err=True, nl=False)
        return
    text = io.StringIO()
    error.show(text)
    click.echo(without_passwords(text.getvalue()), err=True, nl=False)


def _relay_writes_json(arguments: list[str]) -> bool:
    """Whether an error of the relay, whose options could not be read, must be a line of JSON."""
    if arguments[:1] != ["relay"]:
        return False
    from hookline.cli.output.relay_output import json_is_wanted  # noqa: PLC0415 - loaded only for output

    return json_is_wanted(arguments)


def run() -> None:
    install_streams(in_ci=in_ci())
    collect_rarely(sys.argv[1:])
    sys.exit(finish_output(main()))
