"""Who applies, from which commit: a device that asks git and the environment.

Git is asked for two names and nothing else: no hook, no file monitor and no other program that a configuration
repository could name is run.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hookline.settings import user_name

_SECONDS = 10
_INERT = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks")


@dataclass(frozen=True, slots=True)
class Provenance:
    """`commit` is None outside of a repository and without git; `branch` also where HEAD is detached."""

    who: str
    commit: str | None
    branch: str | None


def provenance_of(directory: Path) -> Provenance:
    """Who runs this, and the commit and branch that are checked out at `directory` (or what is left above it)."""
    commit, branch = _head(directory)
    return Provenance(user_name(), commit, branch)


def _head(directory: Path) -> tuple[str | None, str | None]:
    git = shutil.which("git")
    place = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.is_dir())
    if git is None:
        return None, None
    question = [git, "-C", str(place), *_INERT, "rev-parse", "HEAD", "--abbrev-ref", "HEAD"]
    try:
        answer = subprocess.run(question, capture_output=True, text=True, timeout=_SECONDS, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None, None
    commit, branch = answer.stdout.split("\n")[:2]
    return commit, None if branch == "HEAD" else branch
