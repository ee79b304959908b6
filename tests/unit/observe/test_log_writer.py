"""The log's queue and thread, with outputs that fail, block and recover."""

from __future__ import annotations

import errno
import os
from threading import Event

import pytest

from hookline.observe.log import MAX_VALUE_CHARACTERS, Log
from hookline.observe.log_writer import MAX_QUEUED_CHARACTERS, DescriptorOutput, LogWriter
from waiting import wait_until


class Output:
    """Keeps the text, or fails."""

    def __init__(self) -> None:
        self.text = ""
        self.failing = False
        self.blocked = Event()
        self.blocked.set()

    def __call__(self, text: str) -> None:
        self.blocked.wait()
        if self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.text += text


def writer(output: Output) -> LogWriter:
    return LogWriter(output, lambda lines, reason: f"lost {lines}: {reason}\n")


def test_lines_are_written_in_their_order() -> None:
    """Every line is written once, and the end waits for the last one."""
    output = Output()
    one = writer(output)
    for n in range(1000):
        one.write(f"{n}\n")
    assert one.close(10.0)
    assert "".join(f"{n}\n" for n in range(1000)) == output.text


def test_a_full_disk_costs_lines_and_is_reported_once() -> None:
    """Lines are lost while the output fails. The first thing in the log afterwards is their number and the reason."""
    output = Output()
    one = writer(output)
    output.failing = True
    one.write("lost\n")
    wait_until(lambda: one.lost == 1)
    output.failing = False
    one.write("kept\n")
    assert one.close(10.0)
    assert "lost 1: No space left on device\nkept\n" == output.text


def test_a_loss_is_reported_without_another_line() -> None:
    """The report does not wait for the next event of the relay."""
    output = Output()
    one = writer(output)
    output.failing = True
    one.write("lost\n")
    wait_until(lambda: one.lost == 1)
    output.failing = False
    wait_until(lambda: output.text != "")
    assert "lost 1: No space left on device\n" == output.text


def test_an_output_that_blocks_holds_nobody_up() -> None:
    """The queue is bounded. Lines beyond it are lost, and the end waits only as long as it is allowed to."""
    output = Output()
    one = writer(output)
    output.blocked.clear()
    line = "x" * 999 + "\n"
    for _ in range(MAX_QUEUED_CHARACTERS // 1000 + 500):
        one.write(line)
    assert one.lost >= 400
    assert not one.close(0.05)
    output.blocked.set()
    assert one.close(10.0)
    assert f"lost {one.lost}: the log is not read\n" in output.text


def test_a_line_that_was_torn_does_not_touch_the_next_one() -> None:
    """A write that fails in its middle leaves a part of a line. The next text begins on a line of its own."""
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, False)
    output = DescriptorOutput(descriptor)
    real, parts = os.write, iter([4])

    def write(_: int, data: bytes) -> int:
        if (size := next(parts, None)) is None:
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, bytes(data)[:size])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="full"):
            output("first line\n")
    output("second\n")
    assert b"firs\nsecond\n" == os.read(reader, 100)
    os.close(reader)
    os.close(descriptor)


@pytest.mark.parametrize("form", ["text", "json"])
def test_long_values_are_cut(form: str) -> None:
    """A request id of 900 KB takes 200 characters of a line."""
    lines: list[str] = []
    log = Log(lines.append, level="info", format="json" if form == "json" else "text", clock=lambda: 0.0)
    log.info("attempt", request="r" * 900_000, attempt=1)
    assert MAX_VALUE_CHARACTERS <= len(lines[0]) < 350
    assert "r" * (MAX_VALUE_CHARACTERS - 1) + "…" in lines[0]
