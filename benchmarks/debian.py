"""The programs for comparison: found on this machine, or installed from Debian if the user is root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "nginx": "nginx-light libnginx-mod-http-echo",
    "syslog-ng": "syslog-ng-core syslog-ng-mod-http",
    "wrk": "wrk",
    "valgrind": "valgrind",
}
NO_SERVICES: Final = Path("/usr/sbin/policy-rc.d")  # Debian runs it to ask whether a package may start its service


def ensure_programs(programs: Sequence[str]) -> set[str]:
    """Install the missing programs if possible; the programs that are available then."""
    if missing := [program for program in programs if find(program) is None]:
        packages = " ".join(PACKAGES[program] for program in missing)
        if os.geteuid() == 0 and shutil.which("apt-get"):
            print(f"Installing from Debian: {packages} ...", flush=True)
            install(packages.split())
        else:
            print(f"Going on without {', '.join(missing)}. To have them: apt-get install {packages}", flush=True)
    return {program for program in programs if find(program) is not None}


def find(program: str) -> str | None:
    """Find a program, also in the directories of servers, which are not on the PATH of ordinary users."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def install(packages: list[str]) -> None:
    """Install Debian packages. Nothing is removed (syslog-ng replaces another syslog) and no service starts."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(("apt-get", "update", "-qq"), env=environment, check=False)
    with no_services():
        command = ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "--no-remove", *packages)
        if subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
            print("That did not work; going on without.", flush=True)


@contextmanager
def no_services() -> Iterator[None]:
    if NO_SERVICES.exists():
        yield
        return
    NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
    NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        NO_SERVICES.unlink()
