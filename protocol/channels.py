"""Which machine speaks a tunnel: one function, for the side that faces the client and the other one.

It decides by what was negotiated, nothing else; whether it may be negotiated is decided elsewhere.
"""

from collections.abc import Sequence

from protocol.errors import LocalProtocolError
from protocol.events import Machine
from protocol.portforward import (
    TUNNEL_PROTOCOL,
    LegacyWebSocketPortForward,
    SpdyPortForward,
    WebSocketTunnelPortForward,
)
from protocol.remotecommand import SpdyRemoteCommand, WebSocketRemoteCommand
from protocol.side import Side


def open_channel_machine(
    kind: str, transport: str, protocol: str, side: Side, *, ports: Sequence[int] = ()
) -> Machine:
    """Make the channel machine of one end of a tunnel; its first input is the first byte after the 101.

    kind: "exec", "attach" or "portforward". transport: "websocket" or "spdy". protocol: the chosen
    subprotocol or X-Stream-Protocol-Version, "" for none. side: SERVER faces the client.
    ports: of the query, for legacy port-forward. Raises LocalProtocolError for what does not exist.
    """
    match kind, transport:
        case (("exec" | "attach"), "spdy"):
            return SpdyRemoteCommand(side, protocol)
        case (("exec" | "attach"), "websocket"):
            return WebSocketRemoteCommand(side, protocol)
        case "portforward", "spdy":
            return SpdyPortForward(side)
        case "portforward", "websocket":
            if protocol == TUNNEL_PROTOCOL:
                return WebSocketTunnelPortForward(side)
            return LegacyWebSocketPortForward(side, ports, protocol)
    raise LocalProtocolError(f"no machine for {kind!r} over {transport!r}")
