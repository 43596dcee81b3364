import pytest

from protocol.channels import open_channel_machine
from protocol.errors import LocalProtocolError
from protocol.portforward import LegacyWebSocketPortForward, SpdyPortForward, WebSocketTunnelPortForward
from protocol.remotecommand import SpdyRemoteCommand, WebSocketRemoteCommand
from protocol.side import Side


@pytest.mark.parametrize(
    ("kind", "transport", "protocol", "machine"),
    [
        ("exec", "spdy", "v4.channel.k8s.io", SpdyRemoteCommand),
        ("attach", "spdy", "", SpdyRemoteCommand),
        ("exec", "websocket", "v5.channel.k8s.io", WebSocketRemoteCommand),
        ("attach", "websocket", "", WebSocketRemoteCommand),
        ("portforward", "spdy", "portforward.k8s.io", SpdyPortForward),
        ("portforward", "websocket", "SPDY/3.1+portforward.k8s.io", WebSocketTunnelPortForward),
        ("portforward", "websocket", "v4.channel.k8s.io", LegacyWebSocketPortForward),
        ("portforward", "websocket", "", LegacyWebSocketPortForward),
    ],
)
def test_each_tunnel_has_its_machine(kind: str, transport: str, protocol: str, machine: type) -> None:
    for side in Side:
        assert type(open_channel_machine(kind, transport, protocol, side, ports=(80,))) is machine


@pytest.mark.parametrize(
    ("kind", "transport", "protocol"),
    [
        ("exec", "spdy", "portforward.k8s.io"),
        ("exec", "websocket", "v2.channel.k8s.io"),
        ("portforward", "websocket", "channel.k8s.io"),
        ("proxy", "websocket", ""),
        ("exec", "h2", ""),
    ],
)
def test_what_does_not_exist_is_our_error(kind: str, transport: str, protocol: str) -> None:
    with pytest.raises(LocalProtocolError):
        open_channel_machine(kind, transport, protocol, Side.SERVER, ports=(80,))
