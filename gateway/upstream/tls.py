"""TLS contexts towards the API server: always verified, against the cluster's own CA where there is one.

The trap: `ssl` loads certificate and key from files only, and a key must not stay on a disk. They pass
through an anonymous file in memory where the system has one, else through a private file removed at once.
"""

import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from gateway.upstream.secret import Secret

_PEM_CERTIFICATE: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----"
)


class UnusableTlsMaterial(ValueError):
    """A CA, certificate or key that `ssl` does not take; the message says which, never its content."""


class ClientCertificate(msgspec.Struct, frozen=True):
    """What we prove ourselves with in the handshake. certificate: PEM, the leaf first."""

    certificate: bytes
    key: Secret


def make_client_context(
    ca: bytes | None, client: ClientCertificate | None, alpn: Sequence[str] = ("http/1.1",)
) -> ssl.SSLContext:
    """A context that verifies name and chain, TLS 1.2 or later. Raises UnusableTlsMaterial.

    ca: PEM; nothing else is trusted then, whatever SSL_CERT_FILE says. None: the system's roots.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED and check_hostname are its defaults
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    # Go trusts each certificate in the list as it is; kubeconfigs with a bare server certificate rely on it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(list(alpn))
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, ca)
    if client is not None:
        _load_client(context, client)
    return context


def _load_ca(context: ssl.SSLContext, ca: bytes) -> None:
    # CA bundles hold comments in any encoding, and `ssl` wants ASCII.
    found = _PEM_CERTIFICATE.findall(ca)
    if not found:
        raise UnusableTlsMaterial("the CA holds no PEM certificate")
    try:
        context.load_verify_locations(cadata=b"\n".join(found).decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise UnusableTlsMaterial("the CA holds a certificate that cannot be read") from None


def _load_client(context: ssl.SSLContext, client: ClientCertificate) -> None:
    asked = []

    def no_password() -> str:
        asked.append(True)  # without this OpenSSL would ask at the terminal
        return ""

    try:
        with _private_file(client.certificate + b"\n" + client.key.reveal()) as path:
            context.load_cert_chain(path, password=no_password)
    except (ssl.SSLError, ValueError, OSError):
        why = "the key is encrypted" if asked else "no PEM, or the key is not that of the certificate"
        raise UnusableTlsMaterial(f"the client certificate and key cannot be used: {why}") from None


@contextmanager
def _private_file(content: bytes) -> Iterator[str]:
    """The path of a file that nobody else can read and that is gone afterwards."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, content)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:  # mode 0600
        file.write(content)
        file.flush()
        yield file.name
