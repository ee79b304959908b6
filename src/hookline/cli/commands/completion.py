"""`hookline completion`: print the script with which a shell completes hookline's command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

# bash otherwise ends a word at @, which organizations contain.
_WHOLE_ADDRESSES = "COMP_WORDBREAKS=${COMP_WORDBREAKS//@}"


@click.command(
    epilog="""\b
Example, bash:  echo 'eval "$(hookline completion bash)"' >> ~/.bashrc
Example, zsh:   echo 'eval "$(hookline completion zsh)"' >> ~/.zshrc
Example, fish:  hookline completion fish > ~/.config/fish/completions/hookline.fish"""
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    With it, Tab completes commands and options, choices, files, error codes, and the addresses of the webhooks in
    the state, the webhook files and the spool. It reads local files only, and no state in PostgreSQL.
    """
    root = ctx.find_root()
    name = root.info_name or "hookline"
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"this version of click has no completion for {shell}")
    if shell == "bash":
        click.echo(_WHOLE_ADDRESSES)
    # click reads this variable: _HOOKLINE_COMPLETE.
    click.echo(completion_class(root.command, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
