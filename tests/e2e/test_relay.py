"""The relay as its users meet it: from an applied webhook and a log to requests at a real HTTPS receiver."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from builders import as_lines, xdm_event
from hookline_process import ADDRESS, FACTS, ORGANIZATION, SANDBOX, Lab, Receiver, platform_log_is_delivered
from waiting import wait_until


def url(receiver: Receiver) -> str:
    return f"https://localhost:{receiver.port}/feedback"


def test_the_platforms_events_are_delivered_or_skipped_with_a_reason(lab: Lab) -> None:
    """Every line of the platform's example log is a request or a counted skip, and a second run sends nothing."""
    platform_log_is_delivered(lab)


def test_the_xdm_bounce_is_sent_as_the_platform_documents_it(lab: Lab) -> None:
    """The body is the documented structure byte for byte: its fields, in its order, nulls explicit, compact."""
    bounce = (FACTS / "xdm-feedback-events.ndjson").read_bytes().splitlines(keepends=True)[5]
    example = json.loads((FACTS / "payload-example.json").read_text())
    example |= {
        "requestId": "REQ-80940504",
        "imsOrg": ORGANIZATION,
        "sandbox": {"id": None, "name": SANDBOX},
        "identityMap": {"email": [{"id": "user4@example.com", "primary": True}]},
    }
    example["messageExecution"]["messageExecutionID"] = "HUMA-26362804"
    expected = json.dumps(example, separators=(",", ":"), ensure_ascii=False)
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        lab.relay(receiver, "-", stdin=bounce)
        (request,) = receiver.records()
    assert expected == json.dumps(request["body"], separators=(",", ":"), ensure_ascii=False)
    assert str(len(expected)) == request["headers"]["content-length"]


def test_a_request_carries_the_headers_of_the_contract(lab: Lab) -> None:
    """Content type, user agent, delivery id, times, attempt, header parameters with resolved secrets, the token."""
    lab.environment["HOOKLINE_SECRET_KEY"] = "k-123"
    (lab.secrets / "hmac").write_text("0123456789abcdef0123456789abcdef")
    with lab.receiver("--hmac-secret-file", "secrets/hmac", "--audience", "feedback") as receiver:
        lab.apply(
            url(receiver),
            headers={"X-Team": "crm", "X-Api-Key": {"env": "HOOKLINE_SECRET_KEY"}},
            authentication={
                "type": "jwt", "algorithm": "HS256", "keys": [{"id": "k1", "secret": {"file": "hmac"}}],
                "audience": "feedback",
            },
        )  # fmt: skip
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]))
        (request,) = receiver.records()
    headers = request["headers"]
    assert {
        "content-type": "application/json", "x-team": "crm", "x-api-key": "k-123", "hookline-attempt": "1",
        "hookline-event-time": "2026-05-18T17:01:25.000Z",
    }.items() <= headers.items()  # fmt: skip
    assert headers["user-agent"].startswith("hookline/")
    assert 32 == len(headers["webhook-id"])
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    assert {"jwt": True, "payload": True} == request["verified"]


def test_without_a_state_nothing_is_read(lab: Lab) -> None:
    """No state, or no webhook in it: exit 8 before the first line, and the log is still there to be read."""
    with lab.receiver() as receiver:
        events = str(lab.write_events("events", [xdm_event(1, 1)]))
        done = lab.hookline(*lab.relay_arguments(receiver, events), code=8)
        assert b"hookline apply" in done.stderr
        assert not (lab.directory / ".hookline" / "spool").exists()
        assert {"read": 1, "skipped": {"no_webhook": 1}}.items() <= lab.relay(
            receiver, "--allow-empty", events, code=3
        ).items()


