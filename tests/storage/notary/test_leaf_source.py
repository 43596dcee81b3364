import hashlib
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.files import REAL_FILES, RealFiles
from storage.notary.leaf import BlockLeaf, Leaf, RecoveredLeaf, SealedLeaf, block_leaf, parse_leaf
from storage.notary.leaf_source import LeafSource, Place
from storage.reader import read_block_table
from storage.recovery import examine
from storage.segment_file import SegmentFile
from tests.kit.faulty_files import FailingFiles
from tests.kit.notarised import NotarisedLog
from tests.kit.segments import flip


def leaves(directory: Path, place: Place | None = None) -> list[Leaf]:
    source = LeafSource(REAL_FILES, directory, place or Place())
    found = [parse_leaf(entry) for entry in source.everything()]
    source.close()
    return found


def blocks_of(path: Path) -> list[Leaf]:
    with SegmentFile(REAL_FILES, path) as segment:
        return [block_leaf(segment.header.segment_id, info) for info in read_block_table(path)]


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return NotarisedLog(tmp_path)


def test_blocks_come_before_the_end_of_their_segment_and_segments_in_order(log: NotarisedLog) -> None:
    first, second = log.sealed(2, 1), log.sealed(1)
    third = log.opened(1, 1)
    found = leaves(log.directory)
    assert [type(leaf).__name__[0] for leaf in found] == list("BBSBSBB")
    assert found[:2] == blocks_of(first)
    assert found[3:4] == blocks_of(second)
    assert found[5:] == blocks_of(third)


def test_a_sealed_leaf_says_what_the_file_is(log: NotarisedLog) -> None:
    first, path = log.sealed(1), log.sealed(2, 1)
    sealed = leaves(log.directory)[-1]
    assert isinstance(sealed, SealedLeaf)
    with SegmentFile(REAL_FILES, path) as segment, SegmentFile(REAL_FILES, first) as before:
        seal = segment.footer()[1]
        assert (sealed.segment_id, sealed.prev_segment_id) == (
            segment.header.segment_id,
            before.header.segment_id,
        )
    data = path.read_bytes()
    assert (sealed.number, sealed.size, sealed.sha256) == (2, len(data), hashlib.sha256(data).digest())
    assert (sealed.blocks, sealed.first_record_seq, sealed.next_record_seq) == (2, 2, 5)
    assert (sealed.first_committed_ns, sealed.last_committed_ns) == (
        seal.first_committed_ns,
        seal.last_committed_ns,
    )


def test_a_growing_segment_gives_each_leaf_once(log: NotarisedLog) -> None:
    segment = log.begin()
    source = LeafSource(REAL_FILES, log.directory)
    found: list[bytes] = []
    for _ in range(3):
        log.fill(segment, 1, 2)
        found += source.step()
        assert source.waits
        assert source.step() == []
    path = segment.seal()
    found += source.step()
    assert len(found) == 7
    source.close()
    assert [parse_leaf(entry) for entry in found] == leaves(log.directory)
    assert hashlib.sha256(path.read_bytes()).digest() == parse_leaf(found[-1]).sha256  # type: ignore[union-attr]


def test_an_open_segment_with_a_successor_is_waited_for(log: NotarisedLog) -> None:
    segment = log.begin()
    log.fill(segment, 1)
    log.sealed(1)
    source = LeafSource(REAL_FILES, log.directory)
    assert [type(parse_leaf(entry)) for entry in source.step()] == [BlockLeaf]
    assert source.step() == []
    segment.seal()
    assert [type(parse_leaf(entry)) for entry in source.step()] == [SealedLeaf, BlockLeaf, SealedLeaf]
    source.close()


@pytest.mark.parametrize("seen", range(4))
def test_reading_goes_on_from_any_place(log: NotarisedLog, seen: int) -> None:
    path = log.sealed(1, 2, 1)
    log.sealed(1)
    everything = leaves(log.directory)
    if seen == 3:
        place = Place(1, 3, read_block_table(path)[2].offset + read_block_table(path)[2].frame_len, 5, False)
    elif seen:
        leaf = everything[seen - 1]
        assert isinstance(leaf, BlockLeaf)
        place = Place(1, seen, leaf.end, leaf.next_record_seq, False)
    else:
        place = Place(1, complete=False)
    assert leaves(log.directory, place) == everything[seen:]
    assert leaves(log.directory, Place(1)) == everything[4:]


