"""K13 and K5: whatever is done to a log by someone who has its files, `verify` says so and where.

The key of the log is used by the tests named "with the key"; only a checkpoint held elsewhere finds those.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from storage.files import REAL_FILES
from storage.format import (
    FRAME_HEADER_BYTES,
    FrameInfo,
    encode_frame_crc,
    encode_frame_header,
    parse_frame_header,
    parse_header_page,
)
from storage.notary.tombstone import Tombstone, sign_tombstone
from storage.reader import read_block_table
from storage.tlog.note import generate_signer, parse_signer, parse_vkey
from storage.verify import log_verifier, segment_check
from storage.verify.findings import Finding, Kind, Report
from storage.verify.tree_check import Trust
from storage.verify.verify import verify
from tests.crash import tamper
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import START_NS


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path / "data")


def report_on(log: NotarisedLog, *checkpoints: bytes, directory: Path | None = None) -> Report:
    held = tuple((f"held-{number}", note) for number, note in enumerate(checkpoints))
    return verify(
        REAL_FILES, directory or log.data_dir, trust=Trust((log.signer.verifier,), checkpoints=held)
    )


def found(report: Report) -> list[Finding]:
    return [finding for finding in report.all_findings if not finding.is_note]


def expect(log: NotarisedLog, kind: Kind, exit_code: int, *checkpoints: bytes) -> Finding:
    report = report_on(log, *checkpoints)
    assert report.exit_code == exit_code, report.all_findings
    return next(finding for finding in found(report) if finding.kind is kind)


def segments_of(log: NotarisedLog) -> list[Path]:
    return sorted(path for path in log.directory.iterdir() if path.suffix in (".kseg", ".open"))


def frames_of(path: Path) -> tuple[bytes, list[bytes], bytes]:
    """Header page, data frames, everything behind them."""
    data = path.read_bytes()
    table = read_block_table(path)
    frames = [data[info.offset : info.offset + info.frame_len] for info in table]
    return data[:4096], frames, data[end_of(table[-1]) :]


def end_of(info: FrameInfo) -> int:
    return info.offset + info.frame_len


def newest_checkpoint(log: NotarisedLog) -> bytes:
    return (log.directory / "tlog" / "checkpoint").read_bytes()


def renumbered(frame: bytes, salt32: int, block_seq: int, first_record_seq: int) -> bytes:
    """A frame with other numbers and a right CRC: what someone writes who knows the format."""
    head = parse_frame_header(frame, int.from_bytes(frame[:4], "little"), "", 0)
    head = msgspec.structs.replace(head, block_seq=block_seq, first_record_seq=first_record_seq)
    encoded, payload = encode_frame_header(head, salt32), frame[FRAME_HEADER_BYTES:]
    return encoded + encode_frame_crc(encoded, payload) + payload


# --- bits -------------------------------------------------------------------------------------------


def test_sampled_bit_flips_of_a_64_kib_segment_are_all_found(tmp_path: Path) -> None:
    target = tamper.make_target(tmp_path)
    size = len(target.files.content)
    assert size > 60_000
    assert tamper.missed(target, tamper.sampled(size, 20_000, seed=11)) == []


def test_the_flip_test_itself_notices_a_weaker_verifier(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without comparing the footer, flips in it go unnoticed: the test above can fail."""
    target = tamper.make_target(tmp_path)
    monkeypatch.setattr(segment_check._Check, "_check_sealed", lambda *_: None)
    size = len(target.files.content)
    assert tamper.missed(target, [(size - 10, 0)]) == [(size - 10, 0)]


def test_every_flip_in_a_sealed_segment_names_the_segment_and_is_corrupt(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    intact = path.read_bytes()
    for at in range(0, len(intact), 7):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 1 << at % 8]) + intact[at + 1 :])
        finding = expect(log, Kind.CORRUPT, 10)
        assert finding.segment == path.stem
        assert finding.offset is not None
        assert finding.offset <= at or finding.offset == len(intact) - 64


# --- frames -----------------------------------------------------------------------------------------