def test_when_nobody_wants_any_of_it_the_exit_code_says_so(lab: Lab) -> None:
    """Every event skipped for lack of a webhook is exit 3: most likely a wrong --organization."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        line = as_lines([xdm_event(1, 1)])
        assert {"no_webhook": 1} == lab.relay(receiver, "--sandbox", "nowhere", "-", stdin=line, code=3)["skipped"]


def test_a_broken_line_is_kept_and_reading_goes_on(lab: Lab) -> None:
    """A line that is not JSON becomes a dead letter with file, line and reason; the others are delivered; exit 3."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        lines = as_lines([xdm_event(1, 1)]) + b'{"broken\n' + as_lines([xdm_event(2, 2)])
        summary = lab.relay(receiver, "-", stdin=lines, code=3)
    assert {"delivered": 2, "rejected": 1}.items() <= summary.items()
    (letter,) = lab.dead()
    assert ("line-1", "-", 2) == (letter["id"], letter["source"], letter["line"])
    shown = json.loads(lab.hookline("dead", "show", "line-1").stdout)
    assert '{"broken' == shown["text"]


def test_a_thousand_rejected_lines_in_a_row_look_like_the_wrong_format(lab: Lab) -> None:
    """The relay stops early, keeps what it took, and after the right --format everything can be had."""
    events = [xdm_event(n, n) for n in range(1200)]
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        log = str(lab.write_events("events", events))
        stopped = lab.relay(receiver, "--format", "payload", log, code=1)
        assert (1000, 1000) == (stopped["read"], stopped["rejected"])
        lab.hookline("dead", "replay", "--all")
        summary = lab.relay(receiver, "--format", "xdm", log)
    assert (200, 1000, 1200) == (summary["read"], summary["carried"], summary["delivered"])


def test_a_refused_event_is_confirmed_once_then_kept_and_can_be_replayed(lab: Lab) -> None:
    """422 twice is a dead letter (exit 3) with its status; replayed under the same id, it is delivered."""
    with lab.receiver("--fail", "422:1") as receiver:
        lab.apply(url(receiver))
        summary = lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=3)
        assert {"dead": 1, "attempts": 2}.items() <= summary.items()
        port = receiver.port
        refused = {request["headers"]["webhook-id"] for request in receiver.records()}
    (letter,) = lab.dead()
    assert {"httpStatus": 422, "webhook": ADDRESS, "attempts": 2, "status": "sent"}.items() <= letter.items()
    assert b"Would replay 1 delivery" in lab.hookline("dead", "replay", "--dry-run", letter["id"][:8]).stdout
    lab.hookline("dead", "replay", letter["id"][:8])
    with lab.receiver(port=port) as receiver:
        summary = lab.relay(receiver, "--drain")
        assert {"read": 0, "carried": 1, "delivered": 1}.items() <= summary.items()
        assert refused == set(receiver.accepted())
    assert [] == lab.dead()


def test_discarding_wants_to_be_aimed_and_approved(lab: Lab) -> None:
    """Neither a bare `discard` nor one without --yes outside a terminal throws anything away."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        lab.relay(receiver, "-", stdin=b"x\n", code=3)
    lab.hookline("dead", "discard", code=64)
    lab.hookline("dead", "discard", "--all", code=6)
    assert 1 == len(lab.dead())
    lab.hookline("dead", "discard", "--all", "--yes")
    assert [] == lab.dead()


def test_an_unreachable_endpoint_leaves_events_pending(lab: Lab) -> None:
    """When --max-wait is over, what was not accepted stays in the spool (exit 4) and a later run delivers it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with lab.receiver() as receiver:
        lab.apply(f"https://localhost:{port}/feedback")
        summary = lab.relay(receiver, "--max-wait", "300ms", "-", stdin=as_lines([xdm_event(1, 1)]), code=4)
        assert 1 == summary["pending"]
    with lab.receiver(port=port) as receiver:
        summary = lab.relay(receiver, "--drain")
        assert {"read": 0, "carried": 1, "delivered": 1}.items() <= summary.items()