def test_a_step_is_bounded(log: NotarisedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log.sealed(*[1] * 12)
    log.sealed(*[1] * 12)
    monkeypatch.setattr("storage.notary.leaf_source.STEP_FRAMES", 5)
    monkeypatch.setattr("storage.notary.leaf_source.WINDOW_BYTES", 400)
    monkeypatch.setattr("storage.notary.leaf_source.GLANCE_BYTES", 400)
    source = LeafSource(REAL_FILES, log.directory)
    sizes = []
    while not source.waits:
        sizes.append(len(source.step()))
    source.close()
    assert max(sizes) <= 10
    assert sum(sizes) == len(leaves(log.directory)) == 26


@pytest.mark.parametrize("glance_bytes", [1, 60, 300])
def test_frames_and_footers_longer_than_the_first_look_are_read(
    log: NotarisedLog, monkeypatch: pytest.MonkeyPatch, glance_bytes: int
) -> None:
    log.sealed(1, 2, 3)
    log.opened(4, 5)
    everything = leaves(log.directory)
    monkeypatch.setattr("storage.notary.leaf_source.GLANCE_BYTES", glance_bytes)
    assert leaves(log.directory) == everything


# --- after a crash ------------------------------------------------------------------------------


def test_a_recovered_segment_ends_with_what_recovery_found(log: NotarisedLog) -> None:
    path = log.opened(1, 2)
    end = leaves(log.directory)[-1].end  # type: ignore[union-attr]
    path.write_bytes(path.read_bytes()[:end] + b"torn bytes" + bytes(100))
    log.recover()
    *blocks, recovered = leaves(log.directory)
    found = examine(REAL_FILES, path.with_suffix(".recovered"))
    assert isinstance(recovered, RecoveredLeaf)
    assert (recovered.finding, recovered.valid_bytes, recovered.torn_bytes) == ("torn", end, 10)
    assert (recovered.valid_sha256, recovered.torn_sha256) == (found.valid_sha256, found.torn_sha256)
    assert (recovered.number, recovered.next_record_seq, len(blocks)) == (1, 4, 2)


def test_a_segment_read_while_open_ends_after_its_recovery(log: NotarisedLog) -> None:
    log.opened(1, 2)
    source = LeafSource(REAL_FILES, log.directory)
    assert len(source.step()) == 2
    log.recover()
    (entry,) = source.step()
    source.close()
    assert isinstance(parse_leaf(entry), RecoveredLeaf)
    assert len(leaves(log.directory)) == 3


def test_damage_before_a_durable_frame_ends_the_blocks_and_is_told(log: NotarisedLog) -> None:
    path = log.opened(1, 1, 1)
    flip(path, read_block_table(path)[1].offset + 50)
    source = LeafSource(REAL_FILES, log.directory)
    assert len(source.step()) == 1
    assert source.damage is not None
    assert source.damage.offset == read_offset(path, 1)
    log.recover()
    (entry,) = source.step()
    source.close()
    leaf = parse_leaf(entry)
    assert isinstance(leaf, RecoveredLeaf)
    assert (leaf.finding, leaf.next_record_seq) == ("corrupt", 4)


def read_offset(path: Path, block: int) -> int:
    with SegmentFile(REAL_FILES, path) as segment:
        cursor = segment.start()
        for _ in range(block):
            segment.next_block(cursor)
        return cursor.offset


def test_a_segment_without_header_page_is_one_lump_once_nobody_writes_it(log: NotarisedLog) -> None:
    path = log.opened(1)
    flip(path, 100)
    source = LeafSource(REAL_FILES, log.directory)
    assert source.step() == []
    assert source.waits
    assert source.damage is not None
    log.recover()
    (entry,) = source.step()
    source.close()
    leaf = parse_leaf(entry)
    data = path.with_suffix(".recovered").read_bytes()
    assert leaf == RecoveredLeaf(
        "", "", 1, 0, hashlib.sha256().digest(), len(data), hashlib.sha256(data).digest(), "corrupt", 1
    )


def test_a_header_page_that_breaks_while_the_segment_is_read_makes_it_a_lump(log: NotarisedLog) -> None:
    segment = log.begin()
    log.fill(segment, 1)
    source = LeafSource(REAL_FILES, log.directory)
    assert len(source.step()) == 1
    path = segment.seal()
    flip(path, 100)
    (entry,) = source.step()
    assert isinstance(parse_leaf(entry), RecoveredLeaf)
    assert source.step() == []
    source.close()


# --- damage in a sealed segment -----------------------------------------------------------------------


def test_of_a_damaged_sealed_segment_the_block_table_tells_the_leaves(log: NotarisedLog) -> None:
    path = log.sealed(1, 1, 1, 1)
    log.sealed(1)
    whole = leaves(log.directory)
    flip(path, read_block_table(path)[1].offset + 60)
    source = LeafSource(REAL_FILES, log.directory)
    found = [parse_leaf(entry) for entry in source.everything()]
    source.close()
    assert found[:4] == whole[:4]
    assert found[5:] == whole[5:]
    assert isinstance(found[4], SealedLeaf)
    assert found[4].sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert source.damage is not None
    assert "CRC" in source.damage.why


def test_with_a_damaged_footer_the_frames_that_can_be_read_remain(log: NotarisedLog) -> None:
    path = log.sealed(1, 1, 1, 1)
    log.sealed(1)
    whole = leaves(log.directory)
    table = read_block_table(path)
    flip(path, table[-1].offset + table[-1].frame_len + 60)
    flip(path, table[2].offset + 60)
    source = LeafSource(REAL_FILES, log.directory)
    found = [parse_leaf(entry) for entry in source.everything()]
    source.close()
    assert found[:2] == whole[:2]
    sealed = found[2]
    assert isinstance(sealed, SealedLeaf)
    assert (sealed.blocks, sealed.next_record_seq, sealed.last_committed_ns) == (2, 3, 0)
    assert found[3:] == whole[5:]


def test_a_seal_that_counts_other_blocks_is_damage(log: NotarisedLog) -> None:
    path = log.sealed(1, 1)
    table = read_block_table(path)
    place = Place(1, 3, table[-1].offset + table[-1].frame_len, 3, False)
    source = LeafSource(REAL_FILES, log.directory, place)
    list(source.everything())
    source.close()
    assert source.damage is not None
    assert "CRC" in source.damage.why or "counts 2" in source.damage.why or "belongs" in source.damage.why


# --- what is durable --------------------------------------------------------------------------------


def test_frames_are_synced_before_they_are_signed_over(log: NotarisedLog) -> None:
    log.opened(1, 1)
    files = FailingFiles()
    source = LeafSource(files, log.directory)
    source.step()
    source.sync()
    source.sync()
    assert files.calls == ["sync_data"]
    source.close()


def test_a_failed_sync_is_told(log: NotarisedLog) -> None:
    log.opened(1)
    source = LeafSource(FailingFiles(1, only="sync_data"), log.directory)
    source.step()
    for _ in range(2):  # the second would succeed, and prove nothing
        with pytest.raises(LogFailed, match="fdatasync"):
            source.sync()
    source.close()


class Sealing(RealFiles):
    """A segment gets its final name just when its old one is asked for."""

    def __init__(self, path: Path, at: int) -> None:
        self._path, self._at = path, at
        self.asked = 0

    def open_read(self, path: Path) -> int:
        if path == self._path:
            self.asked += 1
            if self.asked == self._at:
                path.rename(path.with_suffix(".kseg"))
        return super().open_read(path)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_segment_renamed_at_any_moment_is_not_missed(log: NotarisedLog, at: int) -> None:
    sealed = log.sealed(1, 1)
    path = sealed.rename(sealed.with_suffix(".open"))
    source = LeafSource(Sealing(path, at), log.directory)
    found = source.step()
    source.sync()
    found += source.step()
    found += source.step()
    source.close()
    assert [type(parse_leaf(entry)) for entry in found] == [BlockLeaf, BlockLeaf, SealedLeaf]


def test_a_recovered_segment_is_synced_at_its_end_and_a_sealed_one_need_not(log: NotarisedLog) -> None:
    log.opened(1)
    log.recover()
    log.sealed(1)
    files = FailingFiles()
    source = LeafSource(files, log.directory)
    source.step()
    assert files.calls == ["sync_data"]
    source.sync()
    assert files.calls == ["sync_data"]
    source.close()


def test_a_segment_that_goes_while_it_is_read_is_an_error(log: NotarisedLog) -> None:
    path = log.opened(1)
    source = LeafSource(REAL_FILES, log.directory)
    source.step()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="gone"):
        source.step()
    source.close()
    source.close()
