"""Which Host a request may name: those our certificate is for, and those the operator adds. Pure.

A request for another host was meant for another server; answering it would let one origin speak for
another (RFC 9110 section 7.4: 421).
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from cryptography import x509

from protocol.headers import parse_authority

MAX_KNOWN: Final = 64
"""Spellings remembered: clients of one gateway use a few, and reading an address costs more than most of a call."""


class HostNames:
    """A set of host names and addresses, wildcards of one label included."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(_canonical(name) for name in names)
        self._known: set[bytes] = set()  # authorities that were accepted, as they came

    def accept(self, authority: bytes) -> bool:
        """Whether host[:port] (already of good grammar, lower case) names this server; any port."""
        if authority in self._known:
            return True
        if not self._names_us(authority):
            return False
        if len(self._known) >= MAX_KNOWN:  # a wildcard accepts without end
            self._known.clear()
        self._known.add(authority)
        return True

    def _names_us(self, authority: bytes) -> bool:
        host = authority.decode("ascii", "replace")
        if host.startswith("["):
            host = host[1:].partition("]")[0]
        else:
            host = host.partition(":")[0]
        host = _canonical(host)
        _, dot, parent = host.partition(".")
        return host in self._names or bool(dot and f"*.{parent}" in self._names)

    def accept_origin(self, origin: bytes) -> bool:
        """Whether an Origin header (RFC 6454 section 7) names this server; "null" and lists of origins do not."""
        scheme, _, host = origin.partition(b"://")
        authority = parse_authority(host)
        return scheme.lower() in (b"https", b"http") and authority is not None and self.accept(authority)


def names_of_certificate(pem: bytes) -> list[str]:
    """The DNS names and addresses a certificate (the first in the file) is for. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    names = alternative.get_values_for_type(x509.DNSName)
    return names + [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]


def _canonical(name: str) -> str:
    lowered = name.lower().rstrip(".")
    try:
        return ipaddress.ip_address(lowered).compressed
    except ValueError:
        return lowered
