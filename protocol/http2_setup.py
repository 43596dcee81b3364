"""What both sides of an HTTP/2 connection say about themselves: our SETTINGS, and the client's.

It decides whether a client's SETTINGS are valid, and picks the two that matter to us; it applies nothing.
Source: RFC 9113 section 6.5; RFC 8441; RFC 9218.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final

import msgspec

from protocol.errors import RemoteProtocolError
from protocol.http2_frames import (
    MAX_FRAME_BYTES,
    ConnectionFault,
    ErrorCode,
    Type,
    frame_header,
    protocol_fault,
    size_fault,
)
from protocol.http2_headers import MAX_LIST_BYTES
from protocol.http2_hpack import TABLE_BYTES
from protocol.http2_windows import LARGEST_WINDOW

MAX_CONCURRENT_STREAMS: Final = 100
"""What kube-apiserver offers, and what client-go assumes before it has read our SETTINGS."""

STREAM_WINDOW_BYTES: Final = 256 * 1024
CONNECTION_WINDOW_BYTES: Final = 1024 * 1024
"""The most that request bodies of one connection may hold here unread: four uploads at full speed."""

_HEADER_TABLE_SIZE: Final = 1
_ENABLE_PUSH: Final = 2
_MAX_CONCURRENT_STREAMS: Final = 3
_INITIAL_WINDOW_SIZE: Final = 4
_MAX_FRAME_SIZE: Final = 5
_MAX_HEADER_LIST_SIZE: Final = 6
_ENABLE_CONNECT_PROTOCOL: Final = 8
_NO_RFC7540_PRIORITIES: Final = 9  # RFC 9218: spares us PRIORITY frames

_SETTING: Final = Struct(">HL")


class ClientSettings(msgspec.Struct, frozen=True):
    """What a SETTINGS frame of the client changes for us; None: it does not say."""

    initial_window_bytes: int | None = None
    max_frame_bytes: int | None = None


def settings_frame() -> bytes:
    """Our SETTINGS: the first bytes of a connection."""
    ours = (
        (_HEADER_TABLE_SIZE, TABLE_BYTES),
        (_MAX_CONCURRENT_STREAMS, MAX_CONCURRENT_STREAMS),
        (_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES),
        (_MAX_FRAME_SIZE, MAX_FRAME_BYTES),
        (_MAX_HEADER_LIST_SIZE, MAX_LIST_BYTES),
        (_NO_RFC7540_PRIORITIES, 1),
    )
    payload = b"".join([_SETTING.pack(code, value) for code, value in ours])
    return frame_header(Type.SETTINGS, 0, 0, len(payload)) + payload


def parse_settings(payload: bytes) -> ClientSettings:
    """Read the payload of a client's SETTINGS frame. Raises ConnectionFault at the first invalid value."""
    if len(payload) % _SETTING.size:
        raise size_fault(f"a SETTINGS frame of {len(payload)} bytes")
    initial_window_bytes = max_frame_bytes = None
    settings: Iterable[tuple[int, int]] = _SETTING.iter_unpack(payload)
    for code, value in settings:
        if code == _INITIAL_WINDOW_SIZE:
            if value > LARGEST_WINDOW:
                raise ConnectionFault(
                    ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("an initial window beyond 2**31-1")
                )
            initial_window_bytes = value
        elif code == _MAX_FRAME_SIZE:
            if not 16384 <= value < 1 << 24:
                raise protocol_fault("a frame size out of its bounds")
            max_frame_bytes = value
        elif code in (_ENABLE_PUSH, _ENABLE_CONNECT_PROTOCOL) and value > 1:
            raise protocol_fault("a setting that is neither 0 nor 1")
    return ClientSettings(initial_window_bytes, max_frame_bytes)
