"""Who applied, and at which commit: asked of git, without running anything that a repository names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hookline.provenance import is_ancestor, is_uncommitted, provenance_of, uncommitted_files

_CI = (
    *("GIT_", "GITHUB_", "GITLAB_", "CI_", "BUILD", "SYSTEM_", "TF_", "BITBUCKET_", "CIRCLE", "JENKINS_", "CHANGE_"),
    *("BRANCH_", "TAG_"),
)


@pytest.fixture(autouse=True)
def _no_other_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(_CI)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("USER", "ada")


def git(repository: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=repository, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "webhooks").mkdir()
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    return tmp_path


def test_commit_and_branch(repository: Path) -> None:
    """Inside a repository the commit that is checked out and its branch are named."""
    found = provenance_of(repository / "webhooks")
    assert ("ada", git(repository, "rev-parse", "HEAD"), "main") == (found.who, found.commit, found.branch)


def test_detached_head(repository: Path) -> None:
    """As CI checks out: a commit without a branch."""
    git(repository, "checkout", "-q", "--detach")
    found = provenance_of(repository / "webhooks")
    assert (git(repository, "rev-parse", "HEAD"), None) == (found.commit, found.branch)


@pytest.mark.parametrize(
    ("variables", "commit_variable"),
    [
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/team/a"}, "GITHUB_SHA"),
        ({"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/7/merge", "GITHUB_HEAD_REF": "team/a"}, "GITHUB_SHA"),
        ({"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "team/a"}, "CI_COMMIT_SHA"),
        ({"GITLAB_CI": "true", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "team/a"}, "CI_COMMIT_SHA"),
        ({"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/team/a"}, "BUILD_SOURCEVERSION"),
        (
            {
                "TF_BUILD": "True",
                "BUILD_SOURCEBRANCH": "refs/pull/7/merge",
                "SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/team/a",
            },
            "BUILD_SOURCEVERSION",
        ),
        ({"BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_BRANCH": "team/a"}, "BITBUCKET_COMMIT"),
        ({"BUILDKITE": "true", "BUILDKITE_BRANCH": "team/a"}, "BUILDKITE_COMMIT"),
        ({"CIRCLECI": "true", "CIRCLE_BRANCH": "team/a"}, "CIRCLE_SHA1"),
        ({"JENKINS_URL": "https://ci.acme.example/", "GIT_BRANCH": "origin/team/a"}, "GIT_COMMIT"),
        ({"JENKINS_URL": "https://ci.acme.example/", "GIT_BRANCH": "team/a", "BRANCH_NAME": "team/a"}, "GIT_COMMIT"),
        (
            {"JENKINS_URL": "https://ci.acme.example/", "BRANCH_NAME": "PR-7", "CHANGE_BRANCH": "team/a"},
            "GIT_COMMIT",
        ),
    ],
)
def test_ci_names_the_branch_of_a_detached_head(
    variables: dict[str, str], commit_variable: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a commit that CI checked out without a branch, its variables name the branch: for their own commit only."""
    git(repository, "checkout", "-q", "--detach")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert "team/a" == provenance_of(repository).branch
    monkeypatch.setenv(commit_variable, git(repository, "rev-parse", "HEAD"))
    assert "team/a" == provenance_of(repository).branch
    monkeypatch.setenv(commit_variable, "1" * 40)
    assert provenance_of(repository).branch is None
    git(repository, "checkout", "-q", "main")
    assert "main" == provenance_of(repository).branch


