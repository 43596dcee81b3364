"""What goes over the wire to a strict S3, and what its answers mean."""

import base64
import hashlib
import threading
import time
from pathlib import Path

import msgspec
import pytest

from gateway.export import s3 as module
from gateway.export.s3 import S3Store
from gateway.export.settings import BucketLock, LockMode, ObjectLock, S3Settings
from gateway.export.store import Put, StoreFailed
from storage.export import MAX_PUT_BYTES, Outcome
from tests.kit.strict_s3 import BUCKET, OWNER, Fault, StrictS3

LOCK = ObjectLock(mode=LockMode.GOVERNANCE, days=30)
NOW_NS = time.time_ns()


def store(s3: StrictS3, *, attempts: int = 1, read_timeout_s: float = 5.0, **changes: object) -> S3Store:
    base = S3Settings(bucket=BUCKET, endpoint_url=s3.endpoint, object_lock=LOCK)
    return S3Store(msgspec.structs.replace(base, **changes), attempts=attempts, read_timeout_s=read_timeout_s)


def put(key: str = "v1/x", body: bytes | Path = b"content", **changes: object) -> Put:
    data = body.read_bytes() if isinstance(body, Path) else body
    made = Put(key, body, len(data), hashlib.sha256(data).digest(), locked=True)
    return msgspec.structs.replace(made, **changes)


# --- put ---------------------------------------------------------------------------------------------------


def test_a_locked_put_says_all_it_has_to(s3: StrictS3) -> None:
    asked = store(s3, sse_kms_key="alias/k", expected_bucket_owner=OWNER)
    assert asked.put_once(put(), NOW_NS).outcome is Outcome.CREATED
    [request] = s3.requests
    headers = request.headers
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"content").digest()).decode()
    assert headers["x-amz-sdk-checksum-algorithm"] == "SHA256"
    assert headers["x-amz-object-lock-mode"] == "GOVERNANCE"
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW_NS // 10**9 + 30 * 86_400))
    assert headers["x-amz-object-lock-retain-until-date"] == until
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/k"
    assert headers["x-amz-server-side-encryption-bucket-key-enabled"] == "true"
    assert headers["x-amz-expected-bucket-owner"] == OWNER
    assert "transfer-encoding" not in headers


def test_what_is_not_locked_says_nothing_of_locks(s3: StrictS3) -> None:
    assert store(s3).put_once(put(locked=False), NOW_NS).outcome is Outcome.CREATED
    assert store(s3).put_mutable(put("v1/checkpoint")).outcome is Outcome.CREATED
    assert not [name for request in s3.requests for name in request.headers if "object-lock" in name]
    assert "if-none-match" not in s3.requests[1].headers


def test_a_large_file_is_refused_before_its_bytes_are_sent(s3: StrictS3, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(bytes(3 << 20))
    asked = store(s3)
    assert asked.put_once(put(body=path), NOW_NS).outcome is Outcome.CREATED
    started = time.monotonic()
    assert asked.put_once(put(body=path), NOW_NS).outcome is Outcome.EXISTS
    assert time.monotonic() - started < 0.9, "it waited for a 100 that does not come"
    assert len(s3.versions["v1/x"]) == 1


def test_a_file_that_is_not_what_was_hashed_is_refused_by_the_store(s3: StrictS3, tmp_path: Path) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"content")
    wish = put(body=path)
    path.write_bytes(b"CONTENT")
    assert store(s3).put_once(wish, NOW_NS).outcome is Outcome.MISMATCH
    assert s3.objects() == {}


def test_a_file_that_is_gone_is_an_oserror(s3: StrictS3, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store(s3).put_once(Put("v1/x", tmp_path / "gone", 1, bytes(32)), NOW_NS)


def test_more_than_s3_takes_at_once_is_never_tried(s3: StrictS3) -> None:
    answer = store(s3).put_once(put(size=MAX_PUT_BYTES + 1), NOW_NS)
    assert answer.outcome is Outcome.UNFIT
    assert "5 GiB" in answer.detail
    assert s3.requests == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault.CONFLICT, Outcome.CONFLICT),
        (Fault.TAKEN, Outcome.EXISTS),
        (Fault.ERROR, Outcome.TRANSIENT),
        (Fault.SLOW_DOWN, Outcome.TRANSIENT),
        (Fault.RESET, Outcome.TRANSIENT),
        (Fault.LOST_ACK, Outcome.TRANSIENT),
        (Fault.CORRUPT, Outcome.MISMATCH),
        (Fault.SKEW, Outcome.SKEWED),
        (Fault.EXPIRED, Outcome.DENIED),
        (Fault.DENIED, Outcome.DENIED),
    ],
    ids=str,
)
def test_every_fault_has_its_outcome_and_no_secret_in_its_words(
    s3: StrictS3, fault: Fault, outcome: Outcome
) -> None:
    s3.faults = lambda request: fault
    answer = store(s3).put_once(put(), NOW_NS)
    assert answer.outcome is outcome
    assert answer.detail.startswith("put v1/x: ")
    assert "AKID" not in answer.detail
    assert "Credential" not in answer.detail


