"""What a witness has cosigned, one file a log, and the proof of misbehaviour it has seen. Conduct.

    <sha256 of the origin, hex>.note       the last cosigned checkpoint, with the log's and the witness's lines
    <sha256 of the origin, hex>.conflict   the first request of that log which did not continue it
    LOCK                                   held while a witness runs

What `save` was given is durable when it returns. The trap: a witness that forgets is worse than none. So a
file that cannot be read is an error and never "nothing cosigned yet", and after a failed write nothing is
cosigned until a restart.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from storage.errors import LogFailed, LogInUse, StorageError
from storage.files import FileOps, log_failed, read_start, replace_file
from storage.tlog.checkpoint import BadCheckpoint, read_unverified
from storage.tlog.note import MAX_NOTE_BYTES, BadNote
from storage.tlog.witness import Head

_LOCK: Final = "LOCK"


class WitnessStateDamaged(StorageError):
    """A state file is not what was written. Restore it; if you cannot, retire this witness and its key."""


def origin_hash(origin: str) -> str:
    """The name of a log in paths: SHA-256 of its origin in hex."""
    return sha256(origin.encode("utf-8")).hexdigest()


class WitnessState:
    """The state directory, made if need be. Raises LogInUse, LogFailed. Close it in the end."""

    def __init__(self, files: FileOps, directory: Path) -> None:
        self._files, self._directory = files, directory
        self._failed: LogFailed | None = None
        try:
            files.make_directory(directory)
            self._lock = files.lock(directory / _LOCK)
        except BlockingIOError:
            raise LogInUse(f"{directory} is the state of another running witness") from None
        except OSError as error:
            raise log_failed("open witness state", directory, error) from error

    def close(self) -> None:
        self._files.close(self._lock)

    def head(self, origin: str) -> Head | None:
        """What was cosigned last of a log; None if nothing ever. Raises WitnessStateDamaged, LogFailed."""
        note = self.note(origin)
        if note is None:
            return None
        path = self._note_path(origin)
        try:
            checkpoint = read_unverified(note)
        except (BadNote, BadCheckpoint) as error:
            raise WitnessStateDamaged(f"{path}: {error}") from None
        if checkpoint.origin != origin:
            raise WitnessStateDamaged(f"{path}: is of the log {checkpoint.origin!r}, not of {origin!r}")
        return Head(checkpoint.size, checkpoint.root)

    def note(self, origin: str) -> bytes | None:
        """The last cosigned checkpoint note of a log. Raises LogFailed."""
        return self._read(self._note_path(origin))

    def save(self, origin: str, note: bytes) -> None:
        """Remember a cosigned checkpoint; durable on return. Raises LogFailed, then at every later call."""
        if self._failed is not None:
            raise self._failed
        try:
            self._write(self._note_path(origin), note)
        except LogFailed as error:
            self._failed = error
            raise

    def keep_conflict(self, origin: str, request: bytes) -> None:
        """Keep the first request of a log that does not continue what was cosigned. Raises LogFailed."""
        path = self._directory / f"{origin_hash(origin)}.conflict"
        if self._read(path) is None:
            self._write(path, request)

    def _note_path(self, origin: str) -> Path:
        return self._directory / f"{origin_hash(origin)}.note"

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_start(self._files, path, MAX_NOTE_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise log_failed("read", path, error) from error

    def _write(self, path: Path, data: bytes) -> None:
        try:
            replace_file(self._files, path, data)
        except OSError as error:
            raise log_failed("write", path, error) from error