Edit = Callable[[list[bytes]], list[bytes]]
EDITS: dict[str, Edit] = {
    "delete": lambda frames: [frames[0], *frames[2:]],
    "duplicate": lambda frames: [frames[0], frames[0], *frames[1:]],
    "swap": lambda frames: [frames[1], frames[0], *frames[2:]],
    "drop the last": lambda frames: frames[:-1],
    "drop the first": lambda frames: frames[1:],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_frame_moved_in_a_sealed_segment_is_found(log: NotarisedLog, edit: Edit) -> None:
    path = segments_of(log)[0]
    page, frames, rest = frames_of(path)
    path.write_bytes(page + b"".join(edit(frames)) + rest)
    assert expect(log, Kind.CORRUPT, 10).segment == path.stem


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_frame_moved_in_the_open_segment_is_found(log: NotarisedLog, edit: Edit) -> None:
    path = segments_of(log)[-1]
    page, frames, rest = frames_of(path)
    path.write_bytes(page + b"".join(edit(frames)) + rest)
    report = report_on(log)
    assert report.exit_code in (10, 12)
    assert found(report)[0].segment == path.stem


def test_frames_renumbered_with_right_checksums_are_a_rewrite(log: NotarisedLog) -> None:
    """Frame 0 removed, the others numbered anew: valid to every reader, and not what was signed."""
    path = segments_of(log)[-1]
    page, frames, rest = frames_of(path)
    head = parse_header_page(page, path.name)
    path.write_bytes(page + renumbered(frames[1], head.salt32, 0, head.first_record_seq) + rest)
    assert read_block_table(path)[0].block_seq == 0
    finding = expect(log, Kind.REWRITE, 13)
    assert (finding.segment, finding.offset, finding.record) == (path.stem, 4096, head.first_record_seq)


def test_a_frame_of_another_segment_is_found(log: NotarisedLog) -> None:
    first, second, _ = segments_of(log)
    page, frames, rest = frames_of(first)
    spliced = frames_of(second)[1][1]
    first.write_bytes(page + frames[0] + spliced + b"".join(frames[2:]) + rest)
    finding = expect(log, Kind.CORRUPT, 10)
    assert (finding.segment, finding.offset) == (first.stem, 4096 + len(frames[0]))


def test_a_frame_of_another_segment_with_fitting_numbers_is_a_rewrite(log: NotarisedLog) -> None:
    _, second, third = segments_of(log)
    page, frames, rest = frames_of(third)
    head = parse_header_page(page, third.name)
    spliced = renumbered(frames_of(second)[1][0], head.salt32, 0, head.first_record_seq)
    third.write_bytes(page + spliced + frames[1] + rest)
    assert expect(log, Kind.REWRITE, 13).segment == third.stem


def test_a_record_inserted_behind_the_signed_ones_is_shown_as_not_covered(log: NotarisedLog) -> None:
    """Whoever has the disk may write behind the newest checkpoint; the report says up to where it was signed."""
    path = segments_of(log)[-1]
    page, frames, rest = frames_of(path)
    head = parse_header_page(page, path.name)
    forged = renumbered(frames[1], head.salt32, 2, head.first_record_seq + 4)
    path.write_bytes(page + b"".join(frames) + forged + rest)
    report = report_on(log)
    assert report.exit_code == 0
    assert [finding.kind for finding in report.all_findings] == [Kind.NOT_COVERED]


# --- whole segments -----------------------------------------------------------------------------------


def written_anew(tmp_path: Path, segment_id: str, salt32: int) -> Path:
    """A segment with the same header and the same numbers, other records, right footer and trailer."""
    other = NotarisedLog(tmp_path / "anew")
    segment = other.begin(segment_id=segment_id, salt32=salt32)
    for index, block in enumerate(([b"one", b"two"], [b"three"], [b"four", b"five", b"six"])):
        segment.append(block, START_NS + index)
        segment.sync()
    return segment.seal()


def test_a_sealed_segment_written_anew_is_a_rewrite(log: NotarisedLog, tmp_path: Path) -> None:
    first = segments_of(log)[0]
    head = parse_header_page(first.read_bytes()[:4096], first.name)
    path = written_anew(tmp_path, head.segment_id, head.salt32)
    assert path.name == first.name
    first.write_bytes(path.read_bytes())
    finding = expect(log, Kind.REWRITE, 13)
    assert (finding.segment, finding.offset, finding.record) == (first.stem, 4096, 1)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_deleted_segment_is_missing(log: NotarisedLog, at: int) -> None:
    path = segments_of(log)[at]
    path.unlink()
    finding = expect(log, Kind.MISSING, 11)
    assert finding.segment[-8:] == path.stem[-8:]
    assert "no tombstone" in finding.why


def test_a_deleted_segment_that_no_checkpoint_covers_yet_is_missing_too(log: NotarisedLog) -> None:
    log.recover()
    log.sealed(1)
    gone = log.sealed(2)
    log.sealed(3)
    gone.unlink()
    assert "number 5" in expect(log, Kind.MISSING, 11).why


def test_all_segments_deleted_are_all_named(log: NotarisedLog) -> None:
    for path in segments_of(log):
        path.unlink()
    report = report_on(log)
    assert report.exit_code == 11
    assert len([finding for finding in found(report) if finding.kind is Kind.MISSING]) == 3


def test_swapped_files_are_named(log: NotarisedLog) -> None:
    first, second, _ = segments_of(log)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    report = report_on(log)
    assert report.exit_code == 10
    assert {finding.segment for finding in found(report)} == {first.stem, second.stem}
    assert all("swapped" in finding.why and finding.offset == 0 for finding in found(report))


def test_a_renamed_segment_is_named(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    path.rename(path.with_name(path.name.replace("-00000001-", "-00000009-")))
    report = report_on(log)
    assert report.exit_code in (10, 11)
    assert any("renamed" in finding.why for finding in found(report))


def test_the_end_cut_off_at_every_byte_is_a_rollback_or_corrupt_never_torn(log: NotarisedLog) -> None:
    """What a checkpoint covers was durable before it was signed: its loss is no crash."""
    path = segments_of(log)[-1]
    intact = path.read_bytes()
    table = read_block_table(path)
    for cut in range(table[0].offset, end_of(table[-1])):
        for content in (intact[:cut], intact[:cut] + bytes(len(intact) - cut)):
            path.write_bytes(content)
            report = report_on(log)
            assert report.exit_code in (10, 12), cut
            finding = found(report)[0]
            assert finding.segment == path.stem
            first_gone = next(info for info in table if end_of(info) > cut)
            assert finding.offset == first_gone.offset
            assert finding.record == first_gone.first_record_seq
    assert report.exit_code == 10, "with one byte missing it is not told from damage"


def test_a_cut_between_frames_is_a_rollback(log: NotarisedLog) -> None:
    path = segments_of(log)[-1]
    data, table = path.read_bytes(), read_block_table(path)
    path.write_bytes(data[: table[1].offset])
    finding = expect(log, Kind.ROLLBACK, 12)
    assert (finding.offset, finding.record) == (table[1].offset, table[1].first_record_seq)


def test_a_sealed_segment_cut_at_every_byte_of_its_end_is_corrupt(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    intact = path.read_bytes()
    for cut in range(end_of(read_block_table(path)[1]), len(intact)):
        path.write_bytes(intact[:cut])
        assert report_on(log).exit_code in (10, 13), cut


# --- K5: torn is torn -----------------------------------------------------------------------------------


def test_the_open_segment_cut_at_every_byte_behind_the_checkpoint_is_torn_never_corrupt(
    tmp_path: Path,
) -> None:
    log = NotarisedLog(tmp_path / "data")
    log.sealed(2)
    segment = log.begin()
    log.fill(segment, 1)
    notary = log.notary()
    log.notarise(notary)
    notary.close()
    log.fill(segment, 2, 1)
    segment.abandon()
    intact = segment.path.read_bytes()
    table = read_block_table(segment.path)
    assert len(table) == 3
    for cut in range(end_of(table[0]), end_of(table[-1]) + 1):
        segment.path.write_bytes(intact[:cut] + bytes(len(intact) - cut))
        report = report_on(log)
        assert report.exit_code == 0, cut
        torn = [finding for finding in report.all_findings if finding.kind is Kind.TORN_TAIL]
        whole = [info for info in table if end_of(info) <= cut]
        end, written = end_of(whole[-1]), len(intact[:cut].rstrip(b"\0"))
        assert bool(torn) == (written > end), cut
        for finding in torn:
            assert f"{written - end} bytes" in finding.why
            assert finding.offset == end


def test_a_flip_before_a_durable_frame_behind_the_checkpoint_is_corrupt(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path / "data")
    log.sealed(2)
    log.notarise()
    path = log.opened(1, 1, 1)
    intact = path.read_bytes()
    for at in range(4096, read_block_table(path)[-1].offset):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 1 << at % 8]) + intact[at + 1 :])
        assert expect(log, Kind.CORRUPT, 10).segment == path.stem


