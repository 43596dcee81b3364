"""The handshakes that turn an HTTP/1.1 connection into WebSocket or SPDY, as client and as server.

Reads a client's request to upgrade, writes ours to the API server, checks its 101, writes ours. Which of
the offered protocols can be carried is decided here; what they mean is not. Extensions (compression) are
never offered nor accepted: frames could not be read then.

The trap: nothing a client offers goes upstream as it came. An entry of Sec-WebSocket-Protocol may hold a
bearer token, and a protocol we cannot decode would be negotiated behind our back.
Source: RFC 6455 sections 4.1 and 4.2; k8s.io/apiserver authentication/request/websocket and
util/httpstream/wsstream; k8s.io/apimachinery util/httpstream/spdy.
"""

import hashlib
import re
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import Headers, RequestHead, ResponseHead
from protocol.headers import split_list

Transport: TypeAlias = Literal["websocket", "spdy"]

EXEC_WEBSOCKET: Final = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "base64.channel.k8s.io",
)
"""exec and attach. Without any offer the server speaks channel.k8s.io, unnamed."""

PORTFORWARD_WEBSOCKET: Final = (
    "SPDY/3.1+portforward.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
)
"""port-forward. Without any offer the server speaks v4.channel.k8s.io, unnamed."""

EXEC_SPDY: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""exec and attach. kubectl offers v5 too, but its half-close exists over WebSocket only."""

PORTFORWARD_SPDY: Final = ("portforward.k8s.io",)

PROTOCOLS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("exec", "websocket"): EXEC_WEBSOCKET,
    ("attach", "websocket"): EXEC_WEBSOCKET,
    ("portforward", "websocket"): PORTFORWARD_WEBSOCKET,
    ("exec", "spdy"): EXEC_SPDY,
    ("attach", "spdy"): EXEC_SPDY,
    ("portforward", "spdy"): PORTFORWARD_SPDY,
}
"""What we can decode, by `Call.stream_kind` and transport."""

BEARER_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
"""An entry that begins so is no protocol: the rest is a token in unpadded base64url."""

MAX_OFFERS: Final = 32
"""Entries of one offer. client-go sends five."""

KEY_BYTES: Final = 16

_ACCEPT_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
# Visible ASCII: an RFC 6455 token does not allow the "/" of SPDY/3.1+portforward.k8s.io.
_OFFER: Final = re.compile(rb"[!-~]+")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+")

_TRANSPORTS: Final[Mapping[bytes, Transport]] = {b"websocket": "websocket", b"spdy/3.1": "spdy"}
_TOKENS: Final[Mapping[str, bytes]] = {"websocket": b"websocket", "spdy": b"SPDY/3.1"}
_OFFER_FIELDS: Final[Mapping[str, bytes]] = {
    "websocket": b"sec-websocket-protocol",
    "spdy": b"x-stream-protocol-version",
}


class BearerToken(bytes):
    """A secret; its text forms do not show it."""

    def __repr__(self) -> str:
        return "<bearer token>"

    __str__ = __repr__


class UpgradeRequest(msgspec.Struct, frozen=True):
    """What a client asks for, and may get.

    protocols: those of its offers that we can decode for this kind of stream, in its order; empty: it
    offered none (WebSocket only). key: its Sec-WebSocket-Key, b"" for SPDY.
    """

    transport: Transport
    protocols: tuple[str, ...]
    key: bytes = b""
    bearer_token: BearerToken | None = None


def parse_upgrade(head: RequestHead, stream_kind: str) -> UpgradeRequest:
    """Read a request whose `upgrade` is set.

    stream_kind: of the Call; with "" no offer is left out, for the upgrade will be refused anyway.
    Raises RemoteProtocolError: 400, 401 about a credential, 403 when there is no protocol in common,
    405 for the method. Raises LocalProtocolError when the head is no upgrade.
    """
    transport = _TRANSPORTS.get(head.upgrade)
    if transport is None:
        raise LocalProtocolError("this request asks for no upgrade that we know")
    methods = (b"GET", b"POST") if transport == "spdy" else (b"GET",)
    if head.method not in methods:
        raise RemoteProtocolError("an upgrade with this method", status_hint=405)
    if head.http_version != b"1.1" or head.content_length != 0:
        raise RemoteProtocolError("an upgrade needs HTTP/1.1 and a request without a body")
    key = _websocket_key(head) if transport == "websocket" else b""
    offers = _offers(head, transport)
    token = None
    if transport == "websocket":
        offers, token = _take_bearer_token(offers)
    elif not offers:
        raise RemoteProtocolError("SPDY without X-Stream-Protocol-Version: offer a protocol")
    return UpgradeRequest(transport, _in_common(offers, stream_kind, transport), key, token)


def _websocket_key(head: RequestHead) -> bytes:
    if _values(head.headers, b"sec-websocket-version") != [b"13"]:
        raise RemoteProtocolError("Sec-WebSocket-Version is not 13")
    keys = _values(head.headers, b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise RemoteProtocolError("Sec-WebSocket-Key is not 16 bytes in base64")
    return keys[0]


def _offers(head: RequestHead, transport: Transport) -> list[str]:
    """Entries of all lines, comma lists taken apart, each once."""
    entries = split_list(_values(head.headers, _OFFER_FIELDS[transport]))
    if len(entries) > MAX_OFFERS:
        raise RemoteProtocolError(f"more than {MAX_OFFERS} protocols offered")
    if not all(_OFFER.fullmatch(entry) for entry in entries):
        raise RemoteProtocolError("a protocol offered is not visible ASCII")
    return [entry.decode("ascii") for entry in entries]


def _take_bearer_token(offers: list[str]) -> tuple[list[str], BearerToken | None]:
    """Split a credential off the offers, by kube-apiserver's rules."""
    protocols = [offer for offer in offers if not offer.startswith(BEARER_PREFIX)]
    encoded = [offer.removeprefix(BEARER_PREFIX) for offer in offers if offer.startswith(BEARER_PREFIX)]
    if not encoded:
        return protocols, None
    if len(encoded) > 1:
        raise RemoteProtocolError("more than one bearer token among the subprotocols", status_hint=401)
    if not protocols:
        raise RemoteProtocolError("a bearer subprotocol needs another subprotocol beside it", status_hint=401)
    if not _BASE64URL.fullmatch(encoded[0]) or len(encoded[0]) % 4 == 1:
        raise RemoteProtocolError("the bearer subprotocol is not unpadded base64url", status_hint=401)
    return protocols, BearerToken(urlsafe_b64decode(encoded[0] + "=" * (-len(encoded[0]) % 4)))


