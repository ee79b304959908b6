from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.relay.http.address_policy import AddressRefused, NetworkRules

NONE_ALLOWED = NetworkRules()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "this network"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade"),
        ("100.127.255.255", "carrier-grade"),
        ("100.100.100.200", "metadata"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("168.63.129.16", "metadata"),
        ("169.254.169.254", "metadata"),
        ("169.254.0.1", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.8", "IETF"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmarks"),
        ("198.19.255.255", "benchmarks"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "IPv4-compatible"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.1.2.3", "private"),
        ("::ffff:0:7f00:1", "IPv4-translated"),
        ("64:ff9b::7f00:1", "NAT64 of 127.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "NAT64 of 169.254.169.254"),
        ("64:ff9b:1::1", "NAT64"),
        ("2606:4700::5efe:10.0.0.1", "ISATAP of 10.0.0.1, which is private"),
        ("2606:4700::200:5efe:169.254.169.254", "ISATAP of 169.254.169.254"),
        ("64:ff9b::5efe:a00:1", "not global unicast"),
        ("100:0:0:1::1", "dummy"),
        ("192.0.0.192", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("2002:a9fe:a9fe::1", "6to4"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "Teredo"),
        ("100::1", "discard"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "benchmarks"),
        ("2001:20::1", "ORCHID"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::1", "6to4"),
        ("3fff::1", "documentation"),
        ("4000::1", "not global unicast"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "unique local"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ],
)
def test_special(address: str, kind: str) -> None:
    """Every special range is refused, and the refusal names the address and what it is."""
    reason = NONE_ALLOWED.refusal_reason(address)
    assert reason is not None
    assert reason.startswith(f"{address} is ")
    assert kind in reason


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "9.255.255.255",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "64:ff9b::808:808",
        "2606:4700::5efe:8.8.8.8",
        "2606:4700::5eff:10.0.0.1",
        "::ffff:8.8.8.8",
    ],
)
def test_public(address: str) -> None:
    """Public addresses are connected to, up to the last one beside a special range."""
    assert NONE_ALLOWED.refusal_reason(address) is None


@given(st.ip_addresses())
def test_never_wider_than_the_standard_library(address: object) -> None:
    """Addresses that the standard library calls private, reserved, link-local or multicast are refused here, too."""
    parsed = ip_address(str(address))
    special = parsed.is_private or parsed.is_reserved or parsed.is_link_local or parsed.is_multicast
    nat64 = parsed in ip_network("64:ff9b::/96")
    mapped = parsed.version == 6 and parsed.ipv4_mapped is not None
    anycast = str(parsed) in ("192.0.0.9", "192.0.0.10")
    if special and not (nat64 or mapped or anycast):
        assert NONE_ALLOWED.refusal_reason(str(parsed)) is not None


@pytest.mark.parametrize(
    ("allowed", "address", "admitted"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "::1", False),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "64:ff9b::7f00:1", False),
        ("10.2.0.0/16", "10.1.0.1", False),
        ("10.2.0.0/16", "10.2.255.255", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("::1/128", "::1", True),
    ],
)
def test_allowed(allowed: str, address: str, admitted: bool) -> None:
    """The relay connects to addresses that a CIDR admits, and to no others."""
    assert admitted == (NetworkRules((ip_network(allowed),)).refusal_reason(address) is None)


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "999.1.1.1", "0x7f000001"])
def test_no_address(text: str) -> None:
    """A text that is no IP address is refused and not resolved."""
    assert "not an IP address" in str(NONE_ALLOWED.refusal_reason(text))


def test_one_refuses_all() -> None:
    """A name with one special address among public ones is refused, with the flag that would admit it."""
    expected = "refused address of hooks.acme.example: 10.0.0.7 is private"
    with pytest.raises(AddressRefused) as caught:
        NONE_ALLOWED.check("hooks.acme.example", ["8.8.8.8", "10.0.0.7"])
    assert expected == caught.value.message
    assert "--allow-network 10.0.0.7" in str(caught.value.hint)


def test_all_public() -> None:
    """A name whose addresses are all public passes."""
    NONE_ALLOWED.check("hooks.acme.example", ["8.8.8.8", "2606:4700::1111"])