# --- old copies, other histories ------------------------------------------------------------------------


def test_an_old_copy_put_back_is_found_by_a_checkpoint_held_elsewhere(
    log: NotarisedLog, tmp_path: Path
) -> None:
    shutil.copytree(log.data_dir, tmp_path / "old")
    log.recover()
    log.sealed(4, 4)
    held = log.notarise()
    assert held is not None
    report = report_on(log, held, directory=tmp_path / "old")
    assert report.exit_code == 12
    assert "knows 14 leaves, the tree here has 10" in found(report)[0].why
    assert report_on(log, directory=tmp_path / "old").exit_code == 0, "nothing within the copy can show it"


def test_segments_put_back_under_a_newer_tree_are_found_without_any(
    log: NotarisedLog, tmp_path: Path
) -> None:
    old = {path: path.read_bytes() for path in segments_of(log)}
    log.recover()
    log.sealed(4, 4)
    log.notarise()
    for path in log.directory.glob("*.kseg"):
        path.unlink()
    (log.directory / (segments_of_stem(log) + ".recovered")).unlink()
    for path, data in old.items():
        path.write_bytes(data)
    report = report_on(log)
    assert report.exit_code in (11, 12)


def segments_of_stem(log: NotarisedLog) -> str:
    return next(log.directory.glob("*.recovered")).stem


