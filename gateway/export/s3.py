"""The operations on a bucket, and what the answers mean. The one module that knows boto3 for S3.

Translates between structs and boto3; when to do what is decided in storage.export. Every call blocks and belongs
in a worker thread; building the client too, because looking for credentials may ask the network. Only what shredding
destroys can be deleted here, and nothing that is not meant to change can be overwritten.

The traps: `ChecksumSHA256` without `ChecksumAlgorithm` is refused for locked objects; and a DELETE in a bucket with
versions hides an object and destroys nothing. Messages carry S3's error code and our own words, never text of the
store's, which may repeat what was signed with. Source: S3 API reference, botocore's service model.
"""

import base64
import binascii
import hashlib
import io
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn, Protocol

from gateway.export.s3_answers import answer_of_code, answer_of_library
from gateway.export.settings import BucketLock, S3Settings
from gateway.export.store import Head, Listed, Put, StoreFailed
from storage.export import MAX_PUT_BYTES, Answer, Outcome
from storage.object_keys import root

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 15.0
"""Between two bytes, not for a whole upload. A stuck checkpoint must be given up well within its minute."""
ATTEMPTS: Final = 2
"""By botocore itself, within a second. Whatever outlives that waits for its turn in storage.export."""
CONNECTIONS: Final = 8
SMALL_BYTES: Final = 256 * 1024
"""Sent as bytes: for a file botocore waits for "100 Continue" first, one more round trip."""
CHUNK_BYTES: Final = 1024 * 1024
MAX_RANGE_BYTES: Final = 16 * 1024 * 1024
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Read by boto3 itself."""
DELETABLE: Final = ("keys/", "index/")
"""What shredding destroys: wrapped keys, and rows, which are clear text. The rest cannot be deleted from here."""
_NO_LOCK: Final = frozenset({"ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"})
"""S3 says the first of a bucket without object lock, stores without the feature one of the others."""


class S3Client(Protocol):
    """What is used of boto3's S3 client."""

    def put_object(self, **arguments: object) -> Mapping[str, object]: ...

    def head_object(self, **arguments: object) -> Mapping[str, object]: ...

    def get_object(self, **arguments: object) -> Mapping[str, object]: ...

    def delete_object(self, **arguments: object) -> Mapping[str, object]: ...

    def list_objects_v2(self, **arguments: object) -> Mapping[str, object]: ...

    def list_object_versions(self, **arguments: object) -> Mapping[str, object]: ...

    def get_object_lock_configuration(self, **arguments: object) -> Mapping[str, object]: ...

    def close(self) -> None: ...


