"""Hypothesis strategies for valid webhooks, for laws that hold for every webhook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

import builders
from hookline.escaping import is_invisible
from hookline.model import Address, Desired

Document = dict[str, Any]

# Texts that YAML 1.1 or 1.2 does not read as text without quotes, and characters that control a terminal.
TRICKY = ["no", "On", "y", "010", "1e3", "1_000", "12:30:00", "2026-11-03", "null", "~", "a: b", "a #b", "- a", "? a",
          "<<", "=", "*a", "&a", "!a", "%a", "@a", "`a", "0x1F", ".inf", "{a}", "[a]", "'", '"', "\\", "Ünïcödé 反馈",
          "🙂", "e\u0301", "\u00a0"]  # fmt: skip

_plain = st.characters(
    codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Zs"), exclude_characters="/"
).filter(lambda one: not is_invisible(one))
names = st.text(_plain, min_size=1, max_size=12) | st.sampled_from(
    ["no", "010", "1e3", "..", ".", ".hidden", "~", "反馈", "A", "a", "-x", "a%2Fb", "x" * 256, "反" * 256]
)
_line = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"),
                      exclude_characters="\u202a\u202b\u202c\u202d\u202e")  # fmt: skip
_visible = _line.filter(lambda one: not is_invisible(one))
lines = st.text(_line, min_size=1, max_size=20) | st.sampled_from(TRICKY)
visible_lines = st.text(_visible, min_size=1, max_size=20) | st.sampled_from(TRICKY)
several_lines = st.lists(st.text(_line, max_size=10) | st.sampled_from(TRICKY), min_size=2, max_size=5).map("\n".join)
tokens = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
durations = st.integers(100, 20_000).map(lambda number: f"{number}ms")
_values = st.recursive(
    lines | several_lines | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(lines, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
_times: st.SearchStrategy[Document] = st.sampled_from(
    [{}, {"activate": "2026-11-01T00:00:00Z"}, {"retire": "2027-11-01T01:00:00+01:00"}]
)
_keys = st.tuples(st.lists(tokens, min_size=1, max_size=2, unique=True), _times).map(
    lambda drawn: [
        {"id": each, "secret": {"file": f"{each}.pem"}, **(drawn[1] if each != drawn[0][-1] else {})}
        for each in drawn[0]
    ]
)


def _signature(keys: list[Document]) -> Document:
    allowed = ("secret", "activate", "retire")
    listed = [{name: key[name] for name in allowed if name in key} for key in keys]
    return {"type": "standard-webhooks", "keys": listed}


_authentications = st.fixed_dictionaries(
    {"type": st.just("jwt"), "algorithm": st.sampled_from(["ES256", "RS256", "HS512"]), "keys": _keys},
    optional={
        "issuer": lines,
        "lifetime": st.sampled_from(["30s", "60s", "1h"]),
        "oneTime": st.booleans(),
        "claims": st.dictionaries(visible_lines.map(lambda text: f"x-{text}"), _values, max_size=3),
    },
)
_deliveries = st.fixed_dictionaries(
    {}, optional={"timeout": durations, "concurrency": st.integers(1, 64), "rateLimit": st.just("200/s"),
                  "ordering": st.sampled_from(["message", "none"]), "retry": st.just({"maxAge": "24h"})},
)  # fmt: skip
_headers = st.dictionaries(
    tokens.map(lambda token: f"X-T-{token}x"),
    st.sampled_from(["crm", "no", "010", "a: b", '"', {"env": "HOOKLINE_SECRET_A"}, {"file": "a.txt"}]),
    max_size=3,
)

_query = st.dictionaries(
    tokens.map(lambda token: f"t_{token}x"),
    st.sampled_from(["crm", "", "ä & b", {"env": "HOOKLINE_SECRET_A"}, {"file": "a.txt"}]),
    max_size=3,
)


def webhook_documents(address: Address) -> st.SearchStrategy[Document]:
    """A strategy for valid documents of one webhook, in any spelling."""
    return st.fixed_dictionaries(
        {
            "version": st.just(1),
            "organization": st.just(address.organization),
            "sandbox": st.just(address.sandbox),
            "name": visible_lines,
            "channels": st.lists(st.sampled_from(["email", "sms"]), min_size=1, unique=True),
            "url": tokens.map(lambda token: f"https://hooks.acme.example/{token}"),
            "campaigns": st.just("all")
            | st.lists(st.sampled_from(["no", "010", "1e3", "c-1"]), min_size=1, unique=True),
        },
        optional={
            "description": lines | several_lines,
            "owner": visible_lines,
            "authentication": _authentications,
            "signature": _keys.map(_signature),
            "headers": _headers,
            "query": _query,
            "delivery": _deliveries,
            "events": st.lists(st.sampled_from(["sent", "delivered", "bounce", "error"]), min_size=1, unique=True),
            "enabled": st.booleans(),
            "protected": st.booleans(),
        },
    )


addresses = st.builds(Address, names, names)


def desired(least: int = 0, most: int = 4) -> st.SearchStrategy[Desired]:
    """A strategy for the desired state of a configuration directory."""
    few = st.lists(addresses, min_size=least, max_size=most, unique=True)
    return few.flatmap(lambda found: st.tuples(*map(webhook_documents, found))).map(_desired)


def _desired(found: tuple[Document, ...]) -> Desired:
    webhooks = builders.desired(*found, file="random").webhooks
    return Desired({address: webhooks[address] for address in sorted(webhooks)})


def documents(found: Desired) -> Mapping[Address, Document]:
    return {address: json.loads(declared.canonical) for address, declared in found.webhooks.items()}
