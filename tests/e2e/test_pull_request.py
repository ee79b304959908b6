"""From a pull request to the applied change: the steps of the workflow that `init` writes, on a real repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from github_cli_stub import FILTERS
from github_stub import Event, GithubStub, Job
from postgres_server import shared_server
from state_policy import set_policy
from team_repository import MARKER, PACKAGE, TeamRepository

ROLES = Path(__file__).parents[2] / "docs/how-to/state-on-postgresql.md"
ON_GITHUB = f"git+https://github.com/acme/hookline.git@{'1' * 40}"
WRONG_USE, BLOCKED, STALE, UNUSABLE, DRIFTED = 64, 6, 7, 8, 9


class Team(TeamRepository):
    """A repository on GitHub."""

    def __init__(
        self, directory: Path, *, reading: str | None = None, writing: str | None = None, package: str = PACKAGE
    ) -> None:
        self.site = GithubStub(directory / "site")
        self.state = directory / "state.db"
        location = writing or str(self.state)
        self.site.secrets["HOOKLINE_STATE_READONLY"] = reading or str(self.state)
        self.site.environments["hookline"] = {"HOOKLINE_STATE": location}
        super().__init__(self.site, location, "--package", package)

    def propose(self, branch: str, organization: str, old: str, new: str) -> int:
        """A pull request that changes one webhook, branched off main as it is now; its number."""
        self.push_change(branch, organization, old, new)
        return self.site.open_pull(branch)

    def applied(self, organization: str) -> dict[str, object]:
        document: dict[str, object] = json.loads(self.hookline("show", f"{organization}/prod", "--format", "json"))
        return document

    def serial(self) -> int:
        return len(self.history())

    def push(self, sha: str) -> Job:
        """What runs after a push to main."""
        jobs = self.site.run(Event(name="push", sha=sha))
        assert {"apply"} == set(jobs)
        return jobs["apply"]

    def dispatch(self, **inputs: str) -> dict[str, Job]:
        """Somebody presses "Run workflow" on main."""
        sha = self.site.git("rev-parse", "main", at=self.site.origin)
        given = {"fingerprint": "", "allow_delete": "", **inputs}
        return self.site.run(Event(name="workflow_dispatch", sha=sha, inputs=given))


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(tmp_path)


def _planned(jobs: Mapping[str, Job]) -> None:
    assert {"plan": 0, "comment": 0} == {name: job.code for name, job in jobs.items()}, jobs


def test_a_merge_applies_what_its_pull_request_showed(team: Team) -> None:
    """A pull request is planned and commented on and changes nothing; its merge applies it, and history names it."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    (comment,) = team.site.comments(number)
    assert comment["body"].startswith(MARKER)
    assert "alpha/prod" in comment["body"]
    assert "beta/prod" not in comment["body"]
    assert 1 == team.serial()

    sha = team.site.merge(number)
    done = team.push(sha)
    assert (0, 2) == (done.code, team.serial()), done.log
    assert "The order service" == team.applied("alpha")["description"]
    (_, entry) = team.history()
    assert sha == entry["commit"]
    assert "ada" == entry["who"]


def test_the_short_workflow_does_the_same(tmp_path: Path) -> None:
    """With hookline's own actions, a blocked plan is shown too, and a merge applies what its pull request showed."""
    team = Team(tmp_path, package=ON_GITHUB)
    number = team.propose("faster", "alpha", "None yet", "The order service\nprotected: true")
    _planned(team.site.check(number))
    (comment,) = team.site.comments(number)
    assert "The order service" in comment["body"]
    sha = team.site.merge(number)
    done = team.push(sha)
    assert (0, 2) == (done.code, team.serial()), done.log
    drift = team.site.run(Event(name="schedule", sha=sha))
    assert {"drift": 0} == {name: job.code for name, job in drift.items()}, drift

    team.site.git("fetch", "--quiet", "origin", at=team.work)
    team.site.git("checkout", "--quiet", "--detach", "origin/main", at=team.work)
    team.path("alpha").unlink()
    team.commit("gone", "Delete alpha")
    gone = team.site.open_pull("gone")
    jobs = team.site.check(gone)
    assert {"plan": BLOCKED, "comment": 0} == {name: job.code for name, job in jobs.items()}, jobs
    assert {"apply": WRONG_USE} == {name: job.code for name, job in team.dispatch(fingerprint="x").items()}


