"""A stand-in for the WebSocket machine: it receives the events a test gives it and keeps what is sent."""

from protocol.errors import LocalProtocolError
from protocol.events import Event, Failed, MessageChunk, Ping, WebSocketClosed


class FakeWebSocket:
    """`receive` ignores its bytes and returns `incoming`; everything sent is in `sent`, checked a little."""

    def __init__(self) -> None:
        self.incoming: list[Event] = []
        self.sent: list[Event] = []
        self._is_closed = False

    def receive(self, data: bytes) -> list[Event]:
        events, self.incoming = self.incoming, []
        if any(isinstance(event, WebSocketClosed | Failed) for event in events):
            self._is_closed = True  # the real one answers a Close, or fails, by itself
        return events

    def send(self, event: Event) -> None:
        if not isinstance(event, MessageChunk | WebSocketClosed | Ping):
            raise LocalProtocolError(f"a WebSocket cannot say {type(event).__name__}")
        if self._is_closed:
            raise LocalProtocolError("after the Close")
        if isinstance(event, MessageChunk) and not event.data:
            raise LocalProtocolError("an empty message kills kubectl")
        self._is_closed = isinstance(event, WebSocketClosed)
        self.sent.append(event)

    def data_to_send(self) -> bytes:
        return b""
