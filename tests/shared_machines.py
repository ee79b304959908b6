"""Several processes on a shared spool: readers and deliverers, each with its own way to the database.

Each process reaches the database over a proxy of its own, which can be cut without the process noticing, as a network
partition is. The processes run on one machine; nothing but the database connects them.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from faulty_endpoint import Endpoint
from hookline_process import LOOPBACK, Lab, clean_environment, start_process
from postgres_server import Server
from soak_run import message_of
from waiting import wait_until

SANDBOXES = 40
ORGANIZATION = "acme@AdobeOrg"


def sandbox_of(number: int) -> str:
    return f"s{message_of(number) % SANDBOXES:02}"


def event_line(number: int) -> bytes:
    """An event as the platform's payload, for one of the SANDBOXES endpoints. Its requestId has its number."""
    message = message_of(number)
    event = {
        "requestId": f"request-{number}", "imsOrg": ORGANIZATION, "sandbox": {"id": None, "name": sandbox_of(number)},
        "channel": "email", "eventType": "message.feedback",
        "messageExecution": {"messageExecutionID": f"message-{message}", "messageType": "transactional",
                             "campaignID": "16f24a15-7e21-477c-848a-d5695ca7f137", "campaignVersionID": None},
        "messageDeliveryFeedback": {"feedbackStatus": {"value": "sent"}, "offers": None, "messageExclusion": None,
                                    "messageFailure": None, "retryCount": 0},
        "identityMap": {"email": [{"id": f"user{message}@example.com", "primary": True}]},
    }  # fmt: skip
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