@pytest.mark.parametrize("how", [("--squash",), ("--ff-only",)])
def test_a_squash_and_a_rebase_lead_back_to_the_plan_too(team: Team, how: tuple[str, ...]) -> None:
    """The fingerprint is found by the pull request, however that was merged."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    done = team.push(team.site.merge(number, *how))
    assert (0, 2) == (done.code, team.serial()), done.log


def test_the_comment_is_one_and_the_bots_own(team: Team) -> None:
    """A second push updates the comment; a comment of somebody else that has the marker in it is left alone."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    team.site.say(number, "mallory", f"{MARKER} sha256:{'0' * 64} -->\nall is well")
    _planned(team.site.check(number))
    path = team.path("alpha")
    path.write_text(path.read_text().replace("The order service", "The refund service"))
    team.commit("faster", "Better")
    _planned(team.site.check(number))
    theirs, ours = team.site.comments(number)
    assert theirs["body"].endswith("all is well")
    assert "The refund service" in ours["body"]
    assert "The order service" not in ours["body"]


def test_only_the_touched_webhook_makes_a_plan_stale(team: Team) -> None:
    """Of pull requests planned on one state, the merge of one makes stale only another one of the same webhook."""
    first = team.propose("first", "alpha", "None yet", "The order service")
    same = team.propose("same", "alpha", "hooks.acme", "new.acme")
    other = team.propose("other", "beta", "None yet", "The refund service")
    for number in (first, same, other):
        _planned(team.site.check(number))

    assert 0 == team.push(team.site.merge(first)).code
    assert 0 == team.push(team.site.merge(other)).code
    refused = team.push(team.site.merge(same))
    assert STALE == refused.code
    assert "::error title=Not the reviewed plan::" in refused.log
    assert "Run workflow on main" in refused.log
    assert 3 == team.serial()
    assert "https://hooks.acme.example/feedback" == team.applied("alpha")["url"]

    # The way out that the message names: look at what main would change now, then apply exactly that.
    shown = team.dispatch()
    assert {"plan": 0} == {name: job.code for name, job in shown.items()}
    assert "new.acme.example" in shown["plan"].summary
    fingerprint = shown["plan"].summary.rpartition("Fingerprint: `")[2].partition("`")[0]
    done = team.dispatch(fingerprint=fingerprint)
    assert {"apply": 0} == {name: job.code for name, job in done.items()}, done
    assert "https://new.acme.example/feedback" == team.applied("alpha")["url"]


