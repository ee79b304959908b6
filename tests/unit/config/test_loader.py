"""From a directory to Desired."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.canonical import read_webhook
from hookline.config.loader import inspect, load
from hookline.config.rules.all_rules import check_rules
from hookline.config.schema import schema_validator
from hookline.config.secret_names import looks_secret
from hookline.config.source_text import SourceText
from hookline.config.yaml_parser import find_positions
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.model import Address, FileLocation

ORGANIZATION = "1234567890ABCDEF@AdobeOrg"
EXAMPLES = Path(__file__).parents[3] / "webhooks"


def document(sandbox: str, *, url: str = "https://hooks.acme.example") -> str:
    return (
        f"version: 1\norganization: {ORGANIZATION}\nsandbox: {sandbox}\nname: Feedback\n"
        f"channels: [email]\nurl: {url}\ncampaigns: all\n"
    )


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks" / "acme").mkdir(parents=True)
    return tmp_path / "webhooks"


def test_webhooks_with_their_sources(directory: Path) -> None:
    """Each webhook comes with the file as the user would name it, and the line on which its document begins."""
    (directory / "acme" / "two.yaml").write_text(f"# both\n{document('prod')}---\n\n{document('stage')}")
    desired = load(directory)
    sources = {address.sandbox: declared.source for address, declared in desired.webhooks.items()}
    assert {
        "prod": FileLocation("webhooks/acme/two.yaml", 2),
        "stage": FileLocation("webhooks/acme/two.yaml", 11),
    } == sources
    assert not desired.narrowed


def test_a_directory_that_does_not_exist_says_nothing(tmp_path: Path) -> None:
    """A missing directory has no webhooks; the plan decides the consequence."""
    desired = load(tmp_path / "gone")
    assert (dict(desired.webhooks), desired.narrowed) == ({}, False)


def test_paths_narrow(directory: Path) -> None:
    """A file and a directory can be named. A file that is named twice counts once. The result is narrowed."""
    (directory / "acme" / "prod.yaml").write_text(document("prod"))
    (directory / "stage.yaml").write_text(document("stage"))
    desired = load(directory, [directory / "acme", directory / "acme" / "prod.yaml"])
    assert [address.sandbox for address in desired.webhooks] == ["prod"]
    assert desired.narrowed


def test_a_path_that_does_not_exist_is_wrong_use(directory: Path) -> None:
    """A PATH that the user has named must be there."""
    with pytest.raises(WrongUse, match=r"nowhere\.yaml does not exist"):
        load(directory, [directory / "nowhere.yaml"])


def test_a_file_as_configuration_directory_is_wrong_use(directory: Path) -> None:
    """--config takes a directory; a single file is a PATH."""
    (directory / "a.yaml").write_text(document("prod"))
    with pytest.raises(WrongUse, match="is not a directory"):
        load(directory / "a.yaml")


def test_target_leaves_out_what_concerns_others(directory: Path) -> None:
    """With a target, a mistake that is known to be in another webhook does not hinder it."""
    (directory / "prod.yaml").write_text(document("prod"))
    (directory / "stage.yaml").write_text(document("stage", url="http://hooks.acme.example"))
    desired = load(directory, targets=[Address(ORGANIZATION, "prod")])
    assert ([Address(ORGANIZATION, "prod")], True) == (list(desired.webhooks), desired.narrowed)
    with pytest.raises(InvalidConfiguration):
        load(directory, targets=[Address(ORGANIZATION, "stage")])


def test_earlier_addresses_are_beside_the_webhooks(directory: Path) -> None:
    """`movedFrom` is no part of the canonical form, and a narrowed run has only those of its webhooks."""
    plain, prod, stage = document("prod"), Address(ORGANIZATION, "prod"), Address(ORGANIZATION, "stage")
    (directory / "prod.yaml").write_text(f"{plain}movedFrom: {ORGANIZATION}/old\n")
    (directory / "stage.yaml").write_text(f"{document('stage')}movedFrom: other/stage\n")
    desired = load(directory)
    assert {prod: Address(ORGANIZATION, "old"), stage: Address("other", "stage")} == desired.moved_from
    assert {prod: Address(ORGANIZATION, "old")} == load(directory, targets=[prod]).moved_from
    (directory / "prod.yaml").write_text(plain)
    assert load(directory).webhooks[prod] == desired.webhooks[prod]
    assert {stage: Address("other", "stage")} == load(directory).moved_from


def test_a_target_without_a_file_is_wrong_use(directory: Path) -> None:
    """A target without a file is refused, with the nearest address or, if none is near, the first ones."""
    (directory / "prod.yaml").write_text(document("prod"))
    with pytest.raises(WrongUse, match="no webhook file declares") as caught:
        load(directory, targets=[Address(ORGANIZATION, "Prod")])
    assert f"did you mean {ORGANIZATION}/prod?" == caught.value.hint
    with pytest.raises(WrongUse) as caught:
        load(directory, targets=[Address("other", "qa")])
    assert f"known webhooks: {ORGANIZATION}/prod" == caught.value.hint


def test_a_link_to_a_directory_outside_is_refused(directory: Path, tmp_path: Path) -> None:
    """A linked directory is reported; otherwise its webhooks would look deleted."""
    (tmp_path / "elsewhere").mkdir()
    (directory / "linked").symlink_to(tmp_path / "elsewhere")
    (directory / "within").symlink_to(directory / "acme")
    (directory / "acme" / "prod.yaml").write_text(document("prod"))
    inspection = inspect(directory)
    assert [(found.code, found.file) for found in inspection.diagnostics] == [("HL015", "webhooks/linked")]


def test_a_link_that_leads_nowhere_is_unreadable(directory: Path) -> None:
    """Broken links and loops of links are named."""
    (directory / "broken.yaml").symlink_to(directory / "gone.yaml")
    (directory / "loop.yaml").symlink_to(directory / "loop.yaml")
    found = [(diagnostic.code, diagnostic.file) for diagnostic in inspect(directory).diagnostics]
    assert found == [("HL001", "webhooks/broken.yaml"), ("HL001", "webhooks/loop.yaml")]


def test_every_finding_has_its_address_where_that_is_known(directory: Path) -> None:
    """A finding names the webhook that it is about."""
    (directory / "prod.yaml").write_text(document("{name: prod}", url="http://a.example"))
    assert [f"{ORGANIZATION}/prod"] == [found.address for found in inspect(directory).diagnostics]


def test_the_repository_s_own_examples_are_valid() -> None:
    """webhooks/ of this repository contains the webhooks of README and demonstration."""
    desired = load(EXAMPLES)
    assert [address.sandbox for address in desired.webhooks] == ["prod", "stage"]


KEYS = st.sampled_from([
    "version", "organization", "sandbox", "name", "channels", "url", "authentication", "headers", "campaigns",
    "events", "payload", "delivery", "type", "algorithm", "keys", "id", "secret", "env", "file", "lifetime", "claims",
    "retry", "maxAge", "tls", "clientKey", "timeout",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["all", "jwt", "5m"])
SHAPES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=30
)


@given(SHAPES)
def test_any_shape_of_document_is_judged(value: object) -> None:
    """A document of any shape gets findings, or is a webhook; no check stumbles over it."""
    findings = [*schema_validator.check_schema(value), *check_rules(value)]
    if not findings and isinstance(value, dict):
        assert read_webhook(value).url.startswith("https://")
    else:
        assert all(finding.summary for finding in findings)
        assert findings


@pytest.mark.parametrize(("name", "expected"), [
    ("Authorization", True), ("X-Api-Key", True), ("apiKey", True), ("X-Functions-Key", True), ("access_token", True),
    ("X-Auth", True), ("sig", True), ("PASSWORD", True), ("client-secret", True), ("X-Hub-Signature-256", True),
    ("X-Team", False), ("Idempotency-Key", False), ("X-Author", False), ("X-Tokenizer", False), ("keyboard", False),
    ("design", False), ("X-Monkey", False), ("", False),
])  # fmt: skip
def test_secret_looking_names(name: str, expected: bool) -> None:
    """Names of secrets are recognized by their words, not by letters within other words."""
    assert expected == looks_secret(name)


@pytest.mark.parametrize(("line", "expected"), [
    ("  Authorization: abc", "  Authorization: [hidden]"),
    ('  "X-Api-Key": "abc"', '  "X-Api-Key": [hidden]'),
    ("  X-Api-Key: {env: HOOKLINE_SECRET_A}", "  X-Api-Key: {env: HOOKLINE_SECRET_A}"),
    ("url: https://a:b@c.example/?token=d&e=f", "url: https://[hidden]@c.example/?token=[hidden]&e=f"),
    ("X-A: Bearer abcdefg1", "X-A: [hidden]"),
    ("\tname: a", " name: a"),
    ("a" * 200, "a" * 159 + "…"),
])  # fmt: skip
def test_excerpts_hide_secrets(line: str, expected: str) -> None:
    """The line that is shown with a finding repeats no secret, and fits a terminal."""
    assert expected == SourceText(line).excerpt(1, 1, find_positions(line).hidden)
