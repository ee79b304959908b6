"""From a merge request to the applied change: the jobs that `init --ci gitlab` writes, on a real repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from gitlab_stub import BOT, FORK, GitlabStub, Job, Pipeline, Variable, gitlab
from hookline.state.factory import open_state
from state_policy import set_policy
from team_repository import MARKER, PACKAGE, TeamRepository

WRONG_USE, BLOCKED, STALE, UNUSABLE = 64, 6, 7, 8


class Team(TeamRepository):
    """A project on GitLab."""

    def __init__(self, site: GitlabStub) -> None:
        self.site = site
        self.state = site.directory / "state.db"
        writing = Variable(value=str(self.state), protected=True, environment="hookline")
        site.variables |= {"HOOKLINE_STATE_READONLY": Variable(value=str(self.state)), "HOOKLINE_STATE": writing}
        super().__init__(site, str(self.state), "--ci", "gitlab", "--package", PACKAGE)

    def propose(self, branch: str, organization: str, old: str, new: str) -> int:
        """A merge request that changes one webhook, branched off main as it is now; its number."""
        self.push_change(branch, organization, old, new)
        return self.site.open_request(branch)

    def main(self) -> str:
        return self.site.git("rev-parse", "main", at=self.site.origin)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with gitlab(tmp_path / "site") as site:
        yield Team(site)


def _codes(jobs: Mapping[str, Job]) -> dict[str, int]:
    return {name: job.code for name, job in jobs.items()}


def test_a_merge_applies_what_its_merge_request_showed(team: Team) -> None:
    """One note shows the plan and follows the pushes; the merge applies it; history names commit, person, branch."""
    request = team.propose("faster", "alpha", "None yet", "The order service")
    team.site.say(request, {"id": 5, "username": "mallory"}, f"{MARKER} sha256:{'0' * 64} -->\nall is well")
    team.site.say(request, BOT, "Welcome")
    jobs = team.site.check(request)
    assert {"plan": 0, "note": 0} == _codes(jobs), jobs
    assert [] == json.loads(team.site.artifact("plan", "code-quality.json"))
    team.change("alpha", "The order service", "The refund service")
    team.commit("faster", "Better")
    assert {"plan": 0, "note": 0} == _codes(team.site.check(request))
    theirs, welcome, ours = (note["body"] for note in team.site.notes[request])
    assert theirs.endswith("all is well")
    assert "Welcome" == welcome
    assert ours.startswith(MARKER)
    assert "The refund service" in ours
    assert "The order service" not in ours
    assert 1 == len(team.history())

    sha = team.site.merge(request, "squash")
    done = team.site.push(sha)
    assert 0 == done.code, done.log
    (_, entry) = team.history()
    assert (sha, "ada", "main") == (entry["commit"], entry["who"], entry["branch"])
    assert "The refund service" in team.hookline("show", "alpha/prod")
    dependencies, package, check = (team.site.directory / "pip.log").read_text().splitlines()[-3:]
    assert dependencies.endswith("--require-hashes --requirement .gitlab/hookline/dependencies.txt")
    assert package.endswith("--no-deps --no-build-isolation --requirement .gitlab/hookline/package.txt")
    assert check.endswith("pip check")


def test_only_the_touched_webhook_makes_a_plan_stale(team: Team) -> None:
    """Of merge requests planned on one state, the merge of one makes stale only another one of the same webhook."""
    first = team.propose("first", "alpha", "None yet", "The order service")
    same = team.propose("same", "alpha", "hooks.acme", "new.acme")
    other = team.propose("other", "beta", "None yet", "The refund service")
    for request in (first, same, other):
        assert {"plan": 0, "note": 0} == _codes(team.site.check(request))

    assert 0 == team.site.push(team.site.merge(first)).code
    assert 0 == team.site.push(team.site.merge(other)).code
    refused = team.site.push(team.site.merge(same))
    assert STALE == refused.code
    assert "error: not the reviewed plan: " in refused.log
    assert 3 == len(team.history())

    # The way out that the message names: look at the changes that main would make now, then apply exactly these.
    shown = team.site.run(Pipeline(source="web", sha=team.main()))
    assert {"plan": 0} == _codes(shown)
    assert "new.acme.example" in shown["plan"].log
    fingerprint = team.site.artifact("plan", "plan.md").partition("sha256:")[2][:64]
    assert f"sha256:{fingerprint}" in shown["plan"].log.splitlines()[-1]
    inputs = {"FINGERPRINT": f"sha256:{fingerprint}"}
    done = team.site.run(Pipeline(source="web", sha=team.main(), inputs=inputs))
    assert {"apply": 0} == _codes(done), done
    assert "https://new.acme.example/feedback" in team.hookline("show", "alpha/prod")
    assert {"drift": 0} == _codes(team.site.run(Pipeline(source="schedule", sha=team.main())))


def test_the_plan_is_that_of_the_merge(team: Team) -> None:
    """A branch that began before other merges is planned as merged into main; a conflict is named instead."""
    late = team.propose("late", "alpha", "None yet", "The order service")
    clash = team.propose("clash", "beta", "None yet", "The order service")
    team.site.git("checkout", "--quiet", "--detach", "origin/main", at=team.work)
    team.change("beta", "None yet", "The refund service")
    team.commit("main", "Change beta")
    team.hookline("apply", "--auto-approve")

    assert {"plan": 0, "note": 0} == _codes(team.site.check(late))
    (note,) = team.site.notes[late]
    assert "alpha/prod" in note["body"]
    assert "beta/prod" not in note["body"]
    jobs = team.site.check(clash)
    assert {"plan": 1, "note": 0} == _codes(jobs)
    assert "the branch cannot be merged into main" in jobs["plan"].log
    assert [] == team.site.notes[clash]


def test_a_violation_of_the_policy_is_shown_at_its_line(team: Team) -> None:
    """A merge request that the state's policy denies fails, with a finding at the line; its merge applies nothing."""
    set_policy(team.state)
    request = team.propose("away", "alpha", "hooks.acme.example", "hooks.other.example")
    assert {"plan": BLOCKED, "note": 0} == _codes(team.site.check(request))
    (finding,) = json.loads(team.site.artifact("plan", "code-quality.json"))
    assert "own-hosts" in finding["description"]
    assert {"path": "webhooks/alpha/prod.yaml", "lines": {"begin": 8}} == finding["location"]
    refused = team.site.push(team.site.merge(request))
    assert BLOCKED == refused.code, refused.log
    assert "https://hooks.acme.example/feedback" in team.hookline("show", "alpha/prod")

    lifted = {"OVERRIDE": "own-hosts", "REASON": "they move to another host"}
    assert {"plan": 0} == _codes(team.site.run(Pipeline(source="web", sha=team.main(), inputs=lifted)))
    fingerprint = team.site.artifact("plan", "plan.md").splitlines()[0].split()[2]
    inputs = {**lifted, "FINGERPRINT": fingerprint}
    assert {"apply": 0} == _codes(team.site.run(Pipeline(source="web", sha=team.main(), inputs=inputs)))
    (override,) = open_state(str(team.state)).history()[-1].entry.overrides
    assert ("own-hosts", "they move to another host") == (override.rule, override.reason)


