"""A bucket read as a data directory: the same records, proofs and errors as from the disk."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.export.s3 import S3Store
from gateway.export.settings import S3Settings
from gateway.store import s3_files
from gateway.store.s3_files import BadStoreUrl, Objects, S3Files, open_files, open_store, parse_store_url
from storage.encryption.keys import read_envelope
from storage.errors import CorruptFrame, NoKey
from storage.files import FileOps
from storage.reader import iter_records, list_segments, read_block_table, read_record
from storage.segment_file import SegmentFile
from storage.sources import SegmentLogs
from storage.tlog.tree import open_tree_reader
from tests.gateway.export.exporting import SEGMENTS, TREE, Tree, envelope, exporter
from tests.kit.segments import begin, header, open_file, sealed_file, write_blocks
from tests.kit.strict_s3 import BUCKET, Fault, StrictS3

LOG = Path("/log/gw-0")


def files_of(s3: StrictS3, **options: object) -> S3Files:
    settings = S3Settings(bucket=BUCKET, prefix="records", endpoint_url=s3.endpoint)
    return S3Files(S3Store(settings, attempts=1, read_timeout_s=5.0), "records", **options)  # type: ignore[arg-type]


def chained(directory: Path, *counts: int) -> list[Path]:
    """Sealed segments that follow each other, as a log writes them."""
    directory.mkdir(parents=True, exist_ok=True)
    paths, prev, record = [], "", 1
    for number, count in enumerate(counts, 1):
        head = header(number, prev=prev, first_record_seq=record, dict_id=0)
        paths.append(sealed_file(directory, count, 2, head=head))
        prev, record = head.segment_id, record + count + 2
    return paths


async def test_the_records_are_those_of_the_disk(tmp_path: Path, s3: StrictS3) -> None:
    chained(tmp_path / "log" / "0", 3, 40, 1)
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    logs = SegmentLogs(files.root, files=files)
    assert logs.logs() == ["gw-0"]
    assert not logs.is_live("gw-0")
    here = list(iter_records(tmp_path / "log" / "0"))
    there = list(logs.records("gw-0", None))
    assert there == here
    for position, encoded in there[::7]:
        assert read_record(LOG, position, files=files) == encoded
    assert list(logs.records("gw-0", there[20][0])) == there[20:]


async def test_a_footer_costs_one_request_and_a_pass_few(tmp_path: Path, s3: StrictS3) -> None:
    directory = tmp_path / "log" / "0"
    directory.mkdir(parents=True)
    segment = begin(directory, header(1, dict_id=0), capacity=4 << 20)
    for _ in range(1500):
        write_blocks(segment, 60, sync=False)
    path = segment.seal()
    await exporter(tmp_path, s3).run_once()
    assert path.stat().st_size > 512 * 1024, "too small to tell requests apart"
    files = files_of(s3)
    before = s3.count("GET", "/segments/")
    assert read_block_table(LOG / path.name, files=files) == read_block_table(path)
    assert s3.count("GET", "/segments/") - before == 2  # its first page, its end
    assert list(iter_records(LOG, files=files)) == list(iter_records(directory))
    assert s3.count("GET", "/segments/") - before <= 2 + path.stat().st_size // (4 << 20) + 2


async def test_a_recovered_segment_and_its_torn_bytes_are_there(tmp_path: Path, s3: StrictS3) -> None:
    directory = tmp_path / "log" / "0"
    directory.mkdir(parents=True)
    path = open_file(directory, 2, 3, head=header(1, dict_id=0))
    path = path.rename(path.with_suffix(".recovered"))
    path.with_suffix(".torn").write_bytes(b"what was torn off")
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    assert list(iter_records(LOG, files=files)) == list(iter_records(directory))
    fd = files.open_read(LOG / (path.stem + ".torn"))
    assert files.read(fd, 100, 5) == b"was torn off"


async def test_damage_is_found_at_the_same_place_as_on_disk(tmp_path: Path, s3: StrictS3) -> None:
    [path] = chained(tmp_path / "log" / "0", 30)
    await exporter(tmp_path, s3).run_once()
    damaged = bytearray(path.read_bytes())
    damaged[4200] ^= 1
    path.write_bytes(damaged)
    s3.plant(SEGMENTS + path.name, bytes(damaged))  # a newer version on top of the locked one
    with pytest.raises(CorruptFrame) as here:
        list(iter_records(path.parent))
    with pytest.raises(CorruptFrame) as there:
        list(iter_records(LOG, files=files_of(s3)))
    assert (there.value.segment, there.value.offset) == (here.value.segment, here.value.offset)


async def test_wrapped_keys_lie_beside_their_segments(tmp_path: Path, s3: StrictS3) -> None:
    first, second = chained(tmp_path / "log" / "0", 1, 1)
    segment_id = envelope(first, b"one")
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    assert read_envelope(files, LOG / first.name).segment_id == segment_id
    with pytest.raises(NoKey):
        read_envelope(files, LOG / second.name)


async def test_the_tree_of_a_log_is_found_by_its_origin_and_proves_the_same(
    tmp_path: Path, s3: StrictS3
) -> None:
    chained(tmp_path / "log" / "0", 1)
    tree = Tree(tmp_path)
    note = tree.grow(300)
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    assert "tlog" in files.names(LOG)
    reader, found = open_tree_reader(files, LOG / "tlog")
    assert found == note
    reader.check()
    assert reader.inclusion_proof(7, 300) == tree.store.inclusion_proof(7, 300)
    assert files.names(LOG / "tlog" / "checkpoints") == ["300"]


async def test_a_damaged_header_page_does_not_hide_the_tree(tmp_path: Path, s3: StrictS3) -> None:
    first, _ = chained(tmp_path / "log" / "0", 1, 1)
    Tree(tmp_path).grow(2)
    await exporter(tmp_path, s3).run_once()
    s3.plant(SEGMENTS + first.name, b"no segment")
    assert "tlog" in files_of(s3).names(LOG)


async def test_a_store_without_trees_reads_no_segment_to_say_so(tmp_path: Path, s3: StrictS3) -> None:
    chained(tmp_path / "log" / "0", 1)
    await exporter(tmp_path, s3).run_once()
    before = s3.count("GET", "/segments/")
    files = files_of(s3)
    assert len(list_segments(LOG, files=files)) == 1
    assert s3.count("GET", "/segments/") == before
    with pytest.raises(FileNotFoundError):
        files.names(LOG / "tlog")


async def test_a_refresh_shows_what_came_since(tmp_path: Path, s3: StrictS3) -> None:
    chained(tmp_path / "log" / "0", 1)
    exporting = exporter(tmp_path, s3)
    await exporting.run_once()
    files = files_of(s3)
    sealed_file(tmp_path / "log" / "0", 1, head=header(2, dict_id=0))
    Tree(tmp_path).grow(1)
    await exporting.run_once()
    assert len(files.names(LOG)) == 1
    files.refresh()
    assert len(files.names(LOG)) == 3


async def test_a_listing_of_many_pages_is_read_to_its_end(tmp_path: Path, s3: StrictS3) -> None:
    chained(tmp_path / "log" / "0", *[1] * 7)
    await exporter(tmp_path, s3).run_once()
    s3.page = 2
    assert len(list_segments(LOG, files=files_of(s3))) == 7


# --- trouble -------------------------------------------------------------------------------------------------


async def test_a_segment_that_is_replaced_while_it_is_read_is_an_error_and_no_mixture(
    tmp_path: Path, s3: StrictS3
) -> None:
    [path] = chained(tmp_path / "log" / "0", 1)
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    s3.plant(SEGMENTS + path.name, path.read_bytes())
    with pytest.raises(OSError) as stale:  # noqa: PT011 - the number is what matters
        SegmentFile(files, LOG / path.name)
    assert stale.value.errno == errno.ESTALE


async def test_a_checkpoint_that_was_replaced_is_the_new_one(tmp_path: Path, s3: StrictS3) -> None:
    chained(tmp_path / "log" / "0", 1)
    tree, exporting = Tree(tmp_path), exporter(tmp_path, s3)
    tree.grow(1)
    await exporting.run_once()
    files = files_of(s3)
    newer = tree.grow(1)
    await exporting.run_once()
    fd = files.open_read(LOG / "tlog" / "checkpoint")
    assert files.read(fd, files.size(fd), 0) == newer
    assert s3.objects()[TREE + "checkpoint"] == newer


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.DENIED, errno.EACCES),
        (Fault.SLOW_DOWN, errno.EIO),
        (Fault.LOST_ACK, errno.EIO),
        (Fault.RESET, errno.EIO),
    ],
    ids=str,
)
async def test_trouble_of_the_store_is_an_oserror_without_secrets(
    tmp_path: Path, s3: StrictS3, fault: Fault, expected: int
) -> None:
    [path] = chained(tmp_path / "log" / "0", 30)
    await exporter(tmp_path, s3).run_once()
    files = files_of(s3)
    s3.faults = lambda request: fault
    with pytest.raises(OSError) as trouble:  # noqa: PT011 - the number is what matters
        SegmentFile(files, LOG / path.name)
    assert trouble.value.errno == expected
    assert "AKID" not in str(trouble.value)
    with pytest.raises(OSError):  # noqa: PT011
        files.refresh()


def test_a_bucket_that_is_not_there_is_no_empty_store(s3: StrictS3) -> None:
    settings = S3Settings(bucket="nothing-here", endpoint_url=s3.endpoint)
    with pytest.raises(PermissionError, match="no such bucket"):
        S3Files(S3Store(settings, attempts=1), "")


def test_an_empty_store_has_no_logs(s3: StrictS3) -> None:
    files = files_of(s3)
    assert SegmentLogs(files.root, files=files).logs() == []
    assert files.names(files.root) == ["log"]
    with pytest.raises(FileNotFoundError):
        files.names(LOG)
    with pytest.raises(FileNotFoundError):
        files.open_read(Path("/log/x/y.kseg"))
    with pytest.raises(IsADirectoryError):
        files.open_read(Path("/log"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.read(99, 1, 0)


WRITES: list[Callable[[FileOps], object]] = [
    lambda files: files.make_directory(LOG),
    lambda files: files.lock(LOG / "LOCK"),
    lambda files: files.create(LOG / "x"),
    lambda files: files.open_write(LOG / "x"),
    lambda files: files.write(1, [b"x"], 0),
    lambda files: files.sync_data(1),
    lambda files: files.sync(1),
    lambda files: files.truncate(1, 0),
    lambda files: files.rename(LOG / "x", LOG / "y"),
    lambda files: files.remove(LOG / "x"),
    lambda files: files.sync_directory(LOG),
    lambda files: files.space(LOG),
]


def test_nothing_can_be_written(s3: StrictS3) -> None:
    files = files_of(s3)
    for write in WRITES:
        with pytest.raises(OSError, match="a store is only read") as refused:
            write(files)
        assert refused.value.errno == errno.EROFS
    assert s3.count("PUT") == s3.count("DELETE") == 0


# --- addresses -------------------------------------------------------------------------------------------------


def test_an_address_names_bucket_and_prefix() -> None:
    assert parse_store_url("s3://records/a/b") == S3Settings(bucket="records", prefix="a/b")
    assert parse_store_url("s3://records") == parse_store_url("s3://records/") == S3Settings(bucket="records")


@pytest.mark.parametrize(
    "url", ["records", "s3://", "s3:///x", "https://records/x", "s3://UPPER/x", "s3://records//x"]
)
def test_what_is_no_address_says_what_one_looks_like(url: str) -> None:
    with pytest.raises(BadStoreUrl, match="is not a store"):
        parse_store_url(url)


async def test_an_address_and_the_environment_are_enough(
    tmp_path: Path, s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    chained(tmp_path / "log" / "0", 1)
    await exporter(tmp_path, s3).run_once()
    shutil.rmtree(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
    monkeypatch.setattr(s3_files, "READ_ATTEMPTS", 1)
    assert len(list(iter_records(LOG, files=open_files("s3://records/records")))) == 3
    objects = open_store("s3://records/records")
    [key] = objects.list("v1/segments/")
    assert key.startswith("v1/segments/cluster=prod/")
    assert objects.read(key)[:4] == b"KSEG"
    with pytest.raises(FileNotFoundError):
        objects.read("v1/none")


def test_objects_are_bounded(s3: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_files, "MAX_OBJECT_BYTES", 10)
    s3.plant("v1/large", bytes(11))
    s3.plant("v1/fits", bytes(10))
    objects = Objects(S3Store(S3Settings(bucket=BUCKET, endpoint_url=s3.endpoint), attempts=1), "")
    assert objects.read("v1/fits") == bytes(10)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        objects.read("v1/large")
    s3.faults = lambda request: Fault.DENIED
    with pytest.raises(PermissionError):
        list(objects.list(""))


def test_a_volatile_object_is_bounded_and_a_short_answer_is_an_error(
    s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "1790000000123-000001-00000001-0123abcd"
    segment_id = "01a0bd60-5ac0-7123-8abc-def00123abcd"
    s3.plant(f"{SEGMENTS}{name}.kseg", bytes(100))
    s3.plant(f"records/v1/keys/{segment_id}.json", bytes(11))
    monkeypatch.setattr(s3_files, "MAX_VOLATILE_BYTES", 10)
    files = files_of(s3)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        files.open_read(LOG / f"{name}.keys")
    s3.versions.pop(f"records/v1/keys/{segment_id}.json")
    with pytest.raises(FileNotFoundError):
        files.open_read(LOG / f"{name}.keys")
    fd = files.open_read(LOG / f"{name}.kseg")
    monkeypatch.setattr(S3Store, "get_range", lambda *_: b"short")
    with pytest.raises(OSError, match="5 of 100 bytes"):
        files.read(fd, 10, 0)


def test_a_tree_is_looked_for_where_segments_can_be_read(s3: StrictS3) -> None:
    s3.plant(TREE + "checkpoint", b"x")
    name = "1790000000123-000001-00000001-0123abcd"
    for number in range(10):
        s3.plant(f"{SEGMENTS}{name[:-1]}{number}.kseg", b"no segment")
    files = files_of(s3)
    assert "tlog" not in files.names(LOG)
    with pytest.raises(FileNotFoundError):
        files.names(Path("/log/unknown/tlog"))
