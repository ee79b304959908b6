import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from hookline.errors import HooklineError, KeyUnusable
from hookline.relay.http.tls import ClientCertificate, describe_tls_error, tls_context

AUTHORITY = trustme.CA()


def test_strict() -> None:
    """A context verifies the certificate and its name, and speaks TLS 1.2 or newer."""
    context = tls_context()
    assert ssl.CERT_REQUIRED is context.verify_mode
    assert context.check_hostname
    assert ssl.TLSVersion.TLSv1_2 is context.minimum_version


def test_the_subject_names_nobody() -> None:
    """A certificate without alternative names is for no host, regardless of its subject."""
    assert not tls_context().hostname_checks_common_name


def test_session_keys_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSLKEYLOGFILE, which makes Python record the keys of every connection, is ignored."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    assert ssl.create_default_context().keylog_filename is not None
    assert tls_context().keylog_filename is None


def test_no_authorities_means_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE and SSL_CERT_DIR locate the system's authorities. They do not disable verification."""
    (tmp_path / "none.pem").write_text("")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    context = tls_context()
    assert [] == context.get_ca_certs()
    assert ssl.CERT_REQUIRED is context.verify_mode


def test_authorities_are_added(tmp_path: Path) -> None:
    """Authorities of a file and of a text come on top of the system's."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    system = len(tls_context().get_ca_certs())
    assert system + 1 == len(tls_context(ca_file=tmp_path / "ca.pem").get_ca_certs())
    other = "# Zoë\n".encode() + trustme.CA().cert_pem.bytes()
    assert system + 2 == len(tls_context(ca_file=tmp_path / "ca.pem", authorities=other).get_ca_certs())


def test_bad_authorities(tmp_path: Path) -> None:
    """A file of authorities that is missing or holds none is named."""
    (tmp_path / "empty.pem").write_text("nothing")
    for name, words in (("missing.pem", "No such file"), ("empty.pem", "nothing in PEM")):
        with pytest.raises(HooklineError, match=words) as caught:
            tls_context(ca_file=tmp_path / name)
        assert name in caught.value.message
    for text in (b"nothing", b"", b"\xff"):
        with pytest.raises(HooklineError, match="contains no certificate"):
            tls_context(authorities=text)


def test_client_certificate(tmp_path: Path) -> None:
    """A client certificate is taken with its key beside it or in the same file."""
    own = AUTHORITY.issue_cert("hookline@acme.test")
    own.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    tls_context(client=ClientCertificate(tmp_path / "cert.pem", tmp_path / "key.pem"))
    tls_context(client=ClientCertificate(tmp_path / "both.pem"))
    AUTHORITY.issue_cert("b@acme.test").private_key_pem.write_to_path(tmp_path / "other.pem")
    with pytest.raises(KeyUnusable, match="key values mismatch"):
        tls_context(client=ClientCertificate(tmp_path / "cert.pem", tmp_path / "other.pem"))
    with pytest.raises(KeyUnusable, match="No such file"):
        tls_context(client=ClientCertificate(tmp_path / "missing.pem"))


def test_encrypted_client_key(tmp_path: Path) -> None:
    """An encrypted client key is refused instead of asking for its passphrase on the terminal."""
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")
    )
    (tmp_path / "key.pem").write_bytes(encrypted)
    AUTHORITY.issue_cert("a@acme.test").cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with pytest.raises(KeyUnusable):
        tls_context(client=ClientCertificate(tmp_path / "cert.pem", tmp_path / "key.pem"))


def test_unknown_errors_keep_their_words() -> None:
    """A TLS error without a description of hookline has OpenSSL's text."""
    error = ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:1)")
    error.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert describe_tls_error(error) == "tlsv1 alert internal error"
    assert describe_tls_error(ssl.SSLEOFError(8, "EOF")) == "the connection ended in the handshake"
