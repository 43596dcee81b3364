"""Encryption from the writer to the reader: what a hand on the disk can and cannot do to a segment."""

import hashlib
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import storage.encryption.cipher
from storage.encryption.cipher import AesGcmCipher
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import NO_KEYS, DataKey, Envelope, KeyRing, Wrap, read_envelope, write_envelope
from storage.errors import BadKeyFile, CorruptFrame, NoKey, OutOfReach, Shredded, StorageError, WrongKey
from storage.files import REAL_FILES, RealFiles
from storage.format import (
    FRAME_CRC_BYTES,
    FRAME_HEADER_BYTES,
    PAGE_BYTES,
    SegmentHeader,
    encode_header_page,
    parse_header_page,
)
from storage.log import SegmentLog
from storage.pace import Clock, LogSettings
from storage.reader import (
    Position,
    iter_records,
    list_segments,
    read_block_table,
    read_record,
    read_segment,
)
from tests.kit.acks import IDENTITY, PATIENCE_S, SMALL, Acks
from tests.kit.faulty_files import FailingFiles
from tests.kit.sealing import (
    KEK,
    RING,
    FlakyMaker,
    XorKey,
    begin_encrypted,
    maker,
    sealed_encrypted,
    service_away,
)
from tests.kit.segments import START_NS, flip, record, write_blocks
from tests.kit.waiting import until


def records_of(path: Path, ring: KeyRing = RING) -> list[bytes]:
    return [one for frame in read_segment(path, keys=ring) for one in frame.records]


def frames_of(path: Path) -> list[tuple[int, int]]:
    return [(info.offset, info.frame_len) for info in read_block_table(path)]


def fix_crc(content: bytearray, offset: int, length: int) -> None:
    """As who changes a frame would: then only the tag can tell."""
    frame = content[offset : offset + length]
    authenticated, payload = frame[: FRAME_HEADER_BYTES - FRAME_CRC_BYTES], frame[FRAME_HEADER_BYTES:]
    crc = zlib.crc32(payload, zlib.crc32(authenticated))
    content[offset + len(authenticated) : offset + FRAME_HEADER_BYTES] = struct.pack("<I", crc)


def first_frame(path: Path, ring: KeyRing = RING) -> list[bytes]:
    return next(read_segment(path, keys=ring)).records


# --- what is on the disk --------------------------------------------------------------------------


def test_an_encrypted_segment_reads_as_it_was_written_and_its_file_holds_no_record(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 2, 1, 3)
    assert records_of(path) == [record(number) for number in range(1, 7)]
    assert b"record 1" not in path.read_bytes()
    assert [info.nrec for info in read_block_table(path)] == [2, 1, 3]  # without any key
    assert sorted(entry.suffix for entry in tmp_path.iterdir()) == [".keys", ".kseg"]


def test_the_data_key_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    made = maker().make()
    sealed_encrypted(tmp_path, 3, data_key=made)
    for path in tmp_path.iterdir():
        assert made.key not in path.read_bytes()
        assert made.key.hex().encode() not in path.read_bytes()


def test_the_envelope_is_durable_before_the_segment_has_its_name(tmp_path: Path) -> None:
    for fail_at in range(1, 30):
        directory = tmp_path / str(fail_at)
        directory.mkdir()
        files = FailingFiles(fail_at)
        try:
            begin_encrypted(directory, files=files).abandon()
        except StorageError:
            pass
        begun = [path for path in directory.iterdir() if path.suffix == ".open"]
        for path in begun:
            read_envelope(REAL_FILES, path)
        if not files.failed:
            assert begun
            return
    pytest.fail("it never succeeded")


def test_block_tables_and_positions_are_the_same_for_both_suites(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 2, 2)
    (first, second) = read_block_table(path)
    position = Position(path.stem, second.offset, 1, 4)
    assert read_record(tmp_path, position, keys=RING) == record(4)
    with pytest.raises(NoKey):
        read_record(tmp_path, position)
    assert (first.first_record_seq, second.first_record_seq) == (1, 3)


# --- bits -----------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_payload_is_found_by_its_tag_alone(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 1, 1)
    intact = path.read_bytes()
    (offset, length) = frames_of(path)[0]
    for at in range(offset + FRAME_HEADER_BYTES, offset + length):
        for bit in range(8):
            content = bytearray(intact)
            content[at] ^= 1 << bit
            fix_crc(content, offset, length)
            path.write_bytes(content)
            with pytest.raises(CorruptFrame, match="fails its authentication") as caught:
                first_frame(path)
            assert caught.value.offset == offset


