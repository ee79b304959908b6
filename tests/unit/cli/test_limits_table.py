"""The table of limits has every number of the code that bounds something, and nothing else."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

from hookline.cli.limits_table import limits, places, value_text

SOURCE = Path(__file__).parents[3] / "src" / "hookline"

# Numbers that bound nothing, by the reason.
NOT_LIMITS = {
    "the version of a format, or the mark of a file": {
        *(
            "config.schema.schema_validator.DOCUMENT_VERSION",
            "policy.policy.POLICY_VERSION",
            "plan.plan_document.FORMAT_VERSION",
            "state.sqlite_schema.STATE_FORMAT",
        ),
        *("relay.formats.dead_letter_json.ENVELOPE_VERSION", "relay.spool.sqlite.schema.SPOOL_FORMAT"),
        "relay.spool.postgres.spool_tables.SHARED_FORMAT",
        *("relay.spool.sqlite.schema.SPOOL_APPLICATION_ID", "relay.spool.sqlite.schema.EARLIER_SPOOL_APPLICATION_ID"),
        "relay.spool.sqlite.schema.EARLIER_SPOOL_FORMAT",
        *("state.sqlite_schema.STATE_APPLICATION_ID", "state.sqlite_schema.EARLIER_STATE_APPLICATION_ID"),
        "state.postgres_sql.POSTGRES_FORMAT",
        "relay.spool.postgres.spool_connection._TRANSACTION_TIMEOUT_VERSION",
        "relay.spool.postgres.operator_ports.shared_removal._MAINTAIN_VERSION",
    },
    "a code of a protocol or provider": {
        *("receiver.faults.OUTAGE_STATUS", "receiver.responses.ACCEPTED", "relay.formats.bounce_classes._SPAM_BLOCK"),
        *("relay.formats.providers.sendgrid._EXPIRED", "relay.formats.bounce_classes._SUPPRESSED"),
        *("relay.sources.kafka.kafka_address._DEFAULT_PORT", "relay.sources.kafka.kafka_consumer._NO_OFFSET"),
        *(
            f"relay.sources.nats.jetstream.{name}"
            for name in ("CONSUMER_NOT_FOUND", "STREAM_NOT_FOUND", "UNAVAILABLE")
        ),
        "policy.effective_document._HTTPS_PORT",
        *("relay.sources.nats.nats_target.DEFAULT_PORT", "relay.sources.nats.nats_credentials._USER_PREFIX"),
    },
    "a conversion of units, or the end of a range that a standard gives": {
        *("units.MAX_PORT", "units._DAY_MILLISECONDS", "units._MAX_UNIX_SECONDS"),
        *("relay.sources.nats.jetstream.NANOSECONDS", "policy.freeze_window._DAY_MINUTES"),
        *("relay.formats.providers.mailgun._DAY", "relay.formats.providers.postfix._HOUR"),
        "relay.spool.sqlite.recovery.damaged_database._SMALLEST_KEY",
        "relay.spool.sqlite.erasure.recipient_rows._BEFORE_ALL",
    },
    "the fixed size of a structure": {
        *("web.links._DIGEST_BYTES", "web.serving.page_access.TOKEN_BYTES"),
        *(f"web.plots.{name}" for name in ("PLOT_MINUTES", "PLOT_WIDTH", "PLOT_HEIGHT")),
        *(
            "relay.auth.jwt_signer._JTI_BYTES",
            "relay.ids.PREFIX_BYTES",
            "relay.sources.decompression._MAX_MAGIC_BYTES",
            "relay.sources.nats.nats_credentials._SEED_BYTES",
        ),
        *("relay.sources.decompression._TRAILER_BYTES", "relay.sources.decompression._CHECKSUM_BYTES"),
        *(f"relay.spool.sqlite.recovery.damaged_database.{name}" for name in ("_LOG_HEADER_BYTES", "_FRAME_BYTES")),
    },
    "a flag of a system call": {
        f"relay.sources.watching.inotify._{name}"
        for name in (
            *("MODIFY", "MOVED_FROM", "MOVED_TO", "CREATE", "MOVE_SELF", "OVERFLOW", "IGNORED", "ONLY_DIRECTORIES"),
        )
    },
    "the number of a standard stream": {"cli.output.standard_streams.STDOUT", "cli.output.standard_streams.STDERR"},
    "the layout of a text": {"config.formatting.layout._ALIGNED_GAP", "config.formatting.layout._INDENT"},
    "a value that means none": {"relay.delivery_record.WHOLE_LINE"},
    "the same limit as another constant, in another unit": {
        *("config.yaml_parser._MIN_COUNTED_CHARACTERS", "config.rules.delivery_rules._MAX_CHARACTERS"),
        "config.secret_names._MIN_SECRET_CHARACTERS",
    },
}


def numbers() -> Iterator[str]:
    """Every constant of a module whose value is a number or a duration."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Name) and target.id.isupper() and is_number(getattr(node, "value", None)):
                    yield f"{module}.{target.id}"


