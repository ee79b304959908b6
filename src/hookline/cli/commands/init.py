"""`hookline init`: create a repository of webhook files, with its CI for pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath

import click

from hookline import __version__
from hookline.cli.ci_systems import CI_SYSTEMS, CiSystem
from hookline.cli.options import ParsedParameter, PathParameter, choice_option, examples
from hookline.cli.output.standard_streams import put_work_first
from hookline.cli.package_spec import Installation, Package, parse_package, this_installation
from hookline.errors import HooklineError
from hookline.paths import is_directory, name_is_taken, path_exists, repository_root
from hookline.schemas import schema_text

# The lines of .gitignore that keep local state and keys out of the repository.
IGNORED = (".hookline/", "secrets/", "*.pem")

# Path → template. The names of templates do not begin with a dot, because packaging tools interpret dot files.
_TEMPLATES = {
    "webhooks/example/prod.yaml": "webhook.yaml",
    ".gitignore": "gitignore",
    ".pre-commit-config.yaml": "pre-commit-config.yaml",
    ".vscode/extensions.json": "vscode-extensions.json",
    ".vscode/settings.json": "vscode-settings.json",
    "README.md": "readme.md",
}
_SCHEMAS = ("webhook.v1", "defaults.v1")
_VERSION_MARK, _HOOK_MARK, _OWNED_MARK = "@VERSION@", "@HOOK@", "@OWNED@"
_REQUEST_MARK, _SHOWN_MARK = "@REQUEST@", "@SHOWN@"
_ACTIONS_MARK, _COMMIT_MARK = "@ACTIONS@", "@COMMIT@"


def scaffold(package: Package | None, *, ci: CiSystem | None, at_root: bool = True) -> Mapping[str, str]:
    """The files of a new repository: path relative to its root → text.

    Args:
        package: the package of hookline that CI installs.
        ci: the CI that gets a workflow.
        at_root: whether the files are for the root of a repository; below it, a workflow has all steps itself.

    Without a package the two files that name it are left out; the workflow then reports that they are missing.
    """
    texts = {path: _template(name) for path, name in _TEMPLATES.items()}
    texts[".pre-commit-config.yaml"] = texts[".pre-commit-config.yaml"].replace(_HOOK_MARK, _hook(package))
    texts |= {f"schemas/{name}.schema.json": schema_text(name) for name in _SCHEMAS}
    request, shown = ("pull request", "there") if ci is None else (ci.request, ci.shown)
    texts["README.md"] = texts["README.md"].replace(_REQUEST_MARK, request).replace(_SHOWN_MARK, shown)
    if ci is not None:
        texts[ci.workflow] = _workflow(ci, package if at_root else None)
        owned = "".join(f"# {path}    @your-org/platform\n" for path in ci.owned)
        texts |= {path: _template(name).replace(_OWNED_MARK, owned) for path, name in ci.more.items()}
        if package is not None:
            names = ("dependencies.txt", "build-dependencies.txt")
            texts[ci.package_file] = _PACKAGE_HEAD + package.requirements_file()
            texts[ci.dependencies_file] = "".join(map(_template, names if package.from_source else names[:1]))
    return texts


_PACKAGE_HEAD = "# hookline itself, as the workflow installs it. Its dependencies are in dependencies.txt.\n"


def _template(name: str) -> str:
    return (files("hookline") / "templates" / name).read_text(encoding="utf-8").replace(_VERSION_MARK, __version__)


def _workflow(ci: CiSystem, package: Package | None) -> str:
    """The file with all steps; or the short one, with hookline's actions at the commit of the package."""
    commit = None if package is None else package.github_commit()
    if commit is None or ci.short_template is None:
        return _template(ci.template)
    repository, sha = commit
    actions = _template(ci.short_template).replace(_ACTIONS_MARK, f"{repository}/.github/actions")
    return actions.replace(_COMMIT_MARK, f"{sha} # hookline {__version__}")


def _hook(package: Package | None) -> str:
    """How the pre-commit hook gets hookline: from the package if one argument names it, otherwise from the PATH."""
    argument = None if package is None else package.argument()
    if argument is None:
        return "language: system # runs the hookline on your PATH: install it once, for example with pipx"
    return f'language: python\n        additional_dependencies: ["{argument}"]'


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


def missing_ignores(directory: Path) -> list[str]:
    """The lines of IGNORED that the directory's .gitignore does not contain."""
    try:
        text = (directory / ".gitignore").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    present = {line.strip().strip("/") for line in text.splitlines()}
    return [line for line in IGNORED if line.strip("/") not in present]


def repository_above(directory: Path) -> Path | None:
    """The root of the git repository above `directory`; None if it is a root itself or in no repository."""
    root = repository_root(directory)
    return None if root in (None, directory.absolute()) else root


def subdirectory_notes(created: Sequence[str], below: PurePosixPath, root: Path, ci: CiSystem | None) -> list[str]:
    """For a directory `below` the root of a repository: which created file belongs elsewhere, and how to adapt it."""
    moves = {
        **({} if ci is None else ci.places_below(below, root)),
        ".pre-commit-config.yaml": f"pre-commit reads it only at the root: add its hook to "
        f"{root / '.pre-commit-config.yaml'}, with `files: ^{below}/webhooks/` and `--config {below}/webhooks`",
        ".vscode/settings.json": f"open the folder {below} in the editor, or add its lines at the root, with "
        f"{below}/ before its paths",
    }
    notes = [f"{path}: {text}" for path, text in moves.items() if path in created]
    return [*notes, "everything else stays; run hookline in this directory"] if notes else []


