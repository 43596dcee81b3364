"""A data directory and its bucket together: what retention deleted here is there, and is the same log.

INV9   every segment that was deleted locally is in the bucket, with the bytes its tombstone names
INV10  no object was written twice, INV11: however often it was uploaded
"""

import hashlib
import shutil
from pathlib import Path

from storage.encryption.keys import SUFFIX_KEYS
from storage.files import REAL_FILES
from storage.format import SUFFIX_TOMBSTONE
from storage.notary.tombstone import open_tombstone
from storage.object_keys import root
from storage.reader import READABLE
from storage.segment_file import SegmentFile
from storage.tlog.note import VerifierKey
from tests.kit.strict_s3 import StrictS3


def segments_in(s3: StrictS3) -> dict[str, bytes]:
    """File name -> bytes of every segment in the bucket."""
    return {
        key.rpartition("/")[2]: body for key, body in s3.objects().items() if f"{root('')}segments/" in key
    }


def check_bucket(directory: Path, s3: StrictS3, keys: list[VerifierKey]) -> list[str]:
    """INV9 to INV11 of one log directory."""
    remote = {
        name.partition(".")[0]: body for name, body in segments_in(s3).items() if name.endswith(READABLE)
    }
    faults = []
    for path in sorted(directory.glob(f"*{SUFFIX_TOMBSTONE}")):
        if any(path.with_suffix(suffix).exists() for suffix in READABLE):
            continue  # not deleted yet
        tombstone = open_tombstone(path.read_bytes(), keys)
        body = remote.get(path.stem)
        if body is None:
            faults.append(f"INV9: {path.stem} was deleted and is not in the bucket")
        elif hashlib.sha256(body).digest() != tombstone.sha256:
            faults.append(f"INV9: {path.stem} in the bucket is not the one that was deleted")
    for key, versions in s3.versions.items():
        bodies = [version.body for version in versions]
        if "/segments/" in f"/{key}" and len(bodies) != 1:
            faults.append(f"INV10: {key} was written {len(bodies)} times")
    return faults


def put_together(data_dir: Path, s3: StrictS3, target: Path) -> Path:
    """A data directory with everything that was ever in this one: a copy, and from the bucket what it lacks."""
    shutil.copytree(data_dir, target, ignore=shutil.ignore_patterns("index", "rows", "*.spare"))
    (directory,) = (target / "log").iterdir()
    objects = s3.objects()
    for name, body in segments_in(s3).items():
        path = directory / name
        if name.endswith(READABLE) and not any(path.with_suffix(suffix).exists() for suffix in READABLE):
            path.write_bytes(body)
            with SegmentFile(REAL_FILES, path) as segment:
                envelope = objects.get(f"{root('')}keys/{segment.header.segment_id}.json")
            if envelope is not None:
                path.with_suffix(SUFFIX_KEYS).write_bytes(envelope)
            path.with_suffix(SUFFIX_TOMBSTONE).unlink(missing_ok=True)
    return target