def test_a_tree_put_back_alone_is_found_by_its_own_copies(log: NotarisedLog, tmp_path: Path) -> None:
    tree = log.directory / "tlog"
    shutil.copytree(tree, tmp_path / "old-tree")
    log.recover()
    log.sealed(1)
    log.notarise()
    kept = max((tree / "checkpoints").iterdir(), key=lambda path: int(path.name))
    assert int(kept.name) == 13
    copy = kept.read_bytes()
    shutil.rmtree(tree)
    shutil.copytree(tmp_path / "old-tree", tree)
    (tree / "checkpoints" / "13").write_bytes(copy)
    assert "13 leaves" in expect(log, Kind.ROLLBACK, 12).why


def test_a_log_and_tree_rewritten_without_the_key_are_a_rewrite(log: NotarisedLog) -> None:
    """Every file but the signed checkpoint made anew from other records."""
    forged = forge(log, key_of_the_log=False)
    (forged.directory / "tlog" / "checkpoint").write_bytes(newest_checkpoint(log))
    shutil.rmtree(forged.directory / "tlog" / "checkpoints")
    report = report_on(log, directory=forged.data_dir)
    assert report.exit_code == 13
    assert "another root" in found(report)[0].why


def test_a_log_and_tree_rewritten_with_another_key_are_forged(log: NotarisedLog) -> None:
    forged = forge(log, key_of_the_log=False)
    report = report_on(log, directory=forged.data_dir)
    assert report.exit_code == 14
    assert report_on(forged).exit_code == 0, "the forger's own key is happy with it"