def test_a_disabled_webhooks_events_wait_without_holding_the_run(lab: Lab) -> None:
    """`enabled: false`: nothing is sent, the run ends at once with 4, and enabling delivers what waited."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver), enabled=False)
        started = time.monotonic()
        assert 1 == lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=4)["pending"]
        assert time.monotonic() - started < 30
        assert [] == receiver.records()
        lab.apply(url(receiver))
        assert 1 == lab.relay(receiver, "--drain")["delivered"]


def test_the_inventory_and_the_plan_say_what_waits(lab: Lab) -> None:
    """`list`, `show` and `plan` tell what is pending and dead for a webhook, from the spool."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver), enabled=False)
        lines = as_lines([xdm_event(n, n) for n in range(3)])
        lab.relay(receiver, "-", stdin=lines, code=4)
        (listed,) = json.loads(lab.hookline("list", "--format", "json").stdout)
        assert (3, 0) == (listed["pending"], listed["dead"])
        assert b"# in the spool: 3 pending, 0 dead" in lab.hookline("show", ADDRESS).stdout
        path = lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml"
        path.write_text(path.read_text().replace('"lab"', '"renamed"'))
        (change,) = json.loads(lab.hookline("plan", "--format", "json").stdout)["changes"]
        assert 3 == change["pending"]
        (without,) = json.loads(lab.hookline("plan", "--format", "json", "--spool", "none").stdout)["changes"]
        assert without["pending"] is None
    (lab.directory / ".hookline" / "spool" / "spool.db").write_bytes(b"damaged")
    done = lab.hookline("plan", "--format", "json")
    assert json.loads(done.stdout)["changes"][0]["pending"] is None
    assert b"warning: the number of pending deliveries is unknown" in done.stderr


def test_a_deleted_webhooks_pending_events_become_dead_letters(lab: Lab) -> None:
    """What waits for a webhook that is gone is kept with that reason."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver), enabled=False)
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]), code=4)
        (lab.directory / "webhooks" / ORGANIZATION / f"{SANDBOX}.yaml").unlink()
        lab.apply(url(receiver), sandbox="other")
        lab.hookline("apply", "--auto-approve", "--allow-delete", ADDRESS)
        assert 1 == lab.relay(receiver, "--drain", code=3)["dead"]
    assert ["webhook deleted"] == [letter["reason"] for letter in lab.dead()]


def test_a_changed_webhook_is_picked_up_while_running(lab: Lab) -> None:
    """An apply during a run reaches pending events without a restart: a wrong URL corrected delivers them."""
    with lab.receiver("--fail", "404:1") as wrong:
        lab.apply(url(wrong))
        arguments = lab.relay_arguments(wrong, "--summary", "json", "-")
        with lab.running(*arguments, stdin=subprocess.PIPE) as relay:
            assert relay.stdin is not None
            relay.stdin.write(as_lines([xdm_event(1, 1)]))
            relay.stdin.flush()
            wait_until(lambda: wrong.records() != [])
            with lab.receiver() as right:
                lab.apply(url(right))
                wait_until(lambda: right.accepted() != [])
                out, _ = relay.communicate(timeout=30)
    assert (0, 1) == (relay.returncode, json.loads(out)["delivered"])


def test_a_paused_endpoint_recovers_when_the_token_is_right(lab: Lab) -> None:
    """401: a fresh token and one more attempt at once, then the endpoint is paused; its events are not used up."""
    (lab.secrets / "hmac").write_text("0123456789abcdef0123456789abcdef")
    (lab.secrets / "other").write_text("another secret of thirty-two bytes.")
    jwt = {"type": "jwt", "algorithm": "HS256", "keys": [{"id": "k1", "secret": {"file": "other"}}]}
    with lab.receiver("--hmac-secret-file", "secrets/hmac") as receiver:
        lab.apply(url(receiver), authentication=jwt)
        events = as_lines([xdm_event(n, n) for n in range(5)])
        summary = lab.relay(receiver, "--max-wait", "500ms", "-", stdin=events, code=4)
        assert (5, 0) == (summary["pending"], summary["dead"])
        lab.apply(url(receiver), authentication=jwt | {"keys": [{"id": "k1", "secret": {"file": "hmac"}}]})
        assert 5 == lab.relay(receiver, "--drain")["delivered"]


def test_a_gone_endpoint_buries_its_events(lab: Lab) -> None:
    """410: the endpoint is stopped and everything that waits for it becomes a dead letter."""
    with lab.receiver("--fail", "410:1") as receiver:
        lab.apply(url(receiver), delivery={"concurrency": 1})
        events = as_lines([xdm_event(n, n) for n in range(300)])
        summary = lab.relay(receiver, "-", stdin=events, code=3)
    assert 300 == summary["dead"]
    assert {"http 410"} == {letter["reason"] for letter in lab.dead()}
    assert summary["attempts"] < 10


def test_a_private_address_is_refused_unless_admitted(lab: Lab) -> None:
    """Without --allow-network the loopback receiver gets nothing; the fault is named and the event waits."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        done = lab.hookline(
            "relay", "--organization", ORGANIZATION, "--sandbox", SANDBOX, "--ca-file", str(receiver.ca_file),
            "--max-wait", "300ms", "-", stdin=as_lines([xdm_event(1, 1)]), code=4,
        )  # fmt: skip
        assert b"--allow-network" in done.stderr
        assert [] == receiver.records()


