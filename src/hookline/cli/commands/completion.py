"""`hookline completion`: the script with which a shell completes hookline's command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Example, bash:  echo 'eval "$(hookline completion bash)"' >> ~/.bashrc
Example, zsh:   echo 'eval "$(hookline completion zsh)"' >> ~/.zshrc
Example, fish:  hookline completion fish > ~/.config/fish/completions/hookline.fish"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script for SHELL.

    With it, Tab completes commands, options, and the values of options that offer a choice.
    """
    root = ctx.find_root()
    name = root.info_name or "hookline"
    shape = get_completion_class(shell)
    if shape is None:
        raise click.UsageError(f"this version of click completes nothing in {shell}")
    # click reads the answer's variable by this name: _HOOKLINE_COMPLETE.
    click.echo(shape(root.command, {}, name, f"_{name}_COMPLETE".replace("-", "_").upper()).source())
