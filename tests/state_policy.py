"""Sets the policy of a state in a test."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hookline.config.policy_file import read_policy_file
from hookline.state.factory import open_state
from hookline.state.store import HistoryEntry, PolicyChange

OWN_HOSTS = """\
version: 1
rules:
  - id: own-hosts
    message: feedback goes to hosts of acme only
    overridable: true
    require:
      properties:
        endpoint: {properties: {host: {pattern: "[.]acme[.]example$"}}}
"""


def set_policy(state: Path, text: str = OWN_HOSTS) -> None:
    """Write a policy into the state, as the next entry of its history."""
    file = state.with_name("policy.yaml")
    file.write_text(text)
    store = open_state(str(state))
    change = PolicyChange(read_policy_file(file).canonical, str(file))
    at = datetime(2026, 11, 28, tzinfo=UTC)
    entry = HistoryEntry(at=at, who="eve", commit=None, branch=None, fingerprint="", changes=(), policy=change)
    store.commit(store.read(), {}, entry)
