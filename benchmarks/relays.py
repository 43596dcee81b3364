"""Relays that do less than the gateway, to see what each thing it does costs (`benchmarks.limit`).

    bytes   TLS in, TLS out, on the gateway's own TLS streams; reads nothing: what Trio and TLS cost, a limit
    http    also takes HTTP/1.1 apart and puts it together with the gateway's machines; identifies and records nothing
    exec    the same for one exec: its upgrade, then the frames of its channels in both directions

    python -m benchmarks.relays http --kubeconfig FILE --directory DIR

The directory gets `ca.crt`. One connection to the API server for each of the client's. Never for anything but measuring.
"""

import argparse
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio
import trustme

from benchmarks.tunnel_client import connect
from gateway.tls_stream import TlsStream, take_socket
from gateway.upstream.credentials import load_kubeconfig
from protocol.channel_runs import join_neighbours
from protocol.channels import open_channel_machine
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    Headers,
    Machine,
    PeerClosed,
    Ping,
    Pong,
    RequestHead,
    ResponseHead,
    TunnelClosed,
    Upgraded,
)
from protocol.http1 import Http1Server
from protocol.http1_client import Http1Client
from protocol.side import Side
from protocol.upgrade import (
    check_upgrade_response,
    client_upgrade_headers,
    parse_upgrade,
    upstream_upgrade_headers,
)

_ENDS: Final = (TunnelClosed, PeerClosed, Failed)
_OF_ONE_SIDE: Final = (Ping, Pong, PeerClosed, Failed)

Relay = Callable[[TlsStream, TlsStream], Awaitable[None]]


async def relay_bytes(client: TlsStream, upstream: TlsStream) -> None:
    async def pump(source: TlsStream, sink: TlsStream) -> None:
        while data := await source.receive_some():
            await sink.send_all(data)

    await _until_one_ends(pump(client, upstream), pump(upstream, client))


async def _until_one_ends(*pumps: Awaitable[None]) -> None:
    async def run(pump: Awaitable[None]) -> None:
        await pump
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for pump in pumps:
            nursery.start_soon(run, pump)


async def relay_http(client: TlsStream, upstream: TlsStream) -> None:
    """One request after the other, each of them whole before it goes on."""
    server, caller = Http1Server(), Http1Client()
    while events := await _request(client, server):
        for event in events:
            caller.send(_outward(event))
        await upstream.send_all(caller.data_to_send())
        over = False
        while not over:
            for event in caller.receive(await upstream.receive_some()):
                server.send(_inward(event))
                over = over or isinstance(event, EndOfBody)
            await client.send_all(server.data_to_send())
        server.next_request()


async def _request(client: TlsStream, server: Http1Server) -> list[Event]:
    """A whole one; [] when the client has left."""
    events: list[Event] = []
    while not (events and isinstance(events[-1], EndOfBody)):
        data = await client.receive_some()
        if not data:
            return []
        events += server.receive(data)
    return events


async def relay_exec(client: TlsStream, upstream: TlsStream) -> None:
    server, caller = Http1Server(), Http1Client()
    events = await _request(client, server)
    if not events:
        return
    head = events[0]
    assert isinstance(head, RequestHead)
    upgrade, key = parse_upgrade(head, "exec"), os.urandom(16)
    headers = upstream_upgrade_headers(upgrade, key)
    caller.send(RequestHead(head.method, head.target, head.authority, headers, upgrade=head.upgrade))
    caller.send(EndOfBody())
    await upstream.send_all(caller.data_to_send())
    while not (answers := caller.receive(await upstream.receive_some())):
        pass
    answer = answers[0]
    assert isinstance(answer, Upgraded)
    protocol = check_upgrade_response(answer.head, upgrade, key)
    front, back = (
        open_channel_machine("exec", upgrade.transport, protocol, side) for side in (Side.SERVER, Side.CLIENT)
    )
    server.send(ResponseHead(101, client_upgrade_headers(upgrade, protocol)))
    await client.send_all(server.data_to_send())
    await _until_one_ends(
        _pump_events(client, front, upstream, back, server.take_leftover()),
        _pump_events(upstream, back, client, front, answer.leftover),
    )


async def _pump_events(
    source: TlsStream, reader: Machine, sink: TlsStream, writer: Machine, data: bytes
) -> None:
    """Until the source is over. data: what came before."""
    over = False
    while not over and (data := data or await source.receive_some()):
        for event in join_neighbours(reader.receive(data)):
            if not isinstance(event, _OF_ONE_SIDE):
                writer.send(event)
            over = over or isinstance(event, _ENDS)
        await source.send_all(reader.data_to_send())
        await sink.send_all(writer.data_to_send())
        data = b""


def _outward(event: Event) -> Event:
    if not isinstance(event, RequestHead):
        return event
    return RequestHead(
        event.method, event.target, event.authority, event.headers, content_length=event.content_length
    )


def _inward(event: Event) -> Event:
    if not isinstance(event, ResponseHead):
        return BodyChunk(event.data) if isinstance(event, BodyChunk) else event
    headers: Headers = tuple(one for one in event.headers if one[0] != b"content-length")
    return ResponseHead(event.status, headers, content_length=event.content_length)


RELAYS: Final[dict[str, Relay]] = {"bytes": relay_bytes, "http": relay_http, "exec": relay_exec}


async def serve(relay: Relay, kubeconfig: Path, directory: Path) -> None:
    """Until killed; prints the port."""
    cluster = load_kubeconfig(kubeconfig)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def handle(transport: trio.SocketStream) -> None:
        client = TlsStream(take_socket(transport), context, server_side=True)
        try:
            await client.do_handshake()
            upstream = await connect(cluster)
            try:
                await relay(client, upstream)
            finally:
                upstream.close()
        except trio.BrokenResourceError:
            pass  # a benchmark is over
        finally:
            client.close()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print("on port", listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(handle, listeners)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("relay", choices=RELAYS)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--directory", type=Path, required=True)
    arguments = parser.parse_args()
    trio.run(serve, RELAYS[arguments.relay], arguments.kubeconfig, arguments.directory)


if __name__ == "__main__":
    main()
