"""The wheel, installed where the repository is not, does the same job."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from hookline_process import Lab, clean_environment, platform_log_is_delivered

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `hookline` program of a fresh environment that holds the built wheel, and borrows only its dependencies."""
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = directory.glob("*.whl")
    venv.create(directory / "venv", with_pip=False)
    python = directory / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    # A path in a .pth file is searched, but its own .pth files (the editable checkout's) are not followed.
    (site,) = (directory / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return directory / "venv" / "bin" / "hookline"


def test_the_installed_wheel_delivers_the_platforms_log(installed: Path, tmp_path: Path) -> None:
    """A wheel installed elsewhere passes the same end-to-end test as the checkout."""
    lab = Lab(tmp_path, program=[str(installed)])
    where = subprocess.run(
        [installed.parent / "python", "-c", "import hookline; print(hookline.__file__)"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(installed.parents[1]))
    platform_log_is_delivered(lab)


@pytest.mark.parametrize("name", ["webhook.v1", "defaults.v1", "event.v1", "payload.v1", "payload.v2", "plan.v1"])
def test_the_installed_wheel_carries_the_schemas(installed: Path, tmp_path: Path, name: str) -> None:
    """`hookline schema` prints the repository's own file, from inside the wheel."""
    printed = subprocess.run([installed, "schema", name], cwd=tmp_path, check=True, capture_output=True).stdout
    assert (ROOT / "schemas" / f"{name}.schema.json").read_bytes().strip() == printed.strip()


@pytest.mark.parametrize(
    ("command", "name"),
    [("unit", "hookline-relay.service"), ("alerts", "alerts.yaml"), ("alerts --dashboard", "dashboard.json")],
)
def test_the_installed_wheel_carries_the_files_of_operators(
    installed: Path, tmp_path: Path, command: str, name: str
) -> None:
    """`hookline unit` and `hookline alerts` print the repository's own files, from inside the wheel."""
    printed = subprocess.run([installed, *command.split()], cwd=tmp_path, check=True, capture_output=True).stdout
    assert (ROOT / "docs" / name).read_bytes() == printed


def test_the_installed_wheel_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    """Without a clone: every event is accepted once, and what the demo wrote is removed, or kept where asked."""
    (tmp_path / "tmp").mkdir()
    environment = {**clean_environment(), "TMPDIR": str(tmp_path / "tmp"), "HOOKLINE_STATE": "/nowhere/state.db"}
    done = subprocess.run(
        [installed, "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    prod, stage = re.findall(r"^/feedback/(?:prod|stage) +\d+ +(\d+) +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert (("21", "21", "21"), ("4", "4", "0")) == (prod, stage)
    assert "not JSON: it ends too early" in done.stdout
    assert ["tmp"] == [path.name for path in tmp_path.rglob("*")]


def test_the_workflow_installs_the_wheel_that_init_was_given(installed: Path, tmp_path: Path) -> None:
    """The workflow's own command installs the wheel by its hash, past a pip.py in the checkout, and no other file."""
    (wheel,) = installed.parents[2].glob("*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    subprocess.run(
        [installed, "init", "--package", f"{wheel.as_uri()}#sha256={digest}", "."],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    workflow = yaml.safe_load((tmp_path / ".github/workflows/hookline.yml").read_text())
    (install,) = (step for step in workflow["jobs"]["apply"]["steps"] if step.get("name") == "Install")
    (command,) = (line for line in install["run"].splitlines() if "package.txt" in line and "pip install" in line)
    (tmp_path / "pip.py").write_text("open('taken', 'w').close()")

    def run(target: str) -> int:
        shell = command.replace("python -m pip install", f"{sys.executable} -m pip install --target {target}")
        environment = {**os.environ, **workflow["env"]}
        done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment, capture_output=True, check=False)
        return done.returncode

    assert 0 == run("right")
    assert (tmp_path / "right/hookline/templates/workflow.yml").exists()
    package = tmp_path / ".github/hookline/package.txt"
    package.write_text(package.read_text().replace(digest, "0" * 64))
    assert 0 != run("wrong")
    assert not (tmp_path / "wrong/hookline").exists()
    assert not (tmp_path / "taken").exists()
