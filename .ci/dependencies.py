"""Write the pinned dependencies that the workflow of `hookline init` installs, from requirements.lock.

    python .ci/dependencies.py

It writes two requirements files with hashes beside the other templates: the run-time dependencies of hookline with
its extras for PostgreSQL and policies, and those of its build, which CI needs to install hookline from a git commit.
"""

from __future__ import annotations

import re

from sbom import LOCK, OPTIONAL, closure, read_lock

TEMPLATES = LOCK.parent / "src" / "hookline" / "templates"
BUILD = "hatchling"
HEAD = """\
# Written by `hookline init` from the lock file of hookline @VERSION@. pip installs no file with another hash.
--require-hashes
--only-binary :all:
"""
BUILD_HEAD = "# The build of hookline from its source.\n"


def texts() -> dict[str, str]:
    """The files by their name. Raises Inconsistent if lock and installed packages do not agree."""
    lock = read_lock(LOCK.read_text(encoding="utf-8"))
    blocks = dict(_blocks(LOCK.read_text(encoding="utf-8")))
    run_time = closure(OPTIONAL, lock).keys() - {"hookline"}
    build = closure(frozenset(), lock, root=BUILD).keys() - run_time
    return {
        "dependencies.txt": HEAD + "".join(blocks[name] for name in sorted(run_time)),
        "build-dependencies.txt": BUILD_HEAD + "".join(blocks[name] for name in sorted(build)),
    }


def _blocks(text: str) -> list[tuple[str, str]]:
    """Each package with its lines, without the comments that name the packages which need it."""
    found = []
    for block in re.split(r"\n(?=\S)", text.rstrip()):
        lines = [line for line in block.splitlines() if not line.lstrip().startswith("#")]
        found.append((re.split(r"[=\[ ]", lines[0])[0], "\n".join(lines) + "\n"))
    return found


def main() -> None:
    for name, text in texts().items():
        (TEMPLATES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
