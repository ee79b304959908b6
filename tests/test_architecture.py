"""Who may import whom, held by reading the imports of every module (docs/decisions/0001-layers.md)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hookline"

# Room → the rooms it may import. A room is a module or package directly below hookline.
ROOMS: dict[str, set[str]] = {
    "diagnostics": set(),
    "errors": {"diagnostics"},
    "quantities": set(),
    "escaping": set(),
    "private_files": {"errors"},
    "rotation": set(),
    "settings": set(),
    "schemas": {"errors"},
    "model": {"quantities"},
    "canonical": {"model", "quantities"},
    "config": {"canonical", "diagnostics", "errors", "escaping", "model", "quantities", "rotation", "schemas"},
    "state": {"canonical", "errors", "model", "private_files", "quantities"},
    "plan": {"canonical", "errors", "escaping", "model", "state"},
    "provenance": {"settings"},
    "apply": {"errors", "model", "plan", "provenance", "state"},
    "http_connection": set(),
    "observe": {"errors", "http_connection", "quantities"},
    "relay": {
        *("errors", "escaping", "model", "observe", "private_files", "quantities", "rotation", "settings", "state"),
    },
    "receiver": {"errors", "http_connection", "private_files", "quantities", "schemas"},
    "wiring": {"errors", "model", "observe", "quantities", "relay", "settings", "state"},
}
ROOMS["cli"] = set(ROOMS)
ROOMS["__main__"] = {"cli"}

# Third-party package → the modules that may know it. A trailing dot stands for everything below.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "yaml": ("config.documents", "cli.document"),
    "jsonschema": ("config.schema", "receiver.payloads"),
    "deepdiff": ("plan.diff",),
    "jwt": ("relay.delivery.token", "receiver.verify"),
    "cryptography": (
        *("relay.delivery.keys", "relay.delivery.signature", "relay.delivery.certificate"),
        *("receiver.authority", "receiver.signed"),
    ),
    "httpx": ("relay.delivery.transport", "relay.delivery.httpcore_transport", "relay.delivery.target"),
    "httpcore": ("relay.delivery.httpcore_transport",),
    "h11": ("http_connection",),
    "trustme": ("receiver.authority",),
    "click": ("cli.",),
    "rich": ("cli.",),
    "msgspec": ("relay.", "observe.report", "plan.saved"),
    "prometheus_client": ("observe.metrics", "observe.families"),
    "backports": ("relay.sources.packing",),
    "compression": ("relay.sources.packing",),  # the standard library's from Python 3.14 on
    "psycopg": ("state.postgres",),
    "sqlite3": ("state.sqlite", "state.migrating", "relay.spool."),
}

# The ports of the spool and the registry of its stores: all that other modules may know of relay/spool/.
SPOOL_PORTS = ("relay.spool.port", "relay.spool.admin")
SPOOL_FACTORY = "relay.spool.factory"
# The stores that the factory loads, each by one module.
SPOOL_STORES = ("relay.spool.embedded",)
SPOOL_EXCEPTIONS = {
    # It repairs the files of the embedded store, which no other store has.
    ("cli.spool", "relay.spool.recovering"),
    # The ids of a dry run: a temporary database of its own, not the spool.
    ("relay.rehearsal", "relay.spool.seen"),
}

# Rooms and modules of the domain do no I/O of their own, and take time and randomness as arguments.
PURE = (
    *(
        "diagnostics",
        "errors",
        "escaping",
        "quantities",
        "model",
        "rotation",
        "canonical",
        "plan.",
        "state.snapshot",
        "receiver.misbehaviour",
    ),
    *("relay.feedback", "relay.fates", "relay.formats.", "relay.hints", "relay.history", "relay.identity"),
    *("relay.intake", "relay.naming", "relay.network", "relay.payload2", "relay.routing"),
    *("relay.summary", "relay.trial", "relay.delivery.answer", "relay.delivery.answer_head", "relay.delivery.gate"),
    *(
        "relay.delivery.judging",
        "relay.delivery.outcome",
        "relay.delivery.pace",
        "relay.delivery.proxy",
        "relay.delivery.retry",
    ),
    *("relay.delivery.target", "relay.sources.checkpoints", "relay.sources.identity", "relay.sources.lines"),
    *("relay.checking.answering", "relay.delivery.certificate", "relay.checking.report", "relay.checking.testevent"),
    *("relay.sources.locating", "relay.sources.naming", "relay.sources.packing", "relay.counters", "relay.telling"),
    *("relay.letters", "relay.spool.soundness"),
    *("observe.report", "observe.labels", "observe.families", "observe.metrics", "observe.parked", "observe.status"),
)
DEVICES = {"os", "io", "socket", "sqlite3", "subprocess", "select", "time", "random", "secrets", "tempfile", "shutil"}


def modules() -> dict[str, str]:
    """Every module of hookline by its dotted name below the package, with its text."""
    return {_dotted(path): path.read_text() for path in SOURCE.rglob("*.py")}


def _dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(text: str) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "hookline")


def violations(sources: Mapping[str, str]) -> list[str]:
    """Every broken rule, in words."""
    found = []
    for module, text in sorted(sources.items()):
        room = module.split(".")[0]
        for name in imports(text):
            found += _wall(module, room, name) or _spool_wall(module, name)
        if "os.environ" in text or "getenv" in text:
            found += [f"{module} reads the environment"] if module != "settings" else []
    return found


def _wall(module: str, room: str, name: str) -> list[str]:
    top, _, rest = name.partition(".")
    if top == "hookline":
        other = rest.split(".")[0]
        if other in ("", room, "__version__") or room == "" or other in ROOMS.get(room, set()):
            return []
        return [f"{module} imports {name}"]
    if top in LIBRARIES:
        return [] if _among(module, LIBRARIES[top]) else [f"{module} knows {top}"]
    if top not in sys.stdlib_module_names:
        return [f"{module} imports {top}, which no rule knows"]
    return [f"{module} uses {top}"] if top in DEVICES and _among(module, PURE) else []


def _spool_wall(module: str, name: str) -> list[str]:
    """A second store is one folder and one entry in the factory, so nothing else knows the modules of a store."""
    if name == "sqlite3" and module in (*SPOOL_PORTS, SPOOL_FACTORY):
        return [f"{module} knows {name}"]
    target = name.removeprefix("hookline.")
    if not _among(target, ("relay.spool", "relay.spool.")):
        return []
    if module == SPOOL_FACTORY:
        allowed = target in (*SPOOL_PORTS, *SPOOL_STORES)
    elif module in SPOOL_PORTS:
        allowed = target in SPOOL_PORTS
    elif module.startswith("relay.spool."):
        allowed = target not in (SPOOL_FACTORY, *SPOOL_STORES)
    else:
        allowed = target in (*SPOOL_PORTS, SPOOL_FACTORY) or (module, target) in SPOOL_EXCEPTIONS
    return [] if allowed else [f"{module} reaches into the spool: {target}"]


def _among(module: str, patterns: tuple[str, ...]) -> bool:
    return any(module == name or (name.endswith(".") and module.startswith(name)) for name in patterns)


def test_every_module_keeps_to_its_room() -> None:
    """No module of hookline imports what its room, or its role, forbids."""
    assert [] == violations(modules())


def test_every_room_has_a_rule() -> None:
    """A new room below hookline must say whom it may import."""
    assert set(ROOMS) == {name.split(".")[0] for name in modules() if name}


@pytest.mark.parametrize(
    ("module", "text", "rule"),
    [
        ("relay.routing", "from hookline.config import load", "relay.routing imports hookline.config"),
        ("relay.daemon", "import hookline.plan.make", "relay.daemon imports hookline.plan.make"),
        ("relay.daemon", "def f():\n  from hookline.apply import apply", "relay.daemon imports hookline.apply"),
        ("config.load", "from hookline.plan.make import make_plan", "config.load imports hookline.plan.make"),
        ("plan.make", "from hookline.config import load", "plan.make imports hookline.config"),
        ("state.port", "from hookline.cli import main", "state.port imports hookline.cli"),
        ("state.port", "from hookline import wiring", "state.port imports hookline.wiring"),
        ("plan.make", "import yaml", "plan.make knows yaml"),
        ("relay.dispatch", "import httpx", "relay.dispatch knows httpx"),
        ("config.checks", "import requests", "config.checks imports requests, which no rule knows"),
        ("plan.make", "import time", "plan.make uses time"),
        ("relay.delivery.gate", "from random import random", "relay.delivery.gate uses random"),
        (
            "cli.list",
            "from hookline.relay.spool.lookup import SpoolLookup",
            "cli.list reaches into the spool: relay.spool.lookup",
        ),
        ("wiring", "from hookline.relay.spool import sqlite", "wiring reaches into the spool: relay.spool"),
        ("wiring", "import hookline.relay.spool.embedded", "wiring reaches into the spool: relay.spool.embedded"),
        (
            "cli.dead",
            "from hookline.relay.spool.seen import SeenIds",
            "cli.dead reaches into the spool: relay.spool.seen",
        ),
        (
            "relay.spool.port",
            "from hookline.relay.spool.schema import TABLES",
            "relay.spool.port reaches into the spool: relay.spool.schema",
        ),
        ("relay.spool.admin", "import sqlite3", "relay.spool.admin knows sqlite3"),
        (
            "relay.spool.lookup",
            "from hookline.relay.spool.factory import STORES",
            "relay.spool.lookup reaches into the spool: relay.spool.factory",
        ),
        ("relay.secrets", "import os\nx = os.environ['A']", "relay.secrets reads the environment"),
    ],
)
def test_a_planted_violation_is_found(module: str, text: str, rule: str) -> None:
    """Each rule bites: a module that breaks it is named, with what it imports."""
    assert rule in violations({module: text})


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("cli.list", "from hookline.relay.spool.lookup import SpoolLookup"),
        ("cli.dead", "from hookline.relay.spool.seen import SeenIds"),
        ("wiring", "from hookline.relay.spool import sqlite"),
        ("relay.reporting", "def f():\n  import hookline.relay.spool.embedded"),
        ("relay.spool.port", "from hookline.relay.spool.schema import TABLES"),
        ("relay.spool.admin", "from hookline.relay.spool.factory import spool_store"),
        ("relay.spool.factory", "from hookline.relay.spool.lookup import SpoolLookup"),
        ("relay.spool.lookup", "from hookline.relay.spool.factory import STORES"),
        ("relay.spool.admin", "import sqlite3"),
    ],
)
def test_a_way_around_the_ports_of_the_spool_is_found(module: str, text: str) -> None:
    """Outside of a store, its modules are known to the factory alone."""
    (found,) = violations({module: text})
    assert found.startswith((f"{module} reaches into the spool: ", f"{module} knows sqlite3"))


def test_every_exception_for_the_spool_is_needed() -> None:
    """An exception that no module uses any more is removed."""
    used = {(module, name.removeprefix("hookline.")) for module, text in modules().items() for name in imports(text)}
    assert used >= SPOOL_EXCEPTIONS
