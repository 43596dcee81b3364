"""Tar archives as they pass: real ones of each format, cut anywhere, and bytes that are none."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.tar_stream import (
    MAX_HEADER_BYTES,
    ArchiveEnded,
    MemberData,
    MemberEnded,
    MemberKind,
    MemberStarted,
    NotTar,
    TarEvent,
    TarReader,
)

FORMATS = (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
LONG = "d" * 90 + "/" + "n" * 140 + "-\u00e9"


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def archive(*members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return out.getvalue()


def read(data: bytes, *cuts: int) -> list[TarEvent]:
    reader = TarReader()
    events: list[TarEvent] = []
    ends = [*sorted(cuts), len(data)]
    for start, end in zip([0, *ends], ends, strict=False):
        if start < end:
            events += reader.receive(data[start:end])
    return events + reader.receive(b"")


def joined(events: list[TarEvent]) -> list[TarEvent]:
    """Neighbouring data as one event."""
    out: list[TarEvent] = []
    for event in events:
        if isinstance(event, MemberData) and out and isinstance(out[-1], MemberData):
            out[-1] = MemberData(out[-1].data + event.data)
        else:
            out.append(event)
    return out


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    """A pax header by hand, before a file of one byte."""
    info = member("header", len(records), kind)
    header = info.tobuf(tarfile.USTAR_FORMAT)
    return header + records + bytes(-len(records) % 512) + archive(member("f", 1), form=tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_named_with_size_and_kind(form: int) -> None:
    data = archive(
        member("dir", kind=tarfile.DIRTYPE),
        member("dir/file", 600),
        member("link", kind=tarfile.SYMTYPE, link="dir/file"),
        member("hard", kind=tarfile.LNKTYPE, link="dir/file"),
        member("pipe", kind=tarfile.FIFOTYPE),
        form=form,
    )
    events = joined(read(data))
    assert [event for event in events if isinstance(event, MemberStarted)] == [
        MemberStarted("dir/", 0, MemberKind.DIRECTORY),
        MemberStarted("dir/file", 600, MemberKind.FILE),
        MemberStarted("link", 0, MemberKind.SYMLINK, "dir/file"),
        MemberStarted("hard", 0, MemberKind.HARD_LINK, "dir/file"),
        MemberStarted("pipe", 0, MemberKind.OTHER),
    ]
    assert MemberData(b"x" * 600) in events
    assert events[-1] == ArchiveEnded()
    assert events.count(MemberEnded()) == 5


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_links_are_read_in_full(form: int) -> None:
    events = read(archive(member(LONG, 3), member("l", kind=tarfile.SYMTYPE, link=LONG), form=form))
    assert events[0] == MemberStarted(LONG, 3, MemberKind.FILE)
    assert MemberStarted("l", 0, MemberKind.SYMLINK, LONG) in events


def test_the_prefix_of_ustar_is_a_part_of_the_name() -> None:
    name = "d" * 100 + "/" + "n" * 90
    assert read(archive(member(name), form=tarfile.USTAR_FORMAT))[0] == MemberStarted(
        name, 0, MemberKind.FILE
    )


def test_large_sizes_are_read() -> None:
    size = 9 * 2**30
    header = member("big", size).tobuf(tarfile.GNU_FORMAT)
    assert TarReader().receive(header) == [MemberStarted("big", size, MemberKind.FILE)]
    assert read(pax(b"12 size=777\n"))[0] == MemberStarted("f", 777, MemberKind.FILE)


def test_an_old_directory_is_a_file_whose_name_ends_in_a_slash() -> None:
    header = bytearray(member("d/").tobuf(tarfile.USTAR_FORMAT))
    assert TarReader().receive(bytes(header))[0] == MemberStarted("d/", 0, MemberKind.DIRECTORY)


def test_a_name_that_is_no_text_is_shown_escaped() -> None:
    assert read(pax(b"11 path=a\xff\n"))[0] == MemberStarted("a\\xff", 1, MemberKind.FILE)


DATA = archive(member("a/b", 700), member(LONG, 5), member("l", kind=tarfile.SYMTYPE, link="a"))


@given(st.lists(st.integers(0, len(DATA)), max_size=9))
def test_events_do_not_depend_on_the_cuts(cuts: list[int]) -> None:
    assert joined(read(DATA, *cuts)) == joined(read(DATA))


@given(st.binary(max_size=2000), st.integers(0, len(DATA)))
def test_garbage_never_raises(garbage: bytes, at: int) -> None:
    read(garbage)
    read(DATA[:at] + garbage + DATA[at + len(garbage) :])


def test_an_archive_may_end_behind_a_member_or_be_empty() -> None:
    assert read(b"") == []
    assert read(archive(member("f"))[:512])[-1] == MemberEnded()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"tar: not found\n" + bytes(600), "no tar header"),
        (b"\x80" * 512, "no tar header"),
        (b"x" * 512, "a number in a header is none"),
        (b"short", "the archive is cut"),
        (archive(member("f", 600))[:700], "the archive is cut"),
        (bytes(512) + archive(member("f")), "a lone block of zeros"),
        (archive(member("f")) + b"x", "bytes after the end"),
        (member("d", 5, tarfile.DIRTYPE).tobuf(), "whose data programs read differently"),
        (member("d", 5, tarfile.GNUTYPE_SPARSE).tobuf(), "whose data programs read differently"),
        (pax(b"11 path=d/\n"), "a directory with data"),
        (member("x", MAX_HEADER_BYTES + 1, b"x").tobuf(), "a header is longer"),
        (pax(b"x path=a\n"), "is damaged"),
        (pax(b"99 path=a\n"), "is damaged"),
        (pax(b"3 p\n"), "is damaged"),
        (pax(b"9 patha=a"), "is damaged"),
        (pax(b"8 patha\n"), "is damaged"),
        (pax(b"11 size=-1\n"), "bad value"),
        (pax(b"34 size=" + b"1" * 25 + b"\n"), "bad value"),
        (pax(b"11 path=a\0\n"), "bad value"),
        (pax(b"11 path=ab\n", b"g"), "programs read differently"),
        (pax(b"23 GNU.sparse.major=1\n\n"), "programs read differently"),
    ],
)
def test_what_programs_would_read_differently_is_no_tar(data: bytes, reason: str) -> None:
    last = read(data)[-1]
    assert isinstance(last, NotTar)
    assert reason in last.reason


def test_comments_in_pax_headers_are_no_news() -> None:
    assert read(pax(b"13 comment=x\n", b"g"))[0] == MemberStarted("f", 1, MemberKind.FILE)


def test_a_checksum_over_signed_bytes_is_accepted() -> None:
    header = bytearray(member("\u00e9", 0).tobuf(tarfile.USTAR_FORMAT))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % (sum(header) - 256 * sum(byte > 127 for byte in header))
    assert TarReader().receive(bytes(header))[0] == MemberStarted("\u00e9", 0, MemberKind.FILE)


def test_nothing_is_read_after_the_end() -> None:
    reader = TarReader()
    assert isinstance(reader.receive(b"x" * 512)[-1], NotTar)
    assert reader.receive(archive(member("f"))) == []
