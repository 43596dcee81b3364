"""A verified client certificate -> Principal, with kube-apiserver's meaning of its names. Pure.

The TLS layer has verified the chain against the configured CA and that the client holds the key. Here:
that the certificate is meant for clients, is within its time, and gives names we accept. Common name is
the user, organizations are the groups (k8s.io/apiserver request/x509). The trap: a cluster's own CA signs
"system:masters" for its administrators, so reserved names count only where the operator allows them.
"""

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.identity.errors import Unauthenticated
from gateway.identity.names import check_name
from gateway.identity.settings import CertificateRules
from gateway.principal import Principal

MAX_GROUPS: Final = 200
NS: Final = 1_000_000_000
# What cryptography raises on DER that is legal enough for OpenSSL; much of it only when a field is read.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_LATEST_NS: Final = 2**63 - 1  # year 2262: the latest moment a record can hold; "never" is 9999


def principal_from_certificate(
    der: bytes, rules: CertificateRules, *, now_ns: int, credential_id: str
) -> Principal:
    """Who a client certificate speaks for. Raises Unauthenticated. now_ns: UTC.

    der: the peer's own certificate, whose chain the TLS layer has verified against `rules.ca_file`.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        _check_purpose(certificate)
        _check_period(certificate, now_ns)
        user = _user(certificate, rules)
        groups = _groups(certificate, rules)
        issuer = certificate.issuer.rfc4514_string()
    except _UNREADABLE as error:
        raise Unauthenticated("the client certificate cannot be read", detail=type(error).__name__) from None
    return Principal(
        user=user,
        groups=groups,
        method="certificate",
        credential_id=credential_id,
        issuer=issuer,
        subject=f"{certificate.serial_number:x}",
        expires_ns=min(_ns(certificate.not_valid_after_utc), _LATEST_NS),
    )


def _check_purpose(certificate: x509.Certificate) -> None:
    # OpenSSL lets a certificate without this extension pass for any purpose; a server's must not log in.
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        raise Unauthenticated("the client certificate does not say that it is for clients") from None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        raise Unauthenticated("the certificate is not for clients", detail="extended key usage")


def _check_period(certificate: x509.Certificate, now_ns: int) -> None:
    if now_ns >= _ns(certificate.not_valid_after_utc):
        raise Unauthenticated("client certificate expired")
    if now_ns < _ns(certificate.not_valid_before_utc):
        raise Unauthenticated("the client certificate is not valid yet")


def _ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS  # certificates know whole seconds


def _user(certificate: x509.Certificate, rules: CertificateRules) -> str:
    names = _texts(certificate, NameOID.COMMON_NAME)
    if len(names) != 1:
        # Go takes the last of several, others the first: nobody can say who this is.
        raise Unauthenticated("the client certificate does not have exactly one common name")
    return check_name(names[0], "user name", allowed_system_names=rules.allowed_system_names)


def _groups(certificate: x509.Certificate, rules: CertificateRules) -> tuple[str, ...]:
    names = dict.fromkeys(_texts(certificate, NameOID.ORGANIZATION_NAME))
    if len(names) > MAX_GROUPS:
        raise Unauthenticated(f"the client certificate has more than {MAX_GROUPS} organizations")
    return tuple(
        check_name(name, "group name", allowed_system_names=rules.allowed_system_names) for name in names
    )


def _texts(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    if not all(isinstance(value, str) for value in values):
        raise AssertionError("only unique identifiers can be a BIT STRING to cryptography")
    return [str(value) for value in values]
