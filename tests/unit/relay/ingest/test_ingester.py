"""The ingester: batches that are stored already, that are read with care, or that are routed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from builders import document, ingest_batch, routes
from contract.spool_stores import balanced
from hookline.model import Address
from hookline.observe.log import Log
from hookline.relay.clock import RelayClock
from hookline.relay.delivery_record import WHOLE_LINE, Line
from hookline.relay.ingest.batch import IngestContext
from hookline.relay.ingest.ingester import Ingester, IngestLimits, IngestResult
from hookline.relay.ingest.line_guard import line_identity
from hookline.relay.routing import Defaults, Routes
from hookline.relay.sources.source import START_POSITION, Batch, Messages, Position, SourceLag
from hookline.relay.spool import crash_guard
from hookline.relay.spool.address_moves import RecordedMove
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.crash_guard import CrashGuard
from hookline.relay.spool.crash_notes import CRASHED, source_work
from hookline.relay.spool.factory import spool_store
from hookline.relay.spool.spool_thread import SpoolThread
from hookline.relay.spool.spool_values import RejectedLine
from no_lanes import NoLanes

LOG = Log(lambda line: None, level="error", format="text", clock=lambda: 0.0)
END = Batch("", [], START_POSITION, True)


class Routing:
    """Routes that the test sets. `reads` counts how often the state is read."""

    def __init__(self, context: IngestContext | None = None, after: IngestContext | None = None) -> None:
        """`after`: the routes from the first reading of the state on."""
        self.context = IngestContext(routes=Routes({}, {}), defaults=Defaults()) if context is None else context
        self.after = after
        self.reads = 0

    async def read_again(self) -> None:
        assert self.after is not None, "no webhook has moved"
        self.context = self.after
        self.reads += 1


class ScriptedSource:
    """A source that returns the given batches."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = iter(batches)

    def read(self) -> Batch:
        return next(self._batches)

    def lags(self) -> list[SourceLag]:
        return []

    def progress(self) -> tuple[int, int | None]:
        return 0, None

    def stray_bytes(self) -> int:
        return 0

    def unfinished(self) -> list[tuple[str, int]]:
        return []

    def already_read(self) -> list[str]:
        return []

    def finish(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def thread(tmp_path: Path) -> Iterator[SpoolThread]:
    """The thread of a new spool, in `spool` below `tmp_path`."""
    spool = spool_store(str(tmp_path / "spool")).open(since="now")
    thread = SpoolThread(spool, LOG)
    yield thread
    thread.close()
    spool.close()


def new_ingester(
    thread: SpoolThread, batches: Sequence[Batch], *, lanes: NoLanes | None = None, routing: Routing | None = None
) -> Ingester:
    """An ingester that reads these batches."""
    return Ingester(
        ScriptedSource(batches),
        CrashGuard(thread, clock=RelayClock(), log=LOG),
        routing=routing or Routing(),
        lanes=lanes or NoLanes(),
        held=frozenset,
        limits=IngestLimits(dedupe_window=0.0, max_pending=10, max_wait=None),
        clock=RelayClock(),
        log=LOG,
    )


@pytest.mark.anyio
async def test_a_batch_that_another_reader_has_stored_is_dropped(thread: SpoolThread) -> None:
    """The source learns of each batch whether it is durable or dropped. The run goes on with the next batch."""
    outcomes: list[tuple[str, int, list[int]]] = []
    spool = thread.spool

    def batch(follows: int, offset: int) -> Batch:
        def note(outcome: str) -> None:
            outcomes.append((outcome, offset, [one.offset for one in spool.positions()]))

        position = Position(name="log", key=b"k", line=offset, offset=offset, follows=follows)
        lines = [Line(number, b"{}", 2) for number in range(follows, offset)]
        return Batch(
            "log", lines, position, False, on_durable=partial(note, "durable"), on_dropped=partial(note, "dropped")
        )

    lanes = NoLanes()
    ingester = new_ingester(thread, [batch(0, 5), batch(3, 8), batch(5, 7), END], lanes=lanes)
    assert IngestResult.COMPLETE is await ingester.run()
    assert [("durable", 5, [5]), ("dropped", 8, [5]), ("durable", 7, [7])] == outcomes
    assert 7 == spool.tally()["read"]
    assert [True] * 3 == lanes.waits, "a log keeps the lines"
    await ingester.close()


@pytest.mark.anyio
async def test_a_message_that_is_delivered_again_counts_as_one_duplicate(thread: SpoolThread) -> None:
    """Whatever it led to, and however many events it has. The source may acknowledge it again."""
    acknowledged: list[tuple[list[int], int]] = []
    spool = thread.spool

    def batch(*numbers: int) -> Batch:
        def note() -> None:
            acknowledged.append((list(numbers), spool.tally()["read"]))

        texts = {number: b"no event" if number % 2 else b"[" + b"{}," * 300 + b"{}]" for number in numbers}
        lines = [Line(number, text, len(text)) for number, text in texts.items()]
        messages = Messages(b"0123456789abcdef", numbers)
        return Batch("stream", lines, START_POSITION, False, messages=messages, on_durable=note)

    ingester = new_ingester(thread, [batch(1, 2, 4, 6, 8), batch(4, 5, 1), batch(1, 2), END])
    assert IngestResult.COMPLETE is await ingester.run()
    new = 2 + 4 * 301
    assert [([1, 2, 4, 6, 8], new - 1), ([4, 5, 1], new + 2), ([1, 2], new + 4)] == acknowledged
    tally = spool.tally()
    assert (new + 4, 4) == (tally["read"], tally["duplicates"])
    assert balanced(tally)


@pytest.mark.anyio
async def test_messages_read_one_by_one_are_remembered(
    thread: SpoolThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is delivered again counts as one duplicate also then. The one in hand at a crash is rejected."""
    monkeypatch.setattr(crash_guard, "MAX_START_WAIT_SECONDS", 0.0)
    spool = thread.spool
    work = source_work("stream")
    for _ in range(crash_guard.CRASHES_BEFORE_CARE):
        spool.count_start(work, now=1.0)
    lines = {number: Line(number, b"{}", 2) for number in (1, 2, 3)}
    spool.take_in_hand(work, line_identity(lines[3]))

    def batch(*numbers: int) -> Batch:
        messages = Messages(b"0123456789abcdef", numbers)
        return Batch("stream", [lines[one] for one in numbers], START_POSITION, False, messages=messages)

    ingester = new_ingester(thread, [batch(1, 2), batch(2, 3), batch(1, 3), END])
    assert IngestResult.COMPLETE is await ingester.run()
    await ingester.close()
    tally = spool.tally()
    assert (6, 3, 1) == (tally["read"], tally["duplicates"], tally["rejected"])
    assert balanced(tally)
    with spool_store(str(tmp_path / "spool")).dead_letters() as dead:
        assert 1 == len(list(dead.newest(Filter(reason=CRASHED), limit=9)))


@pytest.mark.anyio
@pytest.mark.parametrize(("inode", "is_kept"), [(2, True), (0, False)])
async def test_lines_of_a_pipe_wait_for_lanes_as_lines_that_are_kept_nowhere_else(
    thread: SpoolThread, inode: int, *, is_kept: bool
) -> None:
    """A pipe has no inode."""
    position = Position(name="input", line=1, offset=2, device=1, inode=inode)
    lanes = NoLanes()
    batches = [Batch("input", [Line(1, b"{}", 2)], position, False), END]
    ingester = new_ingester(thread, batches, lanes=lanes)
    assert IngestResult.COMPLETE is await ingester.run()
    assert [is_kept] == lanes.waits
    await ingester.close()


@pytest.mark.anyio
async def test_lines_are_routed_again_after_a_move(thread: SpoolThread, tmp_path: Path) -> None:
    """A batch that was routed before its webhook moved is refused by the spool. Nothing of it is stored under the old
    address, and each line counts once. So is a replayed line."""
    spool = thread.spool
    old, new = Address("acme", "prod"), Address("acme", "live")
    event = b'{"event":"delivered","email":"a@example.com","timestamp":1700000000,"sg_event_id":"%d"}'
    lines = [Line(number, event % number, len(event) - 1) for number in range(2)]
    position = Position(name="log", line=2, offset=100, device=1, inode=2)

    def context(address: Address, moves: int) -> IngestContext:
        defaults = Defaults(organization="acme", sandbox=address.sandbox, campaign="c")
        return IngestContext(routes=routes(document(address)), defaults=defaults, moves=moves)

    routing = Routing(context(old, 0), context(new, 1))
    batches = [Batch("log", lines, position, False), END]
    ingester = new_ingester(thread, batches, routing=routing)
    spool.follow_move(RecordedMove("lineage", 5, old, new), now=1.0)
    assert IngestResult.COMPLETE is await ingester.run()
    assert (2, 2, 1, {new}) == ((tally := spool.tally())["read"], tally["pending"], routing.reads, spool.pending())
    assert 100 == spool.positions()[0].offset
    rejected = [RejectedLine(Line(7, event % 7, len(event) - 1), WHOLE_LINE, "no organization")]
    spool.enqueue(ingest_batch(read=1, rejected=rejected, moves=1), now=1.0, dedupe_window=0.0)
    with spool_store(str(tmp_path / "spool")).dead_letters() as letters:
        letters.replay(Filter(), now=2.0)
    routing.context = context(old, 0)
    await ingester.replay.read()
    assert (3, 3, 2, {new}) == ((tally := spool.tally())["read"], tally["pending"], routing.reads, spool.pending())
    assert balanced(tally)
    await ingester.close()
