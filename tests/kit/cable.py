"""The network between a gateway and its database, which can stop to carry anything without a word to either."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.kit.postgres_server import PostgresServer


class Cable:
    """A TCP connection to a server that can be cut without a word: bytes just stop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = trio.Event()
        self._whole.set()
        self.port = 0

    def cut(self) -> None:
        self._whole = trio.Event()

    def mend(self) -> None:
        self._whole.set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        server = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, client, server, nursery)
            nursery.start_soon(self._pump, server, client, nursery)

    async def _pump(
        self, source: trio.SocketStream, target: trio.SocketStream, nursery: trio.Nursery
    ) -> None:
        try:
            while data := await source.receive_some():
                await self._whole.wait()
                await target.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def cabled(dsn: str, server: PostgresServer) -> AsyncIterator[tuple[Cable, str]]:
    cable = Cable(server.port)
    async with trio.open_nursery() as nursery:
        await nursery.start(cable.run)
        yield cable, dsn.replace(f":{server.port}/", f":{cable.port}/")
        nursery.cancel_scope.cancel()
