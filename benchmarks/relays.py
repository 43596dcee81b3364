"""Two relays that do less than the gateway, to see what each thing it does costs (`benchmarks.limit`).

    bytes   TLS in, TLS out, on the gateway's own TLS streams; reads nothing: what Trio and TLS cost, a limit
    http    also takes HTTP/1.1 apart and puts it together with the gateway's machines; identifies and records nothing

    python -m benchmarks.relays http --kubeconfig FILE --directory DIR

The directory gets `ca.crt`. One connection to the API server for each of the client's. Never for anything but measuring.
"""

import argparse
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio
import trustme

from benchmarks.tunnel_client import connect
from gateway.tls_stream import TlsStream, take_socket
from gateway.upstream.credentials import load_kubeconfig
from protocol.events import BodyChunk, EndOfBody, Event, Headers, RequestHead, ResponseHead
from protocol.http1 import Http1Client, Http1Server

Relay = Callable[[TlsStream, TlsStream], Awaitable[None]]


async def relay_bytes(client: TlsStream, upstream: TlsStream) -> None:
    async def pump(source: TlsStream, sink: TlsStream) -> None:
        while data := await source.receive_some():
            await sink.send_all(data)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump, client, upstream)
        nursery.start_soon(pump, upstream, client)


async def relay_http(client: TlsStream, upstream: TlsStream) -> None:
    """One request after the other, each of them whole before it goes on."""
    server, caller = Http1Server(), Http1Client()
    while data := await client.receive_some():
        events = server.receive(data)
        while events and not isinstance(events[-1], EndOfBody):
            events += server.receive(await client.receive_some())
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


RELAYS: Final[dict[str, Relay]] = {"bytes": relay_bytes, "http": relay_http}


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
            await relay(client, await connect(cluster))
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
