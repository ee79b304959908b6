"""Webhooks below defaults files: values, origins, and errors that are reported once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hookline.canonical import canonical_text
from hookline.config import loader
from hookline.config.loader import inspect, load
from hookline.config.schema.schema_validator import check_defaults
from hookline.errors import InvalidConfiguration, WrongUse
from hookline.model import Address, SourcePlace

WEBHOOK = """\
version: 1
organization: ACME@Org
sandbox: {sandbox}
name: Feedback
url: https://hooks.acme.example/feedback
"""
REST = "channels: [email]\ncampaigns: all\n"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "webhooks" / "acme" / "deep").mkdir(parents=True)
    return tmp_path / "webhooks"


def write(directory: Path, **texts: str) -> None:
    """Write webhook files; `acme__prod` is acme/prod.yaml."""
    for name, text in texts.items():
        directory.joinpath(f"{name.replace('__', '/')}.yaml").write_text(text)


def canonical(directory: Path, *paths: Path) -> dict[str, str]:
    return {address.sandbox: one.canonical for address, one in load(directory, paths).webhooks.items()}


def test_a_value_has_one_canonical_form_wherever_it_is_written(directory: Path) -> None:
    """The canonical form holds the resulting values and not their origin, so moving a value plans nothing."""
    values = "owner: crm\nheaders: {X-Team: crm}\ndelivery: {timeout: 60s}\n"
    write(directory, acme__deep__prod=WEBHOOK.format(sandbox="prod") + REST + values)
    expected = canonical(directory)
    for place in ("_defaults.yaml", "acme/_defaults.yaml", "acme/deep/_defaults.yaml"):
        write(directory, acme__deep__prod=WEBHOOK.format(sandbox="prod"))
        (directory / place).write_text(REST + values)
        assert expected == canonical(directory)
        (directory / place).unlink()


def test_a_path_has_the_defaults_above_it(directory: Path) -> None:
    """A run that is narrowed to a file or a folder reads the defaults files up to the configuration directory."""
    write(directory, acme__deep__prod=WEBHOOK.format(sandbox="prod"))
    (directory / "_defaults.yaml").write_text(REST)
    (directory / "acme" / "_defaults.yaml").write_text("owner: crm\n")
    whole = canonical(directory)
    assert '"owner":"crm"' in whole["prod"]
    for path in (directory / "acme" / "deep" / "prod.yaml", directory / "acme", directory / "acme" / "deep"):
        assert whole == canonical(directory, path)
        assert whole == canonical(Path("webhooks"), Path(os.path.relpath(path)))


def test_a_defaults_file_as_path_is_its_folder(directory: Path) -> None:
    """A PATH that is a defaults file means every webhook below it, and the run is narrowed."""
    (directory / "acme" / "_defaults.yaml").write_text(REST)
    write(directory, acme__one=WEBHOOK.format(sandbox="one"), acme__deep__two=WEBHOOK.format(sandbox="two"))
    write(directory, other=WEBHOOK.format(sandbox="other") + REST)
    desired = load(directory, [directory / "acme" / "_defaults.yaml"])
    assert (["one", "two"], True) == ([address.sandbox for address in desired.webhooks], desired.narrowed)


def test_a_defaults_file_without_webhooks_is_checked(directory: Path) -> None:
    """A defaults file can be validated by itself, before the first webhook exists."""
    (directory / "acme" / "_defaults.yaml").write_text("owner: [a]\n")
    inspection = inspect(directory, [directory / "acme" / "_defaults.yaml"])
    assert ["HL022"] == [one.code for one in inspection.diagnostics]


def test_a_defaults_file_that_cannot_be_read_is_reported(directory: Path, tmp_path: Path) -> None:
    """A link that leads outside is an error, also in a folder without webhooks."""
    (tmp_path / "outside.yaml").write_text(REST)
    (directory / "acme" / "_defaults.yaml").symlink_to(tmp_path / "outside.yaml")
    assert [("HL015", "webhooks/acme/_defaults.yaml")] == [
        (one.code, one.file) for one in inspect(directory).diagnostics
    ]


def test_the_origin_of_each_value(directory: Path) -> None:
    """A value has the place in the file that gives it; header names are those of the canonical form."""
    (directory / "_defaults.yaml").write_text(
        "channels: [email]\ncampaigns: all\nheaders:\n  X-Team: all\n  X-B: b\n"
    )
    (directory / "acme" / "_defaults.yaml").write_text(
        "delivery: {timeout: 5s}\nauthentication:\n  type: jwt\n  algorithm: ES256\n"
        "  keys: [{id: a, secret: {file: a.pem}}]\n"
    )
    write(directory, acme__prod=WEBHOOK.format(sandbox="prod") + "headers:\n  x-team: mine\n")
    declared = load(directory).webhooks[Address("ACME@Org", "prod")]
    assert SourcePlace("webhooks/_defaults.yaml", 1, 11) == declared.place_of("/channels")
    assert SourcePlace("webhooks/_defaults.yaml", 5, 8) == declared.place_of("/headers/x-b")
    assert SourcePlace("webhooks/acme/prod.yaml", 7, 11) == declared.place_of("/headers/x-team")
    assert SourcePlace("webhooks/acme/_defaults.yaml", 1, 21) == declared.place_of("/delivery/timeout")
    assert SourcePlace("webhooks/acme/_defaults.yaml", 4, 14) == declared.place_of("/authentication/algorithm")
    assert "webhooks/acme/_defaults.yaml" == declared.place_of("/authentication/keys/0").file
    assert SourcePlace("webhooks/acme/prod.yaml", 5, 6) == declared.place_of("/endpoint/host")
    assert declared.default_place("/name") is None


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_reported_once(directory: Path, monkeypatch: pytest.MonkeyPatch, processes: int) -> None:
    """An error of a defaults file is reported at its place, with the number of webhooks that have the value."""
    monkeypatch.setattr(loader, "worker_count", lambda files: processes)
    (directory / "_defaults.yaml").write_text(f"{REST}owner: [x]\n")
    for number in range(60):
        own = "owner: mine\n" if number % 3 == 0 else ""
        write(directory, **{f"acme__box{number}": WEBHOOK.format(sandbox=f"box{number}") + own})
    inspection = inspect(directory)
    assert [("webhooks/_defaults.yaml", 3)] == [(one.file, one.line) for one in inspection.diagnostics]
    assert "(affects 40 webhooks, the first in webhooks/acme/box1.yaml:1)" in inspection.diagnostics[0].summary
    assert 20 == len(inspection.desired.webhooks)


def test_a_target_ignores_defaults_of_others(directory: Path) -> None:
    """With a target, an error in a defaults file is reported only if it affects the target."""
    (directory / "acme" / "_defaults.yaml").write_text("delivery: {timeout: 5}\n")
    write(directory, acme__one=WEBHOOK.format(sandbox="one") + REST, two=WEBHOOK.format(sandbox="two") + REST)
    assert ["two"] == [one.sandbox for one in load(directory, targets=[Address("ACME@Org", "two")]).webhooks]
    with pytest.raises(InvalidConfiguration):
        load(directory, targets=[Address("ACME@Org", "one")])
    write(directory, acme__one=WEBHOOK.format(sandbox="one") + REST + "delivery: {timeout: 5s}\n")
    assert ["one"] == [one.sandbox for one in load(directory, targets=[Address("ACME@Org", "one")]).webhooks]


def test_defaults_outside_of_the_configuration_directory(directory: Path, tmp_path: Path) -> None:
    """A path outside is not planned without defaults above it; those above --config are named as not read."""
    (directory / "_defaults.yaml").write_text("owner: crm\n")
    write(directory, acme__prod=WEBHOOK.format(sandbox="prod") + REST)
    with pytest.raises(WrongUse, match=r"webhooks/_defaults\.yaml would not apply") as refused:
        load(tmp_path / "nothing", [directory / "acme"])
    assert "name the configuration directory: --config webhooks" == refused.value.hint
    left_out = inspect(directory / "acme").left_out
    assert ["webhooks/_defaults.yaml"] == [one.name for one in left_out]


def test_links_keep_their_defaults(directory: Path) -> None:
    """A mounted ConfigMap links each file into a hidden folder; the defaults are those of the visible folder."""
    hidden = directory / "..data"
    hidden.mkdir()
    (hidden / "prod.yaml").write_text(WEBHOOK.format(sandbox="prod"))
    (hidden / "_defaults.yaml").write_text(REST)
    (directory / "prod.yaml").symlink_to(hidden / "prod.yaml")
    (directory / "_defaults.yaml").symlink_to(hidden / "_defaults.yaml")
    assert ["prod"] == list(canonical(directory))


@pytest.mark.parametrize("path", ["acme/linked", "acme/linked/prod.yaml", "acme/linked/_defaults.yaml"])
def test_a_path_through_a_link_has_the_defaults_of_a_whole_run(directory: Path, path: str) -> None:
    """A secret in the defaults of one folder does not reach another folder's URL by a link to it."""
    (directory / "partner").mkdir()
    (directory / "acme" / "_defaults.yaml").write_text("headers: {X-Key: {env: HOOKLINE_SECRET_ACME}}\n")
    (directory / "partner" / "_defaults.yaml").write_text("owner: partner\n")
    write(directory, partner__prod=WEBHOOK.format(sandbox="prod") + REST)
    (directory / "acme" / "linked").symlink_to("../partner")
    whole = load(directory).webhooks[Address("ACME@Org", "prod")]
    narrowed = load(directory, [Path("webhooks", path)]).webhooks[Address("ACME@Org", "prod")]
    assert "SECRET" not in narrowed.canonical
    assert (whole.canonical, whole.source) == (narrowed.canonical, narrowed.source)


def test_every_example_of_the_schema_is_a_defaults_file() -> None:
    """The example of the schema for editors passes the strict check, which allows no null."""
    from hookline.schemas import load_schema  # noqa: PLC0415

    schema = load_schema("defaults.v1")
    assert [] == [error for one in schema["examples"] for error in check_defaults(one)]
    assert ["HL022"] == [one.code for one in check_defaults({"owner": None})]
    assert '{"delivery":{"timeout":"10s"},"owner":"crm-team@acme.example"}' == canonical_text(schema["examples"][0])
