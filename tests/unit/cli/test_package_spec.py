"""The package of hookline that CI installs: which texts name it so that nobody can replace it."""

from __future__ import annotations

import json
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from hookline.cli import package_spec
from hookline.cli.package_spec import Installation, Package, parse_package, this_installation

DIGEST, OTHER, COMMIT = "0" * 64, "f" * 64, "1" * 40
WHEEL = "https://files.acme.example/hookline-0.1.0-py3-none-any.whl"
LOCAL = f"git+file:///srv/hookline@{COMMIT}"
GIT = f"git+https://git.acme.example/hookline.git@{COMMIT}"


@pytest.mark.parametrize(
    ("text", "package"),
    [
        (
            f"hookline==0.1.0 --hash=sha256:{DIGEST}",
            Package(requirement="hookline==0.1.0", hashes=(DIGEST,)),
        ),
        (
            f" hookline[postgres] == 0.1.0 --hash sha256:{DIGEST}  --hash=sha256:{OTHER}",
            Package(requirement="hookline[postgres]==0.1.0", hashes=(DIGEST, OTHER)),
        ),
        (WHEEL, Package(requirement=f"hookline @ {WHEEL}")),
        (f"{WHEEL}#sha256={DIGEST}", Package(requirement=f"hookline @ {WHEEL}", hashes=(DIGEST,))),
        (
            f"acme-hookline[postgres] @ {WHEEL} --hash=sha256:{DIGEST}",
            Package(requirement=f"acme-hookline[postgres] @ {WHEEL}", hashes=(DIGEST,)),
        ),
        (GIT, Package(requirement=f"hookline @ {GIT}", from_source=True)),
        (
            f"git+ssh://git@git.acme.example/hookline.git@{COMMIT}",
            Package(requirement=f"hookline @ git+ssh://git@git.acme.example/hookline.git@{COMMIT}", from_source=True),
        ),
        (LOCAL, Package(requirement=LOCAL, from_source=True)),
    ],
)  # fmt: skip
def test_a_package_that_nobody_can_replace(text: str, package: Package) -> None:
    """A hash, a URL or a commit names the package."""
    assert package == parse_package(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hookline", "not a package that CI can install"),
        ("hookline==0.1.0", "is not pinned"),
        ("hookline>=0.1", "not a package that CI can install"),
        ("", "not a package that CI can install"),
        (f"hookline==0.1.0 --hash=sha256:{DIGEST[1:]}", "not a package that CI can install"),
        (f"hookline==0.1.0 --hash=md5:{DIGEST}", "not a package that CI can install"),
        ("git+https://git.acme.example/hookline.git", "must end with a full commit"),
        ("git+https://git.acme.example/hookline.git@main", "must end with a full commit"),
        (f"git+https://git.acme.example/hookline.git@{COMMIT[:12]}", "must end with a full commit"),
        (f"{GIT}#egg=hookline", "must end with a full commit"),
        ("https://files.acme.example/hookline-0.1.0.tar.gz", "not that of a wheel"),
        (f"{WHEEL}#md5=1", "not sha256="),
        (f"{WHEEL}\n--index-url=https://evil.example", "not a package that CI can install"),
        (f'{WHEEL}"]\n', "not a package that CI can install"),
        ("https://files.acme.example/$(id).whl", "not a package that CI can install"),
        ("http://files.acme.example/hookline-0.1.0-py3-none-any.whl", "not a package that CI can install"),
    ],
)
def test_a_package_that_could_be_replaced_or_is_none(text: str, reason: str) -> None:
    """Names, branches, short commits and other files are refused, with the forms that are accepted."""
    with pytest.raises(ValueError, match=reason) as refused:
        parse_package(text)
    assert "git+https://" in str(refused.value)


def test_credentials_of_a_url_are_refused_and_not_repeated() -> None:
    """The file with the package is committed, so a URL must not contain a password, and no message shows it."""
    for url in (
        f"https://ada:s3cret@files.acme.example/{WHEEL[-30:]}",
        f"git+https://s3cret@git.acme.example/h@{COMMIT}",
    ):
        with pytest.raises(ValueError, match="credentials") as refused:
            parse_package(url)
        assert "s3cret" not in str(refused.value)


class _Recorded:
    """An installed distribution with the record of its installer."""

    def __init__(self, record: Any) -> None:
        self._text = record if record is None or isinstance(record, str) else json.dumps(record)

    def read_text(self, _name: str) -> str | None:
        return self._text


def _installed(monkeypatch: pytest.MonkeyPatch, record: Any) -> Installation:
    monkeypatch.setattr(package_spec, "distribution", lambda _name: _Recorded(record))
    return this_installation()


@pytest.mark.parametrize(
    ("record", "spec"),
    [
        (
            {"url": "https://git.acme.example/hookline.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            GIT,
        ),
        (
            {"url": "https://s3cret@git.acme.example/hookline.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
            GIT,
        ),
        ({"url": WHEEL, "archive_info": {"hashes": {"sha256": DIGEST}}}, f"{WHEEL}#sha256={DIGEST}"),
    ],
)
def test_the_package_of_this_installation_is_the_default(
    record: Any, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hookline that was installed from a URL gives CI the same package, without credentials."""
    assert Installation(package=parse_package(spec)) == _installed(monkeypatch, record)


@pytest.mark.parametrize("record", [None, "no JSON", [], {}, {"url": WHEEL}, {"url": WHEEL, "archive_info": {}}])
def test_an_installation_by_name_gives_no_default(record: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a record of a URL and a hash, CI has nothing that it could install."""
    assert Installation() == _installed(monkeypatch, record)


def test_no_installation_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hookline that runs from its source without having been installed gives no default either."""

    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(package_spec, "distribution", missing)
    assert Installation() == this_installation()


def test_a_checkout_offers_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout is offered as a git URL: the one it was cloned from if its commit is there, otherwise its own."""

    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@acme.example")
        return subprocess.run(
            ("git", *identity, "-C", str(tmp_path), *arguments), capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "Begin")
    commit = git("rev-parse", "HEAD")
    record = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    own = parse_package(f"git+{tmp_path.as_uri()}@{commit}")
    assert Installation(local=own) == _installed(monkeypatch, record)

    git("remote", "add", "origin", "https://token@git.acme.example/hookline.git")
    assert Installation(local=own) == _installed(monkeypatch, record), "the commit was not pushed"
    git("update-ref", "refs/remotes/origin/main", commit)
    pushed = parse_package(f"git+https://git.acme.example/hookline.git@{commit}")
    assert Installation(package=pushed) == _installed(monkeypatch, record)
