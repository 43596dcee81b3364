"""Client certificates: purpose, time and names, as kube-apiserver reads them but for reserved ones."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from gateway.identity.certificates import NS, principal_from_certificate
from gateway.identity.errors import Unauthenticated
from gateway.identity.settings import CertificateRules
from gateway.principal import Principal

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
RULES = CertificateRules(ca_file="ca.pem")


def certificate(
    *subject: tuple[ObjectIdentifier, str],
    usages: tuple[ObjectIdentifier, ...] | None = CLIENT,
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=1),
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in subject]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test ca")]))
        .public_key(KEY.public_key())
        .serial_number(0xABC123)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if usages is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def named(user: str, *groups: str) -> bytes:
    return certificate(*((NameOID.ORGANIZATION_NAME, group) for group in groups), (NameOID.COMMON_NAME, user))


def judge(der: bytes, rules: CertificateRules = RULES, now: datetime = NOW) -> Principal:
    return principal_from_certificate(der, rules, now_ns=int(now.timestamp()) * NS, credential_id="c" * 32)


def refused(der: bytes, rules: CertificateRules = RULES, now: datetime = NOW) -> str:
    with pytest.raises(Unauthenticated) as caught:
        judge(der, rules, now)
    return caught.value.reason


def test_common_name_is_the_user_and_organizations_are_the_groups() -> None:
    assert judge(named("alice", "sre", "dev", "sre")) == Principal(
        user="alice",
        groups=("sre", "dev"),
        method="certificate",
        credential_id="c" * 32,
        issuer="CN=test ca",
        subject="abc123",
        expires_ns=int((NOW + timedelta(days=1)).timestamp()) * NS,
    )
    assert judge(named("größe")).groups == ()


@pytest.mark.parametrize(
    "usages", [None, (ExtendedKeyUsageOID.SERVER_AUTH,), (ExtendedKeyUsageOID.CODE_SIGNING,)]
)
def test_a_certificate_that_is_not_for_clients_is_refused(
    usages: tuple[ObjectIdentifier, ...] | None,
) -> None:
    assert "for clients" in refused(certificate((NameOID.COMMON_NAME, "alice"), usages=usages))


def test_a_certificate_for_both_purposes_passes() -> None:
    both = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    assert judge(certificate((NameOID.COMMON_NAME, "alice"), usages=both)).user == "alice"


def test_the_period_is_checked_at_every_use() -> None:
    der = named("alice")
    assert judge(der, now=NOW + timedelta(days=1, seconds=-1)).user == "alice"
    assert "expired" in refused(der, now=NOW + timedelta(days=1))
    assert judge(der, now=NOW - timedelta(days=1)).user == "alice"
    assert "not valid yet" in refused(der, now=NOW - timedelta(days=1, seconds=1))


def test_a_certificate_without_end_ends_where_time_does() -> None:
    der = certificate((NameOID.COMMON_NAME, "a"), ends=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert judge(der).expires_ns == 2**63 - 1


def test_a_reserved_name_counts_only_where_it_is_allowed() -> None:
    admin = named("kubernetes-admin", "system:masters")
    assert "reserved" in refused(admin)
    assert "reserved" in refused(named("system:kube-controller-manager"))
    allowing = CertificateRules(ca_file="ca.pem", allowed_system_names=("system:masters",))
    assert judge(admin, allowing).groups == ("system:masters",)
    assert "reserved" in refused(named("a", "system:nodes"), allowing)


@pytest.mark.parametrize("user", [" alice", "alice\n", "a\0b", "a\u202eb"])
def test_a_name_that_could_become_another_is_refused(user: str) -> None:
    refused(named(user))
    refused(named("alice", user))


def test_exactly_one_common_name_is_needed() -> None:
    assert "one common name" in refused(certificate((NameOID.ORGANIZATION_NAME, "sre")))
    assert "one common name" in refused(
        certificate((NameOID.COMMON_NAME, "alice"), (NameOID.COMMON_NAME, "bob"))
    )


def test_too_many_organizations_are_refused() -> None:
    assert judge(named("a", *(f"g{n}" for n in range(200)))).groups[-1] == "g199"
    assert "organizations" in refused(named("a", *(f"g{n}" for n in range(201))))


def test_bytes_that_are_no_certificate_are_refused() -> None:
    good = named("alice")
    for bad in (b"", b"x", good[:-1], good[:100], good + b"\0", b"-----BEGIN CERTIFICATE-----"):
        assert "cannot be read" in refused(bad)


def test_a_changed_byte_never_brings_another_exception() -> None:
    good = named("alice", "sre")
    for position in range(len(good)):
        try:
            judge(good[:position] + bytes([good[position] ^ 0x55]) + good[position + 1 :])
        except Unauthenticated:
            pass


def test_a_name_that_is_not_text_is_refused() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    der = (
        builder.add_extension(x509.ExtendedKeyUsage(CLIENT), critical=False)
        .sign(KEY, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    # The same certificate with its name as a BIT STRING: legal DER, and no text.
    changed = der.replace(b"\x06\x03\x55\x04\x03\x0c\x01a", b"\x06\x03\x55\x04\x03\x03\x01\x00")
    assert changed != der
    refused(changed)
