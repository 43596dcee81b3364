"""What the operator decides about outlets, as frozen structs. Decoded from YAML by the configuration.

Whatever can be checked without the network is checked here, once. Raises ValueError, which msgspec reports
with the place in the file. The trap: resolvers take `0xA9FEA9FE`, `2852039166` and `169.254.43518` for
addresses too, so a host that ends in a number must be an address in its one plain form.
"""

import ipaddress
import re
from collections.abc import Iterable
from enum import Enum
from typing import Final, NamedTuple

import msgspec

OBJECT_BYTES: Final = 64 * 1024
EVENT_BYTES: Final = 256 * 1024
"""Falco's k8saudit drops larger events (its maxEventSize)."""
FILE_EVENT_BYTES: Final = 64 * 1024 - 2
"""It reads files by lines of less than 64 KiB, and stops reading at the first longer one."""
MIN_EVENT_BYTES: Final = 32 * 1024
MAX_BODY_LIMIT: Final = 4 * 1024 * 1024

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_RESOURCE: Final = re.compile(r"[a-z0-9-]+(?:/[a-z]+)?(?:\.[a-z0-9.-]+)?")

_CREDENTIAL_SERVICES: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "168.63.129.16"))
)
"""Beside link-local, where clouds hand out credentials to whoever asks from inside."""


_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class OutletType(Enum):
    AUDIT_FILE = "audit-file"
    AUDIT_WEBHOOK = "audit-webhook"
    OCSF_FILE = "ocsf-file"


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{what}: {least} to {most}")


class BatchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A batch goes when it is full or its first event has waited long enough."""

    max_events: int = 400
    max_bytes: int = 4 * 1024 * 1024  # of events; Falco takes bodies of 12 MiB, nginx of 1 MiB
    max_wait_ms: int = 1000

    def __post_init__(self) -> None:
        _check_range("maxEvents", self.max_events, 1, 10_000)
        _check_range("maxBytes", self.max_bytes, 64 * 1024, 64 * 1024 * 1024)
        _check_range("maxWaitMs", self.max_wait_ms, 0, 60_000)


class OutletSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """One outlet. Its name is that of its files below `outlets/` of the data directory."""

    name: str
    type: OutletType
    path: str | None = None  # of files: where to append
    url: str | None = None  # of webhooks: https, or http to this machine
    ca_file: str | None = None  # PEM, replaces the system's roots
    token_file: str | None = None  # sent as a Bearer token, read anew for every batch
    batch: BatchSettings = BatchSettings()
    max_body_bytes: int = OBJECT_BYTES  # a request or response body beyond it is left out
    max_event_bytes: int | None = None  # default: what Falco takes from a file, or by webhook
    rotate_bytes: int = 128 * 1024 * 1024
    keep_files: int = 5  # rotated ones, beside the current
    metadata_only: tuple[str, ...] = ()  # further resources whose bodies never leave: configmaps

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("name: 1 to 63 lower-case letters, digits and '-'")
        if self.is_file:
            if not self.path or self.url or self.ca_file or self.token_file:
                raise ValueError(f"{self.type.value} takes path, and neither url, caFile nor tokenFile")
        elif not self.url or self.path:
            raise ValueError(f"{self.type.value} takes url, and no path")
        if self.url:
            parse_webhook_url(self.url)
        _check_range("maxBodyBytes", self.max_body_bytes, 0, MAX_BODY_LIMIT)
        _check_range("maxEventBytes", self.event_bytes, MIN_EVENT_BYTES, 4 * MAX_BODY_LIMIT)
        _check_range("rotateBytes", self.rotate_bytes, 1024 * 1024, 1 << 40)
        _check_range("keepFiles", self.keep_files, 1, 1000)
        for resource in self.metadata_only:
            if not _RESOURCE.fullmatch(resource):
                raise ValueError("metadataOnly: resources such as configmaps or leases.coordination.k8s.io")

    @property
    def is_file(self) -> bool:
        return self.type is not OutletType.AUDIT_WEBHOOK

    @property
    def event_bytes(self) -> int:
        if self.max_event_bytes is not None:
            return self.max_event_bytes
        return FILE_EVENT_BYTES if self.is_file else EVENT_BYTES


class WebhookUrl(NamedTuple):
    """The parts of a checked URL that are looked at again when it is used. host: without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


def check_outlets(outlets: Iterable[OutletSettings]) -> None:
    """What must hold among outlets. Raises ValueError."""
    seen: set[str] = set()
    for outlet in outlets:
        for mark in (f"name {outlet.name}", f"path {outlet.path}" if outlet.path else ""):
            if mark and mark in seen:
                raise ValueError(f"two outlets have the {mark}: each needs its own")
            seen.add(mark)


def parse_webhook_url(url: str) -> WebhookUrl:
    """Check where events may go. Raises ValueError."""
    found = _URL.fullmatch(url) if len(url) <= 2048 else None
    if found is None:
        raise ValueError("url: https://host[:port][/path], without user, password or fragment")
    host = found["host"].strip("[]").rstrip(".")
    scheme = found["scheme"]
    last = host.rpartition(".")[2]
    if (":" in host or _NUMERIC_LABEL.fullmatch(last)) and _address(host) is None:
        raise ValueError("url: an address is written as four decimal numbers, or as IPv6 in brackets")
    if is_forbidden(host):
        raise ValueError(
            "url: link-local and metadata addresses hand out credentials; events do not go there"
        )
    if scheme != "https" and not is_loopback(host):
        raise ValueError("url: https, except to this machine itself")
    port = int(found["port"]) if found["port"] else {"https": 443, "http": 80}[scheme]
    if not 0 < port < 65536:
        raise ValueError("url: a port is a number from 1 to 65535")
    return WebhookUrl(scheme, host, port)


def is_loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address is not None else host.lower() == "localhost"


def is_forbidden(host: str) -> bool:
    """Whether a host is an address of a service that trusts whoever can reach it."""
    address = _address(host)
    if address is None:
        return False
    return address.is_link_local or address.is_multicast or address in _CREDENTIAL_SERVICES


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address literal; of the IPv6 forms that mean an IPv4 one, that one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address.sixtofour or address
    return address
