"""The policy file of a repository, compared with the policy of the state."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.cli.policy_file_note import PolicyFileState, compare_policy_file
from hookline.config.policy_file import canonical_policy_text
from hookline.errors import WrongUse
from hookline.state.store import EMPTY, Snapshot, StoredPolicy

POLICY = "version: 1\nrules:\n  - {id: a, message: m, require: false}\n"
CONFIG = Path("webhooks")


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a configuration directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks" / "acme").mkdir(parents=True)
    return tmp_path


def state(text: str) -> Snapshot:
    """A state whose policy is that of a file."""
    file = Path("other.yaml")
    file.write_text(text)
    canonical = canonical_policy_text(file)
    assert canonical is not None
    return Snapshot("L", 1, {}, StoredPolicy.of(canonical, 1))


def test_without_a_file_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A repository needs no policy file: the platform team may keep it elsewhere."""
    assert compare_policy_file(None, CONFIG, state(POLICY)) is None
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "stored", "found", "note"),
    [
        (POLICY, POLICY, PolicyFileState.SAME, ""),
        (f"# reviewed\n{POLICY.replace('{id', '{level: deny, id')}", POLICY, PolicyFileState.SAME, ""),
        (POLICY.replace("false", "true"), POLICY, PolicyFileState.DIFFERENT, "hookline policy set policy.yaml"),
        (POLICY, None, PolicyFileState.NOT_SET, "hookline policy set policy.yaml"),
        ("rules: [", POLICY, PolicyFileState.INVALID, "hookline policy test policy.yaml"),
        ("version: 1\nrules: [{}]", POLICY, PolicyFileState.INVALID, "hookline policy test policy.yaml"),
        ("version: 1\n---\nversion: 1\n", POLICY, PolicyFileState.INVALID, "hookline policy test policy.yaml"),
        ("- a", None, PolicyFileState.INVALID, "hookline policy test policy.yaml"),
    ],
)
def test_a_file_is_compared(
    text: str, stored: str | None, found: PolicyFileState, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Comments and spelling make no difference; a difference has a note with the next step."""
    snapshot = EMPTY if stored is None else state(stored)
    Path("policy.yaml").write_text(text)
    assert found is compare_policy_file(None, CONFIG, snapshot)
    shown = capsys.readouterr().err
    assert (note in shown) if note else shown == ""


def test_the_file_is_beside_the_configuration_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From every working directory, the file is found beside the configuration directory."""
    Path("policy.yaml").write_text(POLICY)
    monkeypatch.chdir(directory / "webhooks" / "acme")
    assert PolicyFileState.NOT_SET is compare_policy_file(None, Path(".."), EMPTY)
    assert str(directory / "policy.yaml") in capsys.readouterr().err


def test_a_named_file_must_exist() -> None:
    """A misspelt --policy-file does not look like a repository without one."""
    with pytest.raises(WrongUse, match=r"no policy file polcy\.yaml"):
        compare_policy_file(Path("polcy.yaml"), CONFIG, EMPTY)
