import hashlib
import os
import zlib
from pathlib import Path

import msgspec
import pytest

from storage.dictionary import Compression
from storage.errors import CorruptFrame
from storage.files import REAL_FILES, RealFiles
from storage.format import (
    FRAME_HEADER_BYTES,
    Seal,
    SegmentHeader,
    Trailer,
    encode_frame_crc,
    encode_frame_header,
    encode_header_page,
    encode_seal,
    encode_trailer,
    parse_frame_header,
    parse_trailer,
)
from storage.notary.leaf import encode_leaf, encode_segment_id, parse_leaf
from storage.reader import read_block_table
from storage.segment_file import SegmentFile
from storage.verify.findings import Finding, Kind
from storage.verify.segment_check import SegmentResult, SegmentTask, check_segment
from storage.verify.tree_check import TreeCheck, Trust, scan_here
from storage.verify.tree_scan import TreeSnapshot
from tests.kit.notarised import NotarisedLog
from tests.kit.segments import START_NS, flip


class Leaves:
    """What the tree says, by segment."""

    def __init__(self, log: NotarisedLog) -> None:
        tree = TreeCheck(REAL_FILES, log.directory / "tlog", Trust((log.signer.verifier,)), ()).run(
            scan_here(REAL_FILES)
        )
        assert tree is not None
        self.snapshot: TreeSnapshot = tree.snapshot
        self._runs, self._others = tree.runs, tree.others

    def task(self, path: Path, **changes: object) -> SegmentTask:
        runs = tuple(run for run in self._runs if run.segment_id.hex()[-8:] == path.stem[-8:])
        ends = [entry for _, entry in self._others if entry[2:18].hex()[-8:] == path.stem[-8:]]
        task = SegmentTask(str(path.parent), path.stem, runs=runs, end=ends[0] if ends else b"")
        return msgspec.structs.replace(task, **changes)

    def check(self, path: Path, **changes: object) -> SegmentResult:
        return check_segment(REAL_FILES, self.task(path, **changes), self.snapshot)


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return NotarisedLog(tmp_path / "data")


def the_finding(result: SegmentResult) -> Finding:
    (finding,) = result.findings
    return finding


# --- what is reported of a sound segment ------------------------------------------------------------


def test_a_sound_sealed_segment(log: NotarisedLog) -> None:
    path = log.sealed(2, 1, 3)
    log.notarise()
    result = Leaves(log).check(path)
    assert result.findings == ()
    assert (result.frames, result.covered, result.records, result.next_record_seq) == (3, 3, 6, 7)
    assert (result.read_bytes, result.suffix) == (path.stat().st_size, ".kseg")
    assert (result.first_ns, result.last_ns) == (START_NS, START_NS + 2)


def test_an_empty_sealed_segment(log: NotarisedLog) -> None:
    path = log.sealed()
    log.notarise()
    assert Leaves(log).check(path).findings == ()


def test_without_a_tree_a_segment_proves_itself(log: NotarisedLog) -> None:
    path = log.sealed(2, 1)
    task = SegmentTask(str(path.parent), path.stem)
    assert check_segment(REAL_FILES, task, None).findings == ()
    flip(path, read_block_table(path)[1].offset + 45)
    assert the_finding(check_segment(REAL_FILES, task, None)).kind is Kind.CORRUPT


def test_a_segment_that_went_meanwhile_is_said_to_be_gone(log: NotarisedLog) -> None:
    path = log.sealed(1)
    log.notarise()
    leaves = Leaves(log)
    path.unlink()
    assert leaves.check(path).gone


def test_a_sealed_segment_under_an_older_name_is_itself(log: NotarisedLog) -> None:
    """A power cut may take back the last rename."""
    path = log.sealed(1, 1)
    log.notarise()
    for suffix in (".open", ".recovered"):
        path = path.rename(path.with_suffix(suffix))
        assert Leaves(log).check(path).findings == ()


# --- recovered segments -----------------------------------------------------------------------------


def recovered(log: NotarisedLog, tail: bytes = b"torn bytes") -> Path:
    """A segment a crash left, with torn bytes at its end, recovered and under a checkpoint."""
    path = log.opened(1, 2)
    table = read_block_table(path)
    end = table[-1].offset + table[-1].frame_len
    path.write_bytes(path.read_bytes()[:end] + tail + bytes(100))
    log.recover()
    log.notarise()
    return path.with_suffix(".recovered")


