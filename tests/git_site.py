"""A bare git repository and the programs of a CI runner: the part that the stubs of git hosts have in common."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hookline_process import clean_environment
from quick_hookline import quick_hookline


class GitSite:
    """`origin` is the repository; its branch is `main`. A runner finds `hookline`, and a `python` whose pip only logs
    its arguments, by `search_path`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._bin = directory / "bin"
        self._bin.mkdir(parents=True)
        pip = f'[ "$1 $2" = "-m pip" ] && {{ echo "$@" >> "{directory}/pip.log"; exit 0; }}'
        self.add_program("python", f'{pip}\nexec "{sys.executable}" "$@"')
        (self._bin / "hookline").symlink_to(quick_hookline())
        self.origin = directory / "origin.git"
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.origin), at=directory)

    def add_program(self, name: str, script: str) -> None:
        """Add a program for the runner, or replace it."""
        path = self._bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def search_path(self) -> str:
        return f"{self._bin}:{clean_environment()['PATH']}"

    def git(self, *arguments: str, at: Path) -> str:
        identity = {f"GIT_{who}_{what}": text for who in ("AUTHOR", "COMMITTER")
                    for what, text in (("NAME", "Ada"), ("EMAIL", "ada@acme.example"))}  # fmt: skip
        environment = clean_environment(**identity, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
        done = subprocess.run(
            ("git", *arguments), cwd=at, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def clone(self, name: str) -> Path:
        place = self.directory / name
        self.git("clone", "--quiet", str(self.origin), str(place), at=self.directory)
        return place
