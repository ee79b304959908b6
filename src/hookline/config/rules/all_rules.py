"""All rules for one document, beside the JSON Schema."""

from __future__ import annotations

from typing import Any

from hookline.config.document_access import RuleFinding
from hookline.config.rules import delivery_rules, move_rules, name_rules, request_rules, secret_rules, url_rules

_CHECKS = (
    name_rules.check_names,
    move_rules.check_move,
    url_rules.check_url,
    request_rules.check_headers,
    request_rules.check_query,
    secret_rules.check_literals,
    secret_rules.check_secrets,
    secret_rules.check_signing,
    secret_rules.check_key_times,
    delivery_rules.check_delivery,
)


def check_rules(document: Any) -> list[RuleFinding]:
    """Returns the findings of all rules. Each checks the parts that it can read."""
    return [finding for check in _CHECKS for finding in check(document)]
