"""A user who may not enter a directory: each command names the path and the reason, without a traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hookline_process import clean_environment

NOBODY = 65534
# Runs commands one after the other in one process, because each start of Python takes time.
PROGRAM = """
import contextlib, io, json, sys, traceback
from hookline.cli.main import main
for arguments in json.load(sys.stdin):
    out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = int(main(arguments))
        except BaseException:
            code = -1
            traceback.print_exc(file=errors)
    print(json.dumps([code, errors.getvalue()]))
"""
# Without these capabilities, root cannot enter the directories of others, but it can read this installation.
SETPRIV = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
WEBHOOK = """\
version: 1
organization: a
sandbox: b
name: lab
channels: [email]
url: https://hooks.acme.example/
campaigns: all
"""
SPOOL_COMMANDS = (
    *(["status"], ["trace", "REQ-1"], ["dead", "list"], ["dead", "show", "line-1"], ["dead", "replay", "--all"]),
    *(["dead", "export"], ["dead", "import", "/dev/null"], ["pause", "a/b"], ["resume", "a/b"], ["retry-now", "a/b"]),
    ["relay", "--drain", "--allow-empty"],
)
STATE_COMMANDS = (
    *(["list"], ["show", "a/b"], ["history"], ["blame", "a/b"], ["drift"], ["rollback", "--to", "1"], ["check"]),
    *(["jwks", "a/b"], ["plan", "--config", "{open}"], ["apply", "--config", "{open}"], ["export", "{open}/new"]),
)
PATH_COMMANDS = (
    *(["validate", "{hidden}/a.yaml"], ["validate", "--config", "{hidden}/w"], ["plan", "--config", "{hidden}/w"]),
    *(
        ["plan", "{hidden}/a.yaml"],
        ["apply", "{hidden}/plan.json"],
        ["apply", "{hidden}/plan"],
        ["show", "{hidden}/p"],
    ),
    *(["init", "{hidden}/new"], ["export", "{hidden}/new"], ["formats", "test", "{hidden}/log"]),
    *(["plan", "--config", "{open}", "--out", "{hidden}/plan.json"], ["dead", "import", "{hidden}/letters"]),
    *(["plan", "--config", "{open}", "--format", "json={hidden}/p.json"], ["relay", "--dry-run", "{hidden}/log"]),
    *(
        ["spool", "recover", "{hidden}/spool", "{open}/new-spool"],
        ["spool", "recover", ".hookline/spool", "{hidden}/s/new"],
    ),
    *(["receive", "--tls-dir", "{hidden}/tls"], ["receive", "--port-file", "{hidden}/port"]),
    ["dead", "export", "--out", "{hidden}/letters"],
)


@pytest.fixture
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A directory that nobody else may enter, and one that everybody may."""
    base = tmp_path_factory.mktemp("paths")
    for above in (base, base.parent):
        above.chmod(0o755)
    hidden, opened = base / "hidden", base / "open"
    (hidden / "inside").mkdir(parents=True, mode=0o700)
    hidden.chmod(0o700)
    opened.mkdir()
    opened.chmod(0o755)
    os.chown(hidden, NOBODY, NOBODY)
    return {"hidden": f"{hidden}/inside", "open": str(opened)}


def results(commands: list[list[str]], directory: str) -> list[tuple[int, str]]:
    done = subprocess.run(
        [*SETPRIV, sys.executable, "-c", PROGRAM], input=json.dumps(commands), text=True, cwd=directory,
        env=clean_environment(), capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [(code, errors) for code, errors in map(json.loads, done.stdout.splitlines())]


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can drop its capabilities"
)
def test_a_path_that_cannot_be_entered_is_a_message(directories: dict[str, str]) -> None:
    """State and spool are unusable (8); any other path fails (1 or 64). Each message names the path."""
    spool = [[*one, "--spool", "{hidden}/spool"] for one in SPOOL_COMMANDS]
    state = [[*one, "--state", "{hidden}/state.db"] for one in STATE_COMMANDS]
    (Path(directories["open"]) / "a.yaml").write_text(WEBHOOK)
    made = results([["apply", "--auto-approve", "--config", "."], ["pause", "a/b"]], directories["open"])
    assert [0, 0] == [code for code, _ in made]
    commands = [[part.format(**directories) for part in one] for one in (*spool, *state, *PATH_COMMANDS)]
    unusable = len(spool) + len(state)
    problems = []
    for number, (arguments, (code, errors)) in enumerate(
        zip(commands, results(commands, directories["open"]), strict=True)
    ):
        codes = (8,) if number < unusable else (1, 5, 8, 64)
        named = directories["hidden"] in errors and "Permission denied" in errors
        if "Traceback" in errors or not named or code not in codes:
            problems.append((arguments, code, errors))
    assert not problems, "\n".join(map(str, problems))