def test_every_flipped_bit_of_a_frame_header_is_found_though_its_crc_fits(tmp_path: Path) -> None:
    """In a segment without a block table, where some fields (time, flags) nothing but the tag protects."""
    segment = begin_encrypted(tmp_path)
    write_blocks(segment, 1, 1)
    segment.abandon()
    path = segment.path
    intact = path.read_bytes()
    offset = frames_of(path)[0][0]
    kind = offset + 12  # another type ends an open segment: that is the hash tree's to find
    for at in {*range(offset, offset + FRAME_HEADER_BYTES - FRAME_CRC_BYTES)} - {kind}:
        for bit in range(8):
            content = bytearray(intact)
            content[at] ^= 1 << bit
            changed = struct.unpack_from("<I", content, offset + 4)[0] + FRAME_HEADER_BYTES
            fix_crc(content, offset, min(changed, len(content) - offset))
            path.write_bytes(content)
            with pytest.raises(CorruptFrame):
                first_frame(path)


def test_frames_exchanged_with_their_numbers_set_right_are_found(tmp_path: Path) -> None:
    """AAD and nonce bind a payload to its place: CRC, order and record numbers are all as they should be."""
    segment = begin_encrypted(tmp_path)
    for number in (1, 2):
        segment.append([hashlib.sha256(bytes([number])).digest()], START_NS)  # does not compress
        segment.sync()
    path = segment.seal()
    content = bytearray(path.read_bytes())
    (a, n), (b, m) = frames_of(path)
    assert n == m
    one, two = bytes(content[a : a + n]), bytes(content[b : b + m])
    content[a + FRAME_HEADER_BYTES : a + n] = two[FRAME_HEADER_BYTES:]
    content[b + FRAME_HEADER_BYTES : b + m] = one[FRAME_HEADER_BYTES:]
    fix_crc(content, a, n)
    fix_crc(content, b, m)
    path.write_bytes(content)
    with pytest.raises(CorruptFrame, match="fails its authentication"):
        first_frame(path)


def test_a_frame_of_another_segment_under_the_same_key_is_found(tmp_path: Path) -> None:
    """Salt and number fit: only the key schedule, bound to the header, tells the segments apart."""
    made = maker().make()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    ours = sealed_encrypted(tmp_path / "a", 1, data_key=made)
    theirs = sealed_encrypted(tmp_path / "b", 1, data_key=made)
    (offset, length) = frames_of(ours)[0]
    content = bytearray(ours.read_bytes())
    content[offset : offset + length] = theirs.read_bytes()[offset : offset + length]
    ours.write_bytes(content)
    with pytest.raises(CorruptFrame, match="fails its authentication"):
        first_frame(ours)


# --- headers and envelopes ------------------------------------------------------------------------


def changed_header(path: Path, change: Callable[[SegmentHeader], SegmentHeader]) -> None:
    content = bytearray(path.read_bytes())
    header = parse_header_page(bytes(content[:PAGE_BYTES]), path.name)
    content[:PAGE_BYTES] = encode_header_page(change(header))
    path.write_bytes(content)


@pytest.mark.parametrize("field", ["log_origin", "gateway_id", "worker", "writer_epoch", "created_ns"])
def test_a_changed_header_does_not_fit_the_key(tmp_path: Path, field: str) -> None:
    path = sealed_encrypted(tmp_path, 1)
    value: object = "other" if field in ("log_origin", "gateway_id") else 7
    changed_header(path, lambda header: msgspec.structs.replace(header, **{field: value}))
    with pytest.raises(WrongKey):
        first_frame(path)


def test_a_header_of_another_segment_does_not_fit_the_key(tmp_path: Path) -> None:
    one, two = sealed_encrypted(tmp_path, 1), sealed_encrypted(tmp_path, 1, number=2)
    other = parse_header_page(two.read_bytes()[:PAGE_BYTES], "two")
    changed_header(one, lambda header: msgspec.structs.replace(header, cipher=other.cipher))
    with pytest.raises(WrongKey):
        first_frame(one)


def test_a_header_that_says_the_log_is_not_encrypted_gives_no_records(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 1)
    none = storage.encryption.cipher.CipherParameters("none")
    changed_header(path, lambda header: msgspec.structs.replace(header, cipher=none))
    with pytest.raises(CorruptFrame):
        first_frame(path)


