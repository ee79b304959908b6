import os
import pickle
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hookline.errors import SecretUnavailable
from hookline.model import EnvRef, FileRef, SecretRef
from hookline.relay.secrets import LARGEST_FILE, Secret, SecretResolver, without_newline

ORGANIZATION = "1234567890ABCDEF@AdobeOrg"
VALUE = "s3cr3t-value"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    inside = tmp_path / "secrets"
    inside.mkdir()
    (tmp_path / "outside.txt").write_text(VALUE)
    (inside / "key.txt").write_text(VALUE)
    return inside


def resolver(
    directory: Path, environment: Mapping[str, str] | None = None, *, by_organization: bool = False
) -> SecretResolver:
    return SecretResolver(environment=environment or {}, directory=directory, by_organization=by_organization)


def refusal(of: SecretResolver, ref: SecretRef, organization: str = ORGANIZATION) -> str:
    with pytest.raises(SecretUnavailable) as caught:
        of.resolve(ref, organization)
    assert VALUE not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.hint
    return caught.value.message


def test_hidden() -> None:
    """A secret shows itself in no way of printing, formatting or pickling."""
    secret = Secret(VALUE.encode())
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}".strip(), f"{secret:>40}"]
    assert {"****"} == set(shown)
    assert VALUE not in repr({"key": [secret]})
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert VALUE.encode() == secret.reveal()


def test_variable(directory: Path) -> None:
    """A variable with the prefix is resolved."""
    found = resolver(directory, {"HOOKLINE_SECRET_A": VALUE}).resolve(EnvRef("HOOKLINE_SECRET_A"), ORGANIZATION)
    assert VALUE.encode() == found.reveal()


@pytest.mark.parametrize("name", ["PATH", "HOOKLINE_STATE", "hookline_secret_a", "XHOOKLINE_SECRET_A", ""])
def test_variable_out_of_scope(directory: Path, name: str) -> None:
    """A variable without the prefix is refused though it is set."""
    assert "does not begin with HOOKLINE_SECRET_" in refusal(resolver(directory, {name: VALUE}), EnvRef(name))


def test_variable_missing(directory: Path) -> None:
    """A variable that is not set, or empty, is named with its state."""
    assert "not set" in refusal(resolver(directory), EnvRef("HOOKLINE_SECRET_A"))
    assert "empty" in refusal(resolver(directory, {"HOOKLINE_SECRET_A": ""}), EnvRef("HOOKLINE_SECRET_A"))


def test_file(directory: Path) -> None:
    """A file below the directory is read byte for byte, by its relative path or its absolute one."""
    expected = b"\x00line\n"
    (directory / "key.txt").write_bytes(expected)
    for path in ("key.txt", "./key.txt", str(directory / "key.txt")):
        assert expected == resolver(directory).resolve(FileRef(path), ORGANIZATION).reveal()


def test_link_within(directory: Path) -> None:
    """A link that stays below the directory is followed, as mounted secrets of Kubernetes need it."""
    (directory / "..data").symlink_to("versioned")
    (directory / "versioned").mkdir()
    (directory / "versioned" / "key.txt").write_text(VALUE)
    (directory / "link.txt").symlink_to("..data/key.txt")
    assert VALUE.encode() == resolver(directory).resolve(FileRef("link.txt"), ORGANIZATION).reveal()


def test_linked_directory(directory: Path, tmp_path: Path) -> None:
    """The secrets directory may itself be named through a link."""
    (tmp_path / "alias").symlink_to("secrets")
    assert VALUE.encode() == resolver(tmp_path / "alias").resolve(FileRef("key.txt"), ORGANIZATION).reveal()


@pytest.mark.parametrize("path", ["../outside.txt", "../../../etc/passwd", "/etc/passwd", "", ".", "..", "link.txt"])
def test_file_out_of_scope(directory: Path, path: str) -> None:
    """A path that leads out of the directory, or to the directory itself, is refused, links resolved."""
    (directory / "link.txt").symlink_to("../outside.txt")
    assert "leads out of" in refusal(resolver(directory), FileRef(path))


def test_neighbour_with_the_same_beginning(directory: Path, tmp_path: Path) -> None:
    """A neighbouring directory whose name only begins like the secrets directory is outside."""
    (tmp_path / "secrets-of-others").mkdir()
    (tmp_path / "secrets-of-others" / "key.txt").write_text(VALUE)
    assert "leads out of" in refusal(resolver(directory), FileRef("../secrets-of-others/key.txt"))


