"""`hookline init` and `hookline completion`, as their users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hookline_process import clean_environment, run_process

PACKAGE = f"hookline==0.1.0 --hash=sha256:{'0' * 64}"


def _run(*arguments: str, at: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = run_process(None, *arguments, cwd=at, env=clean_environment(**environment))
    return subprocess.CompletedProcess(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_from_nothing_to_a_plan(tmp_path: Path) -> None:
    """In the directory that init made, validate and plan work at once, and the plan is the example."""
    made = _run("init", "--package", PACKAGE, "repository", at=tmp_path)
    assert (0, "") == (made.returncode, made.stderr)
    assert "  .github/workflows/hookline.yml\n" in made.stdout
    assert "cd repository && hookline validate && hookline plan" in made.stdout
    here = tmp_path / "repository"
    assert "1 webhook in 1 file is valid\n" == _run("validate", at=here).stdout
    plan = _run("plan", at=here)
    assert 0 == plan.returncode, plan.stderr
    assert "1 to create" in plan.stdout


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    """Run again, init leaves every file as it is and says so."""
    _run("init", at=tmp_path)
    (tmp_path / "README.md").write_text("Ours")
    again = _run("init", at=tmp_path)
    assert 0 == again.returncode
    assert "Created" not in again.stdout
    assert "Not changed, because it exists:\n  .github/CODEOWNERS\n" in again.stdout
    assert "Ours" == (tmp_path / "README.md").read_text()


def test_what_would_not_work_is_said(tmp_path: Path) -> None:
    """A .gitignore without the state, and a repository whose root is further up, are each a note."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / ".gitignore").write_text("dist/\n")
    done = _run("init", "inside", at=tmp_path)
    assert "note: add the lines .hookline/ secrets/ *.pem to .gitignore" in done.stderr
    assert f"note: this is a subdirectory of the repository {tmp_path}:" in done.stderr
    assert f"GitHub reads it only at the root: move it to {tmp_path}/.github/workflows/hookline.yml" in done.stderr
    for part in ("working-directory: inside", "with /inside before each path", "files: ^inside/webhooks/", "editor"):
        assert part in done.stderr


def test_a_workflow_of_others_is_named(tmp_path: Path) -> None:
    """A pipeline that exists and does not run hookline is left unchanged, and a note names the next step."""
    (tmp_path / ".gitlab-ci.yml").write_text("test: {script: make test}\n")
    first = _run("init", "--ci", "gitlab", "--package", PACKAGE, ".", at=tmp_path)
    assert "note: .gitlab-ci.yml does not run hookline: write the files into an empty directory" in first.stderr
    assert "test: {script: make test}\n" == (tmp_path / ".gitlab-ci.yml").read_text()


def test_below_the_root_the_workflow_has_all_steps(tmp_path: Path) -> None:
    """Actions work at the root of a repository only, so a subdirectory gets the file with `working-directory`."""
    (tmp_path / ".git").mkdir()
    package = f"git+https://github.com/acme/hookline.git@{'1' * 40}"
    for directory, uses in ((".", True), ("inside", False)):
        _run("init", "--package", package, directory, at=tmp_path)
        workflow = (tmp_path / directory / ".github/workflows/hookline.yml").read_text()
        assert uses == ("acme/hookline/.github/actions/plan@" in workflow)
        assert uses != ("hookline apply --auto-approve" in workflow)


def test_a_package_can_be_named_later(tmp_path: Path) -> None:
    """Without a package init reports that CI installs none yet; run again with one, it adds the missing files."""
    first = _run("init", ".", at=tmp_path)
    assert (0, False) == (first.returncode, (tmp_path / ".github/hookline").exists())
    assert "hookline init --package SPEC ." in first.stderr
    second = _run("init", "--package", PACKAGE, ".", at=tmp_path)
    assert (0, "") == (second.returncode, second.stderr)
    assert "  .github/hookline/dependencies.txt\n  .github/hookline/package.txt\n" in second.stdout
    again = _run("init", "--package", PACKAGE.replace("0.1.0", "0.2.0"), ".", at=tmp_path)
    assert "still names the earlier package" in again.stderr


def test_a_package_without_a_hash_is_wrong_use(tmp_path: Path) -> None:
    """A name and a version alone are refused before anything is written."""
    done = _run("init", "--package", "hookline==0.1.0", ".", at=tmp_path)
    assert (64, []) == (done.returncode, list(tmp_path.iterdir()))
    assert "is not pinned" in done.stderr


def test_a_file_in_the_way_is_a_message(tmp_path: Path) -> None:
    """A DIR that is a file is refused in words, without a traceback."""
    (tmp_path / "file").touch()
    done = _run("init", "file", at=tmp_path)
    assert 1 == done.returncode
    assert "nothing was created" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("shell", "word"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --")])
def test_a_completion_script_for_each_shell(shell: str, word: str, tmp_path: Path) -> None:
    """Each shell gets a script that registers the completion of hookline."""
    done = _run("completion", shell, at=tmp_path)
    assert (0, "") == (done.returncode, done.stderr)
    assert word in done.stdout
    assert f"_HOOKLINE_COMPLETE={shell}_complete" in done.stdout


def test_bash_completes_commands_and_choices(tmp_path: Path) -> None:
    """With the script in a real bash, Tab offers commands by their beginning, and the values of an option."""
    tool = tmp_path / "hookline"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from hookline.cli.main import run; run()" "$@"\n')
    tool.chmod(0o755)
    script = """
        PATH="$PWD:$PATH"; eval "$(hookline completion bash)"
        tab() {
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
            _hookline_completion hookline
            echo "${COMPREPLY[@]}"
        }
        tab hookline va; tab hookline validate --format sa; tab hookline completion ''
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert (0, "validate\nsarif\nbash zsh fish\n") == (done.returncode, done.stdout), done.stderr


def test_bash_keeps_an_address_in_one_word(tmp_path: Path) -> None:
    """An interactive bash ends words at @, so the script for bash takes it out of the characters that do."""
    script = _run("completion", "bash", at=tmp_path).stdout.splitlines()[0]
    done = subprocess.run(
        ["bash", "-c", f"COMP_WORDBREAKS=$' @:='; {script}; printf %s \"$COMP_WORDBREAKS\""],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert " :=" == done.stdout


def test_an_unknown_shell_is_wrong_use(tmp_path: Path) -> None:
    """A shell that is not known is exit code 64, and the known ones are named."""
    done = _run("completion", "csh", at=tmp_path)
    assert 64 == done.returncode
    assert "'bash', 'zsh', 'fish'" in done.stderr


def test_completing_commands_imports_none_of_them(tmp_path: Path) -> None:
    """Tab after the program's name answers from the table of commands, without importing their modules."""
    code = (
        "import sys; from hookline.cli.main import program, LazyGroup\n"
        "import click; found = program.shell_complete(click.Context(program), 'pl')\n"
        "print([one.value for one in found], 'hookline.cli.commands.plan' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "['plan'] False\n" == done.stdout


def test_a_pipelines_variable_for_the_release_disturbs_nothing(tmp_path: Path) -> None:
    """HOOKLINE_VERSION, which pipelines like to set, is not taken for the flag --version."""
    done = _run("schema", at=tmp_path, HOOKLINE_VERSION="0.1.0")
    assert 0 == done.returncode, done.stderr
    assert "webhook.v1\n" in done.stdout
