"""The files that `init` writes: it replaces none, and writes all or nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitlab_stub import load
from hookline.cli.ci_systems import CI_SYSTEMS, GITHUB, GITLAB, SCRIPT, CiSystem
from hookline.cli.commands.init import IGNORED, missing_ignores, repository_above, scaffold, write_new
from hookline.cli.package_spec import Package, parse_package
from hookline.config.loader import inspect
from hookline.errors import HooklineError
from hookline.schemas import schema_text

ROOT = Path(__file__).parents[4]
DIGEST, COMMIT = "0" * 64, "1" * 40
WHEEL = "https://files.acme.example/hookline-0.1.0-py3-none-any.whl"
ON_GITHUB = f"git+https://github.com/acme/hookline.git@{COMMIT}"
GIT = f"git+https://git.acme.example/hookline.git@{COMMIT}"
WORKFLOW = GITHUB.workflow
PINNED = f"hookline==0.1.0 --hash=sha256:{DIGEST}"


def _scaffold(package: Package | None = None) -> Mapping[str, str]:
    return scaffold(package or parse_package(PINNED), ci=GITHUB)


def _workflow(spec: str = PINNED) -> dict[Any, Any]:
    document: dict[Any, Any] = yaml.safe_load(_scaffold(parse_package(spec))[WORKFLOW])
    return document


def _tree(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*") if path.is_file()
    }


def test_a_new_directory_gets_every_file(tmp_path: Path) -> None:
    """In a new directory, every file is written with its text."""
    created, existing = write_new(tmp_path / "new" / "repository", _scaffold())
    assert _scaffold() == _tree(tmp_path / "new" / "repository")
    assert (sorted(_scaffold()), []) == (created, existing)


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    """An existing file, directory or dangling link is not changed, and is reported."""
    (tmp_path / "README.md").write_text("Ours")
    (tmp_path / ".gitignore").mkdir()
    (tmp_path / ".pre-commit-config.yaml").symlink_to("nowhere")
    created, existing = write_new(tmp_path, _scaffold())
    assert [".gitignore", ".pre-commit-config.yaml", "README.md"] == existing
    assert "Ours" == (tmp_path / "README.md").read_text()
    assert not (tmp_path / "nowhere").exists()
    assert "webhooks/example/prod.yaml" in created


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    """If one file cannot be written, earlier files and their directories are removed."""
    (tmp_path / "ours").write_text("Ours")
    (tmp_path / "webhooks").write_text("a file where a directory has to be")
    before = _tree(tmp_path)
    with pytest.raises(HooklineError, match=r"webhooks/example.*nothing was created"):
        write_new(tmp_path, _scaffold())
    assert before == _tree(tmp_path)
    assert ["ours", "webhooks"] == sorted(path.name for path in tmp_path.iterdir())


def test_the_example_is_valid_and_delivers_nothing(tmp_path: Path) -> None:
    """The example webhook is valid and not enabled."""
    write_new(tmp_path, _scaffold())
    assert () == inspect(tmp_path / "webhooks").diagnostics
    assert yaml.safe_load((tmp_path / "webhooks/example/prod.yaml").read_text())["enabled"] is False


def test_editors_find_the_schema_without_a_network(tmp_path: Path) -> None:
    """The editor settings and the example's first line name the schemas that are written beside them."""
    write_new(tmp_path, _scaffold())
    schemas = json.loads((tmp_path / ".vscode/settings.json").read_text())["yaml.schemas"]
    schema, defaults = sorted(schemas, key=lambda path: "defaults" in path)
    assert schema_text("webhook") == (tmp_path / schema).read_text()
    assert schema_text("defaults") == (tmp_path / defaults).read_text()
    example = tmp_path / "webhooks/example/prod.yaml"
    found = re.match(r"# yaml-language-server: \$schema=(\S+)", example.read_text())
    assert found is not None
    assert (tmp_path / schema).resolve() == (example.parent / found[1]).resolve()