def test_a_lost_answer_that_botocore_repeats_comes_back_as_taken(s3: StrictS3) -> None:
    left = [Fault.LOST_ACK]
    s3.faults = lambda request: left.pop() if left else None
    asked = store(s3, attempts=2)
    assert asked.put_once(put(), NOW_NS).outcome is Outcome.EXISTS
    assert asked.compare("v1/x", put().sha256, 7)[0].outcome is Outcome.SAME
    assert len(s3.versions["v1/x"]) == 1


def test_a_store_that_does_not_answer_is_given_up(s3: StrictS3) -> None:
    s3.faults = lambda request: Fault.HOLD
    started = time.monotonic()
    assert store(s3, read_timeout_s=0.2).put_once(put(), NOW_NS).outcome is Outcome.TRANSIENT
    assert time.monotonic() - started < 3
    s3.released.set()


def test_nobody_listening_is_transient_and_no_credentials_are_not(
    s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = store(s3, endpoint_url="http://127.0.0.1:1").put_once(put(), NOW_NS)
    assert (nowhere.outcome, nowhere.detail) == (
        Outcome.TRANSIENT,
        "put v1/x: no answer (EndpointConnectionError)",
    )
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    answer = store(s3).put_once(put(), NOW_NS)
    assert answer.outcome is Outcome.DENIED
    assert "no usable AWS credentials" in answer.detail


def test_a_bucket_of_somebody_else_is_refused(s3: StrictS3) -> None:
    answer = store(s3, expected_bucket_owner="999999999999").put_once(put(), NOW_NS)
    assert answer.outcome is Outcome.DENIED
    assert s3.objects() == {}


def test_a_mistake_of_ours_is_no_outcome(s3: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = store(s3)
    monkeypatch.setattr(asked, "_built", lambda: None)
    with pytest.raises(AttributeError):
        asked.put_once(put(), NOW_NS)


def test_a_client_is_built_once_however_many_threads_ask(
    s3: StrictS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []
    build = module._build

    def counted(*arguments: object) -> object:
        built.append(1)
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_build", counted)
    asked = store(s3)
    threads = [
        threading.Thread(target=asked.put_once, args=(put(f"v1/{number}"), NOW_NS)) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(built), len(s3.objects())) == (1, 4)
    asked.close()
    asked.close()


# --- compare and read --------------------------------------------------------------------------------------


def test_equal_means_size_and_hash(s3: StrictS3) -> None:
    s3.plant("v1/x", b"content")
    asked, sha = store(s3), hashlib.sha256(b"content").digest()
    assert asked.compare("v1/x", sha, 7)[0].outcome is Outcome.SAME
    assert asked.compare("v1/x", sha, 8)[0].outcome is Outcome.DIFFERENT
    different, head = asked.compare("v1/x", bytes(32), 7)
    assert different.outcome is Outcome.DIFFERENT
    assert sha.hex() in different.detail
    assert head is not None
    assert head.sha256 == sha
    assert asked.compare("v1/y", sha, 7) == (asked.compare("v1/y", sha, 7)[0], None)
    assert asked.compare("v1/y", sha, 7)[0].outcome is Outcome.MISSING


def test_an_object_without_checksum_is_read_only_if_its_size_fits(s3: StrictS3) -> None:
    s3.plant("v1/x", b"content")
    s3.with_checksums = False
    asked, sha = store(s3), hashlib.sha256(b"content").digest()
    different, _ = asked.compare("v1/x", sha, 100)
    assert (different.outcome, "unknown" in different.detail) == (Outcome.DIFFERENT, True)
    assert s3.count("GET") == 0
    assert asked.compare("v1/x", sha, 7)[0].outcome is Outcome.SAME
    s3.faults = lambda request: Fault.LOST_ACK if request.method == "GET" else None
    assert asked.compare("v1/x", sha, 7)[0].outcome is Outcome.TRANSIENT
    s3.faults = lambda request: Fault.TAKEN if request.method == "GET" else None
    assert asked.compare("v1/x", sha, 7)[0].outcome is Outcome.TRANSIENT


@pytest.mark.parametrize(
    "found",
    [
        {"ChecksumSHA256": "c2hvcnQ=", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumSHA256": "not base64!"},
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode() + "-3"},
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode(), "ChecksumType": "COMPOSITE"},
        {},
    ],
    ids=str,
)
def test_a_checksum_of_anything_but_the_whole_object_is_none(found: dict[str, object]) -> None:
    assert module._sha256(found) is None


def test_ranges_end_with_the_object_and_know_its_version(s3: StrictS3) -> None:
    s3.plant("v1/x", b"0123456789")
    asked = store(s3)
    assert asked.get_range("v1/x", 2, 5) == b"234"
    assert asked.get_range("v1/x", 8, 50) == b"89"
    etag = next(asked.list("v1/")).etag
    assert asked.get_range("v1/x", 0, 1, etag) == b"0"
    with pytest.raises(StoreFailed) as failed:
        asked.get_range("v1/x", 0, 1, '"another"')
    assert failed.value.answer.outcome is Outcome.DIFFERENT
    with pytest.raises(AssertionError):
        asked.get_range("v1/x", 5, 5)


def test_a_whole_object_is_read_to_its_limit_and_a_byte_more(s3: StrictS3) -> None:
    s3.plant("v1/x", b"0123456789")
    assert store(s3).get("v1/x", 10) == b"0123456789"
    assert store(s3).get("v1/x", 5) == b"012345"
    with pytest.raises(StoreFailed, match="404"):
        store(s3).get("v1/none", 5)


def test_odd_keys_survive_a_listing(s3: StrictS3) -> None:
    keys = ["v1/a b+c%25", "v1/ä&<x>"]
    for key in keys:
        s3.plant(key, b"x")
    assert [listed.key for listed in store(s3).list("v1/")] == sorted(keys)


# --- delete --------------------------------------------------------------------------------------------------


def test_every_version_and_marker_of_a_key_is_deleted_and_no_other(s3: StrictS3) -> None:
    asked = store(s3)
    for body in (b"old", b"new"):
        asked.put_mutable(put("v1/keys/a.json", body, locked=False))
    asked.put_mutable(put("v1/keys/a.json.bak", b"other", locked=False))
    s3.delete("v1/keys/a.json", "")
    assert asked.delete_versions("v1/keys/a.json").outcome is Outcome.DELETED
    assert s3.versions["v1/keys/a.json"] == []
    assert list(s3.objects()) == ["v1/keys/a.json.bak"]
    assert asked.delete_versions("v1/keys/a.json").outcome is Outcome.DELETED


def test_versions_of_many_pages_are_all_deleted(s3: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = store(s3)
    for number in range(5):
        asked.put_mutable(put("v1/keys/a.json", b"%d" % number, locked=False))
    s3.page = 2
    assert asked.delete_versions("v1/keys/a.json").outcome is Outcome.DELETED
    assert s3.versions["v1/keys/a.json"] == []


def test_a_key_that_stays_is_no_success(s3: StrictS3, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = store(s3)
    asked.put_mutable(put("v1/keys/a.json", b"x", locked=False))
    monkeypatch.setattr(s3, "delete", lambda *_: None)
    answer = asked.delete_versions("v1/keys/a.json")
    assert (answer.outcome, "still there" in answer.detail) == (Outcome.TRANSIENT, True)


def test_only_what_shredding_destroys_can_be_deleted(s3: StrictS3) -> None:
    with pytest.raises(AssertionError):
        store(s3).delete_versions("v1/segments/keys/x.kseg")


# --- bucket ----------------------------------------------------------------------------------------------------


def test_a_bucket_says_how_it_locks(s3: StrictS3) -> None:
    asked = store(s3)
    assert asked.bucket_lock() == BucketLock(True, "")
    s3.default_mode = "COMPLIANCE"
    assert asked.bucket_lock() == BucketLock(True, "COMPLIANCE")
    s3.lock = False
    assert asked.bucket_lock() == BucketLock(False, "")
    s3.faults = lambda request: Fault.DENIED
    with pytest.raises(StoreFailed, match="AccessDenied"):
        asked.bucket_lock()


def test_a_missing_bucket_is_not_one_without_lock(s3: StrictS3) -> None:
    with pytest.raises(StoreFailed, match="no such bucket"):
        store(s3, bucket="nothing-here").bucket_lock()


@pytest.mark.parametrize(
    ("changes", "style"),
    [
        ({}, "path"),
        ({"path_style": False}, "auto"),
        ({"endpoint_url": None}, "auto"),
        ({"endpoint_url": None, "path_style": True}, "path"),
    ],
    ids=str,
)
def test_an_own_endpoint_is_addressed_by_path_unless_said_otherwise(
    s3: StrictS3, changes: dict[str, object], style: str
) -> None:
    client = store(s3, **changes)._built()
    assert client.meta.config.s3["addressing_style"] == style  # type: ignore[attr-defined]