def is_number(node: ast.AST | None) -> bool:
    match node:
        case ast.Constant(value=value):
            return type(value) in (int, float)
        case ast.UnaryOp(operand=operand):
            return is_number(operand)
        case ast.BinOp(left=left, right=right):
            return any(map(is_number, (left, right))) and all(
                is_number(side) or isinstance(side, ast.Name) for side in (left, right)
            )
        case ast.Call(func=ast.Name(id=name)):
            return name == "timedelta"
    return False


def test_every_number_is_in_the_table() -> None:
    """A constant number is in src/hookline/cli/limits_table.txt with its meaning, or is no limit, with the reason."""
    listed = [f"{module}.{name}" for _, module, name, _ in places()]
    exempt = {name for names in NOT_LIMITS.values() for name in names}
    found = set(numbers())
    missing = sorted(found - set(listed) - exempt)
    assert not missing, "add a row to limits_table.txt for\n" + "\n".join(missing)
    assert [] == sorted(exempt - found)
    assert [] == sorted(set(listed) & exempt)
    assert {} == {name: count for name, count in Counter(listed).items() if count > 1}


def test_every_row_names_a_limit() -> None:
    """Each row names a constant that exists, and its meaning in a few words."""
    for _, module, name, meaning in places():
        assert isinstance(getattr(import_module(f"hookline.{module}"), name), int | float | timedelta)
        assert 5 < len(meaning) < 90, name
        assert meaning[0] == "`" or not meaning[0].isupper() or meaning.startswith("Retry-After"), name


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MAX_BYTES", 64 * 1024, "64 KiB"), ("MAX_BYTES", 8193, "8,193 bytes"), ("_CHUNK", 1 << 20, "1 MiB"),
        ("WAIT_SECONDS", 0.25, "250 ms"), ("WAIT_SECONDS", 90, "90 s"), ("WAIT_SECONDS", 7200.0, "2 h"),
        ("LIFETIME", timedelta(days=365), "365 d"), ("_CACHE_KIB", 4096, "4 MiB"), ("MAX_SHARE", 0.3, "30 %"),
        ("MIN_FOR_SHARE", 10, "10"), ("MAX_CHARS", 1000, "1,000 characters"), ("MAX_LINES", 1000, "1,000"),
        ("WARN_DAYS", 30, "30 days"), ("MIN_RSA_BITS", 2048, "2,048 bits"),
        ("ROWS_PER_CHUNK", 5000, "5,000"), ("PATIENCE_MS", 100, "100 ms"),
    ],
)  # fmt: skip
def test_a_value_has_the_unit_of_its_name(name: str, value: float | timedelta, text: str) -> None:
    """The last word of a constant names the unit in which the table shows it."""
    assert text == value_text(name, value)


def test_options_and_fields_are_limits_too() -> None:
    """The table has the defaults of the relay's options, and the limits of the schema."""
    shown = {(limit.place, limit.value) for limit in limits()}
    assert {
        ("--max-wait", "10m"),
        ("--spool-max", "1,000,000"),
        ("url", "2,048"),
        ("delivery.timeout", "10 min"),
    } <= shown
