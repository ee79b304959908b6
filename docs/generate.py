"""Generates the parts of docs/reference that come from the code.

    python docs/generate.py

A page contains prose and marked parts. This script replaces the text between ``<!-- generated: NAME -->`` and
``<!-- end -->``. A test in tests/docs compares the pages with the code and fails if a page is out of date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from hookline.cli.limits_table import limits as all_limits
from hookline.cli.main import COMMANDS, program
from hookline.config.error_codes import TITLES
from hookline.config.schema.webhook_schemas import DEFAULTABLE_KEYS, REQUIRED_WITH_DEFAULT
from hookline.model import FeedbackStatus, RetryPolicy
from hookline.observe.metrics import Metrics
from hookline.observe.snapshot import (
    Counts,
    LagStatus,
    LaneStatus,
    LatencyStatus,
    ProcessStatus,
    RelayStatus,
    SpoolProcesses,
    SpoolStatus,
    StatusSnapshot,
    WebhookStatus,
)
from hookline.relay.delivery.circuit_breaker import TRANSITIONS, BreakerEvent
from hookline.relay.delivery.response_policy import MAX_REFUSALS_IN_A_ROW, apply_policy, retry_delay
from hookline.relay.field_mapping import FIELD_NAMES, FIELDS, parse_mapping
from hookline.relay.formats.bounce_classes import CLASSES
from hookline.relay.formats.registry import DESCRIPTIONS, FORMATS
from hookline.relay.http.exchange import ExchangeResult, Failure, FailureKind, LocalFault, Response
from hookline.relay.routing import SKIP_REASONS
from hookline.schemas import load_schema

REFERENCE = Path(__file__).parent / "reference"
DEFAULTS_SCHEMA = Path(__file__).parents[1] / "schemas" / "defaults.v1.schema.json"
_PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MAX_DELAY_SECONDS = 3600.0
LINE_WIDTH = 110  # characters of a Markdown line outside tables


# -- webhook-file.md


def fields() -> str:
    """Every field of a webhook file, from its schema: path, form, default, meaning."""
    schema = load_schema("webhook")
    rows = [("field", "form", "default", "meaning")]
    for path, field, required in _fields(schema, schema, ""):
        default = "**required**" if required else _code(field["default"]) if "default" in field else ""
        default = "**required**, here or by a defaults file" if path in REQUIRED_WITH_DEFAULT else default
        rows.append((f"`{path}`", _form(field), default, field["description"]))
    return _table(rows)


def _fields(schema: dict[str, Any], node: dict[str, Any], above: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for name, inner in node.get("properties", {}).items():
        field = _resolved(schema, inner)
        path = f"{above}{name}"
        yield path, field, name in node.get("required", ())
        yield from _fields(schema, field, f"{path}.")
        items = _resolved(schema, field.get("items", {}))
        yield from _fields(schema, items, f"{path}[].")


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The node with its reference, if any, replaced by the target; its own keywords win."""
    reference = node.get("$ref", "")
    target: dict[str, Any] = schema
    for part in reference.removeprefix("#/").split("/") if reference else ():
        target = target[part]
    return {**(target if reference else {}), **{key: value for key, value in node.items() if key != "$ref"}}


