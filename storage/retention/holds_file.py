"""The files of legal holds: `holds.json`, what holds now, and `holds.log.jsonl`, who changed it and why.

`holds.json` is replaced as a whole and read strictly: what cannot be understood is an error, and whoever deletes
must stop at it. A crash leaves more held rather than less: a new hold is in force before it is logged, a lifted
one is logged before it ends. Once holds were ever made, a missing file is an error too.

The trap is the race with a deletion under way. Both take `holds.lock`: when `add_hold` returns, nothing that it
covers is deleted any more. (What was deleted before cannot be brought back; its tombstone says when.)
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE, StorageError
from storage.files import FileOps, replace_file, write_all
from storage.retention.holds import Hold, Text, Time

HOLDS_FILE: Final = "holds.json"
CHANGES_FILE: Final = "holds.log.jsonl"
LOCK_FILE: Final = "holds.lock"
HOLDS_VERSION: Final = 1
MAX_HOLDS: Final = 1000
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
"""A thousand holds with the longest reasons."""
MAX_CHANGES_BYTES: Final = 1024 * 1024
"""Read at once; more is read by the next call."""
WAIT_S: Final = 30.0
"""For a run of retention, which deletes in portions and publishes a checkpoint in between."""
_POLL_S: Final = 0.05


class BadHolds(StorageError):
    """The legal holds cannot be read or changed; the message says what to do. Delete nothing until then."""


class HoldsBusy(BadHolds):
    """Somebody else changes the holds, or deletes under them, right now. Try again."""


class Change(msgspec.Struct, frozen=True):
    """One line of the log of changes. what: "add" or "remove"; by and reason of this change."""

    at: Time
    what: str
    by: Text
    reason: Text
    hold: Hold


class _HoldsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    holds: tuple[Hold, ...]


_DECODER: Final = msgspec.json.Decoder(_HoldsFile)
_CHANGE_DECODER: Final = msgspec.json.Decoder(Change)


def read_holds(files: FileOps, data_dir: Path) -> tuple[Hold, ...]:
    """What is in force, in the order in which it was made. Raises BadHolds, OSError."""
    path = data_dir / HOLDS_FILE
    data = _read(files, path, MAX_FILE_BYTES + 1, 0)
    if data is None:
        if _read(files, data_dir / CHANGES_FILE, 1, 0) is not None:
            raise BadHolds(
                f"{path} is missing, but {CHANGES_FILE} says that there were holds: restore it from a copy, "
                'or, if none is in force, write {"version": 1, "holds": []} into it'
            )
        return ()
    if len(data) > MAX_FILE_BYTES:
        raise BadHolds(f"{path} is larger than {MAX_FILE_BYTES} bytes: restore it from a copy")
    try:
        content = _DECODER.decode(data)
    except UNDECODABLE as error:
        raise BadHolds(f"{path} cannot be understood ({error}): restore it from a copy") from error
    if content.version != HOLDS_VERSION:
        raise BadHolds(f"{path} has version {content.version}: a newer version of kubetape is needed")
    return content.holds


@contextmanager
def holding_still(files: FileOps, data_dir: Path, *, wait_s: float = 0.0) -> Iterator[None]:
    """No hold is added or lifted while this is open. Raises HoldsBusy when it is not ours within wait_s."""
    give_up_s = time.monotonic() + wait_s
    while True:
        try:
            lock = files.lock(data_dir / LOCK_FILE)
            break
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                raise HoldsBusy(
                    f"{data_dir / LOCK_FILE} is held: retention is deleting, or another command changes holds"
                ) from None
            time.sleep(_POLL_S)
    try:
        yield
    finally:
        files.close(lock)


def add_hold(files: FileOps, data_dir: Path, hold: Hold, *, wait_s: float = WAIT_S) -> None:
    """Put a hold in force; durable on return. Raises BadHolds, HoldsBusy, OSError."""
    with holding_still(files, data_dir, wait_s=wait_s):
        holds = read_holds(files, data_dir)
        if len(holds) >= MAX_HOLDS:
            raise BadHolds(f"there are {MAX_HOLDS} holds: lift some, or make one that covers more")
        if any(other.id == hold.id for other in holds):
            raise BadHolds(f"there is a hold {hold.id} already")
        _replace(files, data_dir, (*holds, hold))
        _append(files, data_dir, Change(hold.created_at, "add", hold.by, hold.reason, hold))


def remove_hold(
    files: FileOps, data_dir: Path, hold_id: str, *, at: Time, by: str, reason: str, wait_s: float = WAIT_S
) -> Hold:
    """Lift a hold; returns it. Raises BadHolds when there is none of this id, HoldsBusy, OSError."""
    with holding_still(files, data_dir, wait_s=wait_s):
        holds = read_holds(files, data_dir)
        lifted = next((hold for hold in holds if hold.id == hold_id), None)
        if lifted is None:
            known = ", ".join(hold.id for hold in holds) or "none"
            raise BadHolds(f"there is no hold {hold_id} (in force: {known})")
        _append(files, data_dir, Change(at, "remove", by, reason, lifted))
        _replace(files, data_dir, tuple(hold for hold in holds if hold is not lifted))
    return lifted


def read_changes(files: FileOps, data_dir: Path, offset: int) -> tuple[list[Change], int]:
    """The changes behind a byte offset (0: from the first) and the offset to go on from.

    Lines that a crash left unfinished are passed over. Raises OSError.
    """
    data = _read(files, data_dir / CHANGES_FILE, MAX_CHANGES_BYTES, offset) or b""
    whole, changes = data[: data.rfind(b"\n") + 1], []
    for line in whole.splitlines():
        try:
            changes.append(_CHANGE_DECODER.decode(line))
        except UNDECODABLE:
            continue
    return changes, offset + len(whole)


def _replace(files: FileOps, data_dir: Path, holds: tuple[Hold, ...]) -> None:
    encoded = msgspec.json.format(msgspec.json.encode(_HoldsFile(HOLDS_VERSION, holds)), indent=1)
    replace_file(files, data_dir / HOLDS_FILE, encoded + b"\n")


def _append(files: FileOps, data_dir: Path, change: Change) -> None:
    path = data_dir / CHANGES_FILE
    try:
        fd = files.open_write(path)
    except FileNotFoundError:
        fd = files.create(path)
    try:
        end = files.size(fd)
        # a crash may have left half a line: it must not swallow this one
        torn = end > 0 and files.read(fd, 1, end - 1) != b"\n"
        line = msgspec.json.encode(change) + b"\n"
        write_all(files, fd, [b"\n" + line if torn else line], end)
        files.sync(fd)
    finally:
        files.close(fd)
    files.sync_directory(data_dir)


def _read(files: FileOps, path: Path, limit_bytes: int, offset: int) -> bytes | None:
    """None when the file is not there."""
    try:
        fd = files.open_read(path)
    except FileNotFoundError:
        return None
    try:
        return files.read(fd, limit_bytes, offset)
    finally:
        files.close(fd)
