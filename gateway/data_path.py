"""The data path of one process: from listening to the last word to its clients. Conduct.

A drain lets short calls finish and tells whoever stays. New connections are served all the while, one answer each,
unless somebody else accepts on the same socket already: nobody is refused because we are about to go.
"""

import ssl
from functools import partial
from typing import Final

import trio

from gateway import exchange
from gateway.config import Settings
from gateway.malformed import refuse_malformed
from gateway.server.listener import Listener
from gateway.services import Services

LAST_WORDS_S: Final = 3.0
"""What ended streams may take to tell their users why."""
SETTLE_S: Final = 0.01
RESTARTING: Final = "kubetape restarts: connect again"


class DataPath:
    """One process's share of the clients. `start` it once, then `drain`, then `end`."""

    def __init__(self, settings: Settings, services: Services, context: ssl.SSLContext) -> None:
        """context: the TLS of its clients."""
        self._settings, self._services = settings, services
        serve = partial(exchange.serve, services=services)
        self.listener = Listener(context, serve, partial(refuse_malformed, services))

    async def start(self, nursery: trio.Nursery, sockets: list[trio.SocketListener]) -> None:
        """Serve clients from now on."""
        await nursery.start(self._services.pool.cluster.credential.run)
        nursery.start_soon(self._services.pool.run)
        await nursery.start(self.listener.run, sockets)

    async def drain(self, *, accepting: bool) -> None:
        """Until nothing is under way, or the time for that is up. accepting: go on taking connections."""
        self.listener.drain(accepting=accepting)
        with trio.move_on_after(self._settings.drain_seconds):
            while True:
                await trio.sleep(SETTLE_S)  # what was accepted a moment ago is not counted yet
                await self._services.live.wait_none()
                if not self.listener.unserved:
                    return

    async def end(self, why: str) -> None:
        """Take nobody any more, and end what would not end by itself, with a reason."""
        live = self._services.live
        self.listener.stop_accepting()
        live.cut_all(why)
        with trio.move_on_after(LAST_WORDS_S):
            await live.wait_none()
        self._services.pool.close()