def test_merges_that_overtake_each_other_undo_nothing(team: Team) -> None:
    """The job of an earlier merge that runs after a later commit was applied is refused, and nothing goes back."""
    number = team.propose("first", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    early = team.site.merge(number)
    later = team.propose("second", "beta", "None yet", "The refund service")
    _planned(team.site.check(later))
    # The second was planned on a main that held the first unapplied, and showed both.
    assert "alpha/prod" in team.site.comments(later)[0]["body"]
    assert 0 == team.push(team.site.merge(later)).code

    refused = team.push(early)
    assert refused.code in (BLOCKED, STALE), refused.log
    assert 2 == team.serial()
    assert "The order service" == team.applied("alpha")["description"]
    assert "The refund service" == team.applied("beta")["description"]


def test_an_old_job_that_is_run_again_cannot_bring_its_change_back(team: Team) -> None:
    """After a revert, the plan of the first merge fits the state again to the letter; its age blocks it."""
    first = team.propose("first", "alpha", "None yet", "The order service")
    _planned(team.site.check(first))
    old = team.site.merge(first)
    assert 0 == team.push(old).code
    back = team.propose("back", "alpha", "The order service", "None yet")
    _planned(team.site.check(back))
    assert 0 == team.push(team.site.merge(back)).code

    refused = team.push(old)
    assert BLOCKED == refused.code, refused.log
    assert "::error title=Blocked::" in refused.log
    assert (3, "None yet") == (team.serial(), team.applied("alpha")["description"])


def test_what_nobody_reviewed_is_not_applied(team: Team) -> None:
    """A push to main without a pull request is refused when it changes a webhook, and fine when it does not."""
    team.site.git("checkout", "--quiet", "--detach", "origin/main", at=team.work)
    (team.work / "README.md").write_text("# Ours\n")
    team.commit("main", "Say more")
    assert 0 == team.push(team.site.git("rev-parse", "HEAD", at=team.work)).code

    path = team.path("alpha")
    path.write_text(path.read_text().replace("None yet", "By the back door"))
    team.commit("main", "Be quick")
    refused = team.push(team.site.git("rev-parse", "HEAD", at=team.work))
    assert BLOCKED == refused.code
    assert "::error title=Not reviewed::" in refused.log
    assert 1 == team.serial()


def test_a_pull_request_from_a_fork_is_validated_only(team: Team) -> None:
    """It gets no secrets, so there is no plan, no comment, and its merge is refused until main was looked at."""
    number = team.propose("fork", "alpha", "None yet", "The order service")
    jobs = team.site.check(number, source="mallory/webhooks")
    assert {"plan": 0} == {name: job.code for name, job in jobs.items()}
    assert "2 webhooks in 2 files are valid" in jobs["plan"].log
    assert [] == team.site.comments(number)
    assert BLOCKED == team.push(team.site.merge(number)).code
    assert 1 == team.serial()


def test_a_violation_of_the_policy_is_annotated(team: Team) -> None:
    """A pull request that the state's policy denies is red at the line of the value; its merge applies nothing."""
    set_policy(team.state)
    number = team.propose("away", "alpha", "hooks.acme.example", "hooks.other.example")
    jobs = team.site.check(number)
    assert {"plan": BLOCKED, "comment": 0} == {name: job.code for name, job in jobs.items()}, jobs
    (annotation,) = re.findall(r"^::error .*", jobs["plan"].log, re.M)
    assert annotation.startswith("::error file=webhooks/alpha/prod.yaml,line=8,")
    assert "own-hosts" in annotation
    assert BLOCKED == team.push(team.site.merge(number)).code
    assert "https://hooks.acme.example/feedback" == team.applied("alpha")["url"]


def test_invalid_files_stop_a_pull_request(team: Team) -> None:
    """A file that does not hold is annotated in its place; there is no plan to comment, and no merge is applied."""
    number = team.propose("typo", "alpha", "https://hooks", "http://hooks")
    jobs = team.site.check(number)
    assert {"plan": 5} == {name: job.code for name, job in jobs.items()}
    assert "::error file=webhooks/alpha/prod.yaml,line=8,col=6,title=HL012::" in jobs["plan"].log
    assert 5 == team.push(team.site.merge(number)).code
    assert 1 == team.serial()


def test_a_deletion_that_is_blocked_is_shown_and_can_be_aimed_at(team: Team) -> None:
    """A protected webhook's deletion is red in the pull request and on main; named by hand, it is applied."""
    path = team.path("beta")
    path.write_text(path.read_text() + "protected: true\n")
    team.commit("main", "Protect beta")
    team.hookline("apply", "--auto-approve")
    path.unlink()
    team.commit("gone", "Delete beta")
    number = team.site.open_pull("gone")
    jobs = team.site.check(number)
    assert {"plan": BLOCKED, "comment": 0} == {name: job.code for name, job in jobs.items()}, jobs
    assert "beta/prod" in team.site.comments(number)[0]["body"]
    assert BLOCKED == team.push(team.site.merge(number)).code
    assert 2 == team.serial()

    shown = team.dispatch(allow_delete="beta/prod")["plan"]
    assert 0 == shown.code, shown.log
    fingerprint = shown.summary.rpartition("Fingerprint: `")[2].partition("`")[0]
    done = team.dispatch(allow_delete="beta/prod", fingerprint=fingerprint)["apply"]
    assert (0, 3) == (done.code, team.serial()), done.log


def test_a_fingerprint_that_was_tampered_with_applies_nothing(team: Team) -> None:
    """Another fingerprint beside the commit is stale, and text that is none never reaches a command."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    sha = team.site.merge(number)
    (run,) = (one for one in team.site.read()["runs"] if one["event"] == "pull_request")
    kept = Path(run["artifacts"]["hookline-plan"]) / "plan.md"
    _, rest = kept.read_text().split("\n", 1)
    for line, code in (
        (f"{MARKER} sha256:{'0' * 64} -->", STALE), (f"{MARKER} x\rfingerprint=y -->", WRONG_USE),
        (f"{MARKER} $(touch here) -->", WRONG_USE), ("no marker", WRONG_USE), ("", BLOCKED),
    ):  # fmt: skip
        kept.write_text(f"{line}\n{rest}")
        assert code == team.push(sha).code, line
    assert 1 == team.serial()
    assert [] == list(team.site.directory.rglob("here"))


def test_without_its_secret_a_job_says_so(team: Team) -> None:
    """A missing secret is an error that names it, and never a plan against an empty state."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    team.site.secrets.clear()
    jobs = team.site.check(number)
    assert {"plan": UNUSABLE} == {name: job.code for name, job in jobs.items()}
    assert "HOOKLINE_STATE_READONLY is not set" in jobs["plan"].log
    team.site.environments.clear()
    refused = team.push(team.site.merge(number))
    assert (UNUSABLE, 1) == (refused.code, team.serial())


def test_the_schedule_looks_for_drift(team: Team) -> None:
    """Every morning: green while main is applied, red when it is not, and when the state was edited by hand."""
    sha = team.site.git("rev-parse", "main", at=team.site.origin)
    jobs = team.site.run(Event(name="schedule", sha=sha))
    assert {"drift": 0} == {name: job.code for name, job in jobs.items()}, jobs
    number = team.propose("faster", "alpha", "None yet", "The order service")
    jobs = team.site.run(Event(name="schedule", sha=team.site.merge(number)))
    assert 2 == jobs["drift"].code
    edit = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM webhooks'); c.commit()"
    subprocess.run((sys.executable, "-c", edit, str(team.state)), check=True)
    assert DRIFTED == team.site.run(Event(name="schedule", sha=sha))["drift"].code


def test_planning_writes_nothing(team: Team) -> None:
    """The job of a pull request leaves the state's bytes as they were, and no file beside it."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    before = sorted(path.name for path in team.state.parent.iterdir()), team.state.read_bytes()
    _planned(team.site.check(number))
    assert before == (sorted(path.name for path in team.state.parent.iterdir()), team.state.read_bytes())


def test_two_roles_of_postgresql_are_enough(tmp_path: Path) -> None:
    """Of the documented roles, the pull request's may plan and not write, and the environment's applies the merge."""
    server = shared_server()
    database = server.new_database()
    (statements,) = re.findall(r"```sql\n(.*?)```", ROLES.read_text(), re.DOTALL)
    server.execute(database, *statements.replace("hookline_", "ci_").strip().removesuffix(";").split(";"))
    reading, writing = (server.url(database, role) for role in ("ci_planner", "ci_applier"))
    team = Team(tmp_path, reading=reading, writing=writing)
    number = team.propose("faster", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    sha = team.site.merge(number)

    team.site.environments["hookline"] = {"HOOKLINE_STATE": reading}
    assert UNUSABLE == team.push(sha).code
    assert 1 == team.serial()
    team.site.environments["hookline"] = {"HOOKLINE_STATE": writing}
    done = team.push(sha)
    assert (0, 2) == (done.code, team.serial()), done.log
    drift = team.site.run(Event(name="schedule", sha=sha))
    assert {"drift": 0} == {name: job.code for name, job in drift.items()}, drift


def test_the_package_and_its_dependencies_are_installed_by_their_hashes(team: Team) -> None:
    """Every job that runs hookline installs the dependencies by hash, and the package that `init` was given."""
    team.dispatch()
    dependencies, package, check = (team.site.directory / "pip.log").read_text().splitlines()
    assert dependencies.endswith("--require-hashes --requirement .github/hookline/dependencies.txt")
    assert package.endswith("--no-deps --no-build-isolation --requirement .github/hookline/package.txt")
    assert check.endswith("pip check")


def test_without_a_package_a_job_says_so(team: Team) -> None:
    """A repository that names no package of hookline installs none by its name: each job ends with the next step."""
    (team.work / ".github/hookline/package.txt").unlink()
    team.commit("main", "No package yet")
    done = team.dispatch()["plan"]
    assert WRONG_USE == done.code
    assert "Run: hookline init --package SPEC" in done.log
    assert not (team.site.directory / "pip.log").exists()


def test_no_module_of_the_checkout_runs_beside_the_secrets(team: Team) -> None:
    """Python files in the root of the repository are imported by no step of the job that applies."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    modules = [team.work / name for name in ("pip.py", "json.py", "re.py")]
    for module in modules:
        module.write_text(f"open({str(team.site.directory / 'taken')!r}, 'w').close()\n")
    team.commit("faster", "Help")
    for module in modules:
        module.unlink()
    team.site.run_real_pip()
    _planned(team.site.check(number))
    done = team.push(team.site.merge(number))
    assert (0, 2) == (done.code, team.serial()), done.log
    assert not (team.site.directory / "taken").exists()


def test_a_plan_for_another_pull_request_of_the_same_commit_is_not_the_reviewed_one(team: Team) -> None:
    """Two pull requests can end in one commit. The plan of one of them is not applied for the other."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    team.site.git("push", "--quiet", "origin", "HEAD:refs/heads/again", at=team.work)
    other = team.site.open_pull("again")
    same_branch = team.site.open_pull("faster", base="again")
    _planned(team.site.check(number))
    for one in (other, same_branch):
        _planned(team.site.check(one))
    sha = team.site.merge(number)
    ours, *theirs = (one["id"] for one in team.site.read()["runs"])
    done = team.push(sha)
    assert (0, 2) == (done.code, team.serial()), done.log
    downloads = [call[2] for call in team.site.read()["calls"] if call[:2] == ["run", "download"]]
    assert str(ours) == downloads[-1]
    assert str(theirs[0]) not in downloads, "a run of another branch is not even downloaded"


def test_a_run_of_another_workflow_branch_or_repository_is_not_a_review(team: Team) -> None:
    """Only a run of hookline's own workflow file, of the pull request's branch in this repository, is a review."""
    number = team.propose("faster", "alpha", "None yet", "The order service")
    _planned(team.site.check(number))
    sha = team.site.merge(number)
    (own,) = (one for one in team.site.read()["runs"] if one["event"] == "pull_request")
    foreign = {"path": ".github/workflows/other.yml", "head_branch": "other", "head_repository": {"full_name": "m/w"}}
    for field, value in foreign.items():
        team.site.change_run("pull_request", **{field: value})
        refused = team.push(sha)
        assert (BLOCKED, 1) == (refused.code, team.serial()), refused.log
        assert "::error title=Not reviewed::" in refused.log
        team.site.change_run("pull_request", **{field: own[field]})
    assert 0 == team.push(sha).code


def test_a_plan_for_another_base_branch_is_not_the_reviewed_one(team: Team) -> None:
    """A pull request that was planned on another branch and then aimed at main has to be planned again."""
    team.site.git("push", "--quiet", "origin", "main:refs/heads/release", at=team.site.directory / "work")
    team.propose("faster", "alpha", "None yet", "The order service")
    number = team.site.open_pull("faster", base="release")
    _planned(team.site.check(number))
    team.site.change_base(number, "main")
    sha = team.site.merge(number)
    refused = team.push(sha)
    assert (BLOCKED, 1) == (refused.code, team.serial()), refused.log
    assert "::error title=Not reviewed::" in refused.log


def test_the_stub_knows_the_filters_of_the_workflow(team: Team) -> None:
    """Where jq is not installed, the stub answers the workflow's filters, so it has to know each of them."""
    texts = set(re.findall(r"--jq '([^']+)'", (team.work / ".github/workflows/hookline.yml").read_text()))
    assert texts == set(FILTERS)
