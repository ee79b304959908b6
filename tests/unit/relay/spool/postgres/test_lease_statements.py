"""The page on leases has a row for each statement of leases."""

from __future__ import annotations

from pathlib import Path

from hookline.relay.spool.postgres import lease_statements

PAGE = Path(__file__).parents[5] / "docs" / "explanation" / "leases.md"


def test_every_statement_is_in_the_table() -> None:
    """A transition that is not in the table of the page has no stated condition, and no reason for its lock."""
    names = {name for name, value in vars(lease_statements).items() if name.isupper() and isinstance(value, str)}
    text = PAGE.read_text(encoding="utf-8")
    assert set() == {name for name in names if not name.startswith("_") and f"`{name}`" not in text}