def test_a_log_and_tree_rewritten_with_the_key_are_found_by_a_checkpoint_held_elsewhere(
    log: NotarisedLog,
) -> None:
    held = newest_checkpoint(log)
    forged = forge(log, key_of_the_log=True)
    assert report_on(log, directory=forged.data_dir).exit_code == 0
    report = report_on(log, held, directory=forged.data_dir)
    assert report.exit_code == 13
    assert "rewritten" in found(report)[0].why


def forge(log: NotarisedLog, *, key_of_the_log: bool) -> NotarisedLog:
    """Another history of as many leaves, with a tree over it."""
    data_dir = log.data_dir.with_name("forged")
    if key_of_the_log:
        shutil.copytree(log.data_dir / "keys", data_dir / "keys")
    forged = NotarisedLog(data_dir)
    forged.sealed(2, 1, 3)
    forged.sealed(1, 1, 1)
    forged.opened(1, 1)
    forged.notarise()
    return forged


def test_a_fork_with_the_key_from_an_old_copy_on_is_placed_behind_the_last_common_checkpoint(
    log: NotarisedLog, tmp_path: Path
) -> None:
    common = newest_checkpoint(log)
    shutil.copytree(log.data_dir, tmp_path / "fork")
    log.recover()
    log.sealed(5)
    held = log.notarise()
    fork = NotarisedLog(tmp_path / "fork")
    fork.recover()
    fork._last = parse_header_page(next(fork.directory.glob("*.recovered")).read_bytes()[:4096], "")
    fork.sealed(3)
    fork.notarise()
    assert held is not None
    report = report_on(log, common, held, directory=fork.data_dir)
    assert report.exit_code == 13
    assert "the first 10 leaves agree" in found(report)[0].why


# --- signatures, tiles ----------------------------------------------------------------------------------


def test_every_flipped_bit_of_the_checkpoint_is_found(log: NotarisedLog) -> None:
    path = log.directory / "tlog" / "checkpoint"
    intact = path.read_bytes()
    for at in range(len(intact)):
        path.write_bytes(intact[:at] + bytes([intact[at] ^ 1 << at % 7]) + intact[at + 1 :])
        assert report_on(log).exit_code in (10, 12, 13, 14), at