@pytest.mark.parametrize(
    ("spec", "package", "hook"),
    [
        (
            PINNED,
            f"--require-hashes\nhookline==0.1.0 \\\n    --hash=sha256:{DIGEST}\n",
            {"language": "system"},
        ),
        (
            f"{WHEEL}#sha256={DIGEST}",
            f"--require-hashes\nhookline @ {WHEEL} \\\n    --hash=sha256:{DIGEST}\n",
            {"language": "python", "additional_dependencies": [f"hookline @ {WHEEL}#sha256={DIGEST}"]},
        ),
        (GIT, f"hookline @ {GIT}\n", {"language": "python", "additional_dependencies": [f"hookline @ {GIT}"]}),
        (WHEEL, f"hookline @ {WHEEL}\n", {"language": "python", "additional_dependencies": [f"hookline @ {WHEEL}"]}),
    ],
)
def test_the_package_is_installed_everywhere(spec: str, package: str, hook: dict[str, object]) -> None:
    """The package's file and the pre-commit hook install the given package, and no file has a mark left."""
    texts = _scaffold(parse_package(spec))
    head, _, rest = texts[".github/hookline/package.txt"].partition("\n")
    assert head.startswith("# ")
    assert package == rest
    (repository,) = yaml.safe_load(texts[".pre-commit-config.yaml"])["repos"]
    assert hook == {name: repository["hooks"][0][name] for name in hook}
    assert [] == [path for path, text in texts.items() if re.search("@[A-Z]+@", text)]


def test_without_a_package_nothing_is_installed_by_name() -> None:
    """Without a package no file names one, and the files that would name it are missing."""
    texts = scaffold(None, ci=GITHUB)
    assert not {path for path in texts if path.startswith(".github/hookline/")}
    assert [] == [path for path, text in texts.items() if re.search("hookline(\\[[a-z]+\\])?(==| @ )", text)]


def test_only_a_build_from_source_gets_the_tools_of_a_build() -> None:
    """A git commit is built with hatchling, by its hash; a wheel needs no tools."""
    path = ".github/hookline/dependencies.txt"
    assert "hatchling==" in _scaffold(parse_package(GIT))[path]
    assert "hatchling==" not in _scaffold()[path]


def test_every_dependency_has_its_hashes() -> None:
    """pip installs no dependency whose hash is not in the file, and builds none from source."""
    text = _scaffold(parse_package(GIT))[".github/hookline/dependencies.txt"]
    assert "\n--require-hashes\n--only-binary :all:\n" in text
    blocks = re.split(r"\n(?=[a-z])", text)[1:]
    assert {"click", "psycopg", "hatchling"} <= {block.partition("==")[0] for block in blocks}
    assert [] == [block for block in blocks if not re.search("--hash=sha256:[0-9a-f]{64}", block)]


def test_python_does_not_look_into_the_checkout() -> None:
    """PYTHONSAFEPATH is set for every step, and no script has Python code of its own."""
    workflow = _workflow()
    assert {"PYTHONSAFEPATH": "1"} == workflow["env"]
    assert not re.search(r"python3? +(-\w+ +)*-c\b", _scaffold()[WORKFLOW])


@pytest.mark.parametrize("name", CI_SYSTEMS)
def test_each_ci_gets_its_own_files(name: str) -> None:
    """No file of another CI is written, none at all for `--ci none`, and no file has a mark left."""
    system = CI_SYSTEMS[name]
    texts = scaffold(parse_package(PINNED), ci=system)
    expected = set() if system is None else {system.workflow, system.package_file, system.dependencies_file}
    roots = (".github", ".gitlab", ".gitlab-ci.yml", "ci")
    found = {path for path in texts if path.split("/")[0] in roots}
    assert expected | (set() if system is None else system.more.keys()) == found
    assert [] == [path for path, text in texts.items() if re.search("@[A-Z]+@", text)]


@pytest.mark.parametrize("system", [GITHUB, GITLAB])
def test_the_owners_of_the_workflow_are_named(system: CiSystem) -> None:
    """CODEOWNERS has a line for each path that decides what is applied, and one for the defaults of all teams."""
    (path,) = system.more
    text = scaffold(None, ci=system)[path]
    owned = [*system.owned, "/webhooks/_defaults.yaml"]
    assert [f"# {one}    @your-org/platform" for one in owned] == re.findall("^# /.*platform$", text, re.M)
    folders = {f"/{one}" for one in (system.workflow, system.package_file)}
    assert [] == [one for one in folders if not one.startswith(system.owned)]


