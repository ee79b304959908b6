"""One line costs a bounded amount of memory, in every format and with any content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAX_LINE_MIB = 64

# Runs alone in a process, because the highest memory of a process never falls.
PROGRAM = """
import sys
from hookline.relay.delivery_record import Line
from hookline.relay.formats.line_reader import read_line
from hookline.relay.sources.line_splitter import MAX_LINE_BYTES

def highest_mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024

beginning, repeated = (text.encode() for text in sys.argv[1:])
data = (beginning + repeated * (MAX_LINE_BYTES // len(repeated)))[:MAX_LINE_BYTES]
before = highest_mib()
read_line(Line(1, data, len(data)))
print(highest_mib() - before)
"""
MODERN = "<34>1 2026-11-01T00:00:00Z mx1 postfix/smtp 1 - "
CLASSIC = "Nov  1 00:00:00 mx1 postfix/smtp[1]: 4A1B: to=<"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux names a process's highest memory")
@pytest.mark.parametrize(("beginning", "repeated"), [
    (MODERN + "[", "a"),
    (MODERN + "[a b=", '"'),
    (MODERN + '[a b="', r"\""),
    (MODERN, "[a]"),
    (CLASSIC, "a"),
    (CLASSIC + "a@acme.example>, ", "relay=x, "),
    (CLASSIC + "a@acme.example>, relay=x, status=bounced (", "550 "),
    ("", "["),
    ('{"a":"', r"\u0041"),
    ("[{}", ",{}"),
    ("a=b", "&a=b"),
])  # fmt: skip
def test_a_line_takes_a_bounded_amount_of_memory(beginning: str, repeated: str) -> None:
    """The longest line that is read takes less than 64 times its length, with any repetition."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, beginning, repeated], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < MAX_LINE_MIB