def test_a_secret_out_of_scope_is_never_resolved(lab: Lab) -> None:
    """A state that names {env: PATH} or a file outside of the secrets directory gets no request with its value."""
    (lab.directory / "outside").write_text("very secret")
    for reference in ({"env": "PATH"}, {"file": "../outside"}):
        with lab.receiver() as receiver:
            path = lab.directory / "webhooks" / "x.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({
                "version": 1, "organization": ORGANIZATION, "sandbox": SANDBOX, "name": "x", "channels": ["email"],
                "url": url(receiver), "campaigns": "all", "headers": {"X-Api-Key": reference},
            }))  # fmt: skip
            lab.hookline("apply", "--auto-approve", code=5)
            # Past validation, as if an older release had let it into the state.
            path.unlink()
            lab.apply(url(receiver), headers={"X-Api-Key": {"env": "HOOKLINE_SECRET_X"}})
            smuggle(lab, reference)
            done = lab.hookline(
                *lab.relay_arguments(receiver, "--max-wait", "200ms", "--from-start", "--log-level", "debug", "-"),
                stdin=as_lines([xdm_event(1, 1)]), code=4,
            )  # fmt: skip
            assert [] == receiver.records()
            assert b"very secret" not in done.stderr + done.stdout


def smuggle(lab: Lab, reference: dict[str, str]) -> None:
    """Write a reference into the state's database by hand, where no validation stands in its way."""
    with sqlite3.connect(lab.directory / ".hookline" / "state.db") as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%document%'").fetchone()
        connection.execute(
            f"UPDATE {table} SET document = replace(document, ?, ?)",
            ('{"env":"HOOKLINE_SECRET_X"}', json.dumps(reference, separators=(",", ":"))),
        )
    connection.close()