def test_an_envelope_of_another_segment_is_named(tmp_path: Path) -> None:
    one, two = sealed_encrypted(tmp_path, 1), sealed_encrypted(tmp_path, 1, number=2)
    shutil.copy(two.with_suffix(".keys"), one.with_suffix(".keys"))
    with pytest.raises(BadKeyFile, match=rf"{one.stem}\.keys: is the envelope of segment .* restore it"):
        first_frame(one)


def test_an_envelope_with_the_key_of_another_segment_is_refused(tmp_path: Path) -> None:
    """The name is right and the wrap opens: the commitment says that it is the wrong key."""
    one, two = sealed_encrypted(tmp_path, 1), sealed_encrypted(tmp_path, 1, number=2)
    envelope = read_envelope(REAL_FILES, one)
    stolen = msgspec.structs.replace(envelope, wraps=read_envelope(REAL_FILES, two).wraps)
    write_envelope(REAL_FILES, one.with_suffix(".keys"), stolen)
    with pytest.raises(WrongKey, match="not the one this segment was written with"):
        first_frame(one)


def test_a_shortened_data_key_is_refused(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 1)
    envelope = read_envelope(REAL_FILES, path)
    (wrap,) = envelope.wraps
    short = Wrap(wrap.kek_id, wrap.alg, wrap.blob[:16])
    write_envelope(REAL_FILES, path.with_suffix(".keys"), msgspec.structs.replace(envelope, wraps=(short,)))
    with pytest.raises(WrongKey, match="32 bytes, this one has 16"):
        first_frame(path, KeyRing([KEK]))


def test_a_missing_envelope_a_garbled_one_and_no_key_are_told_apart(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 1)
    with pytest.raises(NoKey, match="encrypted for local:test"):
        first_frame(path, NO_KEYS)
    path.with_suffix(".keys").write_bytes(b"{")
    with pytest.raises(BadKeyFile, match=r"\.keys: not a key envelope"):
        first_frame(path)
    path.with_suffix(".keys").unlink()
    with pytest.raises(NoKey, match="is missing beside"):
        first_frame(path)


# --- reading a log --------------------------------------------------------------------------------


def three_segments(directory: Path) -> list[Path]:
    """Segments of one log with 3 records each, linked."""
    paths, prev = [], ""
    for number in (1, 2, 3):
        segment = begin_encrypted(directory, number, first_record_seq=3 * number - 2, prev=prev)
        write_blocks(segment, 2, 1)
        paths.append(segment.seal())
        prev = segment.header.segment_id
    return paths


def shred(path: Path) -> None:
    path.with_suffix(".keys").rename(path.with_suffix(".shredded"))