class Link:
    """A TCP proxy between one process and the database. While it is cut, bytes wait on both sides."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._open.clear()

    def heal(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as upstream, suppress(OSError):
            self._open.wait()
            upstream.connect(str(self._server.socket))
            while True:
                readable, _, _ = select.select([client, upstream], [], [])
                self._open.wait()
                for one in readable:
                    if not (data := one.recv(65536)):
                        return
                    (upstream if one is client else client).sendall(data)


@dataclass
class Process:
    """A relay or deliverer. `life` is the number that it sends with its requests."""

    name: str
    arguments: tuple[str, ...]
    link: Link
    log: Path
    life: int = 0
    running: subprocess.Popen[bytes] | None = None
    program: tuple[str, ...] | None = None


@dataclass
class Fault:
    """Something that was done to a process, or to the database (`life` 0), in Unix seconds."""

    what: str
    life: int
    begin: float
    end: float


@dataclass
class Machines:
    """The processes of a test. `faults` explains events that were accepted twice."""

    lab: Lab
    server: Server
    database: str
    endpoint: Endpoint
    stack: ExitStack
    lease_seconds: float
    processes: dict[str, Process] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    lives: int = 0
    fixed_location: str = ""

    def location(self, link: Link | None = None) -> str:
        """The address of the database: through the link of a process, or the `fixed_location`, if there is one."""
        if self.fixed_location:
            return self.fixed_location
        if link is None:
            return self.server.url(self.database)
        return f"postgresql://postgres@127.0.0.1:{link.port}/{self.database}?sslmode=disable"

    def add(self, name: str, *arguments: str) -> Process:
        link = Link(self.server)
        self.stack.callback(link.close)
        process = self.processes[name] = Process(name, arguments, link, self.lab.directory / f"{name}.log")
        self.stack.callback(self._kill, process)
        self.start(name)
        return process

    def start(self, name: str) -> None:
        """Start a process, or start it again with a new life."""
        process = self.processes[name]
        self.lives += 1
        process.life = self.lives
        where = ("--spool", self.location(process.link), "--state", self.location(process.link))
        options = (*LOOPBACK, "--ca-file", str(self.endpoint.ca_file), "--log-level", "info")
        environment = clean_environment(**self.lab.environment, HOOKLINE_SECRET_LIFE=str(process.life))
        with process.log.open("ab") as log:
            process.running = start_process(
                process.program, *process.arguments[:1], *where, *options, *process.arguments[1:],
                cwd=self.lab.directory, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=log,
            )  # fmt: skip

    def _kill(self, process: Process) -> None:
        if process.running is not None:
            with suppress(ProcessLookupError):
                process.running.send_signal(signal.SIGCONT)
            process.running.kill()
            process.running.wait()

    @contextmanager
    def _fault(self, what: str, life: int) -> Iterator[None]:
        fault = Fault(what, life, time.time(), float("inf"))
        self.faults.append(fault)
        yield
        fault.end = time.time()

    def kill(self, name: str) -> None:
        """SIGKILL, and a new life at once."""
        process = self.processes[name]
        with self._fault("kill", process.life):
            self._kill(process)
        self.start(name)

    def stop(self, name: str) -> None:
        """SIGTERM: the process gives its endpoints up. Before it listens to signals, it has none."""
        running = self.processes[name].running
        assert running is not None
        running.terminate()
        assert running.wait(timeout=120) in (0, 4, -signal.SIGTERM), self.log(name)

    def suspend(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some seconds."""
        process = self.processes[name]
        assert process.running is not None
        with self._fault("suspend", process.life):
            process.running.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            process.running.send_signal(signal.SIGCONT)

    def cut(self, name: str, seconds: float) -> None:
        """A partition between a process and the database."""
        process = self.processes[name]
        with self._fault("cut", process.life):
            process.link.cut()
            time.sleep(seconds)
            process.link.heal()

    def restart_database(self, seconds: float) -> None:
        """The server crashes and comes back. A process that starts without the database would end at once."""
        wait_until(self._all_joined, detail=self.logs)
        with self._fault("database", 0):
            self.server.stop()
            time.sleep(seconds)
            self.server.start()

    def log(self, name: str) -> str:
        return self.processes[name].log.read_text()[-6_000:]

    def log_has(self, text: str) -> bool:
        """Whether a process has logged a text."""
        return any(text in process.log.read_text() for process in self.processes.values())

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{self.log(name)}" for name in self.processes)

    def all_run(self) -> bool:
        return all(one.running is not None and one.running.poll() is None for one in self.processes.values())

    def _all_joined(self) -> bool:
        rows = self.rows("SELECT pid FROM hookline_spool.process WHERE expires > clock_timestamp()")
        return {one.running.pid for one in self.processes.values() if one.running} <= {pid for (pid,) in rows}

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.server.url(self.database), autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def owners(self) -> dict[str, int]:
        """The number of slots of each living process, by its name and kind."""
        rows = self.rows(
            "SELECT p.kind || ' ' || p.pid, count(s.slot) FROM hookline_spool.process p "
            "LEFT JOIN hookline_spool.slot s ON s.process = p.token WHERE p.expires > clock_timestamp() GROUP BY 1"
        )
        return dict(rows)

    def is_balanced(self) -> bool:
        """Whether all processes live, and their numbers of slots differ by at most one."""
        shares = sorted(self.owners().values())
        return len(shares) == len(self.processes) and shares[-1] - shares[0] <= 1


def apply_webhooks(machines: Machines, *, enabled: bool = True, **delivery: Any) -> None:
    """Apply the webhooks of all endpoints, each with its own path at the endpoint."""
    for n in range(SANDBOXES):
        sandbox = f"s{n:02}"
        document = {
            "version": 1, "organization": ORGANIZATION, "sandbox": sandbox, "name": sandbox, "channels": ["email"],
            "url": f"https://localhost:{machines.endpoint.port}/{sandbox}", "campaigns": "all",
            "headers": {"X-Life": {"env": "HOOKLINE_SECRET_LIFE"}}, "delivery": delivery,
            "enabled": enabled,
        }  # fmt: skip
        path = machines.lab.directory / "webhooks" / ORGANIZATION / f"{sandbox}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    machines.lab.hookline("apply", "--auto-approve", "--state", machines.location())
