"""SPDY bytes for tests: what kubectl really sends, and an independent writer of frames, good and bad.

The captured bytes are the client side of `kubectl exec -i` (v1.36.4): the four header blocks share one
zlib stream in this order. `BlockWriter` is zlib with its usual parameters, not the encoder under test.
"""

import struct
import zlib
from collections.abc import Iterable

from protocol.spdy_headers import DICTIONARY

OPEN_ERROR = bytes.fromhex(
    "80030001 0000002a 00000001 00000000 000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a5a54945f04000000ffff"
)
OPEN_STDIN = bytes.fromhex("80030001 00000017 00000003 00000000 0000 c22e555c92929907000000ffff")
OPEN_STDOUT = bytes.fromhex("80030001 00000019 00000005 00000000 0000 c22ac5565c92925f5a02000000ffff")
OPEN_STDERR = bytes.fromhex("80030001 00000015 00000007 00000000 0000 c229975a5404000000ffff")
DATA_ON_3 = bytes.fromhex("00000003 00000004 6162630a")
FIN_ON_3 = bytes.fromhex("00000003 01000000")
RESET_7 = bytes.fromhex("80030003 00000008 00000007 00000005")
GOAWAY = bytes.fromhex("80030007 00000008 00000000 00000000")

EMPTY_BLOCK = bytes.fromhex("78f9e3c6a7c202a6230600000000ffff")
"""An empty block as the first of its direction, from zlib at level 9: a SYN_REPLY's."""

KUBECTL_EXEC = OPEN_ERROR + OPEN_STDIN + OPEN_STDOUT + OPEN_STDERR


def control(
    number: int, payload: bytes, flags: int = 0, version: int = 3, length: int | None = None
) -> bytes:
    """Any control frame; `length` may lie."""
    announced = len(payload) if length is None else length
    return struct.pack(">HHI", 0x8000 | version, number, flags << 24 | announced) + payload


def data_frame(stream_id: int, data: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">II", stream_id, flags << 24 | len(data)) + data


def ping(number: int) -> bytes:
    return control(6, struct.pack(">I", number))


def reset(stream_id: int, code: int = 5) -> bytes:
    return control(3, struct.pack(">II", stream_id, code))


def goaway(last_stream_id: int = 0, code: int = 0) -> bytes:
    return control(7, struct.pack(">II", last_stream_id, code))


def plain_block(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A header block before compression; nothing is checked."""
    fields = [struct.pack(">I", len(part)) + part for pair in pairs for part in pair]
    return struct.pack(">I", len(fields) // 2) + b"".join(fields)


class BlockWriter:
    """One direction's header blocks, and the frames that carry them."""

    def __init__(self, level: int = 9) -> None:
        self._deflater = zlib.compressobj(level, zlib.DEFLATED, 15, 8, 0, DICTIONARY)

    def compress(self, plain: bytes) -> bytes:
        return self._deflater.compress(plain) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def block(self, *pairs: tuple[bytes, bytes]) -> bytes:
        return self.compress(plain_block(pairs))

    def syn_stream(self, stream_id: int, *pairs: tuple[bytes, bytes], flags: int = 0) -> bytes:
        return control(1, struct.pack(">IIBB", stream_id, 0, 0, 0) + self.block(*pairs), flags)

    def syn_reply(self, stream_id: int, *pairs: tuple[bytes, bytes], flags: int = 0) -> bytes:
        return control(2, struct.pack(">I", stream_id) + self.block(*pairs), flags)

    def headers(self, stream_id: int, *pairs: tuple[bytes, bytes], flags: int = 0) -> bytes:
        return control(8, struct.pack(">I", stream_id) + self.block(*pairs), flags)