class S3Store:
    """One bucket. Methods may be called from several threads; each blocks for at most a few timeouts."""

    def __init__(
        self, settings: S3Settings, *, attempts: int = ATTEMPTS, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self.settings = settings
        self._attempts, self._read_timeout_s = attempts, read_timeout_s
        self._client: S3Client | None = None
        self._building = threading.Lock()

    # --- write ----------------------------------------------------------------------------------------

    def put_once(self, put: Put, now_ns: int) -> Answer:
        """Create an object, or learn that its key is taken: CREATED, EXISTS, or why not. Never overwrites.

        now_ns: UTC; a lock ends the configured days after it. Raises OSError if the file cannot be read.
        """
        arguments: dict[str, object] = {"IfNoneMatch": "*"}
        lock = self.settings.object_lock
        if put.locked and lock is not None:
            until = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC) + timedelta(days=lock.days)
            arguments |= {"ObjectLockMode": lock.mode.value, "ObjectLockRetainUntilDate": until}
        return self._put(put, arguments)

    def put_mutable(self, put: Put) -> Answer:
        """Create or replace an object of the kinds that change (storage.export.MUTABLE), without lock."""
        return self._put(put, {})

    def _put(self, put: Put, arguments: dict[str, object]) -> Answer:
        if put.size > MAX_PUT_BYTES:
            why = f"put {put.key}: {put.size} bytes, and S3 takes at most 5 GiB in one piece: make segments smaller"
            return Answer(Outcome.UNFIT, why)
        arguments |= {
            "ContentLength": put.size,
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": base64.b64encode(put.sha256).decode(),
        }
        if self.settings.sse_kms_key is not None:
            arguments |= {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": self.settings.sse_kms_key,
                "BucketKeyEnabled": True,
            }
        body = io.BytesIO(put.body) if isinstance(put.body, bytes) else open(put.body, "rb")
        with body:
            try:
                content = body.read(put.size + 1) if put.size <= SMALL_BYTES else body
                self._built().put_object(**self._of(put.key), Body=content, **arguments)
            except Exception as error:
                return _answer(error, "put", put.key)
        return Answer(Outcome.CREATED)

    def delete_versions(self, key: str) -> Answer:
        """Destroy wrapped data keys, or rows: every version of an object, or the old one could still be read.

        DELETED when none is left (or none was there); DENIED also when a lock forbids it.
        """
        if not key.startswith(tuple(root(self.settings.prefix) + part for part in DELETABLE)):
            raise AssertionError("only what shredding destroys is ever deleted")
        try:
            client = self._built()
            for version in list(self._versions(client, key)):  # all, before any of them is gone
                client.delete_object(**self._of(key), VersionId=version)
            if next(self._versions(client, key), None) is not None:
                return Answer(Outcome.TRANSIENT, f"delete {key}: it is still there")
        except Exception as error:
            return _answer(error, "delete", key)
        return Answer(Outcome.DELETED)

    def _versions(self, client: S3Client, key: str) -> Iterator[str]:
        marker: dict[str, object] = {}
        while True:
            page = client.list_object_versions(**self._of_bucket(), Prefix=key, **marker)
            for kind in ("Versions", "DeleteMarkers"):
                for entry in _maps(page.get(kind)):
                    if entry.get("Key") == key:
                        yield _text(entry, "VersionId")
            if not page.get("IsTruncated"):
                return
            marker = {
                "KeyMarker": page.get("NextKeyMarker"),
                "VersionIdMarker": page.get("NextVersionIdMarker"),
            }

    # --- read -----------------------------------------------------------------------------------------

    def head(self, key: str) -> Head:
        """Raises StoreFailed (MISSING: it is not there, as far as we may know)."""
        try:
            found = self._built().head_object(**self._of(key), ChecksumMode="ENABLED")
        except Exception as error:
            _fail(error, "head", key)
        return Head(
            _number(found, "ContentLength"),
            _text(found, "ETag"),
            _sha256(found),
            _text(found, "ObjectLockMode"),
        )

    def compare(self, key: str, sha256: bytes, size: int) -> tuple[Answer, Head | None]:
        """Whether the object has exactly these bytes: SAME, DIFFERENT, MISSING, or why nobody knows.

        Asks for the checksum of the whole object, which S3 verified when it took it; of a store that has none, the
        object is read and hashed.
        """
        try:
            head = self.head(key)
            found = head.sha256
            if found is None and head.size == size:
                found = self.sha256_of(key, head.etag)
        except StoreFailed as failure:
            if failure.answer.outcome is Outcome.DIFFERENT:  # it was replaced while it was read
                return Answer(Outcome.TRANSIENT, failure.answer.detail), None
            return failure.answer, None
        if head.size == size and found == sha256:
            return Answer(Outcome.SAME), head
        shown = found.hex() if found else "unknown"
        return Answer(
            Outcome.DIFFERENT, f"{key} holds other bytes (SHA-256 {shown}), ours have {sha256.hex()}"
        ), head

    def sha256_of(self, key: str, etag: str) -> bytes:
        """Read a whole object and hash it. Raises StoreFailed."""
        digest = hashlib.sha256()
        try:
            body = self._built().get_object(**self._of(key), IfMatch=etag)["Body"]
            for chunk in body.iter_chunks(CHUNK_BYTES):  # type: ignore[attr-defined]
                digest.update(chunk)
        except Exception as error:
            _fail(error, "get", key)
        return digest.digest()

    def get_range(self, key: str, start: int, stop: int, etag: str = "") -> bytes:
        """The bytes [start, stop), at most MAX_RANGE_BYTES; fewer only at the object's end.

        etag: what it must still have. Raises StoreFailed (DIFFERENT: it has another).
        """
        if not 0 <= start < stop <= start + MAX_RANGE_BYTES:
            raise AssertionError(f"a range of [{start}, {stop})")
        return self._read(key, stop - start, {"Range": f"bytes={start}-{stop - 1}"}, etag)

    def get(self, key: str, limit_bytes: int) -> bytes:
        """A whole small object, or its first `limit_bytes` + 1 bytes. Raises StoreFailed."""
        return self._read(key, limit_bytes + 1, {}, "")

    def _read(self, key: str, limit_bytes: int, arguments: dict[str, object], etag: str) -> bytes:
        if etag:
            arguments["IfMatch"] = etag
        try:
            body = self._built().get_object(**self._of(key), **arguments)["Body"]
            with body:  # type: ignore[attr-defined]
                data: bytes = body.read(limit_bytes)  # type: ignore[attr-defined]
        except Exception as error:
            _fail(error, "get", key)
        return data

    def list(self, prefix: str) -> Iterator[Listed]:
        """All objects whose keys begin with `prefix`, in order, a thousand a request. Raises StoreFailed."""
        token: dict[str, object] = {}
        while True:
            try:
                page = self._built().list_objects_v2(**self._of_bucket(), Prefix=prefix, **token)
            except Exception as error:
                _fail(error, "list", prefix)
            for entry in _maps(page.get("Contents")):
                yield Listed(_text(entry, "Key"), _number(entry, "Size"), _text(entry, "ETag"))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page.get("NextContinuationToken")}

    def bucket_lock(self) -> BucketLock:
        """The bucket's object lock. Raises StoreFailed when the bucket or this fact cannot be read."""
        try:
            answer = self._built().get_object_lock_configuration(**self._of_bucket())
        except Exception as error:
            answered = _answer(error, "get-object-lock-configuration", self.settings.bucket)
            if answered.code in _NO_LOCK:
                return BucketLock(False)
            raise StoreFailed(answered) from None
        configuration = _map(answer.get("ObjectLockConfiguration"))
        retention = _map(_map(configuration.get("Rule")).get("DefaultRetention"))
        return BucketLock(_text(configuration, "ObjectLockEnabled") == "Enabled", _text(retention, "Mode"))

    # --- client ---------------------------------------------------------------------------------------

    def _of(self, key: str) -> dict[str, object]:
        return {**self._of_bucket(), "Key": key}

    def _of_bucket(self) -> dict[str, object]:
        owner = self.settings.expected_bucket_owner
        bucket: dict[str, object] = {"Bucket": self.settings.bucket}
        return bucket | {"ExpectedBucketOwner": owner} if owner else bucket

    def _built(self) -> S3Client:
        with self._building:
            if self._client is None:
                self._client = _build(self.settings, self._attempts, self._read_timeout_s)
            return self._client

    def close(self) -> None:
        with self._building:
            if self._client is not None:
                self._client.close()
            self._client = None