@pytest.mark.parametrize(
    ("system", "options"),
    [
        (GITHUB, ["--builtin-schema", "vendor.github-workflows"]),
        (GITLAB, ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]),
    ],
)
def test_the_workflow_fits_the_published_schema(system: CiSystem, options: list[str], tmp_path: Path) -> None:
    """The workflow is valid for the published JSON Schema of its CI."""
    write_new(tmp_path, scaffold(parse_package(PINNED), ci=system))
    tool = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run([tool, *options, tmp_path / system.workflow], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def _gitlab() -> dict[str, Any]:
    return load(scaffold(parse_package(PINNED), ci=GITLAB)[GITLAB.workflow])


def test_only_the_applying_job_of_gitlab_can_write_the_state() -> None:
    """One job has the environment of the writing variable; merge requests and schedules export the reading one."""
    jobs = {name: one for name, one in _gitlab().items() if isinstance(one, dict) and "script" in one}
    assert {"apply": "hookline"} == {name: job["environment"] for name, job in jobs.items() if "environment" in job}
    assert not any("merge_request_event" in rule["if"] for rule in jobs["apply"]["rules"])
    for name in ("plan", "drift"):
        (script,) = jobs[name]["script"]
        first = script.index('export HOOKLINE_STATE="${HOOKLINE_STATE_READONLY:-}"')
        assert not re.search("hookline (plan|drift)", script[:first])


def test_applies_of_gitlab_queue_and_are_never_cancelled() -> None:
    """Applies share a resource group, and a new commit of the default branch cancels no pipeline of it."""
    document = _gitlab()
    assert ("hookline-apply", False) == (document["apply"]["resource_group"], document["apply"]["interruptible"])
    cancelled = {rule["if"]: rule["auto_cancel"]["on_new_commit"] for rule in document["workflow"]["rules"]}
    assert "none" == cancelled["$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"]


def test_the_jobs_of_gitlab_import_nothing_from_the_checkout() -> None:
    """PYTHONSAFEPATH is set for all jobs, code of the file itself runs isolated, and the note needs no checkout."""
    document, text = _gitlab(), scaffold(None, ci=GITLAB)[GITLAB.workflow]
    assert "1" == document["variables"]["PYTHONSAFEPATH"]
    assert ["-I", "-I"] == re.findall(r'python (-\w) "\$api"', text)
    assert "none" == document["note"]["variables"]["GIT_STRATEGY"]
    assert ".api" == document["note"]["extends"]


def test_the_script_is_posix_shell(tmp_path: Path) -> None:
    """A shell without the extensions of bash reads the script, and names the commands that it has."""
    (tmp_path / "hookline.sh").write_text(scaffold(None, ci=SCRIPT)[SCRIPT.workflow])
    done = subprocess.run(["dash", "hookline.sh", "help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = "error: write one of: install, validate, plan, changes, apply [FINGERPRINT], drift\n"
    assert (64, expected) == (done.returncode, done.stderr)


@pytest.mark.parametrize("spec", [PINNED, ON_GITHUB])
def test_each_job_has_only_the_permissions_it_needs(spec: str) -> None:
    """Nothing by default; only the commenting job may write, and only to pull requests."""
    workflow = _workflow(spec)
    jobs = workflow["jobs"]
    assert {} == workflow["permissions"]
    assert {
        "plan": {"contents": "read"},
        "comment": {"pull-requests": "write"},
        "apply": {"actions": "read", "contents": "read", "pull-requests": "read"},
        "drift": {"contents": "read"},
    } == {name: job["permissions"] for name, job in jobs.items()}


def test_the_commenting_job_runs_nothing_of_the_pull_request() -> None:
    """The job checks out and installs nothing: it downloads the plan and calls the API."""
    jobs = _workflow()["jobs"]
    steps = jobs["comment"]["steps"]
    assert ["actions/download-artifact"] == [step["uses"].split("@")[0] for step in steps if "uses" in step]
    assert {"gh"} == set(
        re.findall(r"^\s*(?:mine=\$\()?(gh|python|hookline|bash|sh|\./\S+)\b", steps[-1]["run"], re.M)
    )


@pytest.mark.parametrize("spec", [PINNED, ON_GITHUB])
def test_only_the_applying_job_can_write_the_state(spec: str) -> None:
    """The writing secret is named once, in the one job that has the protected environment."""
    text, jobs = _scaffold(parse_package(spec))[WORKFLOW], _workflow(spec)["jobs"]
    assert 1 == text.count("secrets.HOOKLINE_STATE }}")
    assert "secrets.HOOKLINE_STATE }}" in json.dumps(jobs["apply"])
    assert {"apply": "hookline"} == {name: job["environment"] for name, job in jobs.items() if "environment" in job}


@pytest.mark.parametrize("spec", [PINNED, ON_GITHUB])
def test_applies_queue_and_are_never_cancelled(spec: str) -> None:
    """Applies share a group in which they run one after the other, and none is dropped."""
    jobs = _workflow(spec)["jobs"]
    assert {"group": "hookline-apply", "cancel-in-progress": False, "queue": "max"} == jobs["apply"]["concurrency"]


def test_nothing_is_put_into_a_script_by_an_expression() -> None:
    """A script receives external values through its environment, where they cannot become commands."""
    jobs = _workflow()["jobs"]
    scripts = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert [] == [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("spec", [PINNED, ON_GITHUB])
def test_every_action_is_pinned_by_its_commit(spec: str) -> None:
    """Actions are pinned to commits, because an attacker with access to the repository could move a tag."""
    used = re.findall(r"uses: (\S+)(.*)", _scaffold(parse_package(spec))[WORKFLOW])
    assert used
    owners = r"actions/[a-z-]+" if spec == PINNED else r"acme/hookline/\.github/actions/[a-z]+"
    assert [] == [one for one, _ in used if not re.fullmatch(rf"{owners}@[0-9a-f]{{40}}", one)]
    assert [] == [one for one, comment in used if not re.fullmatch(r" # (v|hookline )\d+\.\d+\.\d+", comment)]


def test_a_package_on_github_needs_a_short_file_only() -> None:
    """If hookline is built from a commit on GitHub, the jobs use its actions at this commit, for the same events."""
    short, whole = _workflow(ON_GITHUB), _workflow()
    assert whole.keys() - short.keys() == {"env", "defaults"}
    for key in ("name", True, "permissions", "concurrency"):
        assert whole[key] == short[key]  # YAML 1.1 reads `on` as true
    for name, job in whole["jobs"].items():
        fields = ("name", "if", "needs", "runs-on", "timeout-minutes", "environment", "concurrency")
        assert [job.get(field) for field in fields] == [short["jobs"][name].get(field) for field in fields]
        uses = f"acme/hookline/.github/actions/{name}@{COMMIT}"
        assert [uses] == [step["uses"] for step in short["jobs"][name]["steps"]]
    assert len(_scaffold(parse_package(ON_GITHUB))[WORKFLOW].splitlines()) <= 75
    assert whole == _workflow(GIT), "another host has no actions of GitHub: the file has all steps"


def test_the_pre_commit_hooks_are_the_same() -> None:
    """The hooks that `init` writes do the same as the hooks of this repository."""
    offered = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (repository,) = yaml.safe_load(_scaffold(parse_package(GIT))[".pre-commit-config.yaml"])["repos"]
    written = repository["hooks"]
    assert ["hookline-validate", "hookline-fmt"] == [hook["id"] for hook in written]
    assert offered == [
        {name: value for name, value in hook.items() if name != "additional_dependencies"} for hook in written
    ]


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (".hookline\nsecrets/\n*.pem\n", []),
        ("/.hookline/\n", ["secrets/", "*.pem"]),
        ("dist/\n", list(IGNORED)),
    ],
)
def test_missing_lines_of_gitignore_are_known(text: str, missing: list[str], tmp_path: Path) -> None:
    """An existing .gitignore is checked for the lines that keep local state, secrets and keys out of git."""
    (tmp_path / ".gitignore").write_text(text)
    assert missing == missing_ignores(tmp_path)


def test_git_ignores_secrets_in_a_new_repository(tmp_path: Path) -> None:
    """git itself ignores keys, the secrets directory and local state in a repository that `init` made."""
    write_new(tmp_path, _scaffold())
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    paths = ["secrets/acme/key.txt", "feedback-2026-11.pem", "keys/feedback.pem", ".hookline/state.db", "plan.json"]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert paths == done.stdout.splitlines()


def test_a_repository_above_is_found(tmp_path: Path) -> None:
    """A directory inside a repository differs from its root, and from a directory in no repository."""
    inside = tmp_path / "outer" / "inner"
    inside.mkdir(parents=True)
    assert repository_above(inside) is None
    (tmp_path / "outer" / ".git").mkdir()
    assert tmp_path / "outer" == repository_above(inside)
    assert repository_above(tmp_path / "outer") is None