def _form(field: Mapping[str, Any]) -> str:
    if "const" in field:
        return _code(field["const"])
    if "enum" in field:
        return ", ".join(_code(value) for value in field["enum"] if value is not None)
    kinds = field.get("type", "anything")
    text = " or ".join(kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    if "enum" in (items := field.get("items", {})):
        return f"{text} of {', '.join(_code(value) for value in items['enum'])}"
    if "minimum" in field:
        return f"{text}, {field['minimum']} to {field['maximum']}"
    example = f", such as {_code(field['examples'][0])}" if "string" in kinds and field.get("examples") else ""
    return text + example


def _code(value: object) -> str:
    return f"`{_as_yaml(value)}`"


def _as_yaml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{" + ", ".join(f"{key}: {_as_yaml(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(_as_yaml(inner) for inner in value) + "]"
        case _:
            return str(value)


def defaults_schema_text() -> str:
    """The schema of a defaults file: the keys of a webhook that can have a default, for editors."""
    webhook = load_schema("webhook.v1")
    schema = {
        "$schema": webhook["$schema"],
        "$id": "urn:hookline:schema:defaults.v1",
        "title": "hookline defaults file, version 1",
        "description": "A file _defaults.yaml: values for the webhooks of its folder and of the folders below it.",
        "$comment": "Made from webhook.v1.schema.json by docs/generate.py.",
        "type": "object",
        "properties": {key: webhook["properties"][key] for key in DEFAULTABLE_KEYS},
        "additionalProperties": False,
        "examples": [{"owner": "crm-team@acme.example", "delivery": {"timeout": "10s"}}],
        "$defs": webhook["$defs"],
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


# -- commands.md


def commands() -> str:
    """Every command with its arguments, options, environment and examples, from the command line itself."""
    top = click.Context(program, info_name="hookline", auto_envvar_prefix="HOOKLINE")
    return "\n\n".join(_sections(top, COMMANDS))


def _sections(parent: click.Context, names: Iterable[str]) -> Iterator[str]:
    assert isinstance(parent.command, click.Group)
    for name in names:
        command = parent.command.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        yield _section(context)
        if isinstance(command, click.Group):
            yield from _sections(context, command.commands)


def _section(context: click.Context) -> str:
    command = context.command
    parts = [
        f"## {context.command_path}",
        f"`{' '.join([context.command_path, *command.collect_usage_pieces(context)])}`",
        _prose(command.help or ""),
        _options(context),
        _prose(command.epilog or ""),
    ]
    return "\n\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(text: str) -> str:
    """The wrapped paragraph. click keeps the lines of a paragraph that begins with a backspace."""
    if text.startswith("\b\n"):
        return f"```text\n{text[2:]}\n```"
    return fill(
        " ".join(text.replace("|", "\\|").split()), LINE_WIDTH, break_long_words=False, break_on_hyphens=False
    )


def _options(context: click.Context) -> str:
    rows = [("option", "default", "environment", "")]
    for option in context.command.params:
        if isinstance(option, click.Option):
            rows.append((_names(context, option), _default(option), _variable(context, option), option.help or ""))
    return _table(rows) if len(rows) > 1 else ""


def _names(context: click.Context, option: click.Option) -> str:
    names = [*option.opts, *option.secondary_opts]
    if not option.is_flag:
        names[-1] += f" {option.make_metavar(context)}"
    return ", ".join(f"`{name}`" for name in names)


def _default(option: click.Option) -> str:
    if option.is_flag or option.multiple or not isinstance(option.default, str | int):
        return ""
    return f"`{option.default}`"


def _variable(context: click.Context, option: click.Option) -> str:
    if isinstance(option.envvar, str):
        return f"`{option.envvar}`"
    return f"`{context.auto_envvar_prefix}_{(option.name or '').upper()}`"


# -- errors.md


def codes() -> str:
    """Every error code with its meaning."""
    return _table([("code", "meaning"), *((f"`{code}`", title) for code, title in sorted(TITLES.items()))])


# -- relay.md


def skip_reasons() -> str:
    return _table([("reason", "meaning"), *((f"`{reason}`", meaning) for reason, meaning in SKIP_REASONS.items())])


def response_policy() -> str:
    """The action for each result of an attempt, as the function decides it."""
    actions: dict[tuple[str, ...], list[str]] = {}
    for name, result in _results():
        first = _action(result)
        second = _action(result, again=True)
        after_many = _action(result, again=True, refusals=MAX_REFUSALS_IN_A_ROW)
        with_wait = _action(Response(result.status, 1.0)) if isinstance(result, Response) else first
        follows = first in ("RefreshToken", "ConfirmOnce")
        key = (first, second if follows else "", after_many if after_many != second else "",
               with_wait if with_wait != first else "")  # fmt: skip
        actions.setdefault(key, []).append(name)
    head = (
        "result of the attempt",
        "action",
        "action if the attempt that follows has the same result",
        f"the same, as refusal {MAX_REFUSALS_IN_A_ROW} and later in a row",
        "action with `Retry-After`",
    )
    rows = [
        (", ".join(_ranges(names)), *(f"`{one}`" if one else "" for one in key)) for key, names in actions.items()
    ]
    return _table([head, *rows])


def _action(result: ExchangeResult, *, again: bool = False, refusals: int = 0) -> str:
    """The name of the action. `again`: it is the attempt that follows one with the same result."""
    action = apply_policy(
        result,
        renewed=again,
        confirming=again,
        max_delay_seconds=_MAX_DELAY_SECONDS,
        refusals_in_a_row=refusals,
    )
    return type(action).__name__


def _results() -> Iterator[tuple[str, ExchangeResult]]:
    yield from ((str(status), Response(status)) for status in range(200, 600))
    yield from ((f"{kind} failure" if kind != "timeout" else "timeout", Failure(kind, "")) for kind in FailureKind)
    yield "local fault", LocalFault("")


def _ranges(names: Sequence[str]) -> Iterator[str]:
    """200, 201 … 299 become 200-299; words do not change."""
    numbers = [int(name) for name in names if name.isdigit()]
    start = None
    for number in numbers:
        start = number if start is None else start
        if number + 1 not in numbers:
            yield str(start) if start == number else f"{start}-{number}"
            start = None
    yield from (name for name in names if not name.isdigit())


def circuit_breaker() -> str:
    """The transitions of the circuit breaker."""
    rows = [("phase", *(str(event) for event in BreakerEvent))]
    rows += [(f"**{phase}**", *(str(row[event]) for event in BreakerEvent)) for phase, row in TRANSITIONS.items()]
    return _table(rows)


def schedule() -> str:
    """The longest delay after each attempt, by the default policy. The jitter makes the real one shorter."""
    policy = RetryPolicy()
    delays = [(attempt, retry_delay(policy, attempt, 1.0)) for attempt in (1, 2, 3, 4, 6, 8, 10, 12, 13, 20)]
    return _table(
        [("after attempt", "delay at most"), *((str(attempt), _seconds(delay)) for attempt, delay in delays)]
    )


def _seconds(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


# -- formats.md


def formats() -> str:
    """Every format: its channels, its lines, and the fields by which it is recognized."""
    rows = [("format", "channels", "a line is", "recognized by")]
    rows += [(f"`{name}`", known.channels, known.lines, known.mark) for name, known in DESCRIPTIONS.items()]
    return _table(rows)


def statuses() -> str:
    """The providers' statuses, by the feedback status that they become."""
    rows = [("format", *(f"`{status}`" for status in FeedbackStatus), "known, but skipped")]
    for name, known in FORMATS.items():
        cells = [", ".join(f"`{word}`" for word, of in known.STATUSES.items() if of == one) for one in FeedbackStatus]
        if known.STATUSES:
            rows.append((f"`{name}`", *cells, ", ".join(f"`{word}`" for word in known.OTHERS)))
    return _table(rows)


def classes() -> str:
    """The platform's classes of failed email."""
    rows = [("code", "reason", "type, unless the provider gives it")]
    return _table([*rows, *((f"`{code}`", name, kind) for code, (name, kind) in CLASSES.items())])


def mapped() -> str:
    """The fields of `--map`, and the names under which events carry them."""
    rows = [("field of `--map`", "name in the event")]
    for name in FIELDS:
        field, _ = parse_mapping(f"{name}=x")
        carried = next((each for each, of in FIELD_NAMES.items() if of == field), None)
        rows.append((f"`{name}`", f"`{carried}`" if carried else "the recipient field of the format"))
    return _table(rows)


# -- limits.md


def limits() -> str:
    """Every limit, by group, with the place that defines it."""
    parts = []
    for group, members in groupby(all_limits(), key=lambda limit: limit.group):
        rows = [("limit", "value", "defined by")]
        rows += [(_sentence(limit.meaning), limit.value, f"`{limit.place}`") for limit in members]
        parts.append(f"## {group}\n\n{_table(rows)}")
    return "\n\n".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


# -- metrics.md


def metrics() -> str:
    """Every metric of the page: its kind, its labels and its help text."""
    _, body = Metrics(max_webhooks=1).page(_REPORT, "")
    kinds, texts, labels = dict[str, str](), dict[str, str](), dict[str, list[str]]()
    for line in body.decode().splitlines():
        if (comment := re.match(r"# (HELP|TYPE) (\S+) (.*)", line)) is not None:
            (texts if comment[1] == "HELP" else kinds)[comment[2]] = comment[3]
        elif (sample := re.match(r"([a-z_]+)(?:{(.*)})? ", line)) is not None:
            family = next(
                name for name in (sample[1], re.sub("_(bucket|sum|count)$", "", sample[1])) if name in kinds
            )
            labels[family] = [name for name in re.findall(r'(\w+)="', sample[2] or "") if name != "le"]
    rows = [("metric", "kind", "labels", "")]
    rows += [
        (f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels.get(name, ())), texts[name])
        for name, kind in kinds.items()
    ]
    return _table(rows)


_REPORT = StatusSnapshot(
    spool=SpoolStatus(
        at=0.0,
        tally={"skipped:journey": 1},
        webhooks=[WebhookStatus(webhook="a/b", pending=1, dead=1)],
        sizes={"database": 1},
    ),
    relay=RelayStatus(
        version="0",
        process=1,
        started=0.0,
        at=0.0,
        lanes=[LaneStatus(webhook="a/b", phase="open", keys_end=1.0, certificate_ends={"endpoint": 1.0})],
        lags=[LagStatus(name="-", line=0, offset=0, behind=0, seconds=0.0)],
    ),
    counts=Counts(
        attempts={("a/b", "retry"): 1}, latency={"a/b": LatencyStatus([0], 0.0)}, bounds=(), dead={"expired": 1}
    ),
    processes=SpoolProcesses(processes=[ProcessStatus(host="a", pid=1)], slots=1),
)


# -- writing


PARTS: Mapping[str, Callable[[], str]] = {
    "fields": fields,
    "commands": commands,
    "codes": codes,
    "skip-reasons": skip_reasons,
    "response-policy": response_policy,
    "circuit-breaker": circuit_breaker,
    "schedule": schedule,
    "formats": formats,
    "statuses": statuses,
    "classes": classes,
    "mapped": mapped,
    "metrics": metrics,
    "limits": limits,
}


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _cell(text: str) -> str:
    """Escapes a pipe, which would end the cell, and a tag, which would not be shown."""
    return text.replace("|", "\\|").replace("<", "\\<")


def renewed(text: str) -> str:
    """The page with its marked parts generated again. Raises KeyError for an unknown part."""
    return _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}", text)


def main() -> int:
    for page in sorted(REFERENCE.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (fresh := renewed(text)) != text:
            page.write_text(fresh, encoding="utf-8")
            sys.stdout.write(f"written: docs/reference/{page.name}\n")
    if not DEFAULTS_SCHEMA.exists() or DEFAULTS_SCHEMA.read_text(encoding="utf-8") != defaults_schema_text():
        DEFAULTS_SCHEMA.write_text(defaults_schema_text(), encoding="utf-8")
        sys.stdout.write(f"written: schemas/{DEFAULTS_SCHEMA.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
