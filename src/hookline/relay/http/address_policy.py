"""Which addresses the relay connects to: public ones, and those that an operator admits.

Anyone who can open a pull request can write a webhook's URL, and the relay runs inside the operator's network.
Without these rules, such a URL could reach services that only the relay can reach.

The tables follow the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190) and add multicast,
deprecated ranges and the metadata services that clouds have put on public addresses. The few entries that IANA
calls globally reachable (AS112, anycast PCP and TURN) are refused as well, because no webhook has such an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from hookline.errors import HooklineError

IpNetwork = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address

# The first row that contains an address names it, so a narrow range comes before the wide range around it.
_SPECIAL = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/32", "unspecified"),
        ("0.0.0.0/8", '"this network"'),
        ("10.0.0.0/8", "private"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("169.254.169.254/32", "a cloud's metadata service"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.192/32", "a cloud's metadata service"),
        ("192.0.0.0/24", "for IETF protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::/96", "IPv4-compatible (deprecated)"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard-only"),
        ("100:0:0:1::/64", "a dummy prefix"),
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "for benchmarks"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHID"),
        ("2001::/23", "for IETF protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3fff::/20", "for documentation"),
        ("5f00::/16", "segment routing"),
        ("fd00:ec2::254/128", "a cloud's metadata service"),
        ("fd20:ce::254/128", "a cloud's metadata service"),
        ("fc00::/7", "private (unique local)"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local (deprecated)"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# RFC 5214 §6.1: with these interface identifiers, an ISATAP router connects to the IPv4 address in the last 32 bits.
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


class AddressRefused(HooklineError):
    """A name has an address that the rules do not admit."""


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """`allowed`: the networks that ``--allow-network`` admits although they are not public."""

    allowed: tuple[IpNetwork, ...] = ()

    def refusal_reason(self, address: str) -> str | None:
        """Why the relay does not connect to this IP address (``127.0.0.1 is loopback``), None if it does."""
        try:
            target = ip_address(address.partition("%")[0])
        except ValueError:
            return f"{address!r} is not an IP address"
        if isinstance(target, IPv6Address):
            target = target.ipv4_mapped or target  # the system connects to the IPv4 address of ::ffff:a.b.c.d
        if any(target in network for network in self.allowed):
            return None
        return f"{address} is {kind}" if (kind := _special(target)) else None

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Raise AddressRefused if any of the addresses that `host` resolves to is refused.

        A name with a public and a private address is a sign of DNS rebinding.
        """
        for address in addresses:
            if reason := self.refusal_reason(address):
                raise AddressRefused(
                    f"refused address of {host}: {reason}",
                    hint=f"if this is intended, admit it with --allow-network {address.partition('%')[0]}",
                )


def _special(address: IpAddress) -> str | None:
    if isinstance(address, IPv4Address):
        return _first(address)
    if address in _NAT64:
        # RFC 6052 §3.1: the gateway connects to the IPv4 address in the last 32 bits, which must be public.
        return _embedded("NAT64", address)
    if kind := _first(address) or (None if address in _GLOBAL_UNICAST else "not global unicast"):
        return kind
    if int(address) >> 32 & 0xFFFF_FFFF in _ISATAP:
        return _embedded("ISATAP", address)
    return None


def _embedded(mechanism: str, address: IPv6Address) -> str | None:
    inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    return f"{mechanism} of {inner}, which is {kind}" if (kind := _first(inner)) else None


def _first(address: IpAddress) -> str | None:
    return next((kind for network, kind in _SPECIAL if address in network), None)
