import os
import pickle
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hookline.errors import SecretUnavailable
from hookline.model import EnvRef, FileRef, SecretRef
from hookline.relay.http.tls import Certificates, ClientCertificate
from hookline.relay.secrets import (
    MAX_SECRET_FILE_BYTES,
    Secret,
    SecretResolver,
    is_handed_over_by_root,
    variable_part,
    without_newline,
)

pytestmark = pytest.mark.usefixtures("private_files")

ORGANIZATION = "1234567890ABCDEF@AdobeOrg"
VALUE = "s3cr3t-value"
# A group that nobody is in.
STRANGERS = 54321


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


def test_hidden_in_what_holds_it(directory: Path) -> None:
    """Neither a resolver nor certificates show their values when they are printed."""
    assert VALUE not in repr(resolver(directory, {"HOOKLINE_SECRET_A": VALUE}))
    certificates = Certificates(None, ClientCertificate(directory / "cert.pem"), None, (VALUE.encode(),))
    assert VALUE not in repr(certificates)
    assert "cert.pem" in repr(certificates)


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
    """A neighbouring directory whose name begins like the secrets directory is outside."""
    (tmp_path / "secrets-of-others").mkdir()
    (tmp_path / "secrets-of-others" / "key.txt").write_text(VALUE)
    assert "leads out of" in refusal(resolver(directory), FileRef("../secrets-of-others/key.txt"))


def test_not_a_file(directory: Path) -> None:
    """A directory, a FIFO, a missing, an empty or a huge file, a loop and a NUL are refused at once."""
    (directory / "folder").mkdir()
    os.mkfifo(directory / "fifo")
    (directory / "empty").write_text("\n")
    (directory / "huge").write_bytes(b"x" * (MAX_SECRET_FILE_BYTES + 1))
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
    expected = b"x" * MAX_SECRET_FILE_BYTES
    (directory / "large").write_bytes(expected)
    assert expected == resolver(directory).resolve(FileRef("large"), ORGANIZATION).reveal()


@pytest.fixture
def ordinary_user(directory: Path) -> Iterator[None]:
    """Root reads every file, so the test runs as another user, who may enter the directory."""
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
    """The message for a file without read permission names the cause."""
    assert "Permission denied" in refusal(resolver(directory), FileRef("key.txt"))


def test_by_organization_variable(directory: Path) -> None:
    """By organization, only variables with the organization's name in them are resolved."""
    own, other = "HOOKLINE_SECRET_1234567890ABCDEF_ADOBEORG__KEY", "HOOKLINE_SECRET_OTHER__KEY"
    of = resolver(directory, {own: VALUE, other: VALUE}, by_organization=True)
    assert VALUE.encode() == of.resolve(EnvRef(own), ORGANIZATION).reveal()
    assert "does not begin with HOOKLINE_SECRET_1234567890ABCDEF_ADOBEORG__" in refusal(of, EnvRef(other))
    assert VALUE.encode() == of.resolve(EnvRef(other), "other").reveal()


@pytest.mark.parametrize(
    ("shorter", "longer"), [("acme", "acme-eu"), ("acme", "acme__eu"), ("a", "a--b"), ("a", "a_")]
)
def test_by_organization_neighbour(directory: Path, shorter: str, longer: str) -> None:
    """An organization does not reach the variables of another one whose name begins like its own."""
    name = f"HOOKLINE_SECRET_{variable_part(longer)}__KEY"
    of = resolver(directory, {name: VALUE}, by_organization=True)
    assert VALUE.encode() == of.resolve(EnvRef(name), longer).reveal()
    if variable_part(longer) != variable_part(shorter):
        assert "does not begin with" in refusal(of, EnvRef(name), shorter)


@pytest.mark.parametrize("other", ["ACME", "acme_", "-acme", "Acme@"])
def test_by_organization_written_alike(directory: Path, other: str) -> None:
    """Of two applied organizations that a variable's name cannot tell apart, neither has any; both are named."""
    name = "HOOKLINE_SECRET_ACME__KEY"
    of = SecretResolver(
        environment={name: VALUE},
        directory=directory,
        by_organization=True,
        organizations=lambda: ("acme", other, "b"),
    )
    assert f"both 'acme' and {other!r}" in refusal(of, EnvRef(name), "acme")
    assert f"both {other!r} and 'acme'" in refusal(of, EnvRef(name), other)


def test_by_organization_without_a_name(directory: Path) -> None:
    """An organization without a letter or digit of a variable's name has none."""
    of = resolver(directory, {"HOOKLINE_SECRET___KEY": VALUE}, by_organization=True)
    assert "no letter or digit" in refusal(of, EnvRef("HOOKLINE_SECRET___KEY"), "組織")


