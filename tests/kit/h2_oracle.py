"""The h2 library as a server: what it says of each frame, in words that can be compared with ours.

It is told our settings, and its checks of header fields are off: ours are stricter, and tested by themselves.
"""

from collections.abc import Iterator

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, TrailersReceived, WindowUpdated
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from protocol.events import BodyChunk, EndOfBody, Event, RequestHead, WindowOpened
from protocol.events import StreamReset as OurStreamReset
from protocol.http2_frames import MAX_FRAME_BYTES
from protocol.http2_hpack import MAX_DECODED_BYTES
from protocol.http2_setup import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from tests.kit import h2_wire as wire

Fact = tuple[object, ...]


def open_h2_server() -> H2Connection:
    """Past the exchange of SETTINGS, with nothing queued: as `h2_wire.open_server`."""
    server = H2Connection(
        H2Configuration(
            client_side=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
            header_encoding=None,
        )
    )
    server.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: MAX_DECODED_BYTES,
        },
    )
    server.max_inbound_frame_size = MAX_FRAME_BYTES
    server.decoder.max_header_list_size = MAX_DECODED_BYTES
    server.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65535)
    server.receive_data(wire.PREFACE + wire.settings() + wire.settings(ack=True))
    server.data_to_send()
    return server


def facts_of_h2(server: H2Connection, frame: bytes) -> list[Fact]:
    """What one frame means to h2, and what it makes h2 say."""
    try:
        events: list[H2Event] = server.receive_data(frame)
    except ProtocolError:
        events = []
    for event in events:
        if isinstance(event, TrailersReceived) and event.headers:  # we take none: see test_http2_rfc9113
            return [("reset", event.stream_id, 1), ("fault", 1)]
    return [*_facts(events), *_faults(server.data_to_send())]


def _facts(events: list[H2Event]) -> Iterator[Fact]:
    for event in events:
        if isinstance(event, RequestReceived):
            yield "request", event.stream_id, dict(event.headers or ())[b":path"]
        elif isinstance(event, DataReceived) and event.data:
            yield "data", event.stream_id, event.data, event.flow_controlled_length
        elif isinstance(event, StreamEnded):
            yield "end", event.stream_id
        elif isinstance(event, StreamReset):
            yield "reset", event.stream_id, int(event.error_code or 0)
        elif isinstance(event, WindowUpdated):
            yield "window", event.stream_id


def facts_of_ours(events: list[Event], sent: bytes) -> list[Fact]:
    """The same of our machine."""
    found: list[Fact] = []
    for event in events:
        if isinstance(event, RequestHead):
            found.append(("request", event.stream_id, event.target))
        elif isinstance(event, BodyChunk):
            found.append(("data", event.stream_id, event.data, event.flow_bytes))
        elif isinstance(event, EndOfBody):
            found.append(("end", event.stream_id))
        elif isinstance(event, OurStreamReset):
            found.append(("reset", event.stream_id, event.code))
        elif isinstance(event, WindowOpened):
            found.append(("window", event.stream_id))
    return [*found, *_faults(sent)]


def _faults(sent: bytes) -> list[Fact]:
    """Codes only: whether a stream or the connection ends is a choice within RFC 9113 section 5.4."""
    return [("fault", code) for _, code in wire.resets_of(sent) + wire.goaways_of(sent)]
