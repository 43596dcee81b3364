import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from gateway.upstream import tls
from gateway.upstream.secret import Secret
from gateway.upstream.tls import ClientCertificate, UnusableTlsMaterial, make_client_context
from tests.kit.handshake import shake_hands

CA = trustme.CA()
CA_PEM = CA.cert_pem.bytes()


def server_context(*names: str, ca: trustme.CA = CA, client_ca: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_certificate(ca: trustme.CA = CA) -> ClientCertificate:
    issued = ca.issue_cert("gateway@example.org", common_name="gateway")
    return ClientCertificate(
        b"".join(p.bytes() for p in issued.cert_chain_pems), Secret(issued.private_key_pem.bytes())
    )


def test_a_server_of_the_clusters_ca_is_trusted() -> None:
    done = shake_hands(make_client_context(CA_PEM, None), server_context("api.example"), "api.example")
    assert done.version() in ("TLSv1.2", "TLSv1.3")
    assert done.selected_alpn_protocol() == "http/1.1"


def test_the_address_of_a_server_is_verified_too() -> None:
    context = make_client_context(CA_PEM, None)
    assert shake_hands(context, server_context("10.0.0.1"), "10.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, server_context("10.0.0.1"), "10.0.0.2")


@pytest.mark.parametrize("name", ["other.example", "api.example.evil"])
def test_a_server_of_another_name_is_not_trusted(name: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(make_client_context(CA_PEM, None), server_context(name), "api.example")


def test_a_server_of_another_ca_is_not_trusted() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(
            make_client_context(CA_PEM, None), server_context("api.example", ca=trustme.CA()), "api.example"
        )


def test_the_environment_adds_no_trust_where_a_ca_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    server = server_context("api.example", ca=other)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(make_client_context(CA_PEM, None), server, "api.example")
    # Without one the system's roots count, and those are what the environment says.
    assert shake_hands(make_client_context(None, None), server, "api.example")


def test_old_tls_is_refused() -> None:
    server = server_context("api.example")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake_hands(make_client_context(CA_PEM, None), server, "api.example")


def test_a_single_server_certificate_may_be_the_ca_as_in_go() -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf = CA.issue_cert("api.example")
    leaf.configure_cert(server)
    assert shake_hands(make_client_context(leaf.cert_chain_pems[0].bytes(), None), server, "api.example")


def test_a_bundle_may_hold_comments_in_any_encoding() -> None:
    bundle = (
        b"# Autorit\xe9 de certification\n" + trustme.CA().cert_pem.bytes() + b"\nsubject=\xff\n" + CA_PEM
    )
    assert shake_hands(make_client_context(bundle, None), server_context("a"), "a")


def test_we_prove_ourselves_with_the_client_certificate() -> None:
    context = make_client_context(CA_PEM, client_certificate())
    done = shake_hands(context, server_context("a", client_ca=CA), "a")
    assert done.getpeercert() is not None


def test_another_protocol_may_be_asked_for() -> None:
    context = make_client_context(CA_PEM, None, ("h2",))
    assert shake_hands(context, server_context("a"), "a").selected_alpn_protocol() == "h2"


@pytest.mark.parametrize(
    "ca", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_that_is_none_is_refused(ca: bytes) -> None:
    with pytest.raises(UnusableTlsMaterial, match="the CA holds"):
        make_client_context(ca, None)


def test_a_key_of_another_certificate_is_refused() -> None:
    mixed = ClientCertificate(client_certificate().certificate, client_certificate().key)
    with pytest.raises(UnusableTlsMaterial, match="not that of the certificate"):
        make_client_context(CA_PEM, mixed)


def test_an_encrypted_key_is_refused_and_nobody_is_asked() -> None:
    issued = CA.issue_cert("a")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pw"),
    )
    with pytest.raises(UnusableTlsMaterial, match="encrypted"):
        make_client_context(CA_PEM, ClientCertificate(issued.cert_chain_pems[0].bytes(), Secret(encrypted)))


def test_errors_hold_nothing_of_the_key() -> None:
    with pytest.raises(UnusableTlsMaterial) as caught:
        make_client_context(CA_PEM, ClientCertificate(b"no", Secret(b"SECRET-KEY")))
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_key_passes_through_a_private_file_where_memory_files_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(tls.os, "memfd_create", raising=False)
    monkeypatch.setattr(tls.tempfile, "tempdir", str(tmp_path))
    context = make_client_context(CA_PEM, client_certificate())
    assert shake_hands(context, server_context("a", client_ca=CA), "a")
    assert list(tmp_path.iterdir()) == []
