"""The sink of the comparison with peers: an nginx on loopback that accepts every POST and counts its answers.

It answers at once, or after a delay that Debian's module `echo` makes, without processor time of its own.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trustme

from bench_lab import Process

POLL: Final = 0.02  # seconds between two reads of the counter: the precision of every rate
ECHO: Final = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
ID_LOG: Final = "ids.log"  # the webhook-id of every answered request, in the order of the answers

CONFIGURATION: Final = """\
{modules}
daemon off; pid nginx.pid; error_log stderr warn; worker_processes auto; {user}
events {{ worker_connections 4096; }}
http {{
  log_format ids '$http_webhook_id';
  access_log {log};
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 100000000; keepalive_timeout 300s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate server.pem; ssl_certificate_key server.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location @accept {{ return 204; }}
    location / {{ if ($request_method != POST) {{ return 405; }} {answer} }}
  }}
  server {{ listen 127.0.0.1:{status_port}; access_log off; location / {{ stub_status; }} }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Nginx:
    """A running nginx. Its request counter includes the requests for the counter itself; they are subtracted."""

    def __init__(self, port: int, status_port: int, ca_file: Path) -> None:
        self.port = port
        self.ca_file = ca_file
        self._status = http.client.HTTPConnection("127.0.0.1", status_port, timeout=10)
        self._questions = 0

    @classmethod
    @contextmanager
    def running(
        cls, program: str, directory: Path, *, delay_seconds: float = 0.0, log: bool = False
    ) -> Iterator[Nginx]:
        """Run an nginx that answers after `delay_seconds`. With `log` it writes the id of each request to ID_LOG."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
        port, status_port = free_port(), free_port()
        (directory / "nginx.conf").write_text(
            CONFIGURATION.format(
                port=port,
                status_port=status_port,
                user="user root;" if os.geteuid() == 0 else "",
                modules=f"load_module {ECHO};" if delay_seconds else "",
                log=f"{ID_LOG} ids" if log else "off",
                answer=f"echo_sleep {delay_seconds}; echo_exec @accept;" if delay_seconds else "return 204;",
            )
        )
        process = Process((program, "-p", str(directory), "-c", "nginx.conf"), directory)
        sink = cls(port, status_port, directory / "ca.pem")
        try:
            while not sink._answers():
                if process.usage(wait=False) is not None:
                    raise SystemExit(f"nginx did not start\n{process.said()}")
                time.sleep(POLL)
            yield sink
        finally:
            sink._status.close()
            process.end()

    def _answers(self) -> bool:
        try:
            self.answered()
        except OSError:
            self._status.close()
            return False
        return True

    def answered(self) -> int:
        """The number of answered requests."""
        self._status.request("GET", "/")
        text = self._status.getresponse().read().decode()
        self._questions += 1
        _, _, requests = text.splitlines()[2].split()
        return int(requests) - self._questions

    def watch(self, number: int, runs: Callable[[], bool]) -> tuple[float, float, int]:
        """Wait until nginx has answered `number` requests or the sender no longer `runs`.

        Returns the times of the first and the last answer (`time.perf_counter`) and the number of answers.
        """
        first = 0.0
        while True:
            going = runs()
            answered, now = self.answered(), time.perf_counter()
            first = first or (now if answered else 0.0)
            if answered >= number or not going:
                return first, now, answered
            time.sleep(POLL)
