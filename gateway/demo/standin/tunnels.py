"""Which protocol an upgraded connection will speak, and the answer that says so.

Negotiated as kube-apiserver and kubelet do between them: v5 wins if offered and known, else the first
entry both know; what is not understood gets a bare 403, from which kubectl falls back to SPDY.
Source: apiserver util/httpstream/wsstream, apimachinery util/httpstream/spdy, kubelet cri/streaming.
"""

import base64
import hashlib
from typing import Final

import msgspec

from gateway.demo.standin.cluster import Request
from gateway.demo.standin.replies import Headers, bad_request
from gateway.demo.standin.settings import StandinSettings

BEARER_PREFIX: Final = "base64url.bearer.authorization.k8s.io."
TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
V5: Final = "v5.channel.k8s.io"
REMOTE_WEBSOCKET: Final = (
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
FORWARD_WEBSOCKET: Final = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
REMOTE_SPDY: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
FORWARD_SPDY: Final = ("portforward.k8s.io",)
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Upgrade(msgspec.Struct, frozen=True):
    """The 101 to send, and what is spoken after it. protocol "": none was offered."""

    transport: str
    protocol: str
    headers: Headers


class Refused(Exception):
    """The handshake fails: status and headers of the bare answer, no body, then close."""

    def __init__(self, status: int, headers: Headers = ()) -> None:
        super().__init__(status)
        self.status, self.headers = status, headers


def negotiate(request: Request, settings: StandinSettings) -> Upgrade:
    """Choose. Raises Refused, or Failure 400 for what is no upgrade request."""
    wanted = {word.strip().lower() for word in request.header(b"upgrade").split(",")}
    connection = {word.strip().lower() for word in request.header(b"connection").split(",")}
    if "upgrade" not in connection or not wanted & {"websocket", "spdy/3.1"}:
        raise bad_request("Upgrade request required")
    if "websocket" in wanted:
        return _negotiate_websocket(request, settings)
    return _negotiate_spdy(request)


def offered_protocols(request: Request) -> list[str]:
    """Entries of Sec-WebSocket-Protocol, a bearer token among them left out."""
    words = [word.strip() for word in request.header(b"sec-websocket-protocol").split(",")]
    return [word for word in words if word and not word.startswith(BEARER_PREFIX)]


def bearer_of_protocols(request_header: str) -> bytes | None:
    """An Authorization value out of Sec-WebSocket-Protocol, as browsers send it, or None."""
    for word in request_header.split(","):
        if word.strip().startswith(BEARER_PREFIX):
            token = word.strip().removeprefix(BEARER_PREFIX)
            return b"Bearer " + base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return None


def _negotiate_websocket(request: Request, settings: StandinSettings) -> Upgrade:
    key = request.header(b"sec-websocket-key").encode()
    if request.method != "GET" or not key or request.header(b"sec-websocket-version") != "13":
        raise Refused(400)
    offered = offered_protocols(request)
    if request.target.subresource == "portforward":
        known: tuple[str, ...] = FORWARD_WEBSOCKET
        best = TUNNEL if settings.portforward_tunnel and TUNNEL in offered else None
    else:
        known = REMOTE_WEBSOCKET
        best = V5 if settings.websocket_v5 and V5 in offered else None
    chosen = best or next((one for one in offered if one in known), "" if not offered else None)
    if chosen is None:
        raise Refused(403)
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    headers: Headers = (
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", accept),
    )
    if chosen:
        headers += ((b"sec-websocket-protocol", chosen.encode()),)
    return Upgrade("websocket", chosen, headers)


def _negotiate_spdy(request: Request) -> Upgrade:
    known = FORWARD_SPDY if request.target.subresource == "portforward" else REMOTE_SPDY
    offered = [
        word.strip() for word in request.header(b"x-stream-protocol-version").split(",") if word.strip()
    ]
    if not offered:
        raise bad_request("unable to upgrade: X-Stream-Protocol-Version is missing")
    chosen = next((one for one in offered if one in known), None)
    if chosen is None:
        raise Refused(403, tuple((b"x-accepted-stream-protocol-versions", one.encode()) for one in known))
    headers = (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"SPDY/3.1"),
        (b"x-stream-protocol-version", chosen.encode()),
    )
    return Upgrade("spdy", chosen, headers)
