"""A stub of GitHub in a directory: a bare repository, pull requests, and a runner for the workflow of `init`.

The runner supports only the features that this workflow uses. It runs the `run:` steps with bash in a checkout and
evaluates `if:` and `${{ … }}`. A job gets only its own secrets and permissions. The runner replaces the actions that
check out a repository and that store artifacts.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from git_site import GitSite
from hookline_process import clean_environment

REPOSITORY = "acme/webhooks"
WORKFLOW = ".github/workflows/hookline.yml"
ROOT = Path(__file__).parents[1]
ACTIONS = "acme/hookline/.github/actions/"
_WORD = re.compile(r"'[^']*'|&&|\|\||!=|==|!|[A-Za-z_][\w.-]*(?:\(\))?|[()]|\s+")
_OPERATORS = {"&&": " and ", "||": " or ", "!": " not ", "==": "==", "!=": "!=", "(": "(", ")": ")"}
_FUNCTIONS = {"cancelled()": "False", "always()": "True"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The event that started a run. `sha` is the commit to check out, `head` the last commit of the pull request."""

    name: str
    sha: str
    ref: str = "refs/heads/main"
    head: str = ""
    number: int | None = None
    source: str = REPOSITORY
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A finished job. `code` is the exit code of the failed step, or 0. `log` is the whole output."""

    code: int
    log: str
    outputs: Mapping[str, str]
    summary: str


class GithubStub(GitSite):
    """The site. `secrets` are those of the repository, `environments` those of each environment by its name."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.store = directory / "store.json"
        self.secrets: dict[str, str] = {}
        self.environments: dict[str, dict[str, str]] = {}
        self.store.write_text(json.dumps({"next": 100, "pulls": [], "comments": {}, "runs": [], "calls": []}))
        self.add_program("gh", f'exec "{sys.executable}" "{Path(__file__).with_name("github_cli_stub.py")}" "$@"')

    def run_real_pip(self) -> None:
        """From now on, `python -m pip` starts pip, and `hookline` Python, as on a runner. pip installs nothing."""
        python = f'exec "{sys.executable}"'
        self.add_program("hookline", f'{python} -P -m hookline "$@"')
        self.add_program("python", f'[ "$1 $2" = "-m pip" ] && {python} -m pip --version\n{python} "$@"')

    def change_run(self, event: str, **fields: Any) -> None:
        """Change the site's runs of an event."""
        self._change(runs=[{**one, **fields} if one["event"] == event else one for one in self.read()["runs"]])

    def read(self) -> dict[str, Any]:
        stored: dict[str, Any] = json.loads(self.store.read_text())
        return stored

    def _change(self, **fields: Any) -> None:
        self.store.write_text(json.dumps({**self.read(), **fields}))

    def comments(self, number: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.read()["comments"].get(str(number), [])
        return found

    def say(self, number: int, login: str, body: str) -> None:
        """Add a comment by the user `login`."""
        stored = self.read()
        comment = {"id": stored["next"], "user": {"login": login}, "body": body}
        comments = {**stored["comments"], str(number): [*self.comments(number), comment]}
        self._change(next=stored["next"] + 1, comments=comments)

    def open_pull(self, branch: str, *, base: str = "main") -> int:
        """Open a pull request for a pushed branch into the branch `base`; its number."""
        stored = self.read()
        head = {"ref": branch, "sha": self.git("rev-parse", branch, at=self.origin)}
        pull = {
            "number": stored["next"],
            "head": head,
            "base": {"ref": base},
            "merged_at": None,
            "merge_commit_sha": None,
        }
        self._change(next=stored["next"] + 1, pulls=[*stored["pulls"], pull])
        return int(stored["next"])

    def pull(self, number: int | None) -> dict[str, Any]:
        return next((one for one in self.read()["pulls"] if one["number"] == number), {})

    def change_base(self, number: int, base: str) -> None:
        """Change the branch that a pull request is merged into. GitHub starts no run for it."""
        pulls = self.read()["pulls"]
        next(one for one in pulls if one["number"] == number)["base"]["ref"] = base
        self._change(pulls=pulls)

    def _merged(self, number: int, *how: str) -> tuple[Path, str, str]:
        pull = self.pull(number)
        place = self.clone(f"merge-{self.read()['next']}")
        self.git("checkout", "--quiet", "--detach", f"origin/{pull['base']['ref']}", at=place)
        self._change(next=self.read()["next"] + 1)
        head = self.git("rev-parse", f"origin/{pull['head']['ref']}", at=place)
        self.git("merge", "--quiet", *how, f"origin/{pull['head']['ref']}", at=place)
        if "--squash" in how:
            self.git("commit", "--quiet", "-m", f"Pull request {number}", at=place)
        return place, head, self.git("rev-parse", "HEAD", at=place)

    def check(self, number: int, *, source: str = REPOSITORY) -> dict[str, Job]:
        """Run the workflow for an opened or updated pull request, on its merge with main."""
        place, head, sha = self._merged(number, "--no-ff", "--no-edit")
        self.git("push", "--quiet", "--force", "origin", f"HEAD:refs/pull/{number}/merge", at=place)
        ref = f"refs/pull/{number}/merge"
        return self.run(Event(name="pull_request", sha=sha, ref=ref, head=head, number=number, source=source))

    def merge(self, number: int, *how: str) -> str:
        """Merge a pull request into main, by default with a merge commit; the new commit of main."""
        place, head, sha = self._merged(number, *(how or ("--no-ff", "--no-edit")))
        self.git("push", "--quiet", "origin", f"HEAD:{self.pull(number)['base']['ref']}", at=place)
        pulls = self.read()["pulls"]
        for one in pulls:
            if one["number"] == number:
                one.update(merged_at="2026-11-22T00:00:00Z", merge_commit_sha=sha)
                one["head"]["sha"] = head
        self._change(pulls=pulls)
        return sha

    def run(self, event: Event) -> dict[str, Job]:
        """Run the workflow of the event's commit; the jobs that ran, by name."""
        number = self.read()["next"]
        run = {
            "id": number, "event": event.name, "head_sha": event.head or event.sha, "artifacts": {},
            "path": WORKFLOW, "head_branch": self.pull(event.number).get("head", {}).get("ref", "main"),
            "head_repository": {"full_name": event.source},
        }  # fmt: skip
        self._change(next=number + 1, runs=[*self.read()["runs"], run])
        workflow = yaml.safe_load(self.git("show", f"{event.sha}:{WORKFLOW}", at=self.origin))
        scripts = [step for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
        assert not scripts or workflow["defaults"] == {"run": {"shell": "bash"}}, "the runner knows no other shell"
        jobs: dict[str, Job] = {}
        for name, job in workflow["jobs"].items():
            context = self._context(event, number, workflow, job, jobs)
            needed = [job["needs"]] if "needs" in job else []
            ready = all(one in jobs and jobs[one].code == 0 for one in needed)
            if _holds(job["if"], context) and (ready or "cancelled()" in job["if"]):
                jobs[name] = _Steps(self, event, number, context, job).run()
        return jobs

    def _context(self, event: Event, number: int, workflow: Any, job: Any, jobs: Mapping[str, Job]) -> dict[str, str]:
        outside = event.source != REPOSITORY
        secrets = {} if outside else {**self.secrets, **self.environments.get(job.get("environment", ""), {})}
        granted = job.get("permissions", workflow["permissions"])
        context = {
            "github.event_name": event.name,
            "github.ref": event.ref,
            "github.repository": REPOSITORY,
            "github.run_id": str(number),
            "github.token": json.dumps(dict.fromkeys(granted, "read") if outside else granted),
            "github.event.pull_request.number": "" if event.number is None else str(event.number),
            "github.event.pull_request.head.repo.full_name": event.source if event.number is not None else "",
        }
        context |= {f"inputs.{name}": value for name, value in event.inputs.items()}
        context |= {f"secrets.{name}": value for name, value in secrets.items()}
        for name, done in jobs.items():
            context |= {f"needs.{name}.outputs.{key}": value for key, value in done.outputs.items()}
        environment = {**workflow.get("env", {}), **job.get("env", {})}
        return context | {f"env.{name}": _filled(value, context) for name, value in environment.items()}

    def keep(self, number: int, name: str, place: Path) -> None:
        """Store a directory as an artifact of a run."""
        runs = self.read()["runs"]
        next(one for one in runs if one["id"] == number)["artifacts"][name] = str(place)
        self._change(runs=runs)

    def artifact(self, number: int, name: str) -> Path:
        return Path(next(one for one in self.read()["runs"] if one["id"] == number)["artifacts"][name])


class _Steps:
    """One job on a fresh runner, with an empty workspace and only its own environment variables."""

    def __init__(self, site: GithubStub, event: Event, number: int, context: dict[str, str], job: Any) -> None:
        self.site, self.event, self.number, self.context, self.job = site, event, number, context, job
        self.base = site.directory / f"runner-{number}-{job['name'].split()[0]}"
        self.workspace = self.base / "workspace"
        self.workspace.mkdir(parents=True)
        (self.base / "temp").mkdir()
        self.code, self.log = 0, ""

    def run(self) -> Job:
        self._all(self.job["steps"])
        outputs = {name: _filled(text, self.context) for name, text in self.job.get("outputs", {}).items()}
        summary = self.base / "summary"
        return Job(self.code, self.log, outputs, summary.read_text() if summary.exists() else "")

    def _all(self, steps: Any) -> None:
        for position, step in enumerate(steps):
            condition = str(step.get("if", "true"))
            if (self.code == 0 or "cancelled()" in condition) and _holds(condition, self.context):
                code = self._use(step) if "uses" in step else self._shell(step, position)
                self.code = self.code or code

    def _use(self, step: Any) -> int:
        options = step.get("with", {})
        match step["uses"].split("@")[0]:
            case "actions/checkout":
                self.site.git("clone", "--quiet", "--no-checkout", str(self.site.origin), ".", at=self.workspace)
                self.site.git("fetch", "--quiet", "origin", self.event.sha, at=self.workspace)
                self.site.git("checkout", "--quiet", self.event.sha, at=self.workspace)
            case "actions/setup-python":
                pass
            case "actions/upload-artifact":
                kept = self.base / "artifact"
                kept.mkdir()
                for name in options["path"].split():
                    shutil.copy(self.workspace / name, kept)
                self.site.keep(self.number, options["name"], kept)
            case "actions/download-artifact":
                kept = self.site.artifact(self.number, options["name"])
                shutil.copytree(kept, self.workspace / options["path"])
            case own if own.startswith(ACTIONS):
                self._compose(
                    step, yaml.safe_load((ROOT / own.removeprefix("acme/hookline/") / "action.yml").read_text())
                )
            case other:
                raise AssertionError(f"the runner does not know {other}")
        return 0

    def _compose(self, step: Any, action: Any) -> None:
        """Run the steps of a composite action. It sees its own inputs, and no inputs or secrets of the workflow."""
        given = {f"inputs.{name}": _filled(text, self.context) for name, text in step.get("with", {}).items()}
        assert {f"inputs.{name}" for name in action.get("inputs", {})} == given.keys()
        outside = self.context
        hidden = ("inputs.", "secrets.", "steps.")
        self.context = {name: text for name, text in outside.items() if not name.startswith(hidden)} | given
        assert {"bash"} == {inner["shell"] for inner in action["runs"]["steps"] if "run" in inner}
        self._all(action["runs"]["steps"])
        outputs = {name: _filled(one["value"], self.context) for name, one in action.get("outputs", {}).items()}
        self.context = outside | {f"steps.{step.get('id')}.outputs.{name}": text for name, text in outputs.items()}

    def _shell(self, step: Any, position: int) -> int:
        own = {name: _filled(text, self.context) for name, text in step.get("env", {}).items()}
        inherited = {name.removeprefix("env."): value for name, value in self.context.items() if name[:4] == "env."}
        output = self.base / f"output-{position}"
        output.touch()
        environment = clean_environment(
            **inherited, **own, PATH=self.site.search_path, HOME=str(self.base), CI="true", GITHUB_ACTIONS="true",
            GITHUB_ACTOR="ada", GITHUB_SHA=self.event.sha, GITHUB_REPOSITORY=REPOSITORY, GITHUB_OUTPUT=str(output),
            GITHUB_STEP_SUMMARY=str(self.base / "summary"), RUNNER_TEMP=str(self.base / "temp"),
            GITHUB_STUB_STORE=str(self.site.store), GITHUB_REF=self.event.ref,
            GITHUB_REF_NAME=self.event.ref.removeprefix("refs/heads/").removeprefix("refs/"),
            GITHUB_BASE_REF=self.site.pull(self.event.number).get("base", {}).get("ref", ""),
            GITHUB_WORKFLOW_REF=f"{REPOSITORY}/{WORKFLOW}@{self.event.ref}",
        )  # fmt: skip
        # The command of `shell: bash` (docs.github.com, "Workflow syntax", jobs.<job_id>.steps[*].shell).
        shell = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        done = subprocess.run(
            shell, cwd=self.workspace, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=120, check=False,
        )  # fmt: skip
        self.log += done.stdout
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.context[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode


def _filled(text: str, context: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(_value(found[1], context)), str(text))


def _holds(condition: str, context: Mapping[str, str]) -> bool:
    return bool(_value(condition.strip().removeprefix("${{").removesuffix("}}"), context))


def _value(expression: str, context: Mapping[str, str]) -> Any:
    """Evaluate an expression of the workflow language: strings, comparisons, names, cancelled()."""
    python, rest = "", expression.strip()
    while rest:
        found = _WORD.match(rest)
        assert found is not None, f"the runner cannot read {rest!r}"
        word, rest = found[0], rest[found.end() :]
        if word.isspace() or word.startswith("'") or word in _OPERATORS:
            python += _OPERATORS.get(word, word)
        elif word in ("true", "false"):
            python += word.title()
        else:
            python += _FUNCTIONS.get(word, repr(context.get(word, "")))
    return eval(python, {"__builtins__": {}})
