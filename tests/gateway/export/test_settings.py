"""What can be configured for S3, and which buckets fit it."""

import msgspec
import pytest

from gateway.export.settings import BucketLock, LockMode, ObjectLock, S3Settings, lock_problem, lock_warning


def decode(**values: object) -> S3Settings:
    return msgspec.convert({"bucket": "records", **values}, S3Settings)


def test_the_least_is_a_bucket_and_nothing_is_guessed() -> None:
    settings = decode()
    assert (settings.object_lock, settings.lock_keys, settings.rows) == (None, False, "none")
    assert settings.checkpoint_seconds == 30


def test_all_of_it_is_camel_case() -> None:
    settings = decode(
        prefix="a/b",
        region="eu-central-1",
        endpointUrl="https://s3.example.com:9000",
        objectLock={"mode": "COMPLIANCE", "days": 2555},
        lockKeys=True,
        sseKmsKey="alias/x",
        expectedBucketOwner="123456789012",
        rows="full",
        checkpointSeconds=60,
        pathStyle=True,
    )
    assert settings.object_lock == ObjectLock(mode=LockMode.COMPLIANCE, days=2555)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"bucket": "Upper"}, "bucket"),
        ({"bucket": "a..b"}, "bucket"),
        ({"bucket": "x/../y"}, "bucket"),
        ({"prefix": "/a"}, "prefix"),
        ({"prefix": "a/"}, "prefix"),
        ({"prefix": "a//b"}, "prefix"),
        ({"prefix": "a/../b"}, "prefix"),
        ({"prefix": "ä"}, "prefix"),
        ({"prefix": "a" * 513}, "prefix"),
        ({"endpointUrl": "http://s3.example.com"}, "endpointUrl"),
        ({"endpointUrl": "https://user:pass@s3.example.com"}, "endpointUrl"),
        ({"endpointUrl": "http://127.0.0.1.example.com"}, "endpointUrl"),
        ({"region": "no region"}, "region"),
        ({"expectedBucketOwner": "12345"}, "expectedBucketOwner"),
        ({"checkpointSeconds": 61}, "checkpointSeconds"),
        ({"checkpointSeconds": 0}, "checkpointSeconds"),
        ({"lockKeys": True}, "lockKeys"),
        ({"sseKmsKey": ""}, "sseKmsKey"),
        ({"objectLock": {"mode": "COMPLIANCE"}}, "days"),
        ({"objectLock": {"days": 3}}, "mode"),
        ({"objectLock": {"mode": "COMPLIANCE", "days": 0}}, "days"),
        ({"objectLock": {"mode": "compliance", "days": 1}}, "compliance"),
        ({"objectlock": {}}, "objectlock"),
        ({"rows": "some"}, "rows"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_its_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        decode(**values)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000", "http://localhost:1", "http://[::1]:9000/", "https://[fd00::1]"]
)
def test_plain_http_is_for_this_machine(url: str) -> None:
    assert decode(endpointUrl=url).endpoint_url == url


def test_a_bucket_with_lock_and_no_word_about_it_says_what_to_write() -> None:
    problem = lock_problem(decode(), BucketLock(True))
    assert "objectLock: {mode: GOVERNANCE, days: 30}" in problem
    assert "no default" in problem


def test_a_wish_for_a_lock_needs_a_bucket_that_has_it() -> None:
    wish = decode(objectLock={"mode": "COMPLIANCE", "days": 1})
    assert "no object lock" in lock_problem(wish, BucketLock(False))
    assert lock_problem(wish, BucketLock(True)) == ""
    assert lock_problem(decode(), BucketLock(False)) == ""


def test_a_bucket_that_locks_keys_by_itself_is_worth_a_warning() -> None:
    lock = {"mode": "COMPLIANCE", "days": 1}
    assert "shredded" in lock_warning(decode(objectLock=lock), BucketLock(True, "COMPLIANCE"))
    assert lock_warning(decode(objectLock=lock, lockKeys=True), BucketLock(True, "COMPLIANCE")) == ""
    assert lock_warning(decode(objectLock=lock), BucketLock(True)) == ""
