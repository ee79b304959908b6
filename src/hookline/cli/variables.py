"""The environment variables of options: their names, and their place in help, errors and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import click
from click.core import ParameterSource

from hookline.errors import HooklineError, SpoolUnusable, StateUnusable, WrongUse
from hookline.settings import variable_names


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
    """The command. Its errors about options name the variables that gave the values.

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
            add_variables(error, context)
            raise

    setattr(run, _NAMES_VARIABLES, True)
    return run


def _misspelt(prefix: str, context: click.Context) -> Iterator[str]:
    """A warning for each variable that no option reads, if its name is like the one of an option."""
    known = [str(one.envvar).removeprefix(prefix) for one in context.command.params if isinstance(one, click.Option)]
    for name in variable_names(prefix):
        if (ending := name.removeprefix(prefix)) in known:
            continue
        from difflib import get_close_matches  # noqa: PLC0415 - few environments have such a variable

        if near := get_close_matches(ending, known, n=1, cutoff=0.8):
            yield f"no option reads {name}; did you mean {prefix}{near[0]}?"


def _warning_line(text: str, *, as_json: bool) -> str:
    if not as_json:
        return f"warning: {text}"
    from hookline.cli.output.relay_output import warning_line  # noqa: PLC0415 - only the relay writes JSON to stderr

    return warning_line(text).rstrip("\n")


def name_variable(wrong: click.ClickException) -> None:
    """Name the place of a wrong value: the variable if the value comes from one, else the option alone."""
    if not isinstance(wrong, click.BadParameter) or wrong.ctx is None or wrong.param is None:
        return
    option = max(wrong.param.opts, key=len)
    source = wrong.ctx.get_parameter_source(wrong.param.name or "")
    if source is ParameterSource.ENVIRONMENT:
        wrong.param_hint = f"{wrong.param.envvar} (option {option})"
    elif source is ParameterSource.COMMANDLINE and isinstance(wrong.param, click.Option):
        wrong.param_hint = f"'{option}'"  # click would name the variable as well, although it gave no value


def variable_note(option: click.Parameter, context: click.Context) -> str | None:
    """Which environment variable gave the option its value; None if none did."""
    if context.get_parameter_source(option.name or "") is not ParameterSource.ENVIRONMENT:
        return None
    return f"{max(option.opts, key=len)} comes from the environment variable {option.envvar}"


def add_variables(error: HooklineError, context: click.Context) -> None:
    """Add a note to the error for each option that it is about and that a variable gave its value."""
    text = f"{error.message} {error.hint or ''} ".replace(":", " ")
    about = {"state": isinstance(error, StateUnusable), "spool": isinstance(error, SpoolUnusable)}
    for option in context.command.params:
        named = any(one.startswith("--") and f"{one} " in text for one in option.opts)
        if (named or about.get(option.name or "")) and (note := variable_note(option, context)) is not None:
            error.add_note(note)


def add_variable(error: WrongUse, option: click.Parameter | None, context: click.Context | None) -> None:
    """Add to an error about an option's value the variable that gave the value."""
    if option is not None and context is not None and (note := variable_note(option, context)) is not None:
        error.add_note(note)
