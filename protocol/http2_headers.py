"""HTTP/2 requests: what is known of a field by itself, and what makes the fields of one a request.

Everything RFC 9113 section 8 asks for is checked here, and more: what no API server should read is refused (a
method with a space, a path without a slash, any other scheme). A malformed request costs its stream, never
the connection, but for one thing: a content-length that is no number, or two that differ, is how one
parser is made to see another request than the next, and whoever sends that is not listened to again.

The trap: a field is judged once, when it is decoded, and used many times (`http2_hpack`); so `judge_field`
may depend on nothing but its name and value.
Source: RFC 9113 section 8, RFC 9110.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Final, NamedTuple

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.events import RequestHead
from protocol.headers import (
    CONNECTION_FIELDS,
    METHODS,
    SINGLETONS,
    is_field_value,
    is_request_field_name,
    parse_authority,
    parse_content_length,
)
from protocol.http2_frames import protocol_fault

MAX_FIELDS: Final = 100
"""As on HTTP/1.1; kubectl sends about 12."""

MAX_LIST_BYTES: Final = 64 * 1024
"""Our SETTINGS_MAX_HEADER_LIST_SIZE: names, values and 32 bytes a field (RFC 9113 section 6.5.2)."""

MAX_TARGET_BYTES: Final = 8 * 1024
"""As on HTTP/1.1. Only exec needs long targets, and exec cannot come over HTTP/2."""

PSEUDO_FIELDS: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
"""Those of a request. Not `:protocol`: extended CONNECT is not offered (RFC 8441)."""

_DROPPED: Final = frozenset({b"te", b"trailer"})  # legal here, about this hop only
_NO_VALUE_BLANKS: Final = bytes(range(0x21)) + b"\x7f"
_MAX_LENGTH_DIGITS: Final = 4300  # more and Python itself takes no number for one

_authority_of = lru_cache(maxsize=64)(parse_authority)


class Kind(Enum):
    """What a field is, by itself."""

    ORDINARY = "passed on as it is"
    PSEUDO = "a pseudo-header field of requests"
    SINGLETON = "passed on, and may come once"
    LENGTH = "content-length, a number"
    HOST = "another spelling of :authority"
    DROPPED = "about this hop, and ends here"
    BAD_NAME = "a header name with a character other than a-z, 0-9 and !#$%&'*+-.^`|~"
    BAD_VALUE = "a header value with a control character or outer blanks"
    BAD_PSEUDO = "a pseudo-header field that is repeated, misplaced or unknown"
    BAD_LENGTH = "a content-length that is not a number"
    CONNECTION = "a connection-specific header field: upgrades need HTTP/1.1"


class Field(NamedTuple):
    """One decoded field."""

    pair: tuple[bytes, bytes]
    kind: Kind
    size_bytes: int  # as RFC 7541 section 4.1 counts it: 32 more than name and value


def judge_field(name: bytes, value: bytes) -> Field:
    """What a field is. The table of a connection keeps it, so it is asked once for most fields."""
    return Field((name, value), _kind_of(name, value), len(name) + len(value) + 32)


def _kind_of(name: bytes, value: bytes) -> Kind:
    if name == b"content-length":
        return Kind.LENGTH if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS else Kind.BAD_LENGTH
    if not is_field_value(value):
        return Kind.BAD_VALUE
    if name[:1] == b":":
        return Kind.PSEUDO if name in PSEUDO_FIELDS else Kind.BAD_PSEUDO
    if not is_request_field_name(name):
        return Kind.BAD_NAME
    if name == b"host":
        return Kind.HOST
    if name in CONNECTION_FIELDS:
        dropped = name in _DROPPED and (name != b"te" or value.lower() == b"trailers")
        return Kind.DROPPED if dropped else Kind.CONNECTION
    return Kind.SINGLETON if name in SINGLETONS else Kind.ORDINARY


def parse_request(stream_id: int, fields: Sequence[Field], *, ended: bool) -> RequestHead:
    """Read the decoded fields of a request's HEADERS, pseudo-fields included.

    ended: END_STREAM came with it. Raises RemoteProtocolError (never with a value in its text) when the
    request is malformed or refused; its status_hint says which. Raises ConnectionFault for what the
    module docstring says.
    """
    pseudo = _pseudo_fields(fields)
    kept, single, refusal = _sort_fields(fields[len(pseudo) :])
    if len(fields) > MAX_FIELDS + len(PSEUDO_FIELDS) or sum([f[2] for f in fields]) > MAX_LIST_BYTES:
        raise TooLarge(
            f"more than {MAX_FIELDS} header fields or {MAX_LIST_BYTES} bytes of them", status_hint=431
        )
    method, target = _check_method_and_path(pseudo)
    if refusal:
        raise RemoteProtocolError(refusal)
    return RequestHead(
        method=method,
        target=target,
        authority=_check_authority(pseudo.get(b":authority"), single.get(b"host")),
        headers=tuple(kept),
        http_version=b"2",
        stream_id=stream_id,
        content_length=_check_length(single.get(b"content-length"), ended),
        expects_continue=_check_expect(single.get(b"expect")),
    )


def _pseudo_fields(fields: Iterable[Field]) -> dict[bytes, bytes]:
    """Those before the first other field: wherever else they stand, they are refused."""
    pseudo: dict[bytes, bytes] = {}
    for (name, value), kind, _ in fields:
        if kind is not Kind.PSEUDO:
            break
        if name in pseudo:
            raise RemoteProtocolError(Kind.BAD_PSEUDO.value)
        pseudo[name] = value
    return pseudo


def _sort_fields(
    fields: Iterable[Field],
) -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes], str]:
    """What is passed on, the values of what may come once, and why the request is refused, if it is."""
    ordinary = Kind.ORDINARY
    kept: list[tuple[bytes, bytes]] = []
    single: dict[bytes, bytes] = {}
    refusal = ""
    for pair, kind, _ in fields:
        if kind is ordinary:
            kept.append(pair)
            continue
        name, value = pair
        if kind in (Kind.SINGLETON, Kind.LENGTH, Kind.HOST):
            if kind is Kind.LENGTH and int(single.get(name, value)) != int(value):
                raise protocol_fault("two lengths of one request that differ")
            if name in single:
                refusal = refusal or "a header field that may come once came twice"
            single[name] = value
            if kind is not Kind.HOST:
                kept.append(pair)
        elif kind is Kind.BAD_LENGTH:
            raise protocol_fault(kind.value)
        elif kind in (Kind.BAD_VALUE, Kind.BAD_PSEUDO, Kind.PSEUDO):
            raise RemoteProtocolError((Kind.BAD_PSEUDO if kind is Kind.PSEUDO else kind).value)
        elif kind is not Kind.DROPPED:
            refusal = refusal or kind.value
    return kept, single, refusal


def _check_method_and_path(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    try:
        method, scheme, path = pseudo[b":method"], pseudo[b":scheme"], pseudo[b":path"]
    except KeyError:
        raise RemoteProtocolError("a request without :method, :scheme or :path") from None
    if method not in METHODS:
        raise RemoteProtocolError("the method is not one of the Kubernetes API", status_hint=405)
    if scheme != b"https":
        raise RemoteProtocolError("the scheme is not https")
    if len(path) > MAX_TARGET_BYTES:
        raise TooLarge(f"a request target of more than {MAX_TARGET_BYTES} bytes", status_hint=414)
    if not path.startswith(b"/") or path.translate(None, _NO_VALUE_BLANKS) != path:
        raise RemoteProtocolError("the request target is not an absolute path without blanks")
    return method, path


def _check_authority(authority: bytes | None, host: bytes | None) -> bytes:
    parsed = {_authority_of(value) for value in (authority, host) if value is not None}
    if len(parsed) != 1:
        raise RemoteProtocolError(":authority and Host are missing or differ")
    found = parsed.pop()
    if found is None:
        raise RemoteProtocolError(":authority is not a host and port")
    return found


def _check_length(value: bytes | None, ended: bool) -> int | None:
    length = None if value is None else parse_content_length(value)
    if value is not None and length is None:
        raise RemoteProtocolError("content-length is not a plain decimal number")
    if ended and length:
        raise RemoteProtocolError("content-length promises a body, and none comes")
    return 0 if ended else length


def _check_expect(value: bytes | None) -> bool:
    if value is not None and value.lower() != b"100-continue":
        raise RemoteProtocolError("Expect asks for something other than 100-continue", status_hint=417)
    return value is not None
