"""The rules for one document that the JSON Schema cannot express."""

from __future__ import annotations

from typing import Any

from hookline.config.document_access import RuleFinding
from hookline.config.rules import delivery_rules, request_rules, secret_rules

_CHECKS = (
    request_rules.check_url,
    request_rules.check_headers,
    secret_rules.check_secrets,
    secret_rules.check_signing,
    secret_rules.check_key_times,
    delivery_rules.check_delivery,
)


def check_rules(document: Any) -> list[RuleFinding]:
    """Returns the findings of every rule. A rule checks the parts of the document that it can read."""
    return [finding for check in _CHECKS for finding in check(document)]
