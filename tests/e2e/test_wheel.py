"""The wheel, installed where the repository is not, does the same job."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from hookline_process import Lab, platform_log_is_delivered

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


@pytest.mark.parametrize("name", ["webhook.v1", "event.v1", "payload.v1", "payload.v2", "plan.v1"])
def test_the_installed_wheel_carries_the_schemas(installed: Path, tmp_path: Path, name: str) -> None:
    """`hookline schema` prints the repository's own file, from inside the wheel."""
    printed = subprocess.run([installed, "schema", name], cwd=tmp_path, check=True, capture_output=True).stdout
    assert (ROOT / "schemas" / f"{name}.schema.json").read_bytes().strip() == printed.strip()
