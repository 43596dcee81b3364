import re
import struct
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import format as fmt
from storage.errors import CorruptFrame
from tests.kit.segments import SALT, header

FORMAT_PAGE = Path(fmt.__file__).with_name("FORMAT.md").read_text()
HEADER = fmt.FrameHeader(7, 3, fmt.TYPE_DATA, 1, 2, 99, 40, 5)
INFO = fmt.FrameInfo(4096, 80, 0, 3, 1, 17, 1_790_000_000_000_000_000, bytes(range(32)))


def test_constants_are_those_of_the_format_page() -> None:
    rows = re.findall(r"^\| `([A-Z_0-9]+)` \| `([^`]+)` \|", FORMAT_PAGE, re.MULTILINE)
    assert len(rows) >= 20
    for name, text in rows:
        value = getattr(fmt, name)
        written = value.decode() if isinstance(value, bytes) else str(value)
        assert written == text.replace(" ", ""), name


def test_every_public_number_is_on_the_format_page() -> None:
    named = set(re.findall(r"^\| `([A-Z_0-9]+)` \|", FORMAT_PAGE, re.MULTILINE))
    numbers = {
        name
        for name, value in vars(fmt).items()
        if name.isupper() and name[0] != "_" and isinstance(value, int)
    }
    assert numbers - named == set()


def layout(title: str) -> list[tuple[int, str]]:
    """The (offset, type) rows of the drawing under a heading of the page."""
    section = FORMAT_PAGE.split(title, 1)[1].split("```")[1]
    return [
        (int(offset), kind)
        for offset, kind in re.findall(r"^offset +(\d+) +\w+ +(u\d+|\d+ bytes)", section, re.MULTILINE)
    ]


@pytest.mark.parametrize(
    ("title", "encoded", "fields"),
    [
        (
            "## 3. Frame header",
            fmt.encode_frame_header(fmt.FrameHeader(2, 3, 4, 5, 6, 7, 8, 9), 1) + b"\x0a\0\0\0",
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        ),
        (
            "## 6. Footer",
            fmt.encode_entry(fmt.FrameInfo(1, 2, 0, 3, 4, 6, 7, b"\x08" + bytes(31))),
            [1, 2, 3, 4, 0, 6, 7, 8],
        ),
        (
            "## 7. Trailer",
            fmt.encode_trailer(fmt.Trailer(2, 3, 4, b"\x05" + bytes(31)))[:-4] + b"\x07\0\0\0",
            [struct.unpack("<Q", fmt.TRAILER_MAGIC)[0], 2, 3, 4, 5, 0, 7],
        ),
    ],
)
def test_fields_lie_where_the_format_page_draws_them(title: str, encoded: bytes, fields: list[int]) -> None:
    rows = layout(title)
    assert len(rows) == len(fields)
    end = 0
    for (offset, kind), value in zip(rows, fields, strict=True):
        size = int(kind[1:]) // 8 if kind[0] == "u" else int(kind.split()[0])
        assert offset == end
        assert int.from_bytes(encoded[offset : offset + size], "little") == value
        end = offset + size
    assert end == len(encoded)


def test_a_header_page_comes_back_as_it_went() -> None:
    head = header()
    page = fmt.encode_header_page(head)
    assert len(page) == fmt.PAGE_BYTES
    assert fmt.parse_header_page(page, "s") == head


def test_every_flipped_bit_of_a_header_page_is_found() -> None:
    page = fmt.encode_header_page(header())
    for bit in range(0, len(page) * 8, 7):
        flipped = bytearray(page)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFrame):
            fmt.parse_header_page(bytes(flipped), "s")


def test_a_short_header_page_is_refused() -> None:
    with pytest.raises(CorruptFrame, match="not one of a kubetape segment"):
        fmt.parse_header_page(fmt.encode_header_page(header())[:-1], "s")


def test_a_header_map_of_the_wrong_shape_is_refused() -> None:
    body = fmt.MAGIC + struct.pack("<I", 1) + b"\xc0"
    page = (body + struct.pack("<I", zlib.crc32(body))).ljust(fmt.PAGE_BYTES, b"\0")
    with pytest.raises(CorruptFrame, match="header map cannot be read"):
        fmt.parse_header_page(page, "s")


def test_a_header_that_does_not_fit_its_page_is_a_bug_of_the_writer() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        fmt.encode_header_page(msgspec.structs.replace(header(), log_origin="x" * 4096))


