"""Writes plans to standard output and to files, in one form or several.

A regular file is replaced as a whole or not at all, so no reader sees half a plan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from hookline.cli.output.colour import coloured
from hookline.cli.output.output_file import STREAM, is_standard_output, open_output, refuse_output
from hookline.cli.output.plan_reports import plan_as_annotations, plan_as_code_quality, plan_as_sarif
from hookline.cli.output.standard_streams import print_runner_commands
from hookline.errors import WrongUse
from hookline.escaping import visible_json
from hookline.plan.plan import Plan
from hookline.plan.plan_document import plan_document
from hookline.plan.render_markdown import render_markdown
from hookline.plan.render_text import Tone, render_text

_COLOURS = {
    Tone.DELETE: "red",
    Tone.BLOCKED: "magenta",
    Tone.MOVE: "yellow",
    Tone.UPDATE: "yellow",
    Tone.CREATE: "green",
    Tone.NOTE: "cyan",
}


@dataclass(frozen=True, slots=True)
class Output:
    """A form and its file. None is standard output."""

    form: str
    file: Path | None


def plan_as_text(plan: Plan, *, verbose: bool = False) -> str:
    return "".join(f"{row.text}\n" for row in render_text(plan, verbose=verbose))


def plan_as_json(plan: Plan) -> str:
    return visible_json(plan_document(plan), indent=2) + "\n"


FORMS: Mapping[str, Callable[[Plan], str]] = {
    "text": plan_as_text,
    "json": plan_as_json,
    "markdown": render_markdown,
    "sarif": plan_as_sarif,
    "github": plan_as_annotations,
    "gitlab": plan_as_code_quality,
}


def parse_output(text: str) -> Output:
    """Parse FORM or FORM=FILE. Raises ValueError for any other text."""
    form, equals, file = text.partition("=")
    if form not in FORMS:
        raise ValueError(f"{form!r} is not one of {', '.join(FORMS)}")
    if equals and not file:
        raise ValueError(f"{text!r} names no file: write {form}=FILE, or {form} alone")
    return Output(form, None if not equals or Path(file) == STREAM else Path(file))


def refuse_outputs(outputs: Sequence[Output], saved: Path | None) -> None:
    """Raise WrongUse for outputs that would overwrite each other, or that cannot be written."""
    files = [output.file for output in outputs if output.file is not None] + ([saved] if saved else [])
    if sum(output.file is None for output in outputs) + sum(map(is_standard_output, files)) > 1:
        raise WrongUse(
            "two outputs go to standard output", hint="write all but one to a file: --format json=plan.json"
        )
    paths = [os.path.realpath(file) for file in files]
    for file, path in zip(files, paths, strict=True):
        if paths.count(path) > 1 and not path.startswith("/dev/"):
            raise WrongUse(f"two outputs go to {file}", hint="name a different file for each")
        refuse_output(file)
    if saved is not None and saved.suffix in {".yaml", ".yml"}:
        raise WrongUse(
            f"--out {saved} has the name of a webhook file, so apply would read it as one", hint="name it plan.json"
        )


def write_outputs(plan: Plan, outputs: Sequence[Output], saved: Path | None, *, verbose: bool) -> None:
    """Write the files first, then to standard output. Raises HooklineError.

    Args:
        plan: the plan to write.
        outputs: the forms and their files.
        saved: the file for `hookline apply FILE`, readable by its owner only.
        verbose: show every field of each created webhook.
    """
    if saved is not None:
        with open_output(saved, mode=0o600) as draft:
            draft.write(plan_as_json(plan).encode())
    for output in outputs:
        if output.file is not None:
            text = plan_as_text(plan, verbose=verbose) if output.form == "text" else FORMS[output.form](plan)
            with open_output(output.file, mode=0o644) as draft:
                draft.write(text.encode())
    for output in outputs:
        if output.file is None:
            print_plan(plan, output.form, verbose=verbose)


def print_plan(plan: Plan, form: str, *, verbose: bool = False) -> None:
    """Write a plan to stdout. Text is coloured on a terminal."""
    if form == "github":  # only this form contains commands that the runner must execute
        print_runner_commands(FORMS[form](plan).rstrip("\n"))
        return
    if form != "text":
        click.echo(FORMS[form](plan), nl=False)
        return
    for row in render_text(plan, verbose=verbose):
        colour = _COLOURS.get(row.tone)
        click.echo(coloured(row.text, colour) if colour else row.text)