def _build(settings: S3Settings, attempts: int, read_timeout_s: float) -> S3Client:
    import boto3  # 0.2 s: paid by those who export or read a bucket
    from botocore.config import Config

    endpoint = settings.endpoint_url or any(map(os.environ.get, ENDPOINT_VARIABLES))
    # With an endpoint of one's own, buckets rarely have DNS names of theirs.
    path_style = bool(endpoint) if settings.path_style is None else settings.path_style
    # A session of its own: the default one of boto3 is not for several threads.
    session = boto3.session.Session(region_name=settings.region)
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=CONNECTIONS,
        # Ours are given with each call; by default botocore adds CRCs that not every store takes.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_appid="kubetape",
        s3={"addressing_style": "path" if path_style else "auto"},
    )
    client: S3Client = session.client("s3", endpoint_url=settings.endpoint_url, config=config)
    return client


# --- answers ----------------------------------------------------------------------------------------------


def _answer(error: Exception, operation: str, key: str) -> Answer:
    """What a foreign error means. Others than boto3's are raised again, but for files that cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    what = f"{operation} {key}"
    if isinstance(error, ClientError):
        response = error.response
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return answer_of_code(what, str(response.get("Error", {}).get("Code", "")), int(status))
    if isinstance(error, (BotoCoreError, HTTPError)):
        return answer_of_library(what, type(error).__name__)
    raise error


def _fail(error: Exception, operation: str, key: str) -> NoReturn:
    """For reading, where some codes of S3 mean something else, or nothing."""
    answer = _answer(error, operation, key)
    outcome = _READING.get(answer.outcome, answer.outcome)
    raise StoreFailed(Answer(outcome, answer.detail, answer.code)) from None


_READING: Final = {
    Outcome.EXISTS: Outcome.DIFFERENT,
    Outcome.CONFLICT: Outcome.TRANSIENT,
    Outcome.MISMATCH: Outcome.TRANSIENT,
    Outcome.UNFIT: Outcome.TRANSIENT,
}


def _sha256(found: Mapping[str, object]) -> bytes | None:
    """The checksum of the whole object; one of parts (a multipart upload) is none."""
    if _text(found, "ChecksumType") == "COMPOSITE":
        return None
    try:
        digest = base64.b64decode(_text(found, "ChecksumSHA256"), validate=True)
    except binascii.Error:
        return None
    return digest if len(digest) == hashlib.sha256().digest_size else None


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def _number(found: Mapping[str, object], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else 0


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _maps(value: object) -> list[Mapping[str, object]]:
    return [_map(entry) for entry in value] if isinstance(value, list) else []
