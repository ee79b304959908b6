"""The CI systems that `hookline init` writes files for: their paths, and the steps after `init`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSystem:
    """One value of `init --ci`.

    `workflow` is the file that runs hookline, and `template` its template; `short_template` is that of a file which
    uses actions of hookline's own repository. `folder` has the package and its
    dependencies. `more` are further files: path → template. `owned` are the paths that decide what is applied.
    `request` is the name of a proposed change, and `shown` the place of its plan. `steps` are the next steps of
    `init`; `places` are notes for a subdirectory of a repository: path → text with {root} and {below}.
    """

    workflow: str
    template: str
    folder: str
    request: str
    shown: str
    steps: tuple[str, ...]
    short_template: str | None = None
    owned: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @property
    def package_file(self) -> str:
        return f"{self.folder}/package.txt"

    @property
    def dependencies_file(self) -> str:
        return f"{self.folder}/dependencies.txt"

    def places_below(self, below: PurePosixPath, root: Path) -> Mapping[str, str]:
        return {path: text.format(root=root, below=below) for path, text in self.places.items()}


GITHUB = CiSystem(
    workflow=".github/workflows/hookline.yml",
    template="workflow.yml",
    short_template="workflow-with-actions.yml",
    folder=".github/hookline",
    request="pull request",
    shown="in its comment",
    steps=(
        """\
Give the workflow its state, a PostgreSQL database: the repository's secret HOOKLINE_STATE_READONLY (a role that
     may read), and HOOKLINE_STATE (one that may write) in an environment named hookline, for the branch main only""",
        """\
Protect the branch main: pull requests only, with the check "Validate and plan"; owners in .github/CODEOWNERS""",
        "Push, and open a pull request: a comment shows its plan, and the merge applies it",
    ),
    owned=("/.github/",),
    more={".github/CODEOWNERS": "CODEOWNERS"},
    places={
        ".github/workflows/hookline.yml": "GitHub reads it only at the root: move it to "
        "{root}/.github/workflows/hookline.yml, add `working-directory: {below}` below its `defaults: run:`, and "
        "write {below}/ before the paths of steps that use an action",
        ".github/CODEOWNERS": "GitHub reads it only at the root: add its lines to {root}/.github/CODEOWNERS, with "
        "/{below} before each path",
    },
)
GITLAB = CiSystem(
    workflow=".gitlab-ci.yml",
    template="gitlab-ci.yml",
    folder=".gitlab/hookline",
    request="merge request",
    shown="in its note",
    steps=(
        """\
Set the CI/CD variables of the project: HOOKLINE_STATE_READONLY (the URL of a PostgreSQL role that may read),
     HOOKLINE_STATE (one that may write; protected, with the environment scope hookline), and HOOKLINE_GITLAB_TOKEN (a
     project access token with the role Reporter and the scope api)""",
        "Protect the default branch: nobody may push, and merge requests need a successful pipeline",
        "Push, and open a merge request: a note shows its plan, and the merge applies it",
    ),
    owned=("/.gitlab/", "/.gitlab-ci.yml"),
    more={".gitlab/CODEOWNERS": "CODEOWNERS"},
    places={
        ".gitlab-ci.yml": "GitLab reads it only at the root: move it to {root}/.gitlab-ci.yml, begin the first line "
        "of each `script:` and of the first `before_script:` with `cd {below}`, and write {below}/ before the paths "
        "of `artifacts:`",
        ".gitlab/CODEOWNERS": "GitLab reads it only at the root: add its lines to {root}/.gitlab/CODEOWNERS, with "
        "/{below} before each path",
    },
)
SCRIPT = CiSystem(
    workflow="ci/hookline.sh",
    template="any-ci.sh",
    folder="ci",
    request="pull request",
    shown="in the log of its job",
    steps=(
        """\
Give the jobs their state, a PostgreSQL database: HOOKLINE_STATE with a role that may read for all jobs, and with
     one that may write for the job that applies""",
        "Run `sh ci/hookline.sh install` and then check, plan, apply or drift in the jobs; its first lines name them",
    ),
)
CI_SYSTEMS: Mapping[str, CiSystem | None] = {"github": GITHUB, "gitlab": GITLAB, "script": SCRIPT, "none": None}
