"""`hookline init`: a repository of webhook files, with what pull requests need."""

from __future__ import annotations

from pathlib import Path

import click

from hookline.cli.scaffold import IGNORED, WORKFLOW, Written, ignores_state, repository_above, scaffold, write_new


@click.command(epilog="Example: hookline init feedback-webhooks. Exit codes: 0 done, 1 nothing could be created.")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
def command(directory: Path) -> None:
    """Create a repository of webhook files.

    Writes an example webhook (not enabled), the schema and editor settings for completion and checks, a pre-commit
    hook, and a GitHub Actions workflow that plans on pull requests and applies the reviewed plan on main.

    DIR is the current directory by default and can contain files. Existing files are not changed.
    """
    written = write_new(directory, scaffold())
    if written.created:
        click.echo(f"Created in {directory}:")
        click.echo("\n".join(f"  {path}" for path in written.created))
    if written.left:
        click.echo("Left as it is, for it exists:")
        click.echo("\n".join(f"  {path}" for path in written.left))
    for note in _notes(directory, written):
        click.echo(f"note: {note}", err=True)
    click.echo(_next_steps(directory))


def _notes(directory: Path, written: Written) -> list[str]:
    """What would not work as things are, and what to do about it."""
    notes = []
    if ".gitignore" in written.left and not ignores_state(directory):
        notes.append(f"add the line {IGNORED} to .gitignore, so that no local state is committed")
    root = repository_above(directory)
    if root is not None and WORKFLOW in written.created:
        notes.append(f"GitHub reads {WORKFLOW} only at the root of the repository, which is {root}")
    return notes


def _next_steps(directory: Path) -> str:
    enter = "" if directory.resolve() == Path.cwd() else f"cd {directory} && "
    return f"""\
Next:
  1. Make webhooks/example/prod.yaml yours, then: {enter}hookline validate && hookline plan
  2. Give the workflow its state, a PostgreSQL database: the repository's secret HOOKLINE_STATE_READONLY (a role that
     may read), and HOOKLINE_STATE (one that may write) in an environment named hookline, for the branch main only
  3. Protect the branch main: pull requests only, with the check "Validate and plan"; owners in .github/CODEOWNERS
  4. Push, and open a pull request: its plan comes as a comment, and the merge applies it"""