@click.command(
    epilog=examples(
        "hookline init feedback-webhooks",
        "hookline init --package 'hookline==0.1.0 --hash=sha256:<64 digits>' feedback-webhooks",
        "hookline init --ci gitlab --package 'git+https://git.acme.example/hookline.git@<40 digits>' .",
        exits="0 done, 1 nothing could be created, 64 the package is not one that CI can install",
    )
)
@click.argument("directory", metavar="[DIR]", default=".", type=PathParameter(path_type=Path))
@choice_option(
    "--ci", forms=list(CI_SYSTEMS), help="The CI to write files for; script: a shell script for any other one."
)
@click.option(
    "--package",
    type=ParsedParameter("spec", parse_package),
    help="The package of hookline that CI installs: a requirement with hashes, the URL of a wheel, or a git URL at a "
    "commit. By default the one that this hookline was installed from, if CI can install it too.",
)
def init_command(directory: Path, ci: str, package: Package | None) -> None:
    """Create a repository of webhook files.

    Writes an example webhook (not enabled), the schema and editor settings for completion and checks, a pre-commit
    hook, and a workflow for GitHub Actions or GitLab CI that plans a proposed change and applies the reviewed plan
    after its merge, or a shell script that does this in any other CI. CI installs hookline from the package that
    --package names, and its dependencies by their hashes.

    DIR is the current directory by default and can contain files. Existing files are not changed, so a second run
    with --package adds the files that are missing.
    """
    put_work_first()
    system = CI_SYSTEMS[ci]
    installation = this_installation() if package is None and system is not None else Installation()
    package = package or installation.package
    at_root = repository_above(directory) is None
    created, existing = write_new(directory, scaffold(package, ci=system, at_root=at_root))
    if created:
        click.echo("\n  ".join([f"Created in {directory}:", *created]))
    if existing:
        click.echo("\n  ".join(["Not changed, because it exists:", *existing]))
    notes = list(_notes(directory, created, existing, system))
    if system is not None:
        notes += _package_notes(directory, existing, system, package, installation)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(_next_steps(directory, system))


def _notes(
    directory: Path, created: Sequence[str], existing: Sequence[str], system: CiSystem | None
) -> Iterator[str]:
    """Each file that has to be changed by hand."""
    if (root := repository_above(directory)) is not None:
        below = PurePosixPath(directory.absolute().relative_to(root))
        if places := subdirectory_notes(created, below, root, system):
            yield "\n  ".join([f"this is a subdirectory of the repository {root}:", *places])
    if system is not None and system.workflow in existing and not _runs_hookline(directory / system.workflow):
        yield (
            f"{system.workflow} does not run hookline: write the files into an empty directory, and add the jobs of "
            "its file to yours"
        )
    if ".gitignore" in existing and (missing := missing_ignores(directory)):
        lines = f"the line {missing[0]}" if len(missing) == 1 else f"the lines {' '.join(missing)}"
        yield f"add {lines} to .gitignore, so that git does not commit local state or keys"


def _runs_hookline(workflow: Path) -> bool:
    try:
        return "hookline" in workflow.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True  # it cannot be read, so it may use hookline


def _package_notes(
    directory: Path, existing: Sequence[str], system: CiSystem, package: Package | None, installation: Installation
) -> Iterator[str]:
    """What CI cannot install yet, or could install in another version, with the next step."""
    if package is None and not path_exists(directory / system.package_file):
        yield _no_package_note(directory, system, installation)
    if package is not None and system.package_file in existing:
        file = system.package_file
        yield f"{file} still names the earlier package: edit it, or delete it and run this command again"
    if package is not None and not package.pinned:
        yield (
            f"{package.requirement.partition(' @ ')[2]} is not pinned: add #sha256=… to its URL, so that CI installs "
            "no other file (`pip hash FILE` prints the hash)"
        )


def _no_package_note(directory: Path, system: CiSystem, installation: Installation) -> str:
    """No package of hookline is known that CI could install."""
    option = next("" if name == "github" else f"--ci {name} " for name, one in CI_SYSTEMS.items() if one is system)
    note = (
        "the workflow installs no hookline yet, because it is not known where CI can get it. Name the package: "
        f"hookline init {option}--package SPEC {directory} (a requirement with hashes, the URL of a wheel, or a git "
        "URL at a commit)"
    )
    if installation.local is not None:
        own = installation.local.requirement.rpartition(" @ ")[2]
        note += (
            ".\n  This hookline comes from a place that only this machine can reach: push it to where CI can get it. "
            f"For a runner on this machine: --package '{own}'"
        )
    return note


def _next_steps(directory: Path, system: CiSystem | None) -> str:
    enter = "" if directory.resolve() == Path.cwd() else f"cd {directory} && "
    first = f"Edit webhooks/example/prod.yaml, then: {enter}hookline validate && hookline plan"
    steps = [first, *(() if system is None else system.steps)]
    return "\n".join(["Next:", *(f"  {number}. {step}" for number, step in enumerate(steps, 1))])