@pytest.mark.parametrize(
    "variables",
    [
        {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/v1"},
        {"GITLAB_CI": "true", "CI_COMMIT_TAG": "v1"},
        {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/tags/v1"},
        {"BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_TAG": "v1"},
        {"BUILDKITE": "true", "BUILDKITE_BRANCH": "v1", "BUILDKITE_TAG": "v1"},
        {"CIRCLECI": "true", "CIRCLE_TAG": "v1"},
        {"JENKINS_URL": "https://ci.acme.example/", "BRANCH_NAME": "v1", "TAG_NAME": "v1"},
        {"CI_COMMIT_BRANCH": "team/a", "BRANCH_NAME": "team/a"},
    ],
)
def test_a_tag_is_no_branch(variables: dict[str, str], repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job for a tag has no branch, and variables outside of a CI job name none."""
    git(repository, "checkout", "-q", "--detach")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert provenance_of(repository).branch is None


def test_vanished_directory(repository: Path) -> None:
    """git keeps no empty directory: when the last file is gone, the repository above still answers."""
    (repository / "webhooks").rmdir()
    assert provenance_of(repository / "webhooks").branch == "main"


def test_no_commit_yet(tmp_path: Path) -> None:
    """A repository without a commit has none to name."""
    git(tmp_path, "init", "-q")
    found = provenance_of(tmp_path)
    assert (None, None) == (found.commit, found.branch)
    assert str(found.unknown).startswith("git: ")


def test_no_repository(tmp_path: Path) -> None:
    """Outside of a repository commit and branch are unknown, and who is still known."""
    found = provenance_of(tmp_path)
    assert ("ada", None, None) == (found.who, found.commit, found.branch)
    assert str(found.unknown).startswith("git: not a git repository")


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git commit and branch are unknown."""
    monkeypatch.setenv("PATH", str(repository))
    assert (None, "git is not installed") == (provenance_of(repository).commit, provenance_of(repository).unknown)


def test_checkout_of_another_user(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git refuses a repository of another user: the commit is unknown, and git's reason is kept."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = provenance_of(repository / "webhooks")
    assert found.commit is None
    assert str(found.unknown).startswith("git: detected dubious ownership in repository")
    assert uncommitted_files(repository / "webhooks") is None


@pytest.mark.parametrize("name", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"])
def test_variables_of_a_hook(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Variables that name another repository, as git sets them for a hook, do not change the answer."""
    (repository / "webhooks/a.yaml").write_text("name: a\n")
    first = git(repository, "rev-parse", "HEAD")
    head = commit(repository)
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "other")
    monkeypatch.setenv(name, str(other / ".git"))
    assert head == provenance_of(repository / "webhooks").commit
    assert is_ancestor(repository / "webhooks", first) is True
    assert () == uncommitted_files(repository / "webhooks")


def test_repository_runs_nothing(repository: Path) -> None:
    """A program that the repository's own settings name is not run."""
    trap = repository / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {repository / 'sprung'}\n")
    trap.chmod(0o755)
    for setting in ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external"):
        git(repository, "config", setting, str(trap))
    git(repository, "config", "core.hooksPath", str(repository))
    assert provenance_of(repository / "webhooks").commit is not None
    assert not (repository / "sprung").exists()


def commit(repository: Path, message: str = "next") -> str:
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def test_descent(repository: Path) -> None:
    """A commit contains itself and what came before it, and nothing that was made on another branch."""
    first = git(repository, "rev-parse", "HEAD")
    second = commit(repository)
    git(repository, "checkout", "-q", "-b", "other", first)
    other = commit(repository, "other")
    assert (True, True, False) == tuple(is_ancestor(repository / "webhooks", each) for each in (other, first, second))
    git(repository, "merge", "-q", "-m", "both", second)
    assert is_ancestor(repository, second) is True


@pytest.mark.parametrize("name", ["0" * 40, "HEAD", "--help", "main", ""])
def test_unknown_commit(repository: Path, name: str) -> None:
    """Of a commit that is not there, and of what is no commit's hash, nothing is known."""
    assert is_ancestor(repository, name) is None


def test_shallow_clone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A clone whose history is cut off knows its own commit, and does not claim to know of any other."""
    first = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "-q", "-b", "other")
    other = commit(repository, "other")
    git(repository, "checkout", "-q", "main")
    last = commit(repository, "last")
    clone = tmp_path_factory.mktemp("clone")
    git(clone, "clone", "-q", "--depth", "1", "--no-single-branch", repository.as_uri(), "here")
    assert (True, None, None) == tuple(is_ancestor(clone / "here", each) for each in (last, first, other))


def test_no_repository_contains_nothing(tmp_path: Path) -> None:
    """Outside of a repository nothing is known, also not whether files are uncommitted."""
    assert is_ancestor(tmp_path, "0" * 40) is None
    assert uncommitted_files(tmp_path) is None


def test_uncommitted(repository: Path) -> None:
    """Changed, new and removed webhook files are named; other files, hidden ones and clean ones are not."""
    webhooks = repository / "webhooks"
    (webhooks / "acme").mkdir()
    for name in ("acme/clean.yaml", "acme/changed.yml", "gone.yaml", "windows.yaml"):
        (webhooks / name).write_text(f"name: {name}\n")
    (repository / "beside.yaml").write_text("a: 1\n")
    commit(repository)
    assert () == uncommitted_files(webhooks)
    (webhooks / "acme/changed.yml").write_text("name: other\n")
    (webhooks / "gone.yaml").unlink()
    (webhooks / "new.yaml").write_text("name: new\n")
    (webhooks / ".hidden.yaml").write_text("name: hidden\n")
    (webhooks / "README.md").write_text("read me\n")
    (webhooks / "windows.yaml").write_bytes(b"name: windows.yaml\r\n")
    (repository / "beside.yaml").write_text("a: 2\n")
    assert ("acme/changed.yml", "gone.yaml", "new.yaml") == uncommitted_files(webhooks)
    assert ("beside.yaml", "webhooks/acme/changed.yml") == (uncommitted_files(repository) or ())[:2]


def test_vanished_directory_is_uncommitted(repository: Path) -> None:
    """When the whole directory is gone from the checkout, all of its files are."""
    (repository / "webhooks/a.yaml").write_text("name: a\n")
    commit(repository)
    (repository / "webhooks/a.yaml").unlink()
    (repository / "webhooks").rmdir()
    assert ("a.yaml",) == uncommitted_files(repository / "webhooks")


def test_filters_are_not_run(repository: Path) -> None:
    """Whether files differ is found out without the filters and helpers that the repository's settings name."""
    trap = repository / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {repository / 'sprung'}\ncat\n")
    trap.chmod(0o755)
    (repository / "webhooks/a.yaml").write_text("name: a\n")
    commit(repository)
    (repository / ".gitattributes").write_text("* filter=trap diff=trap\n")
    for setting in ("filter.trap.clean", "filter.trap.smudge", "filter.trap.process", "diff.trap.textconv"):
        git(repository, "config", setting, str(trap))
    (repository / "webhooks/a.yaml").write_text("name: b\n")
    assert ("a.yaml",) == uncommitted_files(repository / "webhooks")
    assert is_ancestor(repository, git(repository, "rev-parse", "HEAD")) is True
    assert not (repository / "sprung").exists()


def test_nothing_is_fetched(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A partial clone, whose git would fetch what it lacks, is asked without any transport."""
    clone = tmp_path_factory.mktemp("partial")
    git(repository, "config", "uploadpack.allowFilter", "true")
    git(clone, "clone", "-q", "--filter=tree:0", "--no-checkout", repository.as_uri(), "here")
    trap = clone / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {clone / 'sprung'}\nexit 1\n")
    trap.chmod(0o755)
    git(clone / "here", "config", "remote.origin.uploadpack", str(trap))
    git(clone / "here", "config", "remote.origin.url", f"ext::{trap}")
    assert is_ancestor(clone / "here", "1" * 40) is None
    uncommitted_files(clone / "here")
    assert not (clone / "sprung").exists()


def test_file_that_differs_from_its_commit(repository: Path) -> None:
    """A file is uncommitted if git does not have it or its content differs; without a repository that is unknown."""
    file = repository / "policy.yaml"
    file.write_text("version: 1\n")
    assert is_uncommitted(file)
    git(repository, "add", "policy.yaml")
    git(repository, "commit", "-q", "-m", "policy")
    assert is_uncommitted(file) is False
    file.write_bytes(b"version: 1\r\n")
    assert is_uncommitted(file) is False
    file.write_text("version: 2\n")
    assert is_uncommitted(file)
    assert is_uncommitted(Path("/") / "policy.yaml") is None
