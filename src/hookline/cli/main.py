"""The `hookline` program: finds a command, runs it, and maps its errors to messages and exit codes."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from hookline import __version__
from hookline.cli.output.standard_streams import finish_output, install_streams
from hookline.errors import HooklineError, InvalidConfiguration, OutputLost
from hookline.exit_codes import ExitCode
from hookline.settings import ENVIRONMENT_PREFIX, in_ci, variable_names
from hookline.storage_location import without_passwords

# Name → module and summary. The module defines the click command as `<name>_command`. It is imported only when the
# command is used, so `--help` takes less than 150 ms.
COMMANDS = {
    "init": ("hookline.cli.commands.init", "Create a repository of webhook files, with its CI."),
    "validate": ("hookline.cli.commands.validate", "Validate webhook files; needs no state."),
    "explain": ("hookline.cli.commands.explain", "Explain an error code that validate or plan printed."),
    "plan": ("hookline.cli.commands.plan", "Show the changes that apply would make."),
    "apply": ("hookline.cli.commands.apply", "Apply the changes in the webhook files to the stored state."),
    "rollback": ("hookline.cli.commands.rollback", "Return the stored state to an earlier serial."),
    "list": ("hookline.cli.commands.list", "List the applied webhooks."),
    "show": ("hookline.cli.commands.show", "Show one applied webhook, or a saved plan."),
    "history": ("hookline.cli.commands.history", "Show every apply."),
    "blame": ("hookline.cli.commands.history", "Show which apply set which field of a webhook."),
    "drift": ("hookline.cli.commands.drift", "Check whether the state is still the one that was applied."),
    "export": ("hookline.cli.commands.export", "Write webhook files from the stored state."),
    "relay": ("hookline.cli.commands.relay", "Read events and deliver their feedback."),
    "formats": ("hookline.cli.commands.formats", "List the formats of event logs, or try them on a file."),
    "status": ("hookline.cli.commands.status", "Show the spool and the relay that uses it."),
    "trace": ("hookline.cli.commands.trace", "Show the events of one API request and their results."),
    "pause": ("hookline.cli.commands.endpoint_control", "Pause the deliveries to a webhook."),
    "resume": ("hookline.cli.commands.endpoint_control", "Resume a paused webhook."),
    "retry-now": ("hookline.cli.commands.endpoint_control", "Try a webhook's endpoint at once."),
    "dead": ("hookline.cli.commands.dead", "List, show, replay, discard, export and import dead letters."),
    "spool": ("hookline.cli.commands.spool", "Save the readable part of a damaged spool."),
    "check": ("hookline.cli.commands.check", "Check whether deliveries to endpoints can succeed."),
    "jwks": ("hookline.cli.commands.jwks", "Print a webhook's public keys as a JWK Set."),
    "schema": ("hookline.cli.commands.schema", "Print a JSON Schema."),
    "limits": ("hookline.cli.commands.limits", "Print every limit of size, count and time."),
    "receive": ("hookline.cli.commands.receive", "Run a local HTTPS receiver for development."),
    "unit": ("hookline.cli.commands.operations", "Print the systemd unit of the relay."),
    "alerts": ("hookline.cli.commands.operations", "Print alert rules for Prometheus."),
    "completion": ("hookline.cli.commands.completion", "Print a completion script for a shell."),
}


# The commands of groups, for suggestions only.
_INNER = {
    "dead": ("list", "show", "replay", "discard", "export", "import"),
    "formats": ("test",),
    "spool": ("recover",),
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


def name_variables(command: click.Command, path: tuple[str, ...]) -> None:
    """Give every option an environment variable, which help and errors name.

    `relay --max-wait` gets HOOKLINE_RELAY_MAX_WAIT. The name comes from the option as it is typed. click's own rule
    uses the Python parameter, which users do not see.
    """
    for option in command.params:
        if isinstance(option, click.Option):
            if option.envvar is None:
                long_name = max(option.opts, key=len).lstrip("-")
                option.envvar = "_".join((*path, long_name)).upper().replace("-", "_")
            option.show_envvar = True
    if command.callback is not None and not hasattr(command.callback, _NAMES_VARIABLES):
        command.callback = _naming_variables(command.callback, "_".join((*path, "")).upper().replace("-", "_"))
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            name_variables(inner, (*path, name))


_NAMES_VARIABLES = "names_variables"


def _naming_variables(callback: Callable[..., Any], prefix: str) -> Callable[..., Any]:
    """The command, whose errors name the variables from which the options came that they are about.

    `prefix` begins the names of variables that only this command reads. A misspelt one is reported.
    """

    @wraps(callback)
    def run(*arguments: Any, **values: Any) -> Any:
        context = click.get_current_context()
        for warning in _misspelt(prefix, context):
            click.echo(_warning_line(warning, as_json=values.get("log_format") == "json"), err=True)
        try:
            return callback(*arguments, **values)
        except HooklineError as error:
            from hookline.cli.options import add_variables  # noqa: PLC0415 - the command has loaded it

            add_variables(error, context)
            raise

    setattr(run, _NAMES_VARIABLES, True)
    return run


def _misspelt(prefix: str, context: click.Context) -> Iterator[str]:
    """A warning for each variable that no option reads, if its name is like the one of an option."""
    known = [str(one.envvar).removeprefix(prefix) for one in context.command.params if isinstance(one, click.Option)]
    for name in variable_names(prefix):
        ending = name.removeprefix(prefix)
        if ending not in known and (near := get_close_matches(ending, known, n=1, cutoff=0.8)):
            yield f"no option reads {name}; did you mean {prefix}{near[0]}?"


def _warning_line(text: str, *, as_json: bool) -> str:
    if not as_json:
        return f"warning: {text}"
    from hookline.cli.output.relay_output import warning_line  # noqa: PLC0415 - only the relay writes JSON to stderr

    return warning_line(text).rstrip("\n")


def _name_variable(wrong: click.ClickException) -> None:
    """Name the place of a wrong value: the variable if the value comes from one, else the option alone."""
    if not isinstance(wrong, click.BadParameter) or wrong.ctx is None or wrong.param is None:
        return
    option = max(wrong.param.opts, key=len)
    source = wrong.ctx.get_parameter_source(wrong.param.name or "")
    if source is ParameterSource.ENVIRONMENT:
        wrong.param_hint = f"{wrong.param.envvar} (option {option})"
    elif source is ParameterSource.COMMANDLINE and isinstance(wrong.param, click.Option):
        wrong.param_hint = f"'{option}'"  # click would name the variable as well, although it gave no value


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
        _name_variable(wrong)
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
            click.echo(f"{click.style('error', fg='red', bold=True)}: {lost.message}\n  hint: {lost.hint}", err=True)
        return lost.exit_code
    except HooklineError as error:
        from hookline.escaping import printable_lines  # noqa: PLC0415 - loaded only for output

        if _relay_writes_json(sys.argv[1:] if arguments is None else arguments):
            from hookline.cli.output.relay_output import error_line  # noqa: PLC0415 - loaded only for output

            click.echo(error_line(error), err=True, nl=False)
            return error.exit_code
        # They may quote untrusted text.
        texts = (without_passwords(error.message), without_passwords(error.hint or ""))
        message, hint = map(printable_lines, texts)
        click.echo(f"{click.style('error', fg='red', bold=True)}: {message}", err=True)
        if hint:
            click.echo(f"  hint: {hint}", err=True)
        for note in getattr(error, "__notes__", ()):
            click.echo(f"  note: {note}", err=True)
        return error.exit_code
    except OSError as failed:  # a command that touches a file has its own message; this one is better than none
        from hookline.escaping import printable  # noqa: PLC0415 - loaded only for output

        place = f"{printable(str(failed.filename))}: " if failed.filename is not None else ""
        click.echo(f"{click.style('error', fg='red', bold=True)}: {place}{failed.strerror or failed}", err=True)
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
    sys.exit(finish_output(main()))
