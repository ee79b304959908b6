"""Prometheus' own checker of rules. The program is in Debian's package `prometheus`, which .ci/run installs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

PROGRAM: Final = shutil.which("promtool")
MISSING: Final = "the evaluation of alert rules: promtool is not installed (apt-get install prometheus)"


def promtool(*arguments: str | Path) -> str:
    """The output of a call, which must succeed."""
    assert PROGRAM is not None
    done = subprocess.run((PROGRAM, *map(str, arguments)), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
