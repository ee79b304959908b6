"""Which module may import which, checked on the imports of every module (docs/decisions/0001-layers.md)."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hookline"

# Layer → the layers that it may import. A layer is a module or package directly below hookline.
LAYERS: dict[str, set[str]] = {
    "diagnostics": set(),
    "exit_codes": set(),
    "errors": {"diagnostics", "exit_codes"},
    "units": set(),
    "escaping": set(),
    "descriptors": set(),
    "paths": {"errors"},
    "private_files": {"errors", "paths"},
    "storage_location": {"errors"},
    "key_rotation": set(),
    "settings": set(),
    "schemas": {"errors"},
    "model": {"escaping", "units"},
    "converters": set(),
    "canonical": {"converters", "model", "units"},
    "policy": {"canonical", "diagnostics", "errors", "model"},
    "config": {
        *("canonical", "diagnostics", "errors", "escaping", "key_rotation", "model", "paths", "policy", "schemas"),
        "units",
    },
    "state": {"canonical", "errors", "model", "paths", "private_files", "storage_location", "units"},
    "plan": {"canonical", "diagnostics", "errors", "escaping", "model", "policy", "state"},
    "provenance": {"paths", "settings"},
    "apply": {"errors", "model", "plan", "provenance", "state"},
    "http_connection": set(),
    "observe": {"errors", "escaping", "http_connection", "units"},
    "relay": {
        *("descriptors", "errors", "escaping", "key_rotation", "model", "observe", "paths", "private_files"),
        *("settings", "state", "storage_location", "units"),
    },
    "receiver": {"errors", "escaping", "http_connection", "paths", "private_files", "schemas", "units"},
    # The page reads what the commands print, and imports none of them.
    "web": {
        *("canonical", "diagnostics", "errors", "escaping", "model", "observe", "paths", "plan", "private_files"),
        *("relay", "state", "units"),
    },
    "wiring": {"descriptors", "errors", "model", "observe", "relay", "settings", "state", "units"},
}
LAYERS["cli"] = set(LAYERS)
LAYERS["__main__"] = {"cli", "exit_codes"}

# The layers inside relay/, from the lowest to the highest. A part may import the parts of lower rows, and nothing
# else of relay/. Parts of one row do not import each other: `ingest` and `delivery` meet in the spool only.
RELAY_LAYERS: tuple[tuple[str, ...], ...] = (
    ("clock", "event", "ids", "one_thread", "secrets", "service_manager", "summary"),
    ("delivery_record", "field_mapping", "payload_line", "payload_v2"),
    ("http", "sources", "webhook_route"),
    ("auth", "formats", "routing", "spool"),
    ("delivery", "ingest"),
    ("activity_recorder", "preflight", "state_watcher", "tracing"),
    ("slots",),
    ("status_collector",),
    ("monitoring",),
    ("relay",),
)

# Third-party package → the modules that may import it. A trailing dot includes everything below.
LIBRARIES: dict[str, tuple[str, ...]] = {
    # `fmt` needs the places of the parser's events; the strict parser has accepted the text before.
    "yaml": (
        *("config.yaml_parser", "config.yaml_errors", "config.formatting.yaml_events"),
        "cli.output.yaml_writer",
    ),
    "jsonschema": ("config.schema.schema_validator", "config.schema.schema_explanations", "receiver.verification"),
    "jsonschema_rs": ("policy.schema_matcher",),  # matches the patterns of a policy in linear time
    "deepdiff": ("plan.diff",),
    "jwt": ("relay.auth.jwt_signer", "receiver.verification"),
    "cryptography": (
        *("relay.auth.keys", "relay.auth.body_signature", "relay.http.certificate_info"),
        *("receiver.certificates", "receiver.signature_verifier"),
        "cli.commands.demo",  # makes the key of its webhook
        "relay.sources.nats.nats_credentials",  # signs the nonce of a server with the seed of an nkey
    ),
    "httpx": ("relay.http.pool.httpx_transport", "relay.http.pool.httpcore_pool", "relay.http.request"),
    "httpcore": ("relay.http.pool.",),
    "h11": ("http_connection",),
    "idna": ("config.rules.url_rules",),
    "trustme": ("receiver.certificates",),
    "click": ("cli.",),
    "rich": ("cli.",),
    "msgspec": ("relay.", "web.plots", "observe.drain", "observe.snapshot", "plan.plan_file"),
    "prometheus_client": ("observe.metrics", "observe.metric_families"),
    "backports": ("relay.sources.decompression",),
    "compression": ("relay.sources.decompression",),  # the standard library's module from Python 3.14 on
    "jinja2": ("web.page_templates", "cli.commands.serve"),  # the command asks whether the extra is installed
    "markupsafe": ("web.page_templates",),
    "starlette": ("web.serving.page_app", "web.serving.page_guard", "cli.commands.serve"),
    "uvicorn": ("web.serving.page_connections", "web.serving.page_server", "cli.commands.serve"),
    "psycopg": ("state.postgres_store", "relay.spool.postgres."),
    "confluent_kafka": ("relay.sources.kafka.kafka_consumer",),
    "nats": ("relay.sources.nats.",),
    # A dry run keeps the ids that it has seen in a temporary database of its own.
    "sqlite3": ("state.sqlite_store", "state.sqlite_schema", "relay.spool.sqlite.", "relay.ingest.dry_run"),
}

# The ports of the spool and the registry of its stores: the only modules of relay/spool/ that others may import.
SPOOL_PORTS = (
    *("relay.spool.spool", "relay.spool.spool_values", "relay.spool.admin", "relay.spool.leases"),
    "relay.spool.transfer",
    *("relay.spool.address_moves", "relay.spool.crash_guard", "relay.spool.crash_notes"),
    "relay.spool.opened_spool",
    *("relay.spool.spool_thread", "relay.spool.activity", "relay.spool.backlog_ages", "relay.spool.drain_forecast"),
    "relay.spool.recipient",
)
SPOOL_FACTORY = "relay.spool.factory"
# The stores that the factory loads, each by one module.
SPOOL_STORES = ("relay.spool.sqlite.embedded", "relay.spool.postgres.shared")
SPOOL_EXCEPTIONS = {
    # `spool recover` repairs the files of the embedded store. No other store has such files.
    ("cli.commands.spool", "relay.spool.sqlite.recovery.recover"),
    # `spool copy` copies them.
    ("cli.commands.spool_setup", "relay.spool.sqlite.transfer.spool_copy"),
}

# Modules of the domain: they do no I/O, and take time and randomness as arguments.
PURE = (
    *("diagnostics", "errors", "escaping", "units", "model", "key_rotation", "converters", "canonical", "plan."),
    "policy.",
    *("storage_location", "state.postgres_address"),
    *("receiver.faults", "relay.event", "relay.delivery_record", "relay.formats.", "relay.field_mapping"),
    *("relay.ids", "relay.ingest.batch", "relay.ingest.preview", "relay.payload_v2", "relay.routing"),
    *("relay.payload_line", "relay.webhook_route", "relay.spool.recipient"),
    *("relay.summary", "relay.delivery.circuit_breaker", "relay.delivery.response_policy"),
    *("relay.delivery.rate_limiter", "relay.delivery.counters"),
    *("relay.delivery.attempt_log", "relay.http.address_policy", "relay.http.response_reader"),
    *("relay.http.response_head", "relay.http.proxy", "relay.http.request"),
    *("relay.sources.checkpoints", "relay.sources.line_splitter", "relay.sources.rotated_names"),
    *("relay.sources.decompression", "relay.preflight.report"),
    *("web.links", "web.paging", "web.plots", "web.source_link", "web.inventory_view", "web.webhook_view"),
    *("web.lanes_view", "web.letters_view", "web.trace_view", "relay.tracing."),
    *(
        "relay.spool.sqlite.recovery.row_validation",
        "relay.spool.activity",
        "observe.snapshot",
        *("observe.metrics", "observe.metric_families", "observe.metric_labels"),
        *("observe.relay_metrics", "observe.spool_metrics"),
        "observe.status",
    ),
)
# The sources read clocks and wait through the value of relay/sources/timing.py, which a simulation replaces.
TIMED, TIMING = "relay.sources.", "relay.sources.timing"
# The clients of distributed logs have threads of their own, which no simulation replaces. That of NATS needs an event
# loop, and its times are those of the network.
THREADED = ("relay.sources.kafka.assignment", "relay.sources.kafka.poll_thread", "relay.sources.nats.")
LOOPS = ("relay.sources.nats.",)
CLOCKS = {"asyncio", "datetime", "select", "selectors", "threading", "time"}
# Iteration there depends on no address in memory and no hash seed.
ORDERED = ("relay.sources.", "relay.ingest.")
DEVICES = {"os", "io", "socket", "sqlite3", "subprocess", "select", "time", "random", "secrets", "tempfile", "shutil"}

# Modules that a simulation runs on its own machine: their time, randomness and threads come from arguments and from
# the event loop. `run_in_executor` and `to_thread` are the only way into a thread.
SIMULATED = (
    *("wiring.", "relay.delivery.", "relay.relay", "relay.state_watcher", "relay.status_collector"),
    "relay.activity_recorder",
    *("relay.slots.delivery_guard", "relay.spool.crash_guard"),
    *("relay.monitoring", "relay.service_manager"),
)
MACHINE = {"time", "datetime", "random", "secrets", "uuid", "threading", "concurrent", "multiprocessing"}
RANDOM_CLASSES = {"random.Random", "random.SystemRandom"}  # types of an argument, and its default

MAX_MODULES_IN_FOLDER = 18
# Folders that are a list of alike things, and hold nothing else.
LISTS = ("cli/commands", "relay/formats/providers")

# Module names that occur twice, each with its reason.
SHARED_MODULE_NAMES = {
    "factory": "one for each kind of store: the place where the stores of a kind are registered",
}
# Public names that two modules define, each with its reason.
SHARED_NAMES = {
    **dict.fromkeys(
        ("NAME", "DESCRIPTION", "STATUSES", "OTHERS", "events", "quick", "recognizes"),
        "the interface of a format (relay/formats/format.py); a format is a module",
    ),
}


def modules() -> dict[str, str]:
    """Every module of hookline by its dotted name below the package, with its text."""
    return {_dotted(path): path.read_text() for path in SOURCE.rglob("*.py")}


def machine_uses(sources: Mapping[str, str]) -> list[str]:
    """Uses of the machine that no argument replaces, in modules that a simulation runs."""
    found = []
    for module, text in sorted(sources.items()):
        for node in ast.walk(ast.parse(text)) if _among(module, SIMULATED) else ():
            match node:
                case ast.Import(names=names):
                    found += [f"{module} imports {one.name}" for one in names if one.name.split(".")[0] in MACHINE]
                case ast.ImportFrom(module=str(name), names=names) if name.split(".")[0] in MACHINE:
                    used = [f"{name}.{one.name}" for one in names]
                    found += [f"{module} imports {one}" for one in used if one not in RANDOM_CLASSES]
                case ast.Attribute(value=ast.Name("os"), attr="urandom" | "getrandom" as name):
                    found.append(f"{module} uses os.{name}")
    return found


# How a path could be looked at without hookline.paths. pathlib raises PermissionError below a directory that the user
# may not enter, or reports that nothing exists, depending on the release of Python.
PATH_METHODS = {
    *("exists", "is_file", "is_dir", "is_symlink", "is_fifo", "is_socket", "is_mount", "is_block_device"),
    *("is_char_device", "isfile", "isdir", "lexists", "islink", "ismount"),
}
PATH_EXCEPTIONS = {
    *(("schemas", "is_dir"), ("cli.commands.operations", "is_file")),  # of the package's own resources
    ("config.discovery", "islink"),  # of 10,000 names in a directory that was just listed
    # The same in a watched directory. os.path reports no error, and the entries of a listing are caught one by one.
    *(("relay.sources.files.listing", name) for name in ("is_file", "is_symlink")),
    *(("relay.sources.input_files", name) for name in ("isdir", "isfile", "islink")),
    # Of a spool store, which looks at the path itself.
    *(
        (module, "exists")
        for module in ("wiring.run_relay", "relay.spool.opened_spool", "cli.applied_state", "cli.commands.spool_move")
    ),
    ("relay.spool.postgres.shared", "exists"),
}


def path_looks(sources: Mapping[str, str]) -> list[tuple[str, str]]:
    """Calls that look at a path by themselves, as module and method."""
    return [
        (module, node.func.attr)
        for module, text in sorted(sources.items())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PATH_METHODS
    ]


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
        layer = module.split(".")[0]
        for name in imports(text):
            found += _layer_rule(module, layer, name) or _relay_rule(module, name) or _spool_rule(module, name)
        found += _determinism_rule(module, text)
        if "os.environ" in text or "getenv" in text:
            found += [f"{module} reads the environment"] if module != "settings" else []
    return found


def _layer_rule(module: str, layer: str, name: str) -> list[str]:
    top, _, rest = name.partition(".")
    if top == "hookline":
        other = rest.split(".")[0]
        if other in ("", layer, "__version__") or layer == "" or other in LAYERS.get(layer, set()):
            return []
        return [f"{module} imports {name}"]
    if top in LIBRARIES:
        return [] if _among(module, LIBRARIES[top]) else [f"{module} knows {top}"]
    if top not in sys.stdlib_module_names:
        return [f"{module} imports {top}, which no rule knows"]
    return [f"{module} uses {top}"] if top in DEVICES and _among(module, PURE) else []


def _relay_rule(module: str, name: str) -> list[str]:
    """Inside relay/, imports lead from a higher layer to a lower one."""
    target = name.removeprefix("hookline.")
    if not (module.startswith("relay.") and target.startswith("relay.")):
        return []
    part, other = module.split(".")[1], target.split(".")[1]
    height = {name: row for row, names in enumerate(RELAY_LAYERS) for name in names}
    if part == other or height.get(other, len(RELAY_LAYERS)) < height.get(part, -1):
        return []
    return [f"{module} imports {name}, which is not below it"]


def _spool_rule(module: str, name: str) -> list[str]:
    """A second store is one folder and one entry in the factory, so nothing else knows the modules of a store."""
    target = name.removeprefix("hookline.")
    if not _among(target, ("relay.spool", "relay.spool.")):
        return []
    if module == SPOOL_FACTORY:
        allowed = target in (*SPOOL_PORTS, *SPOOL_STORES)
    elif module in SPOOL_PORTS:
        allowed = target in SPOOL_PORTS
    elif module.startswith("relay.spool."):
        allowed = target != SPOOL_FACTORY and target not in SPOOL_STORES
    else:
        allowed = target in (*SPOOL_PORTS, SPOOL_FACTORY) or (module, target) in SPOOL_EXCEPTIONS
    return [] if allowed else [f"{module} reaches into the spool: {target}"]


def _determinism_rule(module: str, text: str) -> list[str]:
    """Sources and ingest repeat a run exactly if they get the same files, times and waits."""
    used = {name.split(".")[0] for name in imports(text)} & CLOCKS
    used -= {"threading"} if _among(module, THREADED) else set()
    used -= {"asyncio", "time"} if _among(module, LOOPS) else set()
    found = [f"{module} uses {name} instead of Timing" for name in sorted(used)]
    found = found if module.startswith(TIMED) and module != TIMING else []
    if _among(module, ORDERED):
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Name(id="id" | "hash" as name, ctx=ast.Load()):
                    found.append(f"{module} uses {name}")
                case ast.For(iter=source) | ast.comprehension(iter=source) if _is_unordered(source):
                    found.append(f"{module} iterates over a set: {ast.unparse(source)}")
    return found


def _is_unordered(source: ast.expr) -> bool:
    """Whether an expression is a set, as far as its form shows it."""
    match source:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(op=ast.BitAnd() | ast.BitOr() | ast.BitXor() | ast.Sub()):
            return True
    return False


def _among(module: str, patterns: tuple[str, ...]) -> bool:
    return any(module == name or (name.endswith(".") and module.startswith(name)) for name in patterns)


def test_every_module_keeps_to_its_layer() -> None:
    """No module of hookline imports a module or library that its layer, or its role, forbids."""
    assert [] == violations(modules())


def test_every_layer_has_a_rule() -> None:
    """A new module or folder directly below hookline or relay/ must have a place in the layers."""
    assert set(LAYERS) == {name.split(".")[0] for name in modules() if name}
    parts = {name.split(".")[1] for name in modules() if name.startswith("relay.")}
    assert {name for row in RELAY_LAYERS for name in row} == parts


def test_rules_name_modules_that_exist() -> None:
    """A rule about a module that does not exist protects nothing."""
    known = modules()
    named = [*PURE, *(module for users in LIBRARIES.values() for module in users), *SPOOL_PORTS, *SPOOL_STORES]
    missing = [name for name in named if name not in known and not any(one.startswith(name) for one in known)]
    assert [] == missing


def test_a_simulation_can_replace_the_machine() -> None:
    """The modules that a simulation runs use no clock, no randomness and no thread of their own."""
    assert [] == machine_uses(modules())


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("import time", "relay.delivery.lane imports time"),
        ("from time import monotonic", "relay.delivery.lane imports time.monotonic"),
        ("from datetime import UTC", "relay.delivery.lane imports datetime.UTC"),
        ("def f():\n  import random", "relay.delivery.lane imports random"),
        ("from random import Random, random", "relay.delivery.lane imports random.random"),
        ("from concurrent.futures import Executor", "relay.delivery.lane imports concurrent.futures.Executor"),
        ("import os\nx = os.urandom(8)", "relay.delivery.lane uses os.urandom"),
    ],
)
def test_a_use_of_the_machine_is_found(text: str, rule: str) -> None:
    """The check finds each kind of use, in the modules that a simulation runs only."""
    assert [rule] == machine_uses({"relay.delivery.lane": text, "relay.clock": text})


def test_paths_are_looked_at_in_one_way() -> None:
    """Only hookline.paths asks whether something exists at a path, so that no command ends in a traceback there."""
    assert PATH_EXCEPTIONS == set(path_looks(modules()))


@pytest.mark.parametrize("call", ["p.exists()", "Path(a).is_dir()", "os.path.isfile(x)", "self.file.is_symlink()"])
def test_a_look_at_a_path_is_found(call: str) -> None:
    """The check finds methods of pathlib and functions of os.path."""
    assert 1 == len(path_looks({"one": f"x = {call}"}))


def test_colour_is_decided_in_one_place() -> None:
    """Only cli.output.colour styles text, so that NO_COLOR holds for everything that a command writes."""
    found = {
        name
        for name, text in modules().items()
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Attribute) and ast.unparse(call) in ("click.style", "click.secho")
    }
    assert {"cli.output.colour"} == found


def test_folders_stay_small() -> None:
    """A folder has at most 18 modules, unless it is a list of alike things."""
    sizes = {
        str(folder.relative_to(SOURCE)): len(
            [one for one in folder.glob("*.py") if one.stem not in ("__init__", "__main__")]
        )
        for folder in (SOURCE, *SOURCE.rglob("*/"))
    }
    assert {} == {
        folder: size for folder, size in sizes.items() if size > MAX_MODULES_IN_FOLDER and folder not in LISTS
    }


def public_names(text: str) -> set[str]:
    """The public names that a module defines at its top level."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
    return {name for name in found if not name.startswith("_")}


