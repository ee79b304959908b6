"""`hookline completion`: print the script with which a shell completes hookline's command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


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

    With it, Tab completes commands, options, and the values of options that offer a choice.
    """
    root = ctx.find_root()
    name = root.info_name or "hookline"
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.UsageError(f"this version of click has no completion for {shell}")
    # click reads this variable: _HOOKLINE_COMPLETE.
    click.echo(completion_class(root.command, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