def test_a_segment_whose_key_was_destroyed_is_stepped_over(tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    shred(paths[1])
    found = list(iter_records(tmp_path, keys=RING))
    assert [position.record_seq for position, _ in found] == [1, 2, 3, 7, 8, 9]
    for start in (found[2][0], found[2][0].next()):
        rest = [position.record_seq for position, _ in iter_records(tmp_path, start=start, keys=RING)]
        assert rest == [number for number in (3, 7, 8, 9) if number >= start.record_seq]
    with pytest.raises(Shredded):
        list(read_segment(paths[1], keys=RING))


def test_reading_on_from_within_a_destroyed_segment_goes_on_behind_it(tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    inside = [at for at, _ in iter_records(tmp_path, keys=RING) if 4 <= at.record_seq <= 6]
    shred(paths[1])
    for start in [*inside, inside[-1].next()]:
        rest = [at.record_seq for at, _ in iter_records(tmp_path, start=start, keys=RING)]
        assert rest == [7, 8, 9]


def test_a_destroyed_segment_at_the_end_ends_the_log(tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    shred(paths[2])
    assert [at.record_seq for at, _ in iter_records(tmp_path, keys=RING)] == [1, 2, 3, 4, 5, 6]


def test_the_envelope_is_looked_for_once_a_segment(tmp_path: Path) -> None:
    class Counting(RealFiles):
        looked = 0

        def open_read(self, path: Path) -> int:
            self.looked += path.suffix in (".keys", ".shredded")
            return super().open_read(path)

    path = sealed_encrypted(tmp_path, *[1] * 20)
    shred(path)
    files = Counting()
    assert list(iter_records(tmp_path, files=files, keys=RING)) == []
    assert files.looked == 2


def test_what_is_out_of_reach_is_stepped_over_and_what_lacks_a_key_is_not(tmp_path: Path) -> None:
    paths = three_segments(tmp_path)
    far = read_envelope(REAL_FILES, paths[0]).segment_id

    class Run:
        def unwrap(self, envelope: Envelope) -> bytes | None:
            if envelope.segment_id == far:
                raise OutOfReach("before this run")
            return KEK.unwrap(envelope)

    assert [at.record_seq for at, _ in iter_records(tmp_path, keys=KeyRing([Run()]))] == [4, 5, 6, 7, 8, 9]
    paths[0].with_suffix(".keys").unlink()
    with pytest.raises(NoKey, match="is missing"):
        list(iter_records(tmp_path, keys=KeyRing([Run()])))


# --- the log that is written ----------------------------------------------------------------------


def open_log(
    directory: Path,
    acks: Acks,
    pool: KeyPool,
    told: list[DataKey] | None = None,
    *,
    settings: LogSettings = SMALL,
    clock: Clock = Clock(),  # noqa: B008 - frozen
) -> SegmentLog:
    return SegmentLog.open(
        directory,
        identity=IDENTITY,
        on_commit=acks.on_commit,
        on_failure=acks.on_failure,
        settings=settings,
        clock=clock,
        keys=pool,
        on_data_key=(told if told is not None else []).append,
    )


def started(made_by: FlakyMaker, size: int = 2) -> KeyPool:
    pool = KeyPool(made_by, size, first_pause_s=0.001)
    pool.start()
    return pool


def test_every_segment_of_a_log_has_a_key_of_its_own_and_its_owner_is_told(tmp_path: Path) -> None:
    acks, told = Acks(), list[DataKey]()
    log = open_log(tmp_path, acks, started(FlakyMaker()), told)
    noise = [bytes((n * k) % 251 for k in range(1500)) for n in range(1, 100)]
    for data in noise:
        assert acks.wait_durable(log.append(data, urgent=True))
    log.close(PATIENCE_S)
    names = list_segments(tmp_path)
    assert len(names) > 3
    assert [key.envelope.segment_id[-8:] for key in told] == [name.uuid8 for name in names]
    assert len({key.key for key in told}) == len(told)
    assert [data for _, data in iter_records(tmp_path, keys=RING)] == noise
    assert {key.envelope.log_origin for key in told} == {"example.com/kubetape/gw"}


def test_no_two_frames_of_a_thousand_runs_share_key_and_nonce(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INV7, on the pairs that AES-GCM was really given."""
    used: list[tuple[bytes, bytes]] = []
    keys: dict[int, bytes] = {}
    init, seal = AesGcmCipher.__init__, AesGcmCipher.seal

    def remember(self: AesGcmCipher, key: bytes, base_nonce: bytes) -> None:
        init(self, key, base_nonce)
        keys[id(self)] = key

    def note(self: AesGcmCipher, block_seq: int, authenticated: bytes, payload: bytes) -> bytes:
        used.append((keys[id(self)], self.nonce(block_seq)))
        return seal(self, block_seq, authenticated, payload)

    monkeypatch.setattr(AesGcmCipher, "__init__", remember)
    monkeypatch.setattr(AesGcmCipher, "seal", note)

    class NoSyncs(RealFiles):
        """A thousand runs wait for a disk five thousand times, and this is not about the disk."""

        def sync(self, fd: int) -> None: ...

        sync_data = sync

        def sync_directory(self, directory: Path) -> None: ...

    for number in range(1, 1001):
        segment = begin_encrypted(tmp_path, number, capacity=8192, files=NoSyncs())
        write_blocks(segment, 1, 1, 1, sync=False)
        segment.abandon()
        for path in tmp_path.iterdir():
            path.unlink()
    assert len(used) == len(set(used)) == 3000
    assert len({key for key, _ in used}) == 1000


def test_a_restart_never_writes_on_in_an_old_segment(tmp_path: Path) -> None:
    ids = set()
    for run in range(5):
        acks, told = Acks(), list[DataKey]()
        log = open_log(tmp_path, acks, started(FlakyMaker()), told)
        assert acks.wait_durable(log.append(b"x", urgent=True))
        log.close(PATIENCE_S)
        ids |= {key.key for key in told}
        assert len(ids) == len(list_segments(tmp_path)) >= run + 1


def test_without_a_first_key_a_log_does_not_open_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.log.KEY_WAIT_S", 0.2)
    away = FlakyMaker()
    away.error = service_away()
    pool = started(away)
    with pytest.raises(StorageError, match=r"data key .*: the key service does not answer"):
        open_log(tmp_path, Acks(), pool)
    pool.stop()
    slow = KeyPool(away)  # never started: no reason either
    with pytest.raises(StorageError, match=r"data key .*: none within 0 s"):
        open_log(tmp_path, Acks(), slow)
    assert [path.name for path in tmp_path.iterdir()] == ["LOCK"]


def test_while_no_key_is_ready_a_segment_that_is_old_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.log.KEY_WAIT_S", 0.2)
    flaky, acks = FlakyMaker(), Acks()
    pool = started(flaky, 1)
    now_s = 0.0
    settings = msgspec.structs.replace(SMALL, max_segment_age_s=60.0, company_s=0.0)
    log = open_log(tmp_path, acks, pool, settings=settings, clock=Clock(monotonic_s=lambda: now_s))
    flaky.error = service_away()
    if (last := pool.take(0.5)) is not None:
        assert last.key
    assert acks.wait_durable(log.append(b"first", urgent=True))
    now_s = 120.0
    for content in (b"second", b"third"):  # nobody waits for the key service meanwhile
        assert acks.wait_durable(log.append(content, urgent=True))
        assert len(list_segments(tmp_path)) == 1
    flaky.error = None
    until(lambda: pool.is_ready)
    now_s = 122.0
    assert acks.wait_durable(log.append(b"last", urgent=True))
    until(lambda: len(list_segments(tmp_path)) == 2)
    log.close(PATIENCE_S)
    kept = [data for _, data in iter_records(tmp_path, keys=RING)]
    assert kept == [b"first", b"second", b"third", b"last"]


def test_a_full_segment_without_a_key_for_the_next_fails_the_log_and_loses_nothing_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.log.KEY_WAIT_S", 0.05)
    flaky, acks = FlakyMaker(), Acks()
    pool = started(flaky, 1)
    log = open_log(tmp_path, acks, pool)
    flaky.error = service_away()
    data = bytes((7 * k) % 251 for k in range(1500))
    try:
        while acks.wait_durable(log.append(data, urgent=True)):
            assert acks.durable < 200
    except StorageError:
        pass
    failure = acks.wait_failure()
    assert (failure.operation, failure.why) == ("data key", "the key service does not answer")
    with pytest.raises(StorageError, match="the key service does not answer"):
        log.close(PATIENCE_S)
    assert len(list(iter_records(tmp_path, keys=RING))) == acks.durable > 5


def test_recovery_needs_no_key_and_the_bytes_it_sets_aside_stay_encrypted(tmp_path: Path) -> None:
    segment = begin_encrypted(tmp_path)
    write_blocks(segment, 1, 1, 1, sync=False)
    segment.abandon()
    (offset, length) = frames_of(segment.path)[-1]
    flip(segment.path, offset + length - 1)
    acks = Acks()
    log = open_log(tmp_path, acks, started(FlakyMaker()))
    log.close(PATIENCE_S)
    (finding,) = log.recovered
    assert (finding.finding, log.next_position) == ("torn", 4)
    (torn,) = tmp_path.glob("*.torn")
    assert b"record" not in torn.read_bytes()
    assert [at.record_seq for at, _ in iter_records(tmp_path, keys=RING)] == [1, 2, 3]


def test_no_error_of_a_wrong_key_shows_one(tmp_path: Path) -> None:
    made = maker().make()
    path = sealed_encrypted(tmp_path, 1, data_key=made)
    wrong = KeyRing([XorKey(pad=1)])
    with pytest.raises(WrongKey) as caught:
        first_frame(path, wrong)
    shown = str(caught.value) + repr(caught.value) + repr(wrong)
    for key in (made.key, wrong.data_key(made.envelope)):
        assert key.hex() not in shown
        assert repr(key)[2:-1] not in shown


def test_times_of_blocks_stay_readable_without_keys(tmp_path: Path) -> None:
    path = sealed_encrypted(tmp_path, 1, 1)
    assert [info.committed_ns for info in read_block_table(path)] == [START_NS, START_NS + 1]
