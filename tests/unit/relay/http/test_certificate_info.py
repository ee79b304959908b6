from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ssl import PEM_cert_to_DER_cert

import pytest
import trustme

from hookline.relay.http.certificate_info import fault_hint, fault_text, read_certificate
from unusual_certificates import EDI_PARTY_NAME, X400_ADDRESS, of_version_4, with_name

AUTHORITY = trustme.CA(organization_name="Acme\x1b[2J", organization_unit_name="hooks")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def der(certificate: trustme.LeafCert) -> bytes:
    return PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())


def test_contents() -> None:
    """Names of both kinds, dates, subject and issuer are read; none has a control character."""
    issued = AUTHORITY.issue_cert("hooks.acme.test", "192.0.2.1", not_before=NOW, not_after=NOW + timedelta(40.5))
    found = read_certificate(der(issued))
    assert found is not None
    assert (("hooks.acme.test", "192.0.2.1"), 0) == (found.names, found.more_names)
    assert (NOW, 40) == (found.not_before, found.days_left(NOW))
    assert "Acme [2J" == found.issuer_name
    assert "Acme [2J" in found.issuer
    assert all(text.isprintable() for text in (found.subject, found.issuer, found.issuer_name, *found.names))


def test_many_names() -> None:
    """Of many names, twenty are kept, five are shown, and the rest are counted."""
    found = read_certificate(der(AUTHORITY.issue_cert(*(f"h{n}.acme.test" for n in range(500)))))
    assert found is not None
    assert (20, 480) == (len(found.names), found.more_names)
    assert fault_text(62, "", found).endswith("h3.acme.test, h4.acme.test and 495 more")


@pytest.mark.parametrize(
    "strange",
    [
        lambda: der(with_name(AUTHORITY, "hooks.acme.test", X400_ADDRESS)),
        lambda: der(with_name(AUTHORITY, "hooks.acme.test", EDI_PARTY_NAME)),
        lambda: der(of_version_4(AUTHORITY, "hooks.acme.test")),
        lambda: b"\x30\x03\x02\x01\x01",
        lambda: b"",
    ],
    ids=["x400Address", "ediPartyName", "version 4", "a number", "nothing"],
)
def test_one_that_cannot_be_read(strange: Callable[[], bytes]) -> None:
    """A certificate that cannot be read raises nothing."""
    assert read_certificate(strange()) is None


def test_faults() -> None:
    """Each fault is described with the part of the certificate that shows it, or alone without a certificate."""
    found = read_certificate(der(AUTHORITY.issue_cert("a.test", not_before=NOW, not_after=NOW)))
    assert "the certificate has expired: valid until 2026-11-01 00:00+00:00" == fault_text(10, "", found)
    assert "the certificate is not valid yet: valid from 2026-11-01 00:00+00:00" == fault_text(9, "", found)
    assert "the certificate is for another address: it has a.test" == fault_text(64, "", found)
    assert "the certificate is self-signed" == fault_text(18, "", found)
    assert "the certificate is from an unknown authority" == fault_text(20, "")
    assert "the certificate is not accepted: CA too odd" == fault_text(999, "CA too odd", found)


@pytest.mark.parametrize(("code", "words"), [(10, "clock"), (62, "issued for hooks.acme.test"), (18, "--ca-file")])
def test_hints(code: int, words: str) -> None:
    """The hint depends on the fault. For an unknown fault it concerns the chain."""
    assert words in fault_hint(code, "hooks.acme.test")
    assert "--ca-file" in fault_hint(999, "hooks.acme.test")