def test_a_dry_run_shows_every_fate_and_moves_nothing(lab: Lab) -> None:
    """Each event's fate is printed; no request is made, no spool written, and the real run still reads it all."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        path = lab.write_events("events", [xdm_event(1, 1), xdm_event(2, 1, "delay"), xdm_event(1, 1)])
        path.write_bytes(path.read_bytes() + b"nonsense\n")
        log = str(path)
        done = lab.hookline(*lab.relay_arguments(receiver, "--dry-run", log), code=3)
        fates = [line.split(": ", 1)[1].split(" ")[0] for line in done.stdout.decode().splitlines()]
        assert ["deliver", "skip", "duplicate", "reject"] == fates
        assert [] == receiver.records()
        assert not (lab.directory / ".hookline" / "spool").exists()
        assert 4 == lab.relay(receiver, log, code=3)["read"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(lab: Lab, number: signal.Signals) -> None:
    """Asked to stop, the relay finishes what is in flight and keeps the rest (4); nothing is sent twice."""
    events = [xdm_event(n, n) for n in range(600)]
    with lab.receiver("--delay", "200ms") as receiver:
        lab.apply(url(receiver), delivery={"rateLimit": "20/s"})  # takes 30 s, with 4 in flight
        log = str(lab.write_events("events", events))
        with lab.running(*lab.relay_arguments(receiver, "--summary", "json", log)) as relay:
            wait_until(lambda: len(receiver.accepted()) > 50)
            relay.send_signal(number)
            out, _ = relay.communicate(timeout=60)
        first = json.loads(out)
        assert (4, True) == (relay.returncode, first["pending"] > 0)
        lab.apply(url(receiver), delivery={"concurrency": 64})
        second = lab.relay(receiver, log)
        accepted = receiver.accepted()
    assert 600 == first["delivered"] + second["delivered"]
    assert (600, 600) == (len(accepted), len(set(accepted)))


def test_a_second_relay_on_a_spool_is_told_who_holds_it(lab: Lab) -> None:
    """Exit 8, naming the process that has the spool."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        with lab.running(*lab.relay_arguments(receiver, "-"), stdin=subprocess.PIPE) as relay:
            wait_until((lab.directory / ".hookline" / "spool" / "spool.db").exists)
            done = lab.hookline(*lab.relay_arguments(receiver, "--drain"), code=8)
            assert f"process {relay.pid}".encode() in done.stderr
            relay.communicate(timeout=30)


@pytest.mark.parametrize("damage", [b"", b"not a database, but long enough to be read as one" * 100])
def test_a_damaged_spool_is_refused(lab: Lab, damage: bytes) -> None:
    """An emptied or overwritten database is exit 8 with a next step; it is never silently made anew."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(1, 1)]))
        database = lab.directory / ".hookline" / "spool" / "spool.db"
        database.write_bytes(damage)
        done = lab.hookline(*lab.relay_arguments(receiver, "--drain"), code=8)
        assert b"hint:" in done.stderr
        assert b"Traceback" not in done.stderr
        assert damage == database.read_bytes()


def test_order_of_a_message_holds_across_retries(lab: Lab) -> None:
    """Events of one message to one recipient are first accepted in the order read, while half of the posts fail."""
    events = [xdm_event(n, n % 40) for n in range(600)]
    with lab.receiver("--fail", "503:0.4") as receiver:
        lab.apply(url(receiver))
        lab.relay(receiver, "-", stdin=as_lines(events))
        bodies = [request["body"] for request in receiver.records() if request["status"] < 300]
    seen: dict[str, list[int]] = {}
    for body in bodies:
        message = body["messageExecution"]["messageExecutionID"]
        seen.setdefault(message, []).append(int(body["requestId"].removeprefix("request-")))
    assert (600, 40) == (len(bodies), len(seen))
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_a_missing_second_file_is_told_before_the_first_is_read(lab: Lab) -> None:
    """A misspelt name costs nothing: exit 1, nothing read."""
    with lab.receiver() as receiver:
        lab.apply(url(receiver))
        log = str(lab.write_events("events", [xdm_event(1, 1)]))
        done = lab.hookline(*lab.relay_arguments(receiver, log, "missing.ndjson"), code=1)
        assert b"missing.ndjson: no such file" in done.stderr
        assert 1 == lab.relay(receiver, log)["read"]


def test_retry_after_holds_the_endpoint(lab: Lab) -> None:
    """After a 503 with Retry-After no request comes for that long, of any event."""
    with lab.receiver("--outage", "200ms", "--retry-after", "1") as receiver:
        lab.apply(url(receiver), delivery={"concurrency": 1, "retry": {"initialDelay": "10ms", "maxDelay": "2s"}})
        lab.relay(receiver, "-", stdin=as_lines([xdm_event(n, n) for n in range(3)]))
        records = receiver.records()
    stamps = [float(request["headers"]["webhook-timestamp"]) for request in records]
    assert 503 == records[0]["status"]
    assert stamps[1] - stamps[0] >= 1
