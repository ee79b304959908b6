"""Lines of the platform's formats for property tests: sound ones, and ones that two readers may read differently."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

TESTS = Path(__file__).parent
DATASET = (TESTS / "facts/xdm-feedback-events.ndjson").read_bytes().splitlines()
PAYLOAD = json.dumps(json.loads((TESTS / "facts/payload-example.json").read_text())).encode()
SAMPLES = [*DATASET, PAYLOAD]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def paths(node: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all parts of the JSON document `node`."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(path for key, item in inner for path in paths(item, (*at, key)))]


def replaced(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the JSON document `node` with `value` at `path`."""
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = replaced(node[path[0]], path[1:], value)
    return copy


@st.composite
def lines_with_another_value(draw: st.DrawFn, samples: list[bytes] = SAMPLES) -> bytes:
    """A sample with any JSON in the place of any part, and a member with a name that readers search for."""
    document = json.loads(draw(st.sampled_from(samples)))
    changed = replaced(document, draw(st.sampled_from(paths(document))), draw(VALUES))
    if isinstance(changed, dict):
        names = ["eventType", "_experience", "messageExecution", "xdm:eventType", "@id", "a"]
        key = draw(st.sampled_from(names))
        changed = {**changed, key: draw(VALUES | st.just("message.feedback") | st.just(document.get(key)))}
    return msgspec.json.encode(changed)


# JSON that decoders treat differently: numbers without a value, other spellings, names that occur twice.
_NUMBERS = ["1e999", "-1E+999", "9" * 5000, f"1{'0' * 400}.5", "1e-999", "-0.0", "1E5", "18446744073709551616"]
_NO_JSON = ["01", "1.", "+1", "NaN", "tru", '"a\tb"', "[" * 99]
_OTHERS = ["null", "true", "{}", "[]", '"sent"', '{"value":"sent"}', '"\\u0041"', '"\\ud800"', '"\x7f"', '"\u2028"']
_NESTED = ["[1e999]", '{"a":1e999}', '{"value":1e999}', '{"a":1,"a":2}']
# Fields that only structure 2 has, fields that only routing uses, and those that make a delivery of a line.
_FURTHER = ["channelContext", "messageID", "campaignType", "encoding", "responseCode", "journeyVersionID", "primary"]
_USED = ["requestId", "_id", "retryCount", "offers", "identityMap", "eventType", "messageExecution", "_experience"]
_RAW = st.sampled_from([*_NUMBERS, *_NO_JSON, *_OTHERS, *_NESTED])
_KEYS = st.sampled_from(["x", *_USED, *_FURTHER])


@st.composite
def lines_with_other_text(draw: st.DrawFn, samples: list[bytes] = SAMPLES) -> bytes:
    """A sample with any text as a new member, or in the place of any value. It may not be JSON."""
    sample = json.dumps(json.loads(draw(st.sampled_from(samples))))
    raw = draw(_RAW)
    if draw(st.booleans()):
        at = draw(st.sampled_from([match.end() for match in re.finditer(r"\{", sample)]))
        return f'{sample[:at]}"{draw(_KEYS)}": {raw}, {sample[at:]}'.encode()
    values = [match.span(1) for match in re.finditer(r': ("[^"]*"|null|true|\d+)', sample)]
    start, end = draw(st.sampled_from(values))
    return (sample[:start] + raw + sample[end:]).encode()
