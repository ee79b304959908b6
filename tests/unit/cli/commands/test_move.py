"""`hookline move`: the files that it changes, and its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from hookline.cli.main import main
from hookline.config.loader import load
from hookline.model import Address

ORGANIZATION = "1234567890ABCDEF@AdobeOrg"
PROD, LIVE = f"{ORGANIZATION}/prod", f"{ORGANIZATION}/live"


def document(sandbox: str, *, more: str = "", organization: str = ORGANIZATION) -> str:
    return (
        f"version: 1  # always\norganization: {organization}\nsandbox: {sandbox}\n{more}name: Feedback\n"
        "channels: [email]\nurl: https://hooks.acme.example/a\ncampaigns: all\n"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the organization, with the webhook `prod`, whose file has the conventional name."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "webhooks" / ORGANIZATION
    folder.mkdir(parents=True)
    (folder / "prod.yaml").write_text(document("prod"))
    (folder / "prod.yaml").chmod(0o640)
    return folder


def files(directory: Path) -> dict[str, str]:
    """The files below a directory, by their path."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if not path.is_dir()}


def test_a_move(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file gets the new address, `movedFrom` and the new name, and keeps its mode. The difference is shown."""
    assert 0 == main(["move", PROD, LIVE])
    assert {"live.yaml": document("live", more=f"movedFrom: {PROD}\n")} == files(folder)
    assert 0o640 == (folder / "live.yaml").stat().st_mode & 0o777
    assert {Address.parse(LIVE): Address.parse(PROD)} == load(Path("webhooks")).moved_from
    shown = capsys.readouterr()
    assert [
        f"--- webhooks/{ORGANIZATION}/prod.yaml", f"+++ webhooks/{ORGANIZATION}/live.yaml", "@@ -2,3 +2,4 @@",
        f" organization: {ORGANIZATION}", "-sandbox: prod", "+sandbox: live", f"+movedFrom: {PROD}",
        " name: Feedback",
        f"rename webhooks/{ORGANIZATION}/prod.yaml -> webhooks/{ORGANIZATION}/live.yaml",
    ] == shown.out.splitlines()  # fmt: skip
    assert f"moved {PROD} to {LIVE}\n  hint: next: hookline plan\n" == shown.err


def test_a_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It shows the same difference."""
    before = files(folder)
    assert 0 == main(["move", "--dry-run", PROD, LIVE])
    assert before == files(folder)
    shown = capsys.readouterr()
    assert ("+sandbox: live" in shown.out, "nothing was written" in shown.err) == (True, True)


def test_another_organization(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder follows the organization, and an empty one goes. The hint names the permission that a plan needs."""
    (folder / "stage.yaml").write_text(document("stage"))
    assert 0 == main(["move", PROD, "NEW@AdobeOrg/prod"])
    assert "  hint: next: hookline plan --allow-move\n" in capsys.readouterr().err
    assert {"stage.yaml"} == files(folder).keys()
    assert 0 == main(["move", f"{ORGANIZATION}/stage", "NEW@AdobeOrg/stage"])
    assert {"NEW@AdobeOrg/prod.yaml", "NEW@AdobeOrg/stage.yaml"} == files(folder.parent).keys()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["feedback.yaml", "two.yaml"])
def test_other_names_stay(folder: Path, name: str) -> None:
    """So does the name of a file with several documents, of which only the webhook's own one changes."""
    second = f"---\n{document('stage')}" if name == "two.yaml" else ""
    (folder / "prod.yaml").unlink()
    (folder / name).write_text(document("prod") + second)
    assert 0 == main(["move", PROD, LIVE])
    assert {name: document("live", more=f"movedFrom: {PROD}\n") + second} == files(folder)


def test_a_folder_with_defaults_stays(folder: Path) -> None:
    """In another folder, the webhook would have other values."""
    (folder / "_defaults.yaml").write_text("owner: team@acme.example\n")
    assert 0 == main(["move", PROD, "NEW@AdobeOrg/prod"])
    assert {"_defaults.yaml", "prod.yaml"} == files(folder).keys()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((PROD, PROD), 64, "is the same address twice"),
        ((f"{ORGANIZATION}/prd", LIVE), 64, f"did you mean {PROD}"),
        ((PROD, f"{ORGANIZATION}/stage"), 6, "already has a webhook in webhooks/more.yaml:1"),
        ((PROD, f"{ORGANIZATION}/old"), 6, "in webhooks/more.yaml:1 has moved from"),
        ((PROD, f"{ORGANIZATION}/taken"), 6, "taken.yaml already exists"),
        ((PROD, "acme"), 64, "write ORGANIZATION/SANDBOX"),
    ],
)
def test_refusals(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], code: int, message: str
) -> None:
    """Each names the place and the next step, and nothing is written."""
    (folder.parent / "more.yaml").write_text(document("stage", more=f"movedFrom: {ORGANIZATION}/old\n"))
    (folder / "taken.yaml").write_text(document("other"))
    before = files(folder.parent)
    assert code == main(["move", *arguments])
    assert message in capsys.readouterr().err
    assert before == files(folder.parent)


def test_an_invalid_file_comes_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its errors are shown as by validate."""
    (folder / "stage.yaml").write_text(document("stage").replace("https", "http"))
    assert 5 == main(["move", PROD, LIVE])
    assert "error[HL012]" in capsys.readouterr().err


def test_a_link_is_not_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file that it leads to may belong to somebody else."""
    (folder / "prod.yaml").rename(folder / "target.txt")
    (folder / "prod.yaml").symlink_to("target.txt")
    assert 6 == main(["move", PROD, LIVE])
    assert "is a link" in capsys.readouterr().err


def test_an_unusual_form_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file stays as it is, and the message says what to write by hand."""
    (folder / "prod.yaml").write_text(document("|-\n  prod"))
    assert 6 == main(["move", PROD, LIVE])
    assert f"add `movedFrom: {PROD}`" in capsys.readouterr().err
