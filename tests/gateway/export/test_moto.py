"""The export against moto's S3, which nobody here wrote: locks, conditions, versions, KMS, and reading it back."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.export.exporter import Exporter
from gateway.export.s3 import S3Store
from gateway.export.settings import BucketLock, S3Settings
from gateway.export.store import Put
from gateway.store.s3_files import S3Files
from storage.export import Outcome
from storage.reader import iter_records
from storage.tlog.tree import open_tree_reader
from tests.gateway.export.exporting import COMPLIANCE, SEGMENTS, TREE, Tree, envelope, segments
from tests.kit.moto_s3 import open_moto


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with open_moto() as running:
        yield running


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path) -> tuple[S3Settings, Any]:
    """(settings, boto3 client) of a new bucket with object lock."""
    name = "records-" + hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]
    settings = S3Settings(bucket=name, prefix="records", endpoint_url=endpoint, object_lock=COMPLIANCE)
    client: Any = S3Store(settings)._built()
    client.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"},
    )
    return settings, client


def exporter(data_dir: Path, settings: S3Settings) -> Exporter:
    return Exporter(data_dir, settings, S3Store(settings), cluster="prod", covered=lambda log: 99)


async def test_a_whole_data_directory_goes_there_and_reads_back(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, _ = bucket
    paths = segments(tmp_path, 1)
    envelope(paths[0])
    tree = Tree(tmp_path)
    tree.grow(300)
    exporting = exporter(tmp_path, settings)
    assert not await exporting.run_once()
    status = exporting.status()
    assert (status.backlog, status.alarms, status.problem, status.warning) == (0, (), "", "")
    assert [name.number for name in exporting.freeable("0")] == [1]
    assert await exporting.confirm("0", exporting.freeable("0")[0])
    files = S3Files(S3Store(settings), "records")
    assert list(iter_records(Path("/log/gw-0"), files=files)) == list(iter_records(paths[0].parent))
    reader, _ = open_tree_reader(files, Path("/log/gw-0/tlog"))
    reader.check()


async def test_a_locked_segment_cannot_be_deleted_by_whoever_has_our_credentials(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, client = bucket
    [path] = segments(tmp_path, 1)
    await exporter(tmp_path, settings).run_once()
    key = SEGMENTS + path.name
    found = client.head_object(Bucket=settings.bucket, Key=key)
    assert found["ObjectLockMode"] == "COMPLIANCE"
    assert 0 < found["ObjectLockRetainUntilDate"].timestamp() - time.time() <= 86_400
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.delete_object(Bucket=settings.bucket, Key=key, VersionId=found["VersionId"])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    client.delete_object(Bucket=settings.bucket, Key=key)  # hides it, and destroys nothing
    body = client.get_object(Bucket=settings.bucket, Key=key, VersionId=found["VersionId"])["Body"].read()
    assert body == path.read_bytes()


async def test_a_second_gateway_with_other_bytes_overwrites_nothing(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, client = bucket
    [path] = segments(tmp_path / "a", 1)
    await exporter(tmp_path / "a", settings).run_once()
    forged = tmp_path / "b" / "log" / "0" / path.name
    forged.parent.mkdir(parents=True)
    forged.write_bytes(path.read_bytes()[:-1] + b"x")
    other = exporter(tmp_path / "b", settings)
    assert not await other.run_once()
    assert len(other.status().alarms) == 1
    versions = client.list_object_versions(Bucket=settings.bucket, Prefix=SEGMENTS)["Versions"]
    assert len(versions) == 1


async def test_shredding_leaves_no_version_of_the_keys(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, client = bucket
    [path] = segments(tmp_path, 1)
    segment_id = envelope(path, b"one")
    exporting = exporter(tmp_path, settings)
    await exporting.run_once()
    envelope(path, b"second")
    await exporting.run_once()
    prefix = f"records/v1/keys/{segment_id}"
    assert len(client.list_object_versions(Bucket=settings.bucket, Prefix=prefix)["Versions"]) == 2
    path.with_suffix(".keys").unlink()
    path.with_suffix(".shredded").touch()
    assert not await exporting.run_once()
    left = client.list_object_versions(Bucket=settings.bucket, Prefix=prefix)
    assert left.get("Versions", []) + left.get("DeleteMarkers", []) == []


async def test_a_bucket_with_lock_and_no_word_about_it_gets_nothing(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, client = bucket
    segments(tmp_path, 1)
    exporting = exporter(tmp_path, msgspec.structs.replace(settings, object_lock=None))
    assert await exporting.run_once()
    assert "objectLock" in exporting.status().problem
    assert "Contents" not in client.list_objects_v2(Bucket=settings.bucket)


def test_a_bucket_without_lock_says_so(endpoint: str, bucket: tuple[S3Settings, Any]) -> None:
    settings, client = bucket
    plain = msgspec.structs.replace(settings, bucket="plain-bucket", object_lock=None)
    client.create_bucket(
        Bucket="plain-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    assert S3Store(plain).bucket_lock() == BucketLock(False)
    assert S3Store(settings).bucket_lock() == BucketLock(True)


def test_moto_takes_a_small_and_a_large_put_once(bucket: tuple[S3Settings, Any], tmp_path: Path) -> None:
    settings, client = bucket
    store = S3Store(msgspec.structs.replace(settings, sse_kms_key="alias/aws/s3"))
    large = tmp_path / "large"
    large.write_bytes(bytes(1 << 20))
    for key, body in (("records/v1/a", b"small"), ("records/v1/b", large)):
        data = body if isinstance(body, bytes) else body.read_bytes()
        put = Put(key, body, len(data), hashlib.sha256(data).digest(), locked=True)
        assert store.put_once(put, time.time_ns()).outcome is Outcome.CREATED
        assert store.put_once(put, time.time_ns()).outcome is Outcome.EXISTS
        answer, head = store.compare(key, put.sha256, put.size)
        assert answer.outcome is Outcome.SAME
        assert head is not None
        assert head.lock_mode == "COMPLIANCE"
        assert client.head_object(Bucket=settings.bucket, Key=key)["ServerSideEncryption"] == "aws:kms"


async def test_checkpoints_move_on_in_a_versioned_bucket(
    tmp_path: Path, bucket: tuple[S3Settings, Any]
) -> None:
    settings, client = bucket
    segments(tmp_path, 1)
    tree, exporting = Tree(tmp_path), exporter(tmp_path, settings)
    for _ in range(3):
        note = tree.grow(100)
        assert not await exporting.run_once()
        assert client.get_object(Bucket=settings.bucket, Key=TREE + "checkpoint")["Body"].read() == note
    copies = client.list_objects_v2(Bucket=settings.bucket, Prefix=TREE + "checkpoints/")["Contents"]
    assert len(copies) == 3
