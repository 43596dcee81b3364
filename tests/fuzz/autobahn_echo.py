"""Our WebSocket machine as an echo server and as an echoing client, over plain TCP: what Autobahn talks to.

Only the machines are ours to prove here (http1, upgrade, websocket); the sockets are Trio's. Each chunk is
echoed as it came, so nothing is ever collected, and neither side can make the other hold a message.
"""

import os
import sys
from functools import partial

import trio

from protocol.events import (
    Failed,
    Headers,
    MessageChunk,
    RequestHead,
    ResponseHead,
    Upgraded,
    WebSocketClosed,
)
from protocol.http1 import Http1Server
from protocol.http1_client import Http1Client
from protocol.side import Side
from protocol.upgrade import (
    UpgradeRequest,
    check_upgrade_response,
    client_upgrade_headers,
    parse_upgrade,
    upstream_upgrade_headers,
)
from protocol.websocket import WebSocketConnection

READ_BYTES = 64 * 1024


async def echo(stream: trio.SocketStream, websocket: WebSocketConnection, data: bytes) -> list[bytes]:
    """Send back every message until the closing handshake; returns the data of all chunks received."""
    received: list[bytes] = []
    over = False
    while not over:
        for event in websocket.receive(data) if data else ():
            if isinstance(event, MessageChunk):
                received.append(event.data)
                websocket.send(event)
            over = over or isinstance(event, WebSocketClosed | Failed)
        if queued := websocket.data_to_send():
            await stream.send_all(queued)
        if not over:
            data = await stream.receive_some(READ_BYTES)
            over = not data
    return received


async def serve_connection(stream: trio.SocketStream) -> None:
    """Answer one handshake, then echo."""
    http = Http1Server()
    try:
        head = None
        while head is None:
            data = await stream.receive_some(READ_BYTES)
            events = http.receive(data)
            head = next((event for event in events if isinstance(event, RequestHead)), None)
            if not data or (events and isinstance(events[-1], Failed)):
                return
        request = parse_upgrade(head, "")
        http.send(ResponseHead(101, client_upgrade_headers(request, "")))
        await stream.send_all(http.data_to_send())
        await echo(stream, WebSocketConnection(Side.SERVER), http.take_leftover())
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the suite drops connections; that is what some of its cases are about
    finally:
        await trio.aclose_forcefully(stream)


async def serve(port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve forever on 127.0.0.1; starts with the port."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(serve_connection, listeners, handler_nursery=nursery)


async def run_client(port: int, target: bytes) -> bytes:
    """One connection to Autobahn's server as an echoing client; returns all it was sent."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        http, request = Http1Client(), UpgradeRequest("websocket", ())
        key = os.urandom(16)
        headers: Headers = upstream_upgrade_headers(request, key)
        http.send(RequestHead(b"GET", target, b"127.0.0.1:%d" % port, headers, upgrade=b"websocket"))
        await stream.send_all(http.data_to_send())
        while True:
            data = await stream.receive_some(READ_BYTES)
            events = http.receive(data)
            if events or not data:
                break
        upgraded = events[-1]
        if not isinstance(upgraded, Upgraded):
            raise RuntimeError(f"the suite did not switch to WebSocket: {events}")
        check_upgrade_response(upgraded.head, request, key)
        return b"".join(await echo(stream, WebSocketConnection(Side.CLIENT), upgraded.leftover))
    except trio.BrokenResourceError:
        return b""
    finally:
        await trio.aclose_forcefully(stream)


async def run_all_client_cases(port: int, agent: str) -> int:
    """Every case of a fuzzing server, then its report; returns how many there were."""
    count = int(await run_client(port, b"/getCaseCount"))
    for case in range(1, count + 1):
        await run_client(port, f"/runCase?case={case}&agent={agent}".encode())
    await run_client(port, f"/updateReports?agent={agent}".encode())
    return count


if __name__ == "__main__":
    trio.run(partial(serve, int(sys.argv[1]) if len(sys.argv) > 1 else 9001))