def _in_common(offers: list[str], stream_kind: str, transport: Transport) -> tuple[str, ...]:
    distinct = dict.fromkeys(offers)
    if not stream_kind:
        return tuple(distinct)
    decodable = PROTOCOLS[stream_kind, transport]
    protocols = tuple(offer for offer in distinct if offer in decodable)
    if offers and not protocols:
        raise RemoteProtocolError(
            f"no protocol in common: this gateway carries {', '.join(decodable)}", status_hint=403
        )
    return protocols


def accept_key(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for the text of a Sec-WebSocket-Key."""
    return b64encode(hashlib.sha1(key + _ACCEPT_GUID, usedforsecurity=False).digest())


def encode_key(key: bytes) -> bytes:
    """The text of a Sec-WebSocket-Key. key: 16 bytes, random for every handshake."""
    if len(key) != KEY_BYTES:
        raise LocalProtocolError("a WebSocket key is made of 16 bytes")
    return b64encode(key)


def upstream_upgrade_headers(request: UpgradeRequest, key: bytes) -> Headers:
    """The headers of the handshake that make our own request to the API server. key: 16 random bytes."""
    switch = ((b"connection", b"Upgrade"), (b"upgrade", _TOKENS[request.transport]))
    if request.transport == "spdy":
        return switch + tuple((b"x-stream-protocol-version", name.encode()) for name in request.protocols)
    headers = (*switch, (b"sec-websocket-version", b"13"), (b"sec-websocket-key", encode_key(key)))
    if not request.protocols:
        return headers
    # One line: kube-apiserver looks for v5 in the first line only.
    return (*headers, (b"sec-websocket-protocol", ", ".join(request.protocols).encode()))


def check_upgrade_response(head: ResponseHead, request: UpgradeRequest, sent_key: bytes) -> str:
    """The protocol an API server chose with its 101; "" when none was offered, or SPDY's very first.

    sent_key: what `upstream_upgrade_headers` got. Raises RemoteProtocolError (502) when the 101 answers
    another request than ours: then nothing may flow in either direction.
    """
    if head.status != 101:
        raise _unacceptable("the answer to the upgrade is not 101")
    connection = {option.lower() for option in split_list(_values(head.headers, b"connection"))}
    upgrade = [token.lower() for token in split_list(_values(head.headers, b"upgrade"))]
    if b"upgrade" not in connection or upgrade != [_TOKENS[request.transport].lower()]:
        raise _unacceptable("the 101 switches to another protocol than the one asked for")
    if request.transport == "websocket":
        if _values(head.headers, b"sec-websocket-accept") != [accept_key(encode_key(sent_key))]:
            raise _unacceptable("Sec-WebSocket-Accept does not belong to our key")
        if split_list(_values(head.headers, b"sec-websocket-extensions")):
            raise _unacceptable("a WebSocket extension was chosen that was not offered")
    return _chosen(head, request)


def _chosen(head: ResponseHead, request: UpgradeRequest) -> str:
    values = [value for value in _values(head.headers, _OFFER_FIELDS[request.transport]) if value]
    if len(values) > 1:
        raise _unacceptable("more than one protocol was chosen")
    chosen = values[0].decode("latin-1") if values else ""
    if chosen in request.protocols:
        return chosen
    # A SPDY server that names none is older than the names, and speaks channel.k8s.io; port-forward has no such past.
    is_unnamed_first = request.transport == "spdy" and request.protocols != PORTFORWARD_SPDY
    if not chosen and (not request.protocols or is_unnamed_first):
        return ""
    raise _unacceptable("the protocol chosen is not one that was offered")


def _unacceptable(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(why, status_hint=502)


def client_upgrade_headers(request: UpgradeRequest, chosen: str) -> Headers:
    """The headers of our 101 to the client. chosen: what `check_upgrade_response` returned."""
    headers: Headers = ((b"connection", b"Upgrade"), (b"upgrade", _TOKENS[request.transport]))
    if request.transport == "websocket":
        headers += ((b"sec-websocket-accept", accept_key(request.key)),)
    if chosen:
        headers += ((_OFFER_FIELDS[request.transport], chosen.encode()),)
    return headers


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]
