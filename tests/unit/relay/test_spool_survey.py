"""What `status` and metrics see of a spool."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hookline.errors import SpoolUnusable
from hookline.model import Address
from hookline.observe.report import RelayFacts, SpoolFacts, WebhookFacts
from hookline.relay.fates import Delivery, Line
from hookline.relay.sources.port import Position
from hookline.relay.spool.admin import Filter
from hookline.relay.spool.beacon import FILE, Beacon, read_beacon
from hookline.relay.spool.letters import DeadLetters
from hookline.relay.spool.lock import holder_of
from hookline.relay.spool.port import Intake, Refused, Settlement, State, Taken, Wanted
from hookline.relay.spool.sqlite import SqliteSpool
from hookline.relay.spool.standings import Standings
from hookline.relay.spool.survey import survey

ACME, OTHER = Address("acme", "prod"), Address("other", "prod")
DAY = 86_400.0


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SqliteSpool]:
    opened = SqliteSpool(tmp_path, since="2026-05-18T17:01:25+00:00")
    yield opened
    opened.close()


def put(spool: SqliteSpool, *names: str, address: Address = ACME, now: float, key: int | None = None) -> None:
    spool.append(
        Intake(
            source="a.ndjson", position=Position(name="a.ndjson", line=7, offset=70, device=1, inode=2),
            read=len(names), skipped={}, rejected=[],
            deliveries=[
                Taken(n, Delivery(id=name.encode().ljust(16, b"-"), address=address, order_key=key, body=b"{}",
                                  request_id="r", channel="email", status="sent"))
                for n, name in enumerate(names, 1)
            ],
        ),
        now=now, dedupe_window=DAY,
    )  # fmt: skip


def settle(
    spool: SqliteSpool, state: State, *, now: float, due: float | None = None, address: Address = ACME
) -> None:
    """The first fresh delivery comes to that."""
    [([item], _)] = spool.fresh([Wanted(address, 0, 1, False)])
    one = Settlement(
        seq=item.seq,
        address=item.address,
        order_key=None,
        state=state,
        attempts=1,
        tries=1,
        refusals=0,
        posts=1,
        due=due,
    )
    spool.settle([one], now=now)


def of(facts: SpoolFacts, address: Address = ACME) -> WebhookFacts:
    return next(one for one in facts.webhooks if one.webhook == str(address))


def test_each_webhook_by_itself(spool: SqliteSpool, tmp_path: Path) -> None:
    """Pending, the age of the oldest, and dead letters are those of one webhook; the tally is of all."""
    put(spool, "a", "b", now=100.0)
    put(spool, "c", address=OTHER, now=130.0)
    settle(spool, State.DEAD, now=131.0)
    facts = survey(tmp_path, now=160.0)
    assert (1, 60.0, 1) == (of(facts).pending, of(facts).oldest, of(facts).dead)
    assert (1, 30.0, 0) == (of(facts, OTHER).pending, of(facts, OTHER).oldest, of(facts, OTHER).dead)
    assert {"read": 3, "pending": 2, "dead": 1}.items() <= facts.tally.items()
    assert 60.0 == facts.oldest
    assert [("a.ndjson", 7, 70, 130.0)] == [(one.name, one.line, one.offset, one.at) for one in facts.checkpoints]
    assert facts.sizes["database"] > 0


def test_an_empty_spool(spool: SqliteSpool, tmp_path: Path) -> None:
    """Nothing is pending, and nothing is old."""
    facts = survey(tmp_path, now=1.0)
    assert (0, None, None, []) == (facts.tally["pending"], facts.oldest, facts.oldest_record, facts.webhooks)


def test_age_stands_still_while_held(spool: SqliteSpool, tmp_path: Path) -> None:
    """The time for which a webhook is paused by hand does not make its events older."""
    put(spool, "a", now=100.0)
    with Standings(tmp_path) as standings:
        standings.pause(ACME, now=110.0)
        assert (10.0, 110.0) == (of(survey(tmp_path, now=500.0)).oldest, of(survey(tmp_path, now=500.0)).paused)
        standings.resume(ACME, now=600.0)
    assert 15.0 == of(survey(tmp_path, now=605.0)).oldest


def test_a_replay_does_not_hide_what_is_older(spool: SqliteSpool, tmp_path: Path) -> None:
    """A replayed delivery keeps its place in the order and is young again: the oldest is behind it."""
    put(spool, "dead", now=100.0)
    settle(spool, State.DEAD, now=101.0)
    put(spool, "old", now=200.0)
    with DeadLetters(tmp_path) as dead:
        dead.replay(Filter(), now=290.0)
    assert 100.0 == of(survey(tmp_path, now=300.0)).oldest


def test_many_replays_do_not_hide_what_was_never_attempted(spool: SqliteSpool, tmp_path: Path) -> None:
    """However many replayed deliveries come first, the oldest one that was never attempted is found."""
    names = [f"d{n}" for n in range(300)]
    put(spool, *names, now=100.0)
    spool.dead_letter(ACME, reason="test", now=101.0, without=(), limit=1000)
    put(spool, "old", now=200.0)
    with DeadLetters(tmp_path) as dead:
        dead.replay(Filter(), now=290.0)
    assert (301, 100.0) == (of(survey(tmp_path, now=300.0)).pending, of(survey(tmp_path, now=300.0)).oldest)


def test_records_and_their_age(spool: SqliteSpool, tmp_path: Path) -> None:
    """How many small records of settled deliveries there are, and how far they reach back."""
    put(spool, "a", "b", now=100.0)
    settle(spool, State.DELIVERED, now=110.0)
    settle(spool, State.DELIVERED, now=120.0)
    facts = survey(tmp_path, now=160.0)
    assert (2, 50.0) == (facts.records, facts.oldest_record)
    assert "records" not in facts.tally


def test_rejected_lines_are_in_the_tally(spool: SqliteSpool, tmp_path: Path) -> None:
    """A line that could not be read is counted, and belongs to no webhook."""
    refused = [Refused(Line(1, b"{", 1), 0, "not JSON")]
    spool.append(Intake(source="-", position=None, read=1, deliveries=[], skipped={}, rejected=refused), now=1.0,
                 dedupe_window=DAY)  # fmt: skip
    assert 1 == survey(tmp_path, now=2.0).tally["rejected"]


def test_rejected_lines_that_are_kept(spool: SqliteSpool, tmp_path: Path) -> None:
    """As `dead list` has them: not what was discarded, nor what is to be read once more."""
    refused = [Refused(Line(n, b"{%d" % n, 2), 0, "not JSON") for n in range(5)]
    spool.append(Intake(source="-", position=None, read=5, deliveries=[], skipped={}, rejected=refused), now=1.0,
                 dedupe_window=DAY)  # fmt: skip
    with DeadLetters(tmp_path) as dead:
        dead.discard(Filter(ids=("line-1",)), now=2.0)
        dead.replay(Filter(ids=("line-2",)), now=2.0)
        assert (3, 3) == (survey(tmp_path, now=3.0).lines, dead.count(Filter()).lines)


def test_without_a_spool(tmp_path: Path) -> None:
    """A spool that is not there is an error with the way out."""
    with pytest.raises(SpoolUnusable, match="there is no spool"):
        survey(tmp_path / "none", now=0.0)


def test_counts_come_from_indexes_alone(spool: SqliteSpool, tmp_path: Path) -> None:
    """With a million rows a count that reads rows takes seconds: SQLite says that it does not."""
    with closing(sqlite3.connect(tmp_path / "spool.db")) as connection:
        for state in (0, 2):
            statement = f"SELECT count(*) FROM delivery d WHERE d.state = {state} AND d.webhook = 1"
            (plan,) = connection.execute(f"EXPLAIN QUERY PLAN {statement}")
            assert "USING INDEX delivery_" in plan[3]
            steps = {step[1] for step in connection.execute(f"EXPLAIN {statement}")}
            assert "Column" not in steps  # by which a value of a row is read


# -- the lock, and what its holder says


def relay_facts(process: int) -> RelayFacts:
    return RelayFacts(version="1", process=process, started=1.0, at=2.0)


def test_who_holds_the_spool(tmp_path: Path) -> None:
    """A held spool names its holder; one that was let go does not, whatever its files say."""
    spool = SqliteSpool(tmp_path, since="2026-05-18T17:01:25+00:00")
    assert f"process {os.getpid()} since 2026-05-18T17:01:25+00:00" == holder_of(tmp_path)
    Beacon(tmp_path).publish(relay_facts(os.getpid()))
    facts = read_beacon(tmp_path)[1]
    assert facts is not None
    assert (os.getpid(), 2.0) == (facts.process, facts.at)
    spool.close()
    assert (None, None) == read_beacon(tmp_path)


def test_an_earlier_relays_words_are_not_believed(spool: SqliteSpool, tmp_path: Path) -> None:
    """A file that a killed relay has left says nothing about the one that holds the spool now; nor does nonsense."""
    Beacon(tmp_path).publish(relay_facts(os.getpid() + 1))
    assert read_beacon(tmp_path)[1] is None
    (tmp_path / FILE).write_bytes(b'{"half')
    assert read_beacon(tmp_path) == (holder_of(tmp_path), None)


def test_the_file_is_private_and_goes_away(tmp_path: Path) -> None:
    """Only its owner can read it; after the end it is not written any more, by whoever was about to."""
    beacon = Beacon(tmp_path)
    beacon.publish(relay_facts(1))
    assert 0o600 == (tmp_path / FILE).stat().st_mode & 0o777
    beacon.withdraw()
    beacon.publish(relay_facts(1))
    assert [] == list(tmp_path.iterdir())


def test_asking_does_not_keep_a_relay_from_starting(tmp_path: Path) -> None:
    """While others ask all the time who holds the spool, each of many starts succeeds."""
    SqliteSpool(tmp_path, since="now").close()
    asking = "import sys; from pathlib import Path; from hookline.relay.spool.lock import holder_of\n"
    asking += "while True: holder_of(Path(sys.argv[1]))"
    with subprocess.Popen((sys.executable, "-c", asking, str(tmp_path))) as process:
        try:
            for _ in range(50):
                SqliteSpool(tmp_path, since="now").close()
        finally:
            process.kill()