def test_not_a_file(directory: Path) -> None:
    """A directory, a FIFO, a missing, an empty or a huge file, a loop and a NUL are refused at once."""
    (directory / "folder").mkdir()
    os.mkfifo(directory / "fifo")
    (directory / "empty").write_text("\n")
    (directory / "huge").write_bytes(b"x" * (LARGEST_FILE + 1))
    (directory / "loop").symlink_to("loop")
    of = resolver(directory)
    assert "not a regular file" in refusal(of, FileRef("folder"))
    assert "not a regular file" in refusal(of, FileRef("fifo"))
    assert "No such file" in refusal(of, FileRef("missing"))
    assert "is empty" in refusal(of, FileRef("empty"))
    assert "larger than 64 KiB" in refusal(of, FileRef("huge"))
    assert "cannot read" in refusal(of, FileRef("loop"))
    assert "NUL" in refusal(of, FileRef("a\0b"))


def test_largest_file(directory: Path) -> None:
    """A file of exactly 64 KiB is still read."""
    expected = b"x" * LARGEST_FILE
    (directory / "large").write_bytes(expected)
    assert expected == resolver(directory).resolve(FileRef("large"), ORGANIZATION).reveal()


@pytest.fixture
def ordinary_user(directory: Path) -> Iterator[None]:
    """Root reads every file, so for the time of a test it is somebody else, who may enter the directory."""
    if os.geteuid() != 0:
        yield
        return
    for path in [directory, *directory.parents[:-1]]:
        if path.stat().st_uid == 0 and not path.stat().st_mode & stat.S_IXOTH:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def unreadable(directory: Path) -> None:
    (directory / "key.txt").chmod(stat.S_IWUSR)


@pytest.mark.usefixtures("unreadable", "ordinary_user")
def test_unreadable(directory: Path) -> None:
    """A file without read permission says so."""
    assert "Permission denied" in refusal(resolver(directory), FileRef("key.txt"))


def test_by_organization_variable(directory: Path) -> None:
    """By organization, only variables with the organization's name in them are resolved."""
    own, other = "HOOKLINE_SECRET_1234567890ABCDEF_ADOBEORG_KEY", "HOOKLINE_SECRET_OTHER_KEY"
    of = resolver(directory, {own: VALUE, other: VALUE}, by_organization=True)
    assert VALUE.encode() == of.resolve(EnvRef(own), ORGANIZATION).reveal()
    assert "does not begin with HOOKLINE_SECRET_1234567890ABCDEF_ADOBEORG_" in refusal(of, EnvRef(other))
    assert VALUE.encode() == of.resolve(EnvRef(other), "other").reveal()


def test_by_organization_file(directory: Path) -> None:
    """By organization, only files below the organization's own folder are read."""
    for name in (ORGANIZATION, "other"):
        (directory / name).mkdir()
        (directory / name / "key.txt").write_text(VALUE)
    (directory / ORGANIZATION / "link.txt").symlink_to("../other/key.txt")
    of = resolver(directory, by_organization=True)
    assert VALUE.encode() == of.resolve(FileRef(f"{ORGANIZATION}/key.txt"), ORGANIZATION).reveal()
    for path in ("key.txt", "other/key.txt", f"{ORGANIZATION}/../other/key.txt", f"{ORGANIZATION}/link.txt"):
        assert "leads out of" in refusal(of, FileRef(path))


@pytest.mark.parametrize("organization", ["", ".", "..", "../secrets", "a/b", "a\0b"])
def test_by_organization_strange_names(directory: Path, organization: str) -> None:
    """An organization whose name is no plain folder name reaches no file at all."""
    of = resolver(directory, by_organization=True)
    assert "no folder of its own" in refusal(of, FileRef("key.txt"), organization)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(b"a\n", b"a"), (b"a\r\n", b"a"), (b"a\n\n", b"a\n"), (b"a", b"a"), (b" a ", b" a "), (b"\na", b"\na")],
)
def test_one_newline(stored: bytes, expected: bytes) -> None:
    """Exactly one line end is dropped, and nothing else."""
    assert expected == without_newline(stored)
