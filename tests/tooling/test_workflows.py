"""The workflows and actions for GitHub, and the shell scripts of all CI files, pass the linters of their kind."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_stub import load
from hookline.cli.ci_systems import GITHUB, GITLAB, SCRIPT, CiSystem
from hookline.cli.commands.init import scaffold, write_new
from hookline.cli.package_spec import parse_package

ROOT = Path(__file__).parents[2]
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
PACKAGES = [f"hookline==0.1.0 --hash=sha256:{'0' * 64}", f"git+https://github.com/acme/hookline.git@{'1' * 40}"]


def _write(directory: Path, system: CiSystem, spec: str = PACKAGES[0]) -> Path:
    write_new(directory, scaffold(parse_package(spec), ci=system))
    return directory / system.workflow


def _run(name: str, *arguments: str | Path, at: Path) -> None:
    tool = Path(sys.executable).with_name(name)
    done = subprocess.run((tool, *arguments), cwd=at, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("spec", PACKAGES)
def test_the_workflow_passes_actionlint_and_zizmor(spec: str, tmp_path: Path) -> None:
    """No mistake in expressions and scripts, no permission or pin that is too wide."""
    workflow = _write(tmp_path, GITHUB, spec)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    _run("actionlint", "-no-color", "-shellcheck", shellcheck, workflow, at=tmp_path)
    _run("zizmor", "--offline", "--no-progress", workflow, at=ROOT)


def test_the_actions_pass_zizmor() -> None:
    """The composite actions of this repository have no finding either, and each job of the workflow has one."""
    assert ["apply", "comment", "drift", "plan"] == [path.parent.name for path in ACTIONS]
    _run("zizmor", "--offline", "--no-progress", *ACTIONS, at=ROOT)


def test_the_actions_are_written_from_the_workflow() -> None:
    """`python .ci/actions.py` would write what .github/actions contains."""
    written: dict[Path, str] = runpy.run_path(str(ROOT / ".ci" / "actions.py"))["texts"]()
    assert set(ACTIONS) == written.keys()
    assert [] == [path for path, text in written.items() if path.read_text() != text], "run: python .ci/actions.py"


def test_an_action_runs_the_steps_of_its_job() -> None:
    """Scripts, conditions and pins are those of the workflow; only secrets became inputs."""
    jobs = yaml.safe_load((ROOT / "src/hookline/templates/workflow.yml").read_text())["jobs"]
    for path in ACTIONS:
        steps, expected = yaml.safe_load(path.read_text())["runs"]["steps"], jobs[path.parent.name]["steps"]
        for key in ("name", "id", "if", "uses", "with", "run"):
            assert [step.get(key) for step in expected] == [step.get(key) for step in steps], (path, key)
        assert {"1"} == {step["env"]["PYTHONSAFEPATH"] for step in steps if "run" in step}
        assert "secrets." not in path.read_text()


def test_the_scripts_pass_shellcheck(tmp_path: Path) -> None:
    """The jobs of GitLab and the script for any CI have no mistake of a shell."""
    _run("shellcheck", _write(tmp_path, SCRIPT), at=tmp_path)
    document: dict[str, Any] = load(_write(tmp_path, GITLAB).read_text())
    parts = [document[name][key] for name, key in ((".hookline", "before_script"), (".api", "before_script"))]
    parts += [document[name]["script"] for name in ("plan", "note", "apply", "drift")]
    script = tmp_path / "jobs.sh"
    script.write_text("#!/bin/bash\n" + "\n".join(f"job_{n}() {{\n{part[0]}}}" for n, part in enumerate(parts)))
    # SC2317, SC2329: the functions are not called. SC2154: the runner sets the variables of one job in another part.
    _run("shellcheck", "--exclude", "SC2317,SC2329,SC2154", script, at=tmp_path)
