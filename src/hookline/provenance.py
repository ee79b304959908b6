"""The person who applies, the commit of the webhook files, and its relation to other commits: runs git.

A configuration repository can name programs: hooks, file monitors, filters, transports. The git commands below run
none of them. The module therefore compares files with the commit by git's hashes. `git status` would run the filters
that the settings of the repository name.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hookline.paths import is_directory, is_link, is_regular_file
from hookline.settings import ci_branch, git_environment, user_name

_TIMEOUT_SECONDS = 30
_MAX_REASON_CHARACTERS = 200
# In a partial clone, git would fetch missing objects with a program that a remote names. No transport is allowed.
_TRANSPORTS = ("", "ext.", "file.", "git.", "http.", "https.", "ssh.")
_SAFE_OPTIONS = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks", "--no-replace-objects",
    *(part for name in _TRANSPORTS for part in ("-c", f"protocol.{name}allow=never")),
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WEBHOOK_FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Provenance:
    """`branch` is None if neither git nor CI names one. Without a commit, `unknown` is git's reason."""

    who: str
    commit: str | None
    branch: str | None
    unknown: str | None = None


def provenance_of(directory: Path) -> Provenance:
    """The user, and the commit and branch checked out at `directory` or at its nearest existing parent.

    If HEAD is detached, as in a CI job, the branch is the one that the variables of the CI system name.
    The repository is that of the directory: GIT_DIR and similar variables, which a git hook sets, have no effect.
    """
    result = _git(directory, "rev-parse", "HEAD", "--abbrev-ref", "HEAD")
    if isinstance(result, str):
        return Provenance(user_name(), None, None, result)
    commit, branch = result.stdout.decode(errors="replace").split("\n")[:2]
    return Provenance(user_name(), commit, ci_branch(commit) if branch == "HEAD" else branch)


def is_ancestor(directory: Path, commit: str) -> bool | None:
    """Whether HEAD at `directory` is `commit` or descends from it; None if a (shallow) clone does not show it."""
    if not _COMMIT.fullmatch(commit):
        return None
    result = _git(directory, "merge-base", "--is-ancestor", commit, "HEAD", accepted=(0, 1))
    if isinstance(result, str):
        return None
    if result.returncode == 0:
        return True
    shallow = _git(directory, "rev-parse", "--is-shallow-repository")
    return None if isinstance(shallow, str) or shallow.stdout.strip() != b"false" else False


def uncommitted_files(directory: Path) -> tuple[str, ...] | None:
    """The webhook files that differ from HEAD, sorted, relative to `directory`; None if git gives no answer."""
    if (committed := _committed(directory)) is None:
        return None
    found = dict(_webhook_files(directory))
    names = committed.keys() | found.keys()
    return tuple(sorted(n for n in names if n not in found or not _matches(found[n], committed.get(n))))


def is_uncommitted(file: Path) -> bool | None:
    """Whether a file differs from HEAD, or is not part of it; None if git gives no answer."""
    result = _git(file.parent, "ls-tree", "-z", "HEAD", "--", file.name)
    if isinstance(result, str):
        return None
    attributes, _, _ = result.stdout.partition(b"\t")
    return not _matches(file, attributes.decode().split(" ")[2] if attributes else None)


def _committed(directory: Path) -> dict[str, str] | None:
    """Hashes of the webhook files of HEAD below `directory`, by name; None if git gives no answer."""
    inside = directory.absolute().relative_to(_existing(directory))
    result = _git(directory, "ls-tree", "-r", "-z", "HEAD", "--", f"{inside}/")
    if isinstance(result, str):
        return None
    hashes = {}
    for entry in filter(None, result.stdout.split(b"\0")):
        attributes, _, path = entry.partition(b"\t")
        mode, _, found = attributes.decode().split(" ")
        name = os.path.relpath(os.fsdecode(path), inside)
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if mode.startswith("100") and name.endswith(_WEBHOOK_FILES) and not hidden:
            hashes[name] = found
    return hashes


def _webhook_files(directory: Path) -> Iterator[tuple[str, Path]]:
    for folder, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder) / name
            if name.endswith(_WEBHOOK_FILES) and not name.startswith(".") and not is_link(path):
                yield str(path.relative_to(directory)), path


def _matches(path: Path, committed: str | None) -> bool:
    """Whether a file has git's hash of a blob. A checkout may have replaced line feeds by CR LF."""
    if committed is None or not is_regular_file(path):
        return False
    content = path.read_bytes()
    return committed in (_blob(content, committed), _blob(content.replace(b"\r\n", b"\n"), committed))


def _blob(content: bytes, like: str) -> str:
    # The hash identifies a file in git and protects nothing: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    kind = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _git(
    directory: Path, *arguments: str, accepted: tuple[int, ...] = (0,)
) -> subprocess.CompletedProcess[bytes] | str:
    """Run git; the reason if it is not installed, does not finish in time, or ends with a code not in `accepted`."""
    if (git := shutil.which("git")) is None:
        return "git is not installed"
    try:
        result = subprocess.run(  # noqa: S603 - a fixed program; other arguments are a path or a checked hash
            [git, "-C", str(_existing(directory)), *_SAFE_OPTIONS, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=git_environment(),
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as failed:
        return f"git cannot be run: {failed.strerror if isinstance(failed, OSError) else 'it does not finish'}"
    if result.returncode in accepted:
        return result
    first = result.stderr.decode(errors="replace").strip().partition("\n")[0]
    return f"git: {first.removeprefix('fatal: ')[:_MAX_REASON_CHARACTERS]}"


def _existing(directory: Path) -> Path:
    """The directory or its nearest existing parent, because git removes empty directories."""
    return next(path for path in (directory.absolute(), *directory.absolute().parents) if is_directory(path))
