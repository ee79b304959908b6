"""`hookline explain`: the meaning of an error code, the reason for the rule, and an example."""

from __future__ import annotations

from textwrap import fill, indent

import click

from hookline.cli.completions import complete_values
from hookline.cli.options import examples
from hookline.cli.output.colour import coloured
from hookline.config.error_codes import TITLES, explanations, find_code, nearest_codes
from hookline.diagnostics import did_you_mean
from hookline.errors import WrongUse

_LINE_WIDTH = 100


@click.command(epilog=examples("hookline explain HL012"))
@click.argument("code", required=False, shell_complete=complete_values(lambda: TITLES))
def explain_command(code: str | None) -> None:
    """Explain an error code that validate or plan printed.

    Shows the meaning of CODE, the reason for the rule, and an example of the mistake and of its correction. Without
    CODE, lists all codes, one per line.
    """
    if code is None:
        click.echo("\n".join(f"{coloured(known, bold=True)}  {title}" for known, title in TITLES.items()))
        return
    found = find_code(code)
    if found is None:
        near = [f"{known} ({TITLES[known]})" for known in nearest_codes(code)]
        hint = did_you_mean(near, "`hookline explain` without a code lists all codes")
        raise WrongUse(f"unknown code: {code}", hint=hint)
    explanation = explanations()[found]
    click.echo(
        f"{coloured(found, bold=True)}: {explanation.title}\n\n{fill(explanation.why, _LINE_WIDTH)}\n\n"
        f"{coloured('Wrong:', 'red')}\n{indent(explanation.wrong, '    ')}\n\n"
        f"{coloured('Right:', 'green')}\n{indent(explanation.right, '    ')}"
    )