def test_a_sound_recovered_segment(log: NotarisedLog) -> None:
    path = recovered(log)
    result = Leaves(log).check(path)
    assert (result.findings, result.next_record_seq) == ((), 4)
    path.with_suffix(".torn").unlink()
    assert Leaves(log).check(path).findings == (), "the copy is for people"


def test_a_recovered_segment_changed_anywhere_is_corrupt(log: NotarisedLog) -> None:
    path = recovered(log)
    leaves = Leaves(log)
    intact = path.read_bytes()
    for at in range(len(intact)):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 1 << at % 8]) + intact[at + 1 :])
        assert the_finding(leaves.check(path)).kind is Kind.CORRUPT, at


def test_a_recovered_segment_with_another_torn_file_is_corrupt(log: NotarisedLog) -> None:
    path = recovered(log)
    path.with_suffix(".torn").write_bytes(b"torn bytez")
    assert "not a copy" in the_finding(Leaves(log).check(path)).why


def test_what_recovery_called_corrupt_is_reported_for_ever(log: NotarisedLog) -> None:
    path = log.opened(1, 1, 1)
    second = read_block_table(path)[1]
    flip(path, second.offset + 45)
    log.recover()
    result = check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem), None)
    assert (the_finding(result).kind, the_finding(result).offset) == (Kind.CORRUPT, second.offset)
    assert result.next_record_seq == 4, "numbers that were given out"
    log.notarise()
    finding = the_finding(Leaves(log).check(path))
    assert (finding.kind, finding.offset, finding.record) == (Kind.CORRUPT, second.offset, 2)
    assert "recovery found damage" in finding.why


def test_a_recovered_segment_whose_leaf_is_still_to_come(log: NotarisedLog) -> None:
    path = log.opened(1)
    log.notarise()
    log.recover()
    result = Leaves(log).check(path)
    assert (result.findings, result.suffix) == ((), ".recovered")


def test_a_segment_without_header_page_is_damage_for_ever_and_must_not_change(log: NotarisedLog) -> None:
    path = log.opened(1)
    flip(path, 100)
    assert the_finding(check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem), None)).offset == 0
    log.recover()
    log.notarise()
    leaves = Leaves(log)
    (end,) = [entry for _, entry in leaves._others]
    assert "left it as it was" in the_finding(leaves.check(path, end=end)).why
    flip(path.with_suffix(".recovered"), 5000)
    assert "not the ones recovery found" in the_finding(leaves.check(path, end=end)).why


def test_a_recovered_leaf_of_another_segment_is_a_rewrite(log: NotarisedLog) -> None:
    path = recovered(log)
    leaves = Leaves(log)
    leaf = msgspec.structs.replace(
        parse_leaf(leaves.task(path).end), segment_id="01" * 4 + "-0101-0101-0101-" + "01" * 6
    )
    finding = the_finding(leaves.check(path, end=encode_leaf(leaf), runs=()))
    assert finding.kind is Kind.REWRITE


# --- an open segment --------------------------------------------------------------------------------


class Growing(RealFiles):
    """A frame that is half there at the first look at its place, and whole at the next."""

    def __init__(self, path: Path, half: bytes, whole: bytes) -> None:
        self._path, self._half, self._whole = path, half, whole
        self.looks = 0

    def read(self, fd: int, length: int, offset: int) -> bytes:
        self.looks += 1
        if self.looks == 3:
            self._path.write_bytes(self._whole)
        return super().read(fd, length, offset)


def test_a_frame_that_is_being_written_is_whole_at_the_second_look(log: NotarisedLog) -> None:
    path = log.opened(1, 1, 1)
    whole = path.read_bytes()
    table = read_block_table(path)
    cut = table[1].offset + 60
    half = whole[:cut] + bytes(table[2].offset - cut) + whole[table[2].offset :]
    path.write_bytes(half)
    files = Growing(path, half, whole)
    result = check_segment(files, SegmentTask(str(path.parent), path.stem, is_last=True), None)
    assert (result.findings, result.frames, result.next_record_seq) == ((), 3, 4)
    path.write_bytes(half)
    again = check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem, is_last=True), None)
    assert the_finding(again).kind is Kind.CORRUPT, "it never became whole, and a durable frame follows"


