"""Directories in which every user can exchange files, above the files that commands trust."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from hookline.cli.main import main

WEBHOOK = {
    "version": 1, "organization": "acme", "sandbox": "prod", "name": "Feedback", "channels": ["email"],
    "url": "https://hooks.acme.example/feedback", "campaigns": "all",
}  # fmt: skip


@pytest.fixture
def below_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory that only this user can write to, in one that everybody can write to."""
    monkeypatch.chdir(tmp_path)
    above = tmp_path / "open"
    (above / "below").mkdir(parents=True)
    above.chmod(0o777)
    yield above / "below"
    above.chmod(0o700)


@pytest.mark.parametrize("command", [["check"], ["relay", "--drain"]])
def test_authorities(command: list[str], below_open: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody who exchanges the authorities could answer in the place of every endpoint."""
    ca_file = below_open / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    assert 1 == main([*command, "--ca-file", str(ca_file)])
    error = capsys.readouterr().err
    assert f"anybody can write to {below_open.parent}, and so exchange the certificate authorities" in error
    assert f"chmod o-w {below_open.parent}" in error
    ca_file.rename(below_open.parent.parent / "ca.pem")
    ca_file.symlink_to(below_open.parent.parent / "ca.pem")
    assert 1 == main([*command, "--ca-file", str(ca_file)])


def test_certificates_of_the_receiver(below_open: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clients trust the authority that `hookline receive` keeps."""
    for directory in (below_open / "tls", below_open.parent):
        assert 1 == main(["receive", "--listen", "127.0.0.1:0", "--tls-dir", str(directory)])
        assert f"anybody can write to {below_open.parent}, and so exchange the certi" in capsys.readouterr().err


def test_saved_plan(below_open: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning: CI runners have such checkouts, and apply shows the plan."""
    webhooks = Path("webhooks")
    webhooks.mkdir()
    (webhooks / "prod.yaml").write_text(json.dumps(WEBHOOK))
    plan = below_open / "plan.json"
    assert 0 == main(["plan", "--out", str(plan)])
    capsys.readouterr()
    assert 0 == main(["apply", "--auto-approve", str(plan)])
    assert f"warning: anybody can write to {below_open.parent}, and so exchange the saved plan" in (
        capsys.readouterr().err
    )
