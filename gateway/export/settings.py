"""What the operator decides about the export to S3, as a frozen struct, and whether a bucket fits it. Pure.

No default for the object lock: a wrong COMPLIANCE date cannot be taken back by anybody, and a missing one leaves
objects that whoever holds the gateway's credentials can delete. So where the bucket and the file do not agree,
nothing is exported, and the message says what to write. Raises ValueError, which msgspec reports with the place in the file.
"""

import re
from enum import StrEnum
from typing import Final

import msgspec

MAX_LOCK_DAYS: Final = 36_500
MAX_CHECKPOINT_S: Final = 60
"""How far the bucket may be behind: what a thief of the machine could still rewrite unnoticed."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"(?:[A-Za-z0-9!_.*'()=-]+/)*[A-Za-z0-9!_.*'()=-]+")
_ENDPOINT: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/?")
_LOOPBACK: Final = re.compile(r"http://(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?/?")
_REGION: Final = re.compile(r"[a-z0-9-]{2,32}")


class LockMode(StrEnum):
    """GOVERNANCE: who has s3:BypassGovernanceRetention can delete. COMPLIANCE: nobody can, until the date."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class Rows(StrEnum):
    """Which search rows are exported, for Athena and its like. They are clear text."""

    NONE = "none"
    METADATA = "metadata"
    FULL = "full"


class ObjectLock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Both or nothing: there is no default for either."""

    mode: LockMode
    days: int  # from the upload

    def __post_init__(self) -> None:
        if not 1 <= self.days <= MAX_LOCK_DAYS:
            raise ValueError(f"objectLock.days: 1 to {MAX_LOCK_DAYS}")


class S3Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """Where sealed segments, trees and keys are copied to. Credentials and, where it is not given here, region
    and endpoint come from where every AWS program takes them (environment, shared files, instance role)."""

    bucket: str
    prefix: str = ""
    region: str | None = None
    endpoint_url: str | None = None  # http only for loopback
    object_lock: ObjectLock | None = None
    lock_keys: bool = False  # lock wrapped data keys too: then no segment can be shredded before the date
    sse_kms_key: str | None = None  # key id or ARN: encrypt with it (SSE-KMS); the bucket's default otherwise
    expected_bucket_owner: str | None = None  # account: refuse a bucket of anybody else
    rows: Rows = Rows.NONE
    checkpoint_seconds: int = 30  # how far behind the newest checkpoint in the bucket may be
    path_style: bool | None = None  # None: where an endpoint is set

    def __post_init__(self) -> None:
        if not _BUCKET.fullmatch(self.bucket) or ".." in self.bucket:
            raise ValueError("bucket: 3 to 63 lower-case letters, digits, dots and hyphens")
        if self.prefix and (len(self.prefix) > 512 or not _is_prefix(self.prefix)):
            raise ValueError(
                "prefix: at most 512 of A-Z a-z 0-9 ! _ . * ' ( ) = - in parts divided by single slashes"
            )
        if self.endpoint_url is not None and not _is_endpoint(self.endpoint_url):
            raise ValueError("endpointUrl: https://host[:port]; http only for this machine")
        if self.region is not None and not _REGION.fullmatch(self.region):
            raise ValueError("region: a name such as eu-central-1")
        if self.expected_bucket_owner is not None and not re.fullmatch(
            "[0-9]{12}", self.expected_bucket_owner
        ):
            raise ValueError("expectedBucketOwner: an AWS account, 12 digits (in quotes)")
        if not 1 <= self.checkpoint_seconds <= MAX_CHECKPOINT_S:
            raise ValueError(f"checkpointSeconds: 1 to {MAX_CHECKPOINT_S}")
        if self.lock_keys and self.object_lock is None:
            raise ValueError("lockKeys: there is no objectLock to lock them with")
        if self.sse_kms_key == "":
            raise ValueError("sseKmsKey: a key id or ARN, or leave it out")


def _is_prefix(text: str) -> bool:
    return _PREFIX.fullmatch(text) is not None and all(part.strip(".") for part in text.split("/"))


def _is_endpoint(text: str) -> bool:
    return _ENDPOINT.fullmatch(text) is not None and (
        text.startswith("https:") or _LOOPBACK.fullmatch(text) is not None
    )


class BucketLock(msgspec.Struct, frozen=True):
    """What a bucket says about object lock."""

    enabled: bool
    default_mode: str = ""  # of its default retention, "" for none


def lock_problem(settings: S3Settings, bucket: BucketLock) -> str:
    """Why nothing may be exported to a bucket with these settings; "" when they agree."""
    if bucket.enabled and settings.object_lock is None:
        return (
            f"bucket {settings.bucket} has object lock, and the configuration does not say for how long objects are "
            "to be locked. There is no default: a COMPLIANCE lock cannot be taken back. Write under `s3`, for "
            "example: objectLock: {mode: GOVERNANCE, days: 30} (to try it out), or mode: COMPLIANCE with the days your rules ask for"
        )
    if not bucket.enabled and settings.object_lock is not None:
        return (
            f"bucket {settings.bucket} has no object lock, and the configuration asks for {settings.object_lock.mode}: "
            "objects would not be locked. Enable object lock on the bucket (put-object-lock-configuration; it needs "
            "versioning), or remove `objectLock` to export without"
        )
    return ""


def lock_warning(settings: S3Settings, bucket: BucketLock) -> str:
    """What the operator should know and export can live with; "" for nothing."""
    if bucket.default_mode and not settings.lock_keys:
        return (
            f"bucket {settings.bucket} locks every object by default ({bucket.default_mode}), wrapped data keys too: "
            "segments cannot be shredded there before that date. Remove the bucket's default retention, or say lockKeys: true"
        )
    return ""
