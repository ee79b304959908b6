"""Who applied, and at which commit: asked of git, without running anything that a repository names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hookline.provenance import provenance_of


@pytest.fixture(autouse=True)
def _no_other_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_", "GITLAB_"))]:
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


def test_vanished_directory(repository: Path) -> None:
    """git keeps no empty directory: when the last file is gone, the repository above still answers."""
    (repository / "webhooks").rmdir()
    assert provenance_of(repository / "webhooks").branch == "main"


def test_no_commit_yet(tmp_path: Path) -> None:
    """A repository without a commit has none to name."""
    git(tmp_path, "init", "-q")
    assert (provenance_of(tmp_path).commit, provenance_of(tmp_path).branch) == (None, None)


def test_no_repository(tmp_path: Path) -> None:
    """Outside of a repository commit and branch are unknown, and who is still known."""
    found = provenance_of(tmp_path)
    assert (found.who, found.commit, found.branch) == ("ada", None, None)


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git commit and branch are unknown."""
    monkeypatch.setenv("PATH", str(repository))
    assert provenance_of(repository).commit is None


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
