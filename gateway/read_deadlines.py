"""Deadlines for the reads of many streams, kept by one task.

A cancel scope around each read costs more than reading and decrypting what comes, and almost none ever
expires. So a stream's owner notes until when it waits, and one task looks twice a second whose time is over.
The trap: a deadline is met up to TICK_S late, which none that protects from slow peers minds.
"""

from typing import Final

import trio

from gateway.tls_stream import TlsStream

TICK_S: Final = 0.5


class ReadDeadlines:
    """Interrupts `receive_some` of streams whose time is over, again and again until their owner clears them."""

    def __init__(self) -> None:
        self._until_s: dict[TlsStream, float] = {}  # on Trio's clock
        self._nothing: trio.Event | None = None  # what `run` waits for while nobody has a deadline

    def set(self, stream: TlsStream, within_s: float) -> None:
        """From now on the stream's reads must end `within_s` from now: see `TlsStream.interrupt`."""
        self._until_s[stream] = trio.current_time() + within_s
        if self._nothing is not None:
            self._nothing.set()
            self._nothing = None

    def clear(self, stream: TlsStream) -> None:
        """The stream's reads may take as long as they like."""
        self._until_s.pop(stream, None)

    async def run(self) -> None:
        """Look forever. Without it no deadline is met."""
        while True:
            if not self._until_s:  # an idle gateway sleeps
                self._nothing = trio.Event()
                await self._nothing.wait()
            await trio.sleep(TICK_S)
            now_s = trio.current_time()
            for stream, until_s in self._until_s.items():
                if until_s <= now_s:
                    stream.interrupt()