def test_changes_that_nobody_reviewed_are_not_applied(team: Team) -> None:
    """A push, a fork and a fingerprint that is none apply nothing, and a plan for another commit is no review."""
    request = team.propose("fork", "alpha", "None yet", "The order service")
    jobs = team.site.check(request, source_project=FORK)
    assert {"plan": 0} == _codes(jobs)
    assert "2 webhooks in 2 files are valid" in jobs["plan"].log
    assert [] == team.site.notes[request]
    sha = team.site.merge(request, "ff")
    refused = team.site.push(sha)
    assert BLOCKED == refused.code, refused.log
    assert "error: not reviewed: " in refused.log

    # The same commit was planned, but for another merge request: its plan is not the review of this one.
    again = team.site.open_request("fork")
    assert 0 == team.site.check(again)["plan"].code
    for one in team.site.pipelines:
        one["request"] = request
    assert BLOCKED == team.site.push(sha).code

    bad = team.site.run(Pipeline(source="web", sha=sha, inputs={"FINGERPRINT": "sha256:0 $(touch here)"}))
    assert {"apply": WRONG_USE} == _codes(bad)
    assert [] == list(team.site.directory.rglob("here"))
    assert 1 == len(team.history())


def test_a_job_names_the_variable_that_it_misses(team: Team) -> None:
    """Without its variable, or with a token that GitLab refuses, a job fails, names it, and changes nothing."""
    request = team.propose("typo", "alpha", "https://hooks", "http://hooks")
    invalid = team.site.check(request)
    assert {"plan": 5, "note": 0} == _codes(invalid)
    (finding,) = json.loads(team.site.artifact("plan", "code-quality.json"))
    assert ("HL012", "webhooks/alpha/prod.yaml") == (finding["check_name"], finding["location"]["path"])
    assert {"begin": 8} == finding["location"]["lines"]

    del team.site.variables["HOOKLINE_STATE_READONLY"]
    team.change("alpha", "http://hooks", "https://ours")
    team.commit("typo", "Better")
    jobs = team.site.check(request)
    assert {"plan": UNUSABLE, "note": 0} == _codes(jobs)
    assert "HOOKLINE_STATE_READONLY is not set" in jobs["plan"].log

    sha = team.site.merge(request)
    team.site.token = "glpat-another"
    refused = team.site.push(sha)
    assert 1 == refused.code
    assert "error: GitLab answers 401 to http://127.0.0.1:" in refused.log
    assert "HOOKLINE_GITLAB_TOKEN must be a valid token" in refused.log
    del team.site.variables["HOOKLINE_GITLAB_TOKEN"]
    assert UNUSABLE == team.site.push(sha).code
    team.site.variables["HOOKLINE_STATE"] = Variable(value=str(team.state), environment="other")
    assert "HOOKLINE_STATE is not set for the environment hookline" in team.site.push(sha).log
    assert 1 == len(team.history())