@pytest.mark.parametrize(
    "name", ["HOOKLINE_SECRET_ACME_API_KEY", "HOOKLINE_SECRET_API_KEY", "API_KEY", "HOOKLINE_SECRET_OTHER__API_KEY"]
)
def test_fitting_name(directory: Path, name: str) -> None:
    """A name out of reach is answered with one that would fit."""
    of = resolver(directory, {name: VALUE}, by_organization=True)
    with pytest.raises(SecretUnavailable) as caught:
        of.resolve(EnvRef(name), "acme")
    suggested = re.search(r"name it (\S+)", caught.value.hint or "")
    assert suggested is not None
    assert suggested[1].startswith("HOOKLINE_SECRET_ACME__")
    assert suggested[1].endswith("API_KEY")
    again = resolver(directory, {suggested[1]: VALUE}, by_organization=True)
    assert VALUE.encode() == again.resolve(EnvRef(suggested[1]), "acme").reveal()


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o644, "can be read by everybody"),
        (0o640, "can be read by its group"),
        (0o660, "can be written by its group"),
        (0o602, "can be written by everybody"),
        (0o604, "can be read by everybody"),
    ],
)
def test_file_open_to_others(directory: Path, mode: int, words: str) -> None:
    """A file that another user may read or write is refused, with its mode; --insecure-secret-files accepts it."""
    path = directory / "key.txt"
    if os.geteuid() == 0:
        os.chown(path, -1, STRANGERS)
    path.chmod(mode)
    found = refusal(resolver(directory), FileRef("key.txt"))
    assert words in found
    assert f"{mode:04o}" in found
    lenient = SecretResolver(environment={}, directory=directory, insecure_files=True)
    assert VALUE.encode() == lenient.resolve(FileRef("key.txt"), ORGANIZATION).reveal()


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_private_file(directory: Path, mode: int) -> None:
    """A file that only the relay's own user may read is read."""
    (directory / "key.txt").chmod(mode)
    assert VALUE.encode() == resolver(directory).resolve(FileRef("key.txt"), ORGANIZATION).reveal()


@pytest.mark.parametrize(
    ("owner", "group", "expected"), [(0, 0, True), (0, 2000, True), (0, 2001, False), (1000, 2000, False)]
)
def test_file_handed_over_by_root(owner: int, group: int, expected: bool) -> None:
    """A group may read files of root: systemd's root:root 0440, and root:GROUP of Kubernetes."""
    assert expected is is_handed_over_by_root(owner, group, {0, 2000})


def test_public_file(directory: Path) -> None:
    """A file that is no secret, such as a certificate, may be readable for everyone, but not writable."""
    path = directory / "key.txt"
    path.chmod(0o644)
    of = resolver(directory)
    assert VALUE.encode() == of.resolve(FileRef("key.txt"), ORGANIZATION, public=True).reveal()
    path.chmod(0o646)
    with pytest.raises(SecretUnavailable, match="written by everybody"):
        of.resolve(FileRef("key.txt"), ORGANIZATION, public=True)


def test_directory_open_to_everybody(directory: Path) -> None:
    """Files in a directory that everyone may write to can be exchanged; the sticky one of Kubernetes is accepted."""
    directory.chmod(0o777)
    assert "anybody can write to the secrets directory" in refusal(resolver(directory), FileRef("key.txt"))
    directory.chmod(0o1777)
    assert VALUE.encode() == resolver(directory).resolve(FileRef("key.txt"), ORGANIZATION).reveal()


def test_directory_far_above_open_to_everybody(directory: Path, tmp_path: Path) -> None:
    """A directory above the secrets directory, or one that holds a link on the way, counts as OpenSSH counts it."""
    above = tmp_path / "above"
    (above / "between").mkdir(parents=True)
    moved = directory.rename(above / "between" / "secrets")
    (tmp_path / "link").symlink_to(moved)
    above.chmod(0o777)
    for place in (moved, tmp_path / "link"):
        assert f"anybody can write to {above}, a directory on the way" in refusal(resolver(place), FileRef("key.txt"))
    above.chmod(0o1777)
    assert VALUE.encode() == resolver(moved).resolve(FileRef("key.txt"), ORGANIZATION).reveal()
    holder = tmp_path / "holder"
    holder.mkdir()
    (holder / "link").symlink_to(moved)
    holder.chmod(0o777)
    assert f"anybody can write to {holder}" in refusal(resolver(holder / "link"), FileRef("key.txt"))


def test_mode_is_that_of_the_file_behind_the_link(directory: Path) -> None:
    """A private link to a file that others may read is refused: the permissions of the file itself count."""
    (directory / "open.txt").write_text(VALUE)
    (directory / "open.txt").chmod(0o604)
    (directory / "link.txt").symlink_to("open.txt")
    assert "can be read by everybody" in refusal(resolver(directory), FileRef("link.txt"))


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
