"""How h2 is set up for a server of ours, and the frames of connection state written without it.

h2 is told other settings than the client where its own reaction to a violation is too harsh (it ends
the connection), and no table of response headers is kept (see `http2_headers.LiteralEncoder`).
Source: RFC 9113 sections 6.5, 6.8, 6.9; RFC 9218; h2 4.4.1.
"""

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, PingFrame, SettingsFrame, WindowUpdateFrame

from protocol.http2_frames import MAX_FRAME_BYTES, PREFACE
from protocol.http2_headers import MAX_LIST_BYTES, LiteralEncoder

MAX_CONCURRENT_STREAMS: Final = 100
"""What kube-apiserver offers, and what client-go assumes before it has read our SETTINGS."""

STREAM_WINDOW_BYTES: Final = 256 * 1024
CONNECTION_WINDOW_BYTES: Final = 1024 * 1024
"""The most that request bodies of one connection may hold here unread: four uploads at full speed."""

_HEADER_LIST_SLACK: Final = 2  # up to twice the limit one stream gets a 431, beyond it the connection ends


def make_connection() -> H2Connection:
    connection = H2Connection(
        H2Configuration(
            client_side=False,
            validate_inbound_headers=False,  # http2_headers does, stream by stream
            normalize_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
    )
    # h2 ends the connection over one stream too many, which a client that has not read our SETTINGS
    # may well open; so h2 gets no limit and the machine refuses the stream.
    connection.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: _HEADER_LIST_SLACK * MAX_LIST_BYTES,
        },
    )
    connection.max_inbound_frame_size = MAX_FRAME_BYTES
    connection.decoder.max_header_list_size = _HEADER_LIST_SLACK * MAX_LIST_BYTES
    connection.encoder = LiteralEncoder()  # type: ignore[assignment]
    connection.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65535)
    connection.clear_outbound_data_buffer()  # that frame must follow our SETTINGS: the caller queues both
    connection.receive_data(PREFACE)  # the cutter checks it
    return connection


def settings_frame() -> bytes:
    return SettingsFrame(
        0,
        {
            SettingsFrame.HEADER_TABLE_SIZE: 4096,
            SettingsFrame.MAX_CONCURRENT_STREAMS: MAX_CONCURRENT_STREAMS,
            SettingsFrame.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            SettingsFrame.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            SettingsFrame.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
            9: 1,  # NO_RFC7540_PRIORITIES (RFC 9218): spares us PRIORITY frames
        },
    ).serialize()


def window_update(increment: int) -> bytes:
    return WindowUpdateFrame(0, increment).serialize()


def goaway_frame(last_stream_id: int, code: int) -> bytes:
    return GoAwayFrame(0, last_stream_id, code).serialize()


def ping_ack(data: bytes) -> bytes:
    """The answer to a PING of these 8 bytes."""
    return PingFrame(0, data, flags=["ACK"]).serialize()
