"""The grammar of header fields, shared by HTTP/1.1 and HTTP/2.

Decides whether bytes are a field name, a field value, an authority, a length; reads list-valued
fields. It frames nothing, and knows no machine: the callers choose what a refusal means.
The trap: Python reads more than HTTP allows (`int()` takes `+3`, `1_0` and full-width digits,
`str.lower()` maps the KELVIN SIGN to `k`), so everything here is a linear pattern over bytes.
Source: RFC 9110 section 5 and 7.6.1, RFC 9113 section 8.2, RFC 3986 section 3.2.2.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from protocol.errors import RemoteProtocolError

METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""The methods a Kubernetes API has. kube-apiserver turns any other into the verb "", which a `*`
role allows, so no other may reach it."""

SINGLETONS: Final = frozenset(
    {
        b"host",
        b"authorization",
        b"content-length",
        b"content-type",
        b"expect",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-version",
    }
)
"""Request fields that change who asks or what is asked: two of them and no two parsers agree."""

CONNECTION_FIELDS: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""Fields about one connection, never about a message: they end here, in both directions.
HTTP/2 has none of them (there a client may send `te: trailers`, nothing else)."""

CONNECTION_OPTIONS: Final = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings"})
"""What a client may list in Connection. Any other name there asks the next hop to remove a field,
perhaps one that we are about to add (CVE-2021-31999 did so with Impersonate-User)."""

MAX_HOST_BYTES: Final = 255
"""A DNS name has at most 253 characters, a trailing dot and brackets make it 255."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_REQUEST_FIELD_NAME: Final = re.compile(rb"[!#$%&'*+\-.^`|~0-9a-z]+")
_CONTENT_LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,15}")
_AUTHORITY: Final = re.compile(
    rb"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::(?P<port>[1-9][0-9]{0,4}))?"
)
CONTROLS: Final = bytes([*range(0x00, 0x09), *range(0x0A, 0x20), 0x7F])
"""Every control byte but tab. Deleting them with `bytes.translate` and comparing lengths is the
fastest search for any of them."""


def is_token(value: bytes) -> bool:
    """Whether these bytes are a token of RFC 9110 section 5.6.2, in any case: at least one byte."""
    return _TOKEN.fullmatch(value) is not None


def is_field_name(name: bytes) -> bool:
    """Whether this is a field name in lower case, fit for a response or for a request of ours."""
    return _FIELD_NAME.fullmatch(name) is not None


def is_request_field_name(name: bytes) -> bool:
    """Whether a client may send this name (given in lower case).

    As `is_field_name`, without `_`: CGI-like stacks read X_Remote_User as X-Remote-User, so one of
    the two would pass by a filter for the other.
    """
    return _REQUEST_FIELD_NAME.fullmatch(name) is not None


def is_field_value(value: bytes) -> bool:
    """Whether this is a field value without outer blanks: no control byte but tab within.

    Bytes from 0x80 on are opaque and allowed, as Go allows them (a program's name ends up in its
    User-Agent). An empty value is a value.
    """
    return value.translate(None, CONTROLS) == value and value.strip(b" \t") == value


def parse_content_length(value: bytes) -> int | None:
    """Bytes of a body, at most 16 digits without sign, blanks or leading zeros; None if it is not that."""
    return int(value) if _CONTENT_LENGTH.fullmatch(value) is not None else None


def parse_authority(value: bytes) -> bytes | None:
    """Read Host or :authority: a name, an IPv4 address or an IPv6 address in brackets, then `:port`.

    Returns it in lower case (host names have no case), or None if it is anything else: empty, with
    user information, an empty or impossible port, an escape, a zone, a path.
    """
    return _read_authority(value) if len(value) <= MAX_HOST_BYTES + 6 else None


@lru_cache(maxsize=256)  # clients have one or two names for us, and say one in each request
def _read_authority(value: bytes) -> bytes | None:
    authority = value.lower()
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    port, ipv6 = match["port"], match["ipv6"]
    host_bytes = len(authority) - (len(port) + 1 if port is not None else 0)
    if host_bytes > MAX_HOST_BYTES or (port is not None and int(port) > 65535):
        return None
    if ipv6 is not None and not _is_ipv6(ipv6):
        return None
    return authority


def _is_ipv6(address: bytes) -> bool:
    try:
        IPv6Address(address.decode("ascii"))
    except AddressValueError:
        return False
    return True


def split_list(values: Iterable[bytes]) -> list[bytes]:
    """Elements of a list-valued field, all its lines taken together, in order and as spelled.

    Blanks around elements and empty elements are dropped (RFC 9110 section 5.6.1.2). Not for
    fields whose elements may be quoted strings.
    """
    return [element for value in values for part in value.split(b",") if (element := part.strip(b" \t"))]


def parse_connection(values: Iterable[bytes]) -> frozenset[bytes]:
    """Options of a request's Connection lines, in lower case: a subset of CONNECTION_OPTIONS.

    Raises RemoteProtocolError (400) for any other option; a machine turns it into `Failed`.
    """
    options = frozenset(option.lower() for option in split_list(values))
    if not options <= CONNECTION_OPTIONS:
        raise RemoteProtocolError("Connection lists something other than close, keep-alive, upgrade or te")
    return options


def find_repeated(names: Iterable[bytes]) -> bytes | None:
    """The first of a request's lower-case field names that may come once and came twice, or None."""
    seen: set[bytes] = set()
    for name in names:
        if name in SINGLETONS:
            if name in seen:
                return name
            seen.add(name)
    return None
