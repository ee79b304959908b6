from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hookline.errors import HooklineError, WrongUse
from hookline.receiver.certificates import prepare_certificates, server_context

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = ("localhost", "127.0.0.1", "::1")


def test_a_second_start_keeps_authority_and_certificate(tmp_path: Path) -> None:
    """Clients that trust the authority need not be changed, and nothing is made in vain."""
    identity = prepare_certificates(tmp_path / "tls", NAMES, now=NOW)
    before = identity.ca_file.read_bytes(), identity.server_file.read_bytes()
    again = prepare_certificates(tmp_path / "tls", NAMES, now=NOW + timedelta(days=300))
    assert before == (again.ca_file.read_bytes(), again.server_file.read_bytes())


@pytest.mark.parametrize(
    ("names", "later"), [((*NAMES, "hooks.example.com"), timedelta(0)), (NAMES, timedelta(days=364, hours=1))]
)
def test_a_new_name_or_a_late_day_renews_the_certificate_under_the_same_authority(
    tmp_path: Path, names: tuple[str, ...], later: timedelta
) -> None:
    """Only the certificate is replaced. A client that trusted the authority still does."""
    first = prepare_certificates(tmp_path, NAMES, now=NOW)
    before = first.ca_file.read_bytes(), first.server_file.read_bytes()
    second = prepare_certificates(tmp_path, names, now=NOW + later)
    assert before[0] == second.ca_file.read_bytes()
    assert before[1] != second.server_file.read_bytes()


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    """Half a file is not served."""
    server_file = prepare_certificates(tmp_path, NAMES, now=NOW).server_file
    server_file.write_bytes(server_file.read_bytes()[:300])
    assert isinstance(server_context(prepare_certificates(tmp_path, NAMES, now=NOW)), ssl.SSLContext)


def test_private_keys_are_private(tmp_path: Path) -> None:
    """The directory and both keys are for their owner only."""
    directory = tmp_path / "tls"
    prepare_certificates(directory, NAMES, now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
    assert {"tls": 0o700, "ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o600} == modes


@pytest.mark.parametrize("content", ["somebody's own", None])
def test_an_authority_that_is_not_ours_is_left_alone(tmp_path: Path, content: str | None) -> None:
    """A ca.pem that does not fit is never replaced: somebody may trust it."""
    prepare_certificates(tmp_path, NAMES, now=NOW)
    if content is None:
        (tmp_path / "ca-key.pem").unlink()
    else:
        (tmp_path / "ca.pem").write_text(content)
    before = (tmp_path / "ca.pem").read_bytes()
    with pytest.raises(HooklineError, match="contains no authority"):
        prepare_certificates(tmp_path, NAMES, now=NOW)
    assert before == (tmp_path / "ca.pem").read_bytes()


def test_a_name_that_cannot_be_in_a_certificate_is_wrong_use(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(WrongUse, match="not a host"):
        prepare_certificates(tmp_path, (*NAMES, "not a host"), now=NOW)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The message names the directory and the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HooklineError, match="cannot keep certificates in") as caught:
        prepare_certificates(tmp_path / "file" / "tls", NAMES, now=NOW)
    assert caught.value.hint is not None
    assert "--tls-dir" in caught.value.hint
