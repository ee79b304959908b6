"""The address in the text of a webhook file: comments, quotes and the order of keys stay."""

from __future__ import annotations

import pytest

from hookline.config.address_change import NotRewritable, change_address
from hookline.config.yaml_parser import parse_yaml
from hookline.model import Address

OLD, NEW = Address("acme", "prod"), Address("new@org", "live")
FROM = "movedFrom: acme/prod\n"
REST = "name: Feedback  # shown\n# of the team\nchannels: [email]\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            f"# first\nversion: 1\norganization: acme  # ours\nsandbox: prod # main\n\n{REST}",
            f"# first\nversion: 1\norganization: new@org  # ours\nsandbox: live # main\n{FROM}\n{REST}",
        ),
        (
            f"sandbox: 'prod'\norganization: \"acme\"\n{REST}",
            f'sandbox: "live"\nmovedFrom: acme/prod\norganization: "new@org"\n{REST}',
        ),
        (
            f"organization: acme\nsandbox: {{id: a1, name: prod}}  # both\n{REST}",
            f"organization: new@org\nsandbox: {{id: a1, name: live}}  # both\n{FROM}{REST}",
        ),
        (
            f"organization: acme\nsandbox:\n  # by name\n  name: prod\n  id: a1 # and id\n{REST}",
            f"organization: new@org\nsandbox:\n  # by name\n  name: live\n  id: a1 # and id\n{FROM}{REST}",
        ),
        (
            f"organization: acme\nsandbox: {{\n  name: prod,\n}}\n{REST}",
            f"organization: new@org\nmovedFrom: acme/prod\nsandbox: {{\n  name: live,\n}}\n{REST}",
        ),
        (
            "name: a\norganization: acme\nsandbox: prod",
            "name: a\norganization: new@org\nsandbox: live\nmovedFrom: acme/prod",
        ),
        (
            "organization: acme\r\nsandbox: prod\r\n",
            "organization: new@org\r\nsandbox: live\r\nmovedFrom: acme/prod\r\n",
        ),
        (
            '{"organization": "acme", "sandbox": "prod", "name": "a"}\n',
            '{"organization": "new@org", "movedFrom": "acme/prod", "sandbox": "live", "name": "a"}\n',
        ),
        (
            "{organization: acme, sandbox: prod}\n",
            '{organization: new@org, movedFrom: "acme/prod", sandbox: live}\n',
        ),
        (
            f"organization: acme\nsandbox: other\n---\norganization: acme\nsandbox: prod\n{REST}---\nsandbox: x\n",
            "organization: acme\nsandbox: other\n---\norganization: new@org\nsandbox: live\nmovedFrom: acme/prod\n"
            f"{REST}---\nsandbox: x\n",
        ),
    ],
)
def test_forms(before: str, after: str) -> None:
    """Each form of a document. Only the values change, and one line is added."""
    assert after == change_address(before, OLD, NEW, OLD)


def test_names_that_need_quotes() -> None:
    """A name that a YAML parser could read as another value is written in quotes."""
    moved = change_address("organization: acme\nsandbox: prod\n", OLD, Address("é#x", "no"), OLD)
    assert 'organization: "é#x"\nsandbox: "no"\nmovedFrom: acme/prod\n' == moved
    back = change_address('organization: "é#x"\nsandbox: "no"\n', Address("é#x", "no"), OLD, Address("é#x", "no"))
    assert 'organization: "acme"\nsandbox: "prod"\nmovedFrom: "é#x/no"\n' == back


def test_the_same_organization_stays_as_it_is() -> None:
    """Only the part that differs is written again."""
    moved = change_address("organization: 'acme'\nsandbox: prod\n", OLD, Address("acme", "live"), OLD)
    assert "organization: 'acme'\nsandbox: live\nmovedFrom: acme/prod\n" == moved


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("organization: acme\nsandbox: |-\n  prod\n", NotRewritable),
        ("organization: acme\nsandbox: other\n", NotRewritable),
    ],
)
def test_refusals(text: str, error: type[NotRewritable]) -> None:
    """A text that cannot be changed safely is refused."""
    with pytest.raises(error):
        change_address(text, OLD, NEW, OLD)


def test_escapes_are_understood() -> None:
    """A name may be written with escapes in quotes."""
    moved = change_address('organization: "ac\\u006de"\nsandbox: prod\n', OLD, NEW, OLD)
    assert [{"organization": "new@org", "sandbox": "live", "movedFrom": "acme/prod"}] == [
        document.value for document in parse_yaml(moved).documents
    ]


BEFORE = "organization: acme  # ours\nsandbox: prod\n{0}name: a\n"
AFTER = "organization: acme  # ours\nsandbox: live\n{0}name: a\n"


@pytest.mark.parametrize(
    ("before", "earlier", "after"),
    [
        ("movedFrom: acme/old # first\n", Address("acme", "old"), "movedFrom: acme/old # first\n"),
        ("movedFrom: acme/old # first\n", Address("acme", "new"), "movedFrom: acme/new # first\n"),
        ("movedFrom: 'acme/old'\n", Address("acme", "é"), 'movedFrom: "acme/é"\n'),
        ("movedFrom: acme/old # first\n", None, ""),
        ("movedFrom: acme/old\r\n", None, ""),
        ("", None, ""),
    ],
)
def test_a_webhook_that_has_moved_before(before: str, earlier: Address | None, after: str) -> None:
    """Its `movedFrom` stays, changes or goes, as it is asked for."""
    new = Address("acme", "live")
    assert AFTER.format(after) == change_address(BEFORE.format(before), OLD, new, earlier)


def test_a_key_among_others_is_not_removed() -> None:
    """A document in braces has other keys on the line of `movedFrom`."""
    with pytest.raises(NotRewritable):
        change_address("{organization: acme, sandbox: prod, movedFrom: acme/old}\n", OLD, NEW, None)
