import pytest

from protocol.errors import TooLarge
from protocol.http2_blocks import MAX_BLOCK_BYTES, MAX_CONTINUATIONS, Block, BlockAssembler
from protocol.http2_frames import ConnectionFault, ErrorCode, Frame

HEADERS, CONTINUATION = 1, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 1, 4, 8, 0x20


def code_of(assembler: BlockAssembler, frame: Frame) -> ErrorCode:
    add = assembler.add_headers if frame.type == HEADERS else assembler.add_continuation
    with pytest.raises(ConnectionFault) as caught:
        add(frame)
    return caught.value.code


@pytest.mark.parametrize(
    ("flags", "payload"),
    [
        (0, b"block"),
        (PADDED, b"\x02block\0\0"),
        (PRIORITY, b"\0\0\0\3\x10block"),
        (PADDED | PRIORITY, b"\x01\x80\0\0\3\x10block\0"),
    ],
)
@pytest.mark.parametrize("end", [0, END_STREAM])
def test_a_frame_may_be_a_whole_block(flags: int, payload: bytes, end: int) -> None:
    frame = Frame(HEADERS, flags | end | END_HEADERS, 1, payload)
    assembler = BlockAssembler()
    assert assembler.add_headers(frame) == Block(1, bool(end), b"block")
    assert not assembler.is_open


def test_continuations_complete_it() -> None:
    assembler = BlockAssembler()
    assert assembler.add_headers(Frame(HEADERS, END_STREAM, 1, b"a")) is None
    assert assembler.is_open
    assert assembler.add_continuation(Frame(CONTINUATION, 0, 1, b"b")) is None
    assert assembler.add_continuation(Frame(CONTINUATION, END_HEADERS, 1, b"c")) == Block(1, True, b"abc")
    assert not assembler.is_open


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (Frame(HEADERS, END_HEADERS, 0, b""), ErrorCode.PROTOCOL_ERROR),
        (Frame(HEADERS, END_HEADERS | PRIORITY, 1, b"\0\0\0\3"), ErrorCode.FRAME_SIZE_ERROR),
        (Frame(HEADERS, END_HEADERS | PRIORITY, 1, b"\0\0\0\1\0"), ErrorCode.PROTOCOL_ERROR),
        (Frame(CONTINUATION, END_HEADERS, 1, b""), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_what_begins_no_block_is_a_fault(frame: Frame, code: ErrorCode) -> None:
    assert code_of(BlockAssembler(), frame) is code


def test_a_continuation_of_another_stream_is_a_fault() -> None:
    assembler = BlockAssembler()
    assembler.add_headers(Frame(HEADERS, 0, 1, b""))
    assert code_of(assembler, Frame(CONTINUATION, END_HEADERS, 3, b"")) is ErrorCode.PROTOCOL_ERROR


def test_a_block_has_only_so_many_continuations() -> None:
    assembler = BlockAssembler()
    assembler.add_headers(Frame(HEADERS, 0, 1, b""))
    for _ in range(MAX_CONTINUATIONS):
        assembler.add_continuation(Frame(CONTINUATION, 0, 1, b""))
    assert code_of(assembler, Frame(CONTINUATION, 0, 1, b"")) is ErrorCode.ENHANCE_YOUR_CALM


def test_a_block_has_only_so_many_bytes() -> None:
    assembler = BlockAssembler()
    assembler.add_headers(Frame(HEADERS, 0, 1, b"x" * MAX_BLOCK_BYTES))
    assembler.add_continuation(Frame(CONTINUATION, 0, 1, b""))
    with pytest.raises(ConnectionFault) as caught:
        assembler.add_continuation(Frame(CONTINUATION, END_HEADERS, 1, b"x"))
    assert isinstance(caught.value.error, TooLarge)
