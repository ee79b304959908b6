"""Random and mutated lines of every format: no exception, and no line unaccounted for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import document, line, routes
from hookline.model import Address
from hookline.relay.field_mapping import FieldMapping, parse_mapping
from hookline.relay.formats.line_reader import AUTO
from hookline.relay.formats.registry import FORMATS
from hookline.relay.ingest.batch import IngestContext, build_batch
from hookline.relay.routing import Defaults
from hookline.relay.sources.source import Batch, Position

TESTS = Path(__file__).parents[1]
SEED = 20261125
BATCH = 500
SAMPLES = [
    line
    for path in sorted([*TESTS.glob("cases/*/**/input.ndjson"), TESTS / "facts/xdm-feedback-events.ndjson"])
    for line in path.read_bytes().splitlines()
]
WORDS = [
    *(b"{", b"}", b"[", b"]", b'"', b"\\u0000", b"\\", b",", b":", b"null", b"1e999", b"-0", b"\xff", b"\xc3", b"\0"),
    *(b"=<", b">, ", b"status=", b"&", b"%zz", b"[" * 120, b" " * 300, b"9" * 400, b'{"a":' * 60, "é".encode()),
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "2026-01-01",
    "é" * 600,
    [],
    [[]],
    {},
    {"a": {"b": [1]}},
    [{}],
    ["x"] * 3,
]
ROUTES = routes(document(Address("ACME@AdobeOrg", "prod"), channels=["email", "sms"], payload=2))
PATHS = tuple(parse_mapping(f"{field}={path}") for field, path in [
    ("campaign", "user-variables.campaign"), ("recipient", "to"), ("organization", "0.data.x"), ("requestId", "/id")
])  # fmt: skip


def readings() -> list[IngestContext]:
    """Every format by name and auto; with and without what events may lack."""
    hints = FieldMapping(paths=PATHS, timezone=UTC, clock=lambda: 1_779_123_685.0)
    told = Defaults(organization="ACME@AdobeOrg", sandbox="prod", campaign="C", mapping=hints)
    plain = Defaults(organization="ACME@AdobeOrg", sandbox="prod")
    every = [IngestContext(routes=ROUTES, defaults=told, format=name) for name in (AUTO, *FORMATS)]
    return [
        *every,
        *[IngestContext(routes=ROUTES, defaults=plain)] * len(every),
        IngestContext(routes=ROUTES, defaults=Defaults()),
    ]


def strange_lines(chance: random.Random) -> Iterator[bytes]:
    while True:
        kind = chance.random()
        sample = chance.choice(SAMPLES)
        if kind < 0.05:
            yield chance.randbytes(chance.randrange(200))
        elif kind < 0.4:
            yield revalued(sample, chance)
        elif kind < 0.5:
            other = chance.choice(SAMPLES)
            yield sample[: chance.randrange(len(sample) + 1)] + other[chance.randrange(len(other) + 1) :]
        else:
            yield damaged(sample, chance)


def damaged(sample: bytes, chance: random.Random) -> bytes:
    """Some bytes overwritten, left out or put in."""
    line = bytearray(sample)
    for _ in range(chance.randrange(1, 5)):
        start = chance.randrange(len(line) + 1)
        end = start + chance.choice([0, 0, 1, 1, 8, 60])
        line[start:end] = chance.choice([chance.choice(WORDS), chance.randbytes(2), b""])
    return bytes(line).replace(b"\n", b"")


def revalued(sample: bytes, chance: random.Random) -> bytes:
    """Another value somewhere in the JSON, or another name for one."""
    try:
        document = msgspec.json.decode(sample)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return damaged(sample, chance)
    node = document
    for _ in range(chance.randrange(6)):
        inner = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
        deeper = [one for one in inner if isinstance(one, dict | list) and one]
        if not deeper:
            break
        node = chance.choice(deeper)
    if isinstance(node, dict) and node:
        key = chance.choice(list(node))
        node[chance.choice([key, key, key, key.upper(), "eventType", "event", "type"])] = chance.choice(VALUES)
    elif isinstance(node, list) and node:
        node[chance.randrange(len(node))] = chance.choice(VALUES)
    return msgspec.json.encode(document)


def every_line_has_its_fates(lines: int) -> None:
    chance = random.Random(SEED)
    ways = readings()
    strange = strange_lines(chance)
    for first in range(0, lines, BATCH):
        batch = [line(data, first + n) for n, data in enumerate((next(strange) for _ in range(BATCH)), 1)]
        for way in (chance.choice(ways), ways[0]) if lines < 100_000 else (chance.choice(ways),):
            intake, taken = build_batch(Batch("log", batch, Position(name="log"), False), way)
            assert BATCH == taken
            settled = [one.line for one in intake.deliveries] + [one.line.number for one in intake.rejected]
            assert intake.read == len(settled) + sum(intake.skipped.values())
            assert intake.read >= BATCH
            assert set(settled) <= {line.number for line in batch}


def test_strange_lines_have_their_fates() -> None:
    """Thirty thousand lines of all formats, broken in many ways: each is delivered, skipped or rejected."""
    every_line_has_its_fates(30_000)


@pytest.mark.soak
def test_a_million_strange_lines_have_their_fates() -> None:
    """The same with a million lines."""
    every_line_has_its_fates(1_000_000)
