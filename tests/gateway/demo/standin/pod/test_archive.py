import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.standin.pod.archive import (
    END_OF_ARCHIVE,
    ArchiveReader,
    Entry,
    EntryData,
    EntryEnd,
    encode_entry,
    padding,
)

FILES = {
    "a.txt": b"hello",
    "d/empty": b"",
    "d/" + "n" * 150 + ".bin": bytes(range(256)) * 5,
    "d/blöck": b"x" * 512,
}


def _archive(format_: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _read(pieces: list[bytes]) -> tuple[dict[str, bytes], bool]:
    """(content by name of complete members, whether nothing was cut)."""
    reader, name, found, ended = ArchiveReader(), "", {}, 0
    for piece in pieces:
        for event in reader.receive(piece):
            match event:
                case Entry():
                    name = event.name
                    found[name] = b""
                case EntryData():
                    found[name] += event.data
                case EntryEnd():
                    ended += 1
    assert ended == len(found) or not reader.is_complete
    return found, reader.is_complete


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_read_the_same_fed_byte_by_byte(format_: int) -> None:
    data = _archive(format_)
    assert _read([data]) == (FILES, True)
    assert _read([data[at : at + 1] for at in range(len(data))]) == (FILES, True)


@settings(max_examples=30)
@given(st.integers(0, 4000))
def test_a_cut_archive_is_not_complete_unless_cut_between_members(cut: int) -> None:
    found, complete = _read([_archive(tarfile.PAX_FORMAT)[:cut]])
    assert set(found) <= set(FILES)
    if complete:
        assert all(found[name] == FILES[name] for name in found)


def test_what_is_written_is_read_by_the_standard_library() -> None:
    content = b"abc"
    written = (
        encode_entry(Entry("x/y", 3, 0o600, False, True), 1_700_000_000)
        + content
        + padding(3)
        + END_OF_ARCHIVE
    )
    with tarfile.open(fileobj=io.BytesIO(written)) as archive:
        member = archive.getmember("x/y")
        extracted = archive.extractfile(member)
        assert extracted
        assert (member.mode, member.mtime, extracted.read()) == (0o600, 1_700_000_000, content)


def test_garbage_is_refused() -> None:
    with pytest.raises(ValueError, match="tar archive"):
        ArchiveReader().receive(b"x" * 512)


def test_an_extended_header_is_bounded() -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = b"L", 10**6
    with pytest.raises(ValueError, match="too long"):
        ArchiveReader().receive(info.tobuf(tarfile.GNU_FORMAT))
