"""Who applies, from which commit, and how that stands to another: a device that asks git and the environment.

Git is asked for names and nothing else: no hook, no file monitor, no filter, no transport and no other program that
a configuration repository could name is run. That is why whether files differ from the commit is found out here, by
git's own hashes, and not by `git status`, which runs the filters that the repository's settings name.
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

from hookline.settings import user_name

_SECONDS = 30
# In a partial clone git would fetch what is missing, by whatever program a remote names: no transport is allowed.
_TRANSPORTS = ("", "ext.", "file.", "git.", "http.", "https.", "ssh.")
_INERT = (
    "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-optional-locks", "--no-replace-objects",
    *(part for name in _TRANSPORTS for part in ("-c", f"protocol.{name}allow=never")),
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WEBHOOK_FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Provenance:
    """`commit` is None outside of a repository and without git; `branch` also where HEAD is detached."""

    who: str
    commit: str | None
    branch: str | None


def provenance_of(directory: Path) -> Provenance:
    """Who runs this, and the commit and branch that are checked out at `directory` (or what is left above it)."""
    answer = _ask(directory, "rev-parse", "HEAD", "--abbrev-ref", "HEAD")
    if answer is None or answer.returncode != 0:
        return Provenance(user_name(), None, None)
    commit, branch = answer.stdout.decode(errors="replace").split("\n")[:2]
    return Provenance(user_name(), commit, None if branch == "HEAD" else branch)


def is_ancestor(directory: Path, commit: str) -> bool | None:
    """Whether what is checked out at `directory` is `commit` or comes after it.

    None when this clone cannot tell: it does not have the commit, or its own history is cut off (a shallow clone).
    """
    if not _COMMIT.fullmatch(commit):
        return None
    answer = _ask(directory, "merge-base", "--is-ancestor", commit, "HEAD")
    if answer is None or answer.returncode not in (0, 1):
        return None
    if answer.returncode == 0:
        return True
    shallow = _ask(directory, "rev-parse", "--is-shallow-repository")
    return None if shallow is None or shallow.stdout.strip() != b"false" else False


def uncommitted_files(directory: Path) -> tuple[str, ...]:
    """The webhook files below `directory` that are not as in the commit that is checked out, sorted by name.

    Changed, new, or gone; names are relative to `directory`. Empty outside of a repository.
    """
    committed = _committed(directory)
    if committed is None:
        return ()
    found = dict(_webhook_files(directory))
    names = committed.keys() | found.keys()
    return tuple(sorted(n for n in names if n not in found or not _is_as(found[n], committed.get(n))))


def _committed(directory: Path) -> dict[str, str] | None:
    """Hashes of the webhook files of HEAD below `directory`, by name; None outside of a repository."""
    place = _existing(directory)
    inside = directory.absolute().relative_to(place)
    answer = _ask(directory, "ls-tree", "-r", "-z", "HEAD", "--", f"{inside}/")
    if answer is None or answer.returncode != 0:
        return None
    hashes = {}
    for entry in filter(None, answer.stdout.split(b"\0")):
        facts, _, path = entry.partition(b"\t")
        mode, _, found = facts.decode().split(" ")
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
            if name.endswith(_WEBHOOK_FILES) and not name.startswith(".") and not path.is_symlink():
                yield str(path.relative_to(directory)), path


def _is_as(path: Path, committed: str | None) -> bool:
    """Whether a file has git's hash of a blob; a checkout may have turned line feeds into CR LF."""
    if committed is None or not path.is_file():
        return False
    content = path.read_bytes()
    return committed in (_blob(content, committed), _blob(content.replace(b"\r\n", b"\n"), committed))


def _blob(content: bytes, like: str) -> str:
    # Git's own identity of a file, not a defence: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects
    kind = "sha256" if len(like) == 64 else "sha1"
    return hashlib.new(kind, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _ask(directory: Path, *question: str) -> subprocess.CompletedProcess[bytes] | None:
    """Git's answer; None when there is no git, or none that answers in time."""
    git = shutil.which("git")
    if git is None:
        return None
    try:
        return subprocess.run(  # noqa: S603 - a fixed program; what comes from elsewhere is a path or a checked hash
            [git, "-C", str(_existing(directory)), *_INERT, *question],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _existing(directory: Path) -> Path:
    """The directory, or what is left above it: git keeps no empty one."""
    return next(path for path in (directory.absolute(), *directory.absolute().parents) if path.is_dir())
