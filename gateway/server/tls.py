"""The gateway's own certificate and TLS settings.

Certificates come from files, or are made at first start: a CA whose key is thrown away once it has signed,
written beside the certificate so that kubeconfigs can pin it.
"""

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from gateway.errors import GatewayError

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2: forward secrecy and AEAD only; OpenSSL's default still offers CBC and DHE. (1.3 has no others.)"""


class BadCertificate(GatewayError):
    """The certificate files cannot be used; the message says which and why."""


@dataclass(frozen=True)
class Certificate:
    """Files in PEM. ca: what clients verify against; None when a public CA signed."""

    chain: Path
    key: Path
    ca: Path | None


def ensure_certificate(directory: Path, names: list[str]) -> Certificate:
    """The certificate in `directory`, made now if there is none or it lacks one of `names`.

    names: DNS names and IP addresses clients use.
    """
    certificate = Certificate(directory / "tls.crt", directory / "tls.key", directory / "ca.crt")
    wanted = sorted(set(names))
    covered = directory / "names"
    if certificate.key.exists() and covered.exists() and set(wanted) <= set(covered.read_text().split()):
        return certificate
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = trustme.CA(organization_name="kubetape", organization_unit_name="made at first start")
    leaf = authority.issue_cert(*wanted, organization_name="kubetape", common_name="kubetape gateway")
    _write(certificate.key, leaf.private_key_pem.bytes())
    _write(certificate.chain, b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    _write(directory / "ca.crt", authority.cert_pem.bytes(), mode=0o644)
    _write(covered, "\n".join(wanted).encode() + b"\n", mode=0o644)
    return certificate


def server_context(certificate: Certificate, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2+, h2 and http/1.1. Raises BadCertificate.

    client_ca: client certificates are asked for (not required) and verified against these CAs only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # A resumed session would skip the client certificate, and its tickets cost each connection a write.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        context.load_cert_chain(certificate.chain, certificate.key)
    except (OSError, ssl.SSLError) as error:
        raise BadCertificate(
            f"cannot use certificate {certificate.chain} with key {certificate.key}: {error}"
        ) from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise BadCertificate(f"cannot read client CA file {client_ca}: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def is_loopback(host: str) -> bool:
    """Whether listening there is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _write(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
