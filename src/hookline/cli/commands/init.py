"""`hookline init`: create a repository of webhook files, with its CI for pull requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath

import click

from hookline import __version__
from hookline.cli.standard_streams import put_work_first
from hookline.errors import HooklineError
from hookline.paths import is_directory, name_is_taken, path_exists, repository_root
from hookline.schemas import schema_text

GITIGNORE = ".hookline/"
WORKFLOW = ".github/workflows/hookline.yml"

# Path → template. The names of templates do not begin with a dot, because packaging tools interpret dot files.
_TEMPLATES = {
    "webhooks/example/prod.yaml": "webhook.yaml",
    WORKFLOW: "workflow.yml",
    ".github/CODEOWNERS": "CODEOWNERS",
    ".gitignore": "gitignore",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    ".vscode/extensions.json": "vscode-extensions.json",
    ".vscode/settings.json": "vscode-settings.json",
    "README.md": "readme.md",
}
_SCHEMA = "webhook.v1"
_VERSION_MARK = "@VERSION@"


def scaffold() -> Mapping[str, str]:
    """The files of a new repository: path relative to its root → text."""
    templates = files("hookline") / "templates"
    texts = {
        path: (templates / name).read_text(encoding="utf-8").replace(_VERSION_MARK, __version__)
        for path, name in _TEMPLATES.items()
    }
    texts[f"schemas/{_SCHEMA}.schema.json"] = schema_text(_SCHEMA)
    return texts


def write_new(directory: Path, texts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Write each text whose path does not exist yet below `directory`. Creates the directory if it is missing.

    Returns the created and the existing paths, sorted. An existing file, directory or dangling link is not changed.
    If one file cannot be written, the function removes those that it has written. Raises HooklineError.
    """
    created: list[str] = []
    existing: list[str] = []
    made: list[Path] = []
    try:
        for path, text in sorted(texts.items()):
            target = directory / path
            if name_is_taken(target):
                existing.append(path)
                continue
            for parent in reversed([parent for parent in target.parents if not path_exists(parent)]):
                parent.mkdir()
                made.append(parent)
            # "x" follows no link and refuses a file that another process has just created.
            with target.open("x", encoding="utf-8") as file:
                made.append(target)
                file.write(text)
            created.append(path)
    except BaseException as error:
        for made_path in reversed(made):
            if is_directory(made_path):
                made_path.rmdir()
            else:
                made_path.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        place = error.filename if error.filename is not None else directory
        raise HooklineError(
            f"{place}: {error.strerror or error}; nothing was created",
            hint="name a directory in which you may create files: hookline init DIR",
        ) from error
    return created, existing


def ignores_state(directory: Path) -> bool:
    """Whether the directory's .gitignore contains hookline's own directory."""
    try:
        lines = (directory / ".gitignore").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip().strip("/") == GITIGNORE.strip("/") for line in lines)


def repository_above(directory: Path) -> Path | None:
    """The root of the git repository above `directory`; None if it is a root itself or in no repository."""
    root = repository_root(directory)
    return None if root in (None, directory.absolute()) else root


def subdirectory_notes(created: Sequence[str], below: PurePosixPath, root: Path) -> list[str]:
    """For a directory `below` the root of a repository: which created file belongs elsewhere, and how to adapt it."""
    moves = {
        WORKFLOW: f"GitHub reads it only at the root: move it to {root / WORKFLOW}, add `working-directory: {below}` "
        f"below its `defaults: run:`, and write {below}/ before the paths of steps that use an action",
        ".github/CODEOWNERS": f"GitHub reads it only at the root: add its lines to {root / '.github/CODEOWNERS'}, "
        f"with /{below} before each path",
        ".pre-commit-config.yaml": f"pre-commit reads it only at the root: add its hook to "
        f"{root / '.pre-commit-config.yaml'}, with `files: ^{below}/webhooks/` and `--config {below}/webhooks`",
        ".vscode/settings.json": f"open the folder {below} in the editor, or add its lines at the root, with "
        f"{below}/ before its paths",
    }
    notes = [f"{path}: {text}" for path, text in moves.items() if path in created]
    return [*notes, "everything else stays; run hookline in this directory"] if notes else []


@click.command(epilog="Example: hookline init feedback-webhooks. Exit codes: 0 done, 1 nothing could be created.")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
def init_command(directory: Path) -> None:
    """Create a repository of webhook files.

    Writes an example webhook (not enabled), the schema and editor settings for completion and checks, a pre-commit
    hook, and a GitHub Actions workflow that plans on pull requests and applies the reviewed plan on main.

    DIR is the current directory by default and can contain files. Existing files are not changed.
    """
    put_work_first()
    created, existing = write_new(directory, scaffold())
    if created:
        click.echo("\n  ".join([f"Created in {directory}:", *created]))
    if existing:
        click.echo("\n  ".join(["Not changed, because it exists:", *existing]))
    if ".gitignore" in existing and not ignores_state(directory):
        note = f"add the line {GITIGNORE} to .gitignore, so that git does not commit local state"
        click.echo(f"note: {note}", err=True)
    root = repository_above(directory)
    if root is not None:
        below = PurePosixPath(directory.absolute().relative_to(root))
        notes = subdirectory_notes(created, below, root)
        if notes:
            click.echo("\n  ".join([f"note: this is a subdirectory of the repository {root}:", *notes]), err=True)
    click.echo(_next_steps(directory))


def _next_steps(directory: Path) -> str:
    enter = "" if directory.resolve() == Path.cwd() else f"cd {directory} && "
    return f"""\
Next:
  1. Edit webhooks/example/prod.yaml, then: {enter}hookline validate && hookline plan
  2. Give the workflow its state, a PostgreSQL database: the repository's secret HOOKLINE_STATE_READONLY (a role that
     may read), and HOOKLINE_STATE (one that may write) in an environment named hookline, for the branch main only
  3. Protect the branch main: pull requests only, with the check "Validate and plan"; owners in .github/CODEOWNERS
  4. Push, and open a pull request: a comment shows its plan, and the merge applies it"""
