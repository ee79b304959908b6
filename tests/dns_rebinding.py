"""A network namespace in which a name changes its addresses: a DNS rebinding test of the relay.

    unshare [--user --map-root-user] --mount --net python tests/dns_rebinding.py DIRECTORY TRANSPORT ANSWERS

DIRECTORY holds a state with a webhook at https://hooks.acme.test:8443 and `events`. ANSWERS is a JSON list of the
name server's answers, one for each query; the last one answers all further queries. Prints the result as JSON.

The system's resolver always uses port 53, and an endpoint without --allow-network needs a public address. A network
namespace makes both available.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import socket
import ssl
import struct
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import trustme

from hookline_process import HOOKLINE, ORGANIZATION, SANDBOX, clean_environment

HOST, PORT = "hooks.acme.test", 8443
PUBLIC, FORBIDDEN = "93.184.215.14", "127.0.0.1"
A, AAAA = 1, 28
# linux/sockios.h, linux/if.h
SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1


class NameServer(asyncio.DatagramProtocol):
    """Answers address queries (RFC 1035) with a TTL of 0. `asked` counts them, IPv4 and IPv6 as one."""

    def __init__(self, answers: list[list[str]]) -> None:
        self._answers = answers
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(0, 12) + 5
        (kind,) = struct.unpack_from(">H", data, end - 4)
        # The resolver asks for IPv4 first, and for IPv6 at once after it.
        self.asked += kind == A
        now = self._answers[min(max(self.asked, 1), len(self._answers)) - 1]
        found = [ip_address(one).packed for one in now if ip_address(one).version == (4 if kind == A else 6)]
        records = [struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in found]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12:end] + b"".join(records), addr)


class Listener:
    """Counts connections and answers the first request of each with 200, then closes it."""

    def __init__(self) -> None:
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()


def prepare(directory: Path) -> None:
    """Bring loopback up, add a public address to it, and make the resolver use the name server there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(PUBLIC))
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s8x", b"lo:1", address))
    settings = {
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n",
        "nsswitch.conf": "hosts: dns\n",
    }
    for name, text in settings.items():
        (directory / name).write_text(text)
        subprocess.run(("mount", "--bind", str(directory / name), f"/etc/{name}"), check=True)


async def run(directory: Path, transport: str, answers: list[list[str]]) -> dict[str, object]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    public, forbidden = Listener(), Listener()
    loop = asyncio.get_running_loop()
    datagrams, names = await loop.create_datagram_endpoint(lambda: NameServer(answers), ("127.0.0.1", 53))
    async with (
        await asyncio.start_server(public.accept, PUBLIC, PORT, ssl=context),
        await asyncio.start_server(forbidden.accept, FORBIDDEN, PORT),
    ):
        relay = await asyncio.create_subprocess_exec(
            *(*HOOKLINE, "relay", "--organization", ORGANIZATION, "--sandbox", SANDBOX, "--ca-file", "ca.pem"),
            *("--transport", transport, "--max-wait", "2s", "--summary", "json", "events"),
            cwd=directory,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, log = await relay.communicate()
    datagrams.close()
    return {
        "code": relay.returncode,
        "summary": json.loads(said or b"null"),
        "log": log.decode(),
        "asked": names.asked,
        "public": public.connections,
        "forbidden": forbidden.connections,
    }


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(asyncio.run(run(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])))))
