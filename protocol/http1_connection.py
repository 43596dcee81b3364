"""What an HTTP/1.1 server and an HTTP/1.1 client do alike: read one direction, write the other.

Turns the exceptions of the parsers into the one last event `Failed`, bodies into chunks, and keeps
both directions on their tables. Heads differ by role: see `http1` and `http1_client`.
"""

from abc import ABC, abstractmethod
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, Failed
from protocol.http1_framing import BodyReader, BodyWriter, HeadOnlyWriter, LengthReader
from protocol.http1_heads import Limits
from protocol.http1_intake import Intake
from protocol.http1_states import Phase, Steps

END_OF_BODY: Final = EndOfBody()
BODILESS_STATUSES: Final = frozenset({204, 304})


class Connection(ABC):
    """What both roles share. A role sets the limits, where the directions are, and says how its heads go."""

    _limits: Limits
    _received: Steps
    _sent: Steps
    _inbound: Phase
    _outbound: Phase

    def __init__(self) -> None:
        self._intake = Intake()
        self._reader: BodyReader = LengthReader(0)
        self._writer: BodyWriter = HeadOnlyWriter()
        self._to_send: list[bytes] = []
        self._peer_ended = False  # the peer's end of input has come
        self._failed = False

    def receive(self, data: bytes) -> list[Event]:
        """Read bytes of the peer; b"" is its end of input. Call `data_to_send` afterwards.

        A violation is the last event, `Failed`; nothing is read after it. Raises LocalProtocolError
        only after a switch to another protocol, when bytes belong to the tunnel.
        """
        if self._inbound is Phase.RAW:
            raise LocalProtocolError("the connection has switched protocols")
        if self._peer_ended or self._failed:
            return []
        if data:
            self._intake.feed(data)
        else:
            self._peer_ended = True
        return self._read()

    def data_to_send(self) -> bytes:
        """Take the bytes for the peer, b"" if there are none."""
        data = b"".join(self._to_send)
        self._to_send.clear()
        return data

    def _read(self) -> list[Event]:
        events: list[Event] = []
        try:
            self._parse(events)
            if self._peer_ended:
                self._end_input(events)
        except RemoteProtocolError as error:
            self._fail()
            events.append(Failed(error))
        return events

    def _fail(self) -> None:
        """The peer broke the protocol: nothing is read any more."""
        self._failed = True
        self._inbound = self._received.stop[self._inbound]

    @abstractmethod
    def _parse(self, events: list[Event]) -> None:
        """Read what has come as far as it goes now; raises RemoteProtocolError."""
        ...

    @abstractmethod
    def _end_input(self, events: list[Event]) -> None:
        """Judge an end of input here, after `_parse`; raises RemoteProtocolError."""
        ...

    def _read_body(self, events: list[Event]) -> None:
        """Read on in phase BODY."""
        pieces: list[bytes] = []
        try:
            complete = self._reader.read(self._intake, pieces)
        finally:
            # what came before an offence counts; many small chunks of one read are one event
            if pieces:
                events.append(BodyChunk(b"".join(pieces)))
        if complete:
            self._inbound = self._received.end[self._inbound]
            events.append(END_OF_BODY)

    def _send_chunk(self, event: BodyChunk) -> None:
        if self._outbound is not Phase.BODY:  # else it stays there
            self._outbound = self._sent.chunk[self._outbound]
        self._writer.write(event.data, self._to_send)

    def _send_end(self) -> None:
        self._outbound = self._sent.end[self._outbound]
        self._writer.end(self._to_send)