def shared(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Public names that several modules define, with these modules."""
    owners: dict[str, list[str]] = defaultdict(list)
    for module, text in sorted(sources.items()):
        for name in public_names(text):
            owners[name].append(module)
    return {name: found for name, found in owners.items() if len(found) > 1}


def shared_modules(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Module names that occur several times. A command's module may share its noun's name: `plan` plans."""
    owners: dict[str, list[str]] = defaultdict(list)
    for module in sorted(sources):
        if module and not module.startswith("cli.commands."):
            owners[module.rpartition(".")[2]].append(module)
    folders = {path.parent.relative_to(SOURCE).as_posix().replace("/", ".") for path in SOURCE.rglob("__init__.py")}
    plain = {name: [one for one in found if one not in folders] for name, found in owners.items()}
    return {name: found for name, found in plain.items() if len(found) > 1}


def test_each_name_has_one_module() -> None:
    """A public name is defined in one module, so a reader who searches for it finds one thing."""
    assert {} == {name: found for name, found in shared(modules()).items() if name not in SHARED_NAMES}
    assert {} == {name: found for name, found in shared_modules(modules()).items() if name not in SHARED_MODULE_NAMES}


def test_no_exception_is_left_over() -> None:
    """An exception that no module needs any more is removed."""
    assert set(SHARED_NAMES) <= set(shared(modules()))
    assert set(SHARED_MODULE_NAMES) <= set(shared_modules(modules()))


def test_a_name_that_is_defined_twice_is_found() -> None:
    """The check finds a class, a function and a constant that stand in two modules."""
    text = "class A: ...\ndef b(): ...\nC: int = 1\nD = 2\n_e = 3\n"
    assert {"A", "b", "C", "D"} == set(shared({"one": text, "two": text}))
    assert {"port"} == set(shared_modules({"state.port": "", "relay.port": "", "cli.commands.port": ""}))


MAX_PARAMETERS = 8


def long_parameter_lists(sources: Mapping[str, str]) -> list[str]:
    """Functions with more than 8 parameters, `self` and `cls` aside. A click command has its options."""
    found = []
    for module, text in sorted(sources.items()):
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([one for one in arguments if one.arg not in ("self", "cls")])
            is_command = any("command" in ast.unparse(one) for one in node.decorator_list)
            if count > MAX_PARAMETERS and not is_command:
                found.append(f"{module}.{node.name} has {count} parameters")
    return found


def test_parameter_lists_are_short() -> None:
    """No function takes more than 8 parameters: values that belong together are one frozen value."""
    assert [] == long_parameter_lists(modules())


def test_a_long_parameter_list_is_found() -> None:
    """Nine parameters are one too many, in a method too."""
    text = f"class A:\n  def f(self, {', '.join(f'a{n}' for n in range(MAX_PARAMETERS + 1))}): ...\n"
    assert [f"one.f has {MAX_PARAMETERS + 1} parameters"] == long_parameter_lists({"one": text})


@pytest.mark.parametrize(
    ("module", "text", "rule"),
    [
        ("relay.routing", "from hookline.config import load", "relay.routing imports hookline.config"),
        ("relay.relay", "import hookline.plan.planner", "relay.relay imports hookline.plan.planner"),
        ("relay.relay", "def f():\n  from hookline.apply import apply", "relay.relay imports hookline.apply"),
        ("config.loader", "from hookline.plan.planner import x", "config.loader imports hookline.plan.planner"),
        ("plan.planner", "from hookline.config import load", "plan.planner imports hookline.config"),
        ("state.store", "from hookline.cli import main", "state.store imports hookline.cli"),
        ("state.store", "from hookline import wiring", "state.store imports hookline.wiring"),
        ("plan.planner", "import yaml", "plan.planner knows yaml"),
        ("relay.delivery.dispatcher", "import httpx", "relay.delivery.dispatcher knows httpx"),
        ("config.loader", "import requests", "config.loader imports requests, which no rule knows"),
        ("plan.planner", "import time", "plan.planner uses time"),
        (
            "relay.delivery.circuit_breaker",
            "from random import random",
            "relay.delivery.circuit_breaker uses random",
        ),
        ("relay.secrets", "import os\nx = os.environ['A']", "relay.secrets reads the environment"),
        (
            "relay.ingest.ingester",
            "from hookline.relay.delivery.dispatcher import Dispatcher",
            "relay.ingest.ingester imports hookline.relay.delivery.dispatcher, which is not below it",
        ),
        (
            "relay.delivery.lane",
            "import hookline.relay.ingest.batch",
            "relay.delivery.lane imports hookline.relay.ingest.batch, which is not below it",
        ),
        (
            "relay.http.client",
            "from hookline.relay.delivery.response_policy import x",
            "relay.http.client imports hookline.relay.delivery.response_policy, which is not below it",
        ),
        (
            "cli.commands.list",
            "from hookline.relay.spool.sqlite.stats import x",
            "cli.commands.list reaches into the spool: relay.spool.sqlite.stats",
        ),
        (
            "wiring",
            "import hookline.relay.spool.sqlite.embedded",
            "wiring reaches into the spool: relay.spool.sqlite.embedded",
        ),
        (
            "relay.spool.spool",
            "from hookline.relay.spool.sqlite.schema import x",
            "relay.spool.spool reaches into the spool: relay.spool.sqlite.schema",
        ),
        (
            "relay.spool.factory",
            "from hookline.relay.spool.sqlite.sqlite_spool import x",
            "relay.spool.factory reaches into the spool: relay.spool.sqlite.sqlite_spool",
        ),
        ("relay.spool.admin", "import sqlite3", "relay.spool.admin knows sqlite3"),
        ("relay.sources.open", "import time", "relay.sources.open uses time instead of Timing"),
        ("relay.sources.open", "from select import poll", "relay.sources.open uses select instead of Timing"),
        ("relay.ingest.ingester", "x = id(y)", "relay.ingest.ingester uses id"),
        ("relay.sources.open", "for x in a - b: pass", "relay.sources.open iterates over a set: a - b"),
        ("relay.sources.open", "x = [y for y in {1}]", "relay.sources.open iterates over a set: {1}"),
    ],
)
def test_a_planted_violation_is_found(module: str, text: str, rule: str) -> None:
    """Each rule works: a module that breaks it is named, with the import."""
    assert rule in violations({module: text})


def test_each_exception_of_the_spool_is_needed() -> None:
    """An exception that no module uses is removed."""
    known = modules()
    used = {(module, target) for module, target in SPOOL_EXCEPTIONS
            if any(name.removeprefix("hookline.") == target for name in imports(known[module]))}  # fmt: skip
    assert SPOOL_EXCEPTIONS == used
