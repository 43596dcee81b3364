from protocol.http2_frames import MAX_FRAME_BYTES
from protocol.http2_headers import MAX_LIST_BYTES
from protocol.http2_setup import (
    CONNECTION_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
    goaway_frame,
    make_connection,
    ping_ack,
    settings_frame,
    window_update,
)
from tests.kit import h2_wire as wire


def test_h2_enforces_what_the_client_is_told() -> None:
    (told,) = wire.frames_of(settings_frame())
    connection = make_connection()
    assert connection.local_settings.initial_window_size == told.settings[4] == STREAM_WINDOW_BYTES
    assert connection.max_inbound_frame_size == told.settings[5] == MAX_FRAME_BYTES
    assert connection.inbound_flow_control_window == CONNECTION_WINDOW_BYTES
    assert connection.decoder.max_allowed_table_size == told.settings[1]
    assert connection.decoder.max_header_list_size >= told.settings[6] == MAX_LIST_BYTES
    assert connection.data_to_send() == b""


def test_frames_of_connection_state_have_the_bytes_of_the_rfc() -> None:
    assert ping_ack(b"abcdefgh") == b"\x00\x00\x08\x06\x01\x00\x00\x00\x00abcdefgh"
    assert window_update(5) == b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x05"
    assert goaway_frame(3, 11) == b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x0b"
