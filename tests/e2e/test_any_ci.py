"""The shell script of `init --ci script`, as the jobs of any CI run it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from hookline_process import clean_environment
from quick_hookline import quick_hookline

PACKAGE = f"hookline==0.1.0 --hash=sha256:{'0' * 64}"
SCRIPT = ("dash", "ci/hookline.sh")
CHANGES, BLOCKED, STALE, UNUSABLE, WRONG_USE = 2, 6, 7, 8, 64

WEBHOOK = """\
version: 1
organization: {organization}
sandbox: prod
name: Transactional feedback
channels: [email]
url: https://hooks.acme.example/feedback
campaigns: all
"""


class Agent:
    """A machine of a CI system, with a repository of `init --ci script` and a `python3` that makes its environment.

    The environment has hookline of this repository, and a pip that writes down its arguments.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory / "work"
        bin_directory = directory / "bin"
        bin_directory.mkdir()
        tool = bin_directory / "python3"
        tool.write_text(f"""\
#!/bin/sh
[ "$1 $2 $3" = "-m venv --clear" ] || exit 99
mkdir -p "$4/bin"
printf '#!/bin/sh\\necho "$PYTHONSAFEPATH $@" >> "{directory}/pip.log"\\n' > "$4/bin/python"
printf '#!/bin/sh\\nexec "{quick_hookline()}" "$@"\\n' > "$4/bin/hookline"
chmod +x "$4/bin/python" "$4/bin/hookline"
""")
        tool.chmod(0o755)
        self.environment = clean_environment(
            HOME=str(directory), PATH=f"{bin_directory}:{clean_environment()['PATH']}", GIT_CONFIG_GLOBAL="/dev/null",
            HOOKLINE_STATE=str(directory / "state.db"), JENKINS_URL="https://ci.acme.example/",
            GIT_BRANCH="origin/main",
        )  # fmt: skip
        self.run(str(quick_hookline()), "init", "--ci", "script", "--package", PACKAGE, "work", at=directory)
        shutil.rmtree(self.work / "webhooks/example")
        for organization in ("alpha", "beta"):
            self.path(organization).parent.mkdir(parents=True)
            self.path(organization).write_text(WEBHOOK.format(organization=organization))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Begin")

    def path(self, organization: str) -> Path:
        return self.work / "webhooks" / organization / "prod.yaml"

    def run(self, *command: str, code: int = 0, at: Path | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=at or self.work, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert code == done.returncode, (command, done.stdout, done.stderr)
        return done

    def job(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(*SCRIPT, *arguments, code=code)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example")
        return self.run("git", *identity, *arguments).stdout.strip()

    def commit(self, message: str) -> None:
        """Commit everything, and check it out as CI does: without a branch."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("checkout", "--quiet", "--detach")

    def change(self, branch: str, organization: str, old: str, new: str) -> None:
        """A commit on a branch, which begins at main if it is new, checked out as CI does."""
        known = self.git("branch", "--list", branch)
        self.git("checkout", "--quiet", *([branch] if known else ["-b", branch, "main"]))
        text = self.path(organization).read_text()
        assert old in text
        self.path(organization).write_text(text.replace(old, new))
        self.commit(f"Change {organization}")

    def history(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(
            self.run(str(quick_hookline()), "history", "--format", "json").stdout
        )
        return found


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_the_jobs_of_a_pipeline(agent: Agent) -> None:
    """Install, validate, plan, ask for approval if there are changes, apply the saved plan, and look for drift."""
    assert "run sh ci/hookline.sh install first" in agent.job("validate", code=WRONG_USE).stderr
    agent.job("install")
    dependencies, package, check = (agent.directory / "pip.log").read_text().splitlines()
    assert dependencies.startswith("1 -m pip install --quiet --require-hashes --requirement /")
    assert package.endswith(f"--no-deps --no-build-isolation --requirement {agent.work}/ci/package.txt")
    assert "1 -m pip check" == check
    assert "2 webhooks in 2 files are valid\n" == agent.job("validate").stdout
    assert "no plan.json" in agent.job("apply", code=WRONG_USE).stderr
    shown = agent.job("plan").stdout
    assert "+ alpha/prod" in shown
    assert shown.splitlines()[-1].startswith("Fingerprint: `sha256:")
    agent.job("changes", code=CHANGES)
    agent.job("apply")
    agent.job("changes")
    agent.job("drift")
    (entry,) = agent.history()
    assert (agent.git("rev-parse", "HEAD"), "main") == (entry["commit"], entry["branch"])


def test_only_the_touched_webhook_makes_a_plan_stale(agent: Agent) -> None:
    """A merge in between does not disturb the plan of another webhook; a plan of the same webhook is refused."""
    agent.job("install")
    agent.job("plan")
    agent.job("apply")
    plans = {}
    for branch, organization in (("first", "alpha"), ("other", "beta"), ("second", "alpha")):
        agent.change(branch, organization, "Transactional feedback", branch)
        plans[branch] = agent.job("plan").stdout.splitlines()[-1].split("`")[1]
        shutil.copy(agent.work / "plan.json", agent.directory / branch)

    agent.change("main", "alpha", "Transactional feedback", "first")
    agent.job("apply", plans["first"])
    agent.change("main", "beta", "Transactional feedback", "other")
    shutil.copy(agent.directory / "other", agent.work / "plan.json")
    agent.job("apply")
    agent.change("main", "alpha", "first", "second")
    refused = agent.job("apply", plans["second"], code=STALE)
    assert "nothing was applied. Run the job that plans on this branch" in refused.stderr
    shutil.copy(agent.directory / "second", agent.work / "plan.json")
    assert "alpha/prod was updated" in agent.job("apply", code=STALE).stderr
    assert 3 == len(agent.history())


def test_a_job_without_a_plan_or_a_state_says_so(agent: Agent) -> None:
    """A blocked plan is kept and refused, a failed one leaves no earlier plan behind, and the state must be named."""
    agent.job("install")
    agent.job("plan")
    agent.path("alpha").write_text(agent.path("alpha").read_text().replace("https", "http"))
    agent.job("plan", code=5)
    assert not (agent.work / "plan.json").exists()
    agent.environment["HOOKLINE_STATE"] = ""
    for name in ("plan", "changes", "apply", "drift"):
        assert "HOOKLINE_STATE is not set" in agent.job(name, code=UNUSABLE).stderr
    (agent.work / "ci/package.txt").unlink()
    assert "Run: hookline init --ci script --package SPEC" in agent.job("install", code=WRONG_USE).stderr
