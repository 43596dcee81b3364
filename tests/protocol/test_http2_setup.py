import pytest

from protocol.http2_frames import MAX_FRAME_BYTES, ConnectionFault, ErrorCode
from protocol.http2_headers import MAX_LIST_BYTES
from protocol.http2_hpack import MAX_DECODED_BYTES, TABLE_BYTES
from protocol.http2_setup import STREAM_WINDOW_BYTES, ClientSettings, parse_settings, settings_frame
from tests.kit import h2_wire as wire


def payload(*settings: tuple[int, int]) -> bytes:
    return b"".join(code.to_bytes(2, "big") + value.to_bytes(4, "big") for code, value in settings)


def test_what_the_client_is_told_is_what_is_enforced() -> None:
    (told,) = wire.frames_of(settings_frame())
    assert told.settings[1] == TABLE_BYTES
    assert told.settings[4] == STREAM_WINDOW_BYTES
    assert told.settings[5] == MAX_FRAME_BYTES
    assert told.settings[6] == MAX_LIST_BYTES <= MAX_DECODED_BYTES


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ((), ClientSettings()),
        (((4, 2**31 - 1),), ClientSettings(initial_window_bytes=2**31 - 1)),
        (((4, 0), (4, 7)), ClientSettings(initial_window_bytes=7)),
        (((5, 16384),), ClientSettings(max_frame_bytes=16384)),
        (((5, 2**24 - 1), (4, 1)), ClientSettings(1, 2**24 - 1)),
        (((1, 2**32 - 1), (2, 0), (2, 1), (3, 0), (6, 0), (8, 1), (9, 5), (0xABC, 5)), ClientSettings()),
    ],
)
def test_valid_settings_are_read(settings: tuple[tuple[int, int], ...], found: ClientSettings) -> None:
    assert parse_settings(payload(*settings)) == found


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (payload((4, 2**31)), ErrorCode.FLOW_CONTROL_ERROR),
        (payload((4, 2**31), (4, 1)), ErrorCode.FLOW_CONTROL_ERROR),
        (payload((5, 16383)), ErrorCode.PROTOCOL_ERROR),
        (payload((5, 2**24)), ErrorCode.PROTOCOL_ERROR),
        (payload((2, 2)), ErrorCode.PROTOCOL_ERROR),
        (payload((8, 2)), ErrorCode.PROTOCOL_ERROR),
        (payload((3, 5))[:-1], ErrorCode.FRAME_SIZE_ERROR),
    ],
)
def test_invalid_settings_end_the_connection(bad: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        parse_settings(bad)
    assert caught.value.code is code
