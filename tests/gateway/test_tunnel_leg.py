"""One side of a tunnel: what its task that reads must never wait for."""

import socket

import trio
import trio.testing

from gateway.read_deadlines import ReadDeadlines
from gateway.tunnel_leg import KEEPALIVE_S, ClusterLeg
from gateway.upstream.connection import UpstreamConnection
from protocol.channels import open_channel_machine
from protocol.events import Channel, ChannelData
from protocol.side import Side
from tests.gateway.test_tls_stream import pair

PROTOCOL = "v5.channel.k8s.io"


async def test_a_ping_that_a_busy_cluster_does_not_take_does_not_keep_its_output_unread(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A command that waits for its output to be read may read no input meanwhile: who waits to write waits for ever."""
    deadlines = ReadDeadlines()
    output = open_channel_machine("exec", "websocket", PROTOCOL, Side.SERVER)
    output.send(ChannelData(Channel.STDOUT, b"much"))
    async with pair(within_s=4 * KEEPALIVE_S) as (cluster, ours), trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        machine = open_channel_machine("exec", "websocket", PROTOCOL, Side.CLIENT)
        leg = ClusterLeg(UpstreamConnection(ours, 0, deadlines), machine)
        ours._sock.send(bytes(4 * ours._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)))

        async def speak_after_the_ping() -> None:
            await trio.sleep(2 * KEEPALIVE_S)
            await cluster.send_all(output.data_to_send())

        nursery.start_soon(speak_after_the_ping)
        assert await leg.receive() == [ChannelData(Channel.STDOUT, b"much")]
        nursery.cancel_scope.cancel()