def test_every_flipped_byte_of_every_tile_is_found_and_named(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path / "data")
    log.sealed(*[1] * 300)
    log.notarise()
    tiles = [path for path in (log.directory / "tlog" / "tile").rglob("*") if path.is_file()]
    assert len(tiles) == 5
    for path in tiles:
        intact = path.read_bytes()
        for at in range(0, len(intact), max(1, len(intact) // 40)):
            path.write_bytes(intact[:at] + bytes([intact[at] ^ 1 << at % 8]) + intact[at + 1 :])
            finding = expect(log, Kind.CORRUPT, 10)
            assert path.relative_to(log.directory).as_posix() in finding.why
        path.write_bytes(intact)
    assert report_on(log).exit_code == 0


def test_every_deleted_tile_is_found_and_named(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path / "data")
    log.sealed(*[1] * 300)
    log.notarise()
    for path in [path for path in (log.directory / "tlog" / "tile").rglob("*") if path.is_file()]:
        intact = path.read_bytes()
        path.unlink()
        assert path.relative_to(log.directory).as_posix() in expect(log, Kind.CORRUPT, 10).why
        path.write_bytes(intact)


def test_damage_in_a_segment_is_found_although_its_entries_cannot_be_read(tmp_path: Path) -> None:
    """One bundle of two is gone: the frames whose leaves are in the other one are still compared."""
    log = NotarisedLog(tmp_path / "data")
    path = log.sealed(*[1] * 300)
    log.notarise()
    (log.directory / "tlog" / "tile" / "entries" / "000").unlink()
    table = read_block_table(path)
    data = bytearray(path.read_bytes())
    data[table[280].offset + 50] ^= 1
    path.write_bytes(data)
    assert any(
        finding.segment == path.stem and finding.offset == table[280].offset
        for finding in found(report_on(log))
    )


def test_a_tree_that_is_gone_leaves_nothing_to_compare_with(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog")
    assert "nothing to compare" in expect(log, Kind.UNVERIFIABLE, 15).why


def test_a_key_of_another_log_is_not_believed(log: NotarisedLog) -> None:
    _, vkey = generate_signer(ORIGIN)
    report = verify(REAL_FILES, log.data_dir, trust=Trust((parse_vkey(vkey),)))
    assert report.exit_code == 14


# --- gaps by policy and gaps by theft -------------------------------------------------------------------


def buried(log: NotarisedLog, path: Path, **changes: object) -> Tombstone:
    data = path.read_bytes()
    head = parse_header_page(data[:4096], path.name)
    last = read_block_table(path)[-1]
    tombstone = Tombstone(
        ORIGIN,
        path.stem,
        head.segment_id,
        head.segment_number,
        len(data),
        hashlib.sha256(data).digest(),
        head.first_record_seq,
        last.first_record_seq + last.nrec,
        START_NS,
        "retention 30d",
    )
    return msgspec.structs.replace(tombstone, **changes)


def bury(log: NotarisedLog, path: Path, note: bytes) -> None:
    path.with_suffix(".tombstone").write_bytes(note)
    log.notarise()
    path.unlink()


def test_a_gap_by_policy_is_a_note(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    bury(log, path, sign_tombstone(buried(log, path), log.signer))
    report = report_on(log)
    assert report.exit_code == 0
    assert [finding.kind for finding in report.all_findings] == [Kind.DELETED]


def test_a_tombstone_by_another_key_is_forged_and_the_segment_missing(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    thief = parse_signer(generate_signer(ORIGIN)[0])
    bury(log, path, sign_tombstone(buried(log, path), thief))
    report = report_on(log)
    assert report.exit_code == 14
    assert {finding.kind for finding in found(report)} >= {Kind.FORGED, Kind.MISSING}


def test_a_tombstone_of_another_segment_put_in_its_place_is_forged(log: NotarisedLog) -> None:
    first, second, _ = segments_of(log)
    bury(log, first, sign_tombstone(buried(log, second), log.signer))
    assert expect(log, Kind.FORGED, 14).segment == first.stem


def test_a_tombstone_of_other_bytes_than_were_signed_is_a_rewrite(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    bury(log, path, sign_tombstone(buried(log, path, sha256=bytes(32)), log.signer))
    assert expect(log, Kind.REWRITE, 13).segment == path.stem


def test_a_garbled_tombstone_is_corrupt(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    bury(log, path, b"gone, sorry\n")
    assert report_on(log).exit_code in (10, 11)


def test_a_tombstone_taken_away_is_missing(log: NotarisedLog) -> None:
    path = segments_of(log)[0]
    bury(log, path, sign_tombstone(buried(log, path), log.signer))
    path.with_suffix(".tombstone").unlink()
    assert report_on(log).exit_code == 11


# --- the checks are needed ------------------------------------------------------------------------------


def test_without_the_tree_comparison_a_rewritten_segment_would_pass(
    log: NotarisedLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = segments_of(log)[0]
    head = parse_header_page(first.read_bytes()[:4096], first.name)
    first.write_bytes(written_anew(tmp_path, head.segment_id, head.salt32).read_bytes())
    monkeypatch.setattr(segment_check, "entries_of_runs", lambda *_: b"")
    monkeypatch.setattr(segment_check, "parse_leaf", lambda _: None)
    assert report_on(log).exit_code == 0


def test_without_the_look_for_missing_segments_a_theft_would_pass(
    log: NotarisedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    segments_of(log)[0].unlink()
    monkeypatch.setattr(log_verifier.LogVerifier, "_judge_missing", lambda *_: None)
    assert report_on(log).exit_code == 0


def test_without_the_checkpoint_held_elsewhere_a_fork_with_the_key_passes(log: NotarisedLog) -> None:
    forged = forge(log, key_of_the_log=True)
    assert report_on(log, directory=forged.data_dir).exit_code == 0