class Sealing(RealFiles):
    """The segment gets its final name after its first bytes were read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reads = 0

    def read(self, fd: int, length: int, offset: int) -> bytes:
        self.reads += 1
        if self.reads == 2:
            os.rename(self._path, self._path.with_suffix(".kseg"))
        return super().read(fd, length, offset)


def test_a_segment_sealed_while_it_is_read_is_no_alarm(log: NotarisedLog) -> None:
    path = log.opened(1, 1)
    result = check_segment(Sealing(path), SegmentTask(str(path.parent), path.stem, is_last=True), None)
    assert (result.findings, result.frames) == ((), 2)


def test_a_half_written_footer_of_an_older_segment_is_still_to_be_recovered(log: NotarisedLog) -> None:
    path = log.sealed(1, 1)
    data = path.read_bytes()
    path.unlink()
    opened = path.with_suffix(".open")
    table_end = len(data) - 80
    opened.write_bytes(data[:table_end] + bytes(1000))
    for is_last in (True, False):
        result = check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem, is_last=is_last), None)
        assert all(finding.is_note for finding in result.findings)
    opened.write_bytes(data + bytes(1000))
    assert (
        check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem, is_last=True), None).findings == ()
    )


def test_a_torn_tail_of_a_segment_that_has_a_successor_is_left_to_its_recovery(log: NotarisedLog) -> None:
    path = log.opened(1)
    table = read_block_table(path)
    end = table[-1].offset + table[-1].frame_len
    path.write_bytes(path.read_bytes()[:end] + b"torn" + bytes(100))
    assert check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem), None).findings == ()
    last = check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem, is_last=True), None)
    assert the_finding(last).kind is Kind.TORN_TAIL


# --- damage no checksum shows --------------------------------------------------------------------------


def resealed(
    path: Path,
    *,
    table: bytes | None = None,
    seal: Seal | None = None,
    nblocks: int | None = None,
    order: str = "ts",
    raw: bytes | None = None,
) -> None:
    """Give a sealed segment another footer, with right checksums."""
    with SegmentFile(REAL_FILES, path) as segment:
        header, old = segment.header, segment.footer()[1]
        trailer = parse_trailer(path.read_bytes()[-64:], "", path.stat().st_size - 64)
    data = path.read_bytes()
    footer = data[trailer.footer_offset : -64]
    table_frame = parse_frame_header(footer, header.salt32, "", 0)
    compression = Compression(header.zstd)
    frames = {
        "t": _frame(
            header,
            table_frame,
            compression.compress(table)
            if table is not None
            else footer[FRAME_HEADER_BYTES : table_frame.frame_len],
            len(table) if table is not None else table_frame.raw_len,
        ),
    }
    seal_head = parse_frame_header(footer[table_frame.frame_len :], header.salt32, "", 0)
    raw_seal = encode_seal(seal or old) if raw is None else raw
    frames["s"] = _frame(header, seal_head, compression.compress(raw_seal), len(raw_seal))
    made = b"".join(frames[letter] for letter in order)
    body = data[: trailer.footer_offset] + made
    count = nblocks if nblocks is not None else trailer.nblocks
    path.write_bytes(
        body + encode_trailer(Trailer(trailer.footer_offset, len(made), count, hashlib.sha256(body).digest()))
    )


def _frame(header: SegmentHeader, head: object, payload: bytes, raw_len: int) -> bytes:
    encoded = encode_frame_header(
        msgspec.structs.replace(head, payload_len=len(payload), raw_len=raw_len), header.salt32
    )
    return encoded + encode_frame_crc(encoded, payload) + payload


def test_a_footer_that_does_not_fit_the_frames_is_corrupt(log: NotarisedLog) -> None:
    path = log.sealed(2, 1)
    task = SegmentTask(str(path.parent), path.stem)
    intact = path.read_bytes()
    with SegmentFile(REAL_FILES, path) as segment:
        seal = segment.footer()[1]
    for changes, why in (
        ({"table": bytes(128)}, "table does not describe"),
        ({"seal": msgspec.structs.replace(seal, next_record_seq=9)}, "seal does not describe"),
        ({"nblocks": 7}, "seal does not describe"),
        ({"order": "tss"}, "not block table and seal"),
        ({"order": "t"}, "not block table and seal"),
        ({"raw": b"\xc1"}, "seal cannot be read"),
    ):
        resealed(path, **changes)  # type: ignore[arg-type]
        finding = the_finding(check_segment(REAL_FILES, task, None))
        assert finding.kind is Kind.CORRUPT
        assert why in finding.why, changes
        path.write_bytes(intact)


def test_a_footer_cut_or_with_a_wrong_trailer_is_corrupt(log: NotarisedLog) -> None:
    path = log.sealed(2, 1)
    task = SegmentTask(str(path.parent), path.stem)
    data = path.read_bytes()
    trailer = parse_trailer(data[-64:], "", len(data) - 64)
    start = trailer.footer_offset

    def why(content: bytes) -> str:
        path.write_bytes(content)
        finding = the_finding(check_segment(REAL_FILES, task, None))
        assert finding.kind is Kind.CORRUPT
        return finding.why

    def trailed(body: bytes, **changes: object) -> bytes:
        changed = Trailer(start, len(body) - start, trailer.nblocks, hashlib.sha256(body).digest())
        return body + encode_trailer(msgspec.structs.replace(changed, **changes))

    body = data[:-64]
    assert why(data[: start + 45]) == "the file ends within a frame"
    assert "trailer" in why(data[:-1])
    assert "where the footer begins" in why(
        trailed(body, footer_offset=start - 8, footer_len=len(body) - start + 8)
    )
    assert "SHA-256 differs" in why(trailed(body, sha256=bytes(32)))
    assert "within a frame" in why(trailed(body + b"\0" * 7))
    assert "salt" in why(trailed(body + b"x" * 50))
    broken = bytearray(body)
    broken[-1] ^= 1
    assert "CRC" in why(trailed(bytes(broken)))
    seal_head = data.index(data[4096:4100], start + 50)
    head = parse_frame_header(data[seal_head:], int.from_bytes(data[4096:4100], "little"), "", 0)
    with SegmentFile(REAL_FILES, _written(path, data)) as segment:
        header = segment.header
    garbage = _frame(header, head, b"no zstd at all", 40)
    assert why(trailed(data[:seal_head] + garbage)) != ""
    assert "zeros" in why(data[:start] + bytes(200))


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_an_absurdly_long_footer_is_not_read(log: NotarisedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    path = log.sealed(2, 1)
    monkeypatch.setattr("storage.verify.segment_check.MAX_FOOTER_BYTES", 10)
    finding = the_finding(check_segment(REAL_FILES, SegmentTask(str(path.parent), path.stem), None))
    assert "does not fit" in finding.why


def test_another_whole_file_than_was_signed_is_a_rewrite(log: NotarisedLog) -> None:
    """The same frames, another seal: every checksum right."""
    path = log.sealed(2, 1)
    log.notarise()
    leaves = Leaves(log)
    with SegmentFile(REAL_FILES, path) as segment:
        header = segment.header
    page = encode_header_page(msgspec.structs.replace(header, gateway_id="other"))
    data = page + path.read_bytes()[4096:-64]
    trailer = parse_trailer(path.read_bytes()[-64:], "", path.stat().st_size - 64)
    path.write_bytes(
        data + encode_trailer(msgspec.structs.replace(trailer, sha256=hashlib.sha256(data).digest()))
    )
    finding = the_finding(leaves.check(path))
    assert (finding.kind, finding.why) == (Kind.REWRITE, "it is whole, and not the file that was signed")


def test_a_leaf_with_other_numbers_than_the_file_is_a_rewrite(log: NotarisedLog) -> None:
    path = log.sealed(2, 1)
    log.notarise()
    leaves = Leaves(log)
    leaf = msgspec.structs.replace(parse_leaf(leaves.task(path).end), number=2)
    assert "numbers" in the_finding(leaves.check(path, end=encode_leaf(leaf))).why


def test_a_header_page_of_another_segment_is_a_rewrite(log: NotarisedLog) -> None:
    path = log.sealed(1)
    log.notarise()
    leaves = Leaves(log)
    with SegmentFile(REAL_FILES, path) as segment:
        header = segment.header
    other = header.segment_id[:-12] + "0" * 4 + header.segment_id[-8:]
    path.write_bytes(
        encode_header_page(msgspec.structs.replace(header, segment_id=other)) + path.read_bytes()[4096:]
    )
    assert the_finding(leaves.check(path)).kind is Kind.REWRITE
    assert the_finding(leaves.check(path, end=b"")).kind is Kind.REWRITE
    assert encode_segment_id(other)


def test_more_frames_than_were_signed_under_an_end_that_was_is_a_rewrite(log: NotarisedLog) -> None:
    path = log.sealed(1, 1, 1)
    log.notarise()
    leaves = Leaves(log)
    (run,) = leaves.task(path).runs
    fewer = msgspec.structs.replace(run, end=run.end - 1)
    assert "3 frames, 2 were signed" in the_finding(leaves.check(path, runs=(fewer,))).why
    later = msgspec.structs.replace(run, start=run.start + 1)
    assert "is of frame 1" in the_finding(leaves.check(path, runs=(later,))).why


def test_a_segment_under_the_name_of_another_is_named(log: NotarisedLog) -> None:
    first, second = log.sealed(1), log.sealed(1)
    log.notarise()
    leaves = Leaves(log)
    first.write_bytes(second.read_bytes())
    finding = the_finding(leaves.check(first))
    assert (finding.kind, finding.offset) == (Kind.CORRUPT, 0)
    assert second.stem in finding.why


def test_another_whole_frame_than_was_signed_is_a_rewrite_with_its_place(log: NotarisedLog) -> None:
    path = log.opened(1, 1)
    log.notarise()
    leaves = Leaves(log)
    second = read_block_table(path)[1]
    data = bytearray(path.read_bytes())
    frame = data[second.offset : second.offset + second.frame_len]
    frame[28:36] = (START_NS + 99).to_bytes(8, "little")  # another time, and a CRC that fits it
    crc = zlib.crc32(frame[40:], zlib.crc32(frame[:36]))
    frame[36:40] = crc.to_bytes(4, "little")
    data[second.offset : second.offset + second.frame_len] = frame
    path.write_bytes(data)
    finding = the_finding(leaves.check(path))
    assert (finding.kind, finding.offset, finding.record) == (Kind.REWRITE, second.offset, 2)


def test_the_leaves_of_an_accepted_loss_are_excused_and_only_they(log: NotarisedLog) -> None:
    path = log.opened(1, 1, 1)
    log.sealed(1)
    log.notarise()
    table = read_block_table(path)
    path.write_bytes(path.read_bytes()[: table[2].offset])
    leaves = Leaves(log)
    assert the_finding(leaves.check(path, excused=((2, 3),))).kind is Kind.LOSS_ACCEPTED
    assert the_finding(leaves.check(path, excused=((0, 2), (3, 9)))).kind is Kind.ROLLBACK
    (run,) = leaves.task(path).runs
    split = (msgspec.structs.replace(run, end=1), msgspec.structs.replace(run, start=1))
    assert the_finding(leaves.check(path, runs=split, excused=((2, 3),))).kind is Kind.LOSS_ACCEPTED


def test_when_some_entries_cannot_be_read_the_others_still_count(log: NotarisedLog) -> None:
    path = log.sealed(1, 1, 1)
    log.notarise()
    leaves = Leaves(log)
    (run,) = leaves.task(path).runs
    known = (msgspec.structs.replace(run, start=run.start + 1),)
    assert leaves.check(path, runs=known, is_partial=True).findings == ()
    flip(path, read_block_table(path)[2].offset + 50)
    assert the_finding(leaves.check(path, runs=known, is_partial=True)).kind is Kind.CORRUPT


def test_damage_in_the_middle_is_told_with_the_place_of_the_slow_reader(log: NotarisedLog) -> None:
    path = log.sealed(1, 1, 1)
    log.notarise()
    leaves = Leaves(log)
    second = read_block_table(path)[1]
    flip(path, second.offset + 30)
    finding = the_finding(leaves.check(path))
    assert (finding.offset, finding.record) == (second.offset, 2)
    with SegmentFile(REAL_FILES, path) as segment:
        cursor = segment.start()
        segment.next_block(cursor)
        with pytest.raises(CorruptFrame) as caught:
            segment.next_block(cursor)
    assert (caught.value.offset, caught.value.why) == (finding.offset, finding.why)


def test_a_whole_segment_with_fewer_frames_than_were_signed_is_a_rewrite(
    log: NotarisedLog, tmp_path: Path
) -> None:
    path = log.sealed(1, 1, 1)
    log.notarise()
    leaves = Leaves(log)
    with SegmentFile(REAL_FILES, path) as segment:
        header = segment.header
    shorter = NotarisedLog(tmp_path / "shorter").sealed(1, 1, segment_id=header.segment_id)
    path.write_bytes(shorter.read_bytes())
    finding = the_finding(leaves.check(path))
    assert (finding.kind, finding.record) == (Kind.REWRITE, 3)
    assert "ends before frame 2" in finding.why


def test_a_leaf_of_a_recovery_that_found_less_is_not_that_of_this_file(log: NotarisedLog) -> None:
    path = recovered(log)
    leaves = Leaves(log)
    leaf = parse_leaf(leaves.task(path).end)
    for changes in ({"valid_bytes": 4096}, {"valid_sha256": bytes(32)}, {"torn_sha256": bytes(31) + b"1"}):
        end = encode_leaf(msgspec.structs.replace(leaf, **changes))
        assert the_finding(leaves.check(path, end=end)).kind is Kind.CORRUPT