def test_a_frame_header_comes_back_as_it_went() -> None:
    head = fmt.encode_frame_header(HEADER, SALT)
    whole = head + fmt.encode_frame_crc(head, b"payload")
    assert len(whole) == fmt.FRAME_HEADER_BYTES
    assert fmt.parse_frame_header(whole, SALT, "s", 4096) == HEADER
    assert HEADER.frame_len == 47
    assert fmt.frame_crc_holds(whole, b"payload")
    assert not fmt.frame_crc_holds(whole, b"Payload")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (fmt.FrameHeader(7, 3, 0, 1, 2, 99, 40, 5), "type 0 is unknown"),
        (fmt.FrameHeader(7, 3, 2, 1, 2, 99, 40, 5), "type 2 is unknown"),
        (fmt.FrameHeader(7, 3, 5, 1, 2, 99, 40, 5), "type 5 is unknown"),
        (fmt.FrameHeader(0, 3, 1, 1, 2, 99, 40, 5), "out of bounds"),
        (fmt.FrameHeader(fmt.MAX_PAYLOAD_BYTES + 1, 3, 1, 1, 2, 99, 40, 5), "out of bounds"),
        (fmt.FrameHeader(7, 3, 1, 1, 2, 99, 0, 5), "out of bounds"),
        (fmt.FrameHeader(7, 3, 1, 1, 2, 99, fmt.MAX_RAW_BYTES + 1, 5), "out of bounds"),
    ],
)
def test_a_frame_header_out_of_bounds_is_refused_before_its_payload_is_read(
    changed: fmt.FrameHeader, why: str
) -> None:
    with pytest.raises(CorruptFrame, match=why) as caught:
        fmt.parse_frame_header(fmt.encode_frame_header(changed, SALT) + bytes(4), SALT, "seg", 8192)
    assert (caught.value.segment, caught.value.offset) == ("seg", 8192)


def test_a_frame_of_another_segment_is_refused() -> None:
    with pytest.raises(CorruptFrame, match="salt"):
        fmt.parse_frame_header(fmt.encode_frame_header(HEADER, SALT) + bytes(4), SALT + 1, "s", 4096)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_a_block_comes_back_as_it_went(records: list[bytes]) -> None:
    assert fmt.parse_block(fmt.encode_block(records), len(records), "s", 0) == records


@pytest.mark.parametrize(
    ("raw", "nrec", "why"),
    [
        (b"123", 1, "1 records announced, 0 found"),
        (fmt.encode_block([b"a"]), 2, "2 records announced, 1 found"),
        (fmt.encode_block([b"a", b"b"]), 1, "do not end where it ends"),
        (fmt.encode_block([b"abc"])[:-1], 1, "do not end where it ends"),
    ],
)
def test_a_block_whose_bytes_do_not_add_up_is_refused(raw: bytes, nrec: int, why: str) -> None:
    with pytest.raises(CorruptFrame, match=why):
        fmt.parse_block(raw, nrec, "s", 0)


def test_a_block_table_comes_back_as_it_went() -> None:
    assert fmt.parse_entries(fmt.encode_entry(INFO), 0, "s", 0) == [INFO]


def test_a_block_table_that_ends_within_an_entry_is_refused() -> None:
    with pytest.raises(CorruptFrame, match="within an entry"):
        fmt.parse_entries(fmt.encode_entry(INFO)[:-1], 0, "s", 0)


def test_a_reserved_byte_of_the_block_table_must_be_zero() -> None:
    entry = bytearray(fmt.encode_entry(INFO))
    entry[15] = 1
    with pytest.raises(CorruptFrame, match="reserved"):
        fmt.parse_entries(bytes(entry), 0, "s", 0)


def test_a_seal_comes_back_as_it_went() -> None:
    seal = fmt.Seal(3, 10, 20, 5, 6)
    assert fmt.parse_seal(fmt.encode_seal(seal), "s", 0) == seal


def test_a_seal_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(CorruptFrame, match="seal cannot be read"):
        fmt.parse_seal(b"\xc0", "s", 0)


def test_every_flipped_bit_of_a_trailer_is_found() -> None:
    trailer = fmt.Trailer(5000, 200, 9, bytes(range(32)))
    encoded = fmt.encode_trailer(trailer)
    assert fmt.parse_trailer(encoded, "s", 5200) == trailer
    for bit in range(len(encoded) * 8):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptFrame):
            fmt.parse_trailer(bytes(flipped), "s", 5200)


def test_a_trailer_at_the_wrong_place_is_refused() -> None:
    with pytest.raises(CorruptFrame, match="does not fit"):
        fmt.parse_trailer(fmt.encode_trailer(fmt.Trailer(5000, 200, 9, bytes(32))), "s", 5201)


def test_segment_names_come_back_and_sort_by_number_not_by_time() -> None:
    older = fmt.SegmentName(number=2, epoch=1, start_ms=1_790_000_000_000, uuid8="0a1b2c3d")
    newer = fmt.SegmentName(number=10, epoch=2, start_ms=1_780_000_000_000, uuid8="00000000")
    assert older.stem == "1790000000000-000001-00000002-0a1b2c3d"
    assert fmt.parse_segment_name(older.stem) == older
    assert sorted([newer, older]) == [older, newer]
    name = header().name
    assert name.uuid8 == name.stem[-8:]


@pytest.mark.parametrize("stem", ["LOCK", "", "1790000000000-000001-00000002-0A1B2C3D", "1-2-3-4"])
def test_other_names_are_not_segments(stem: str) -> None:
    assert fmt.parse_segment_name(stem) is None
