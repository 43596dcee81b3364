"""How far an outlet has delivered, on disk: written whole, renamed into place, so never half. Blocks.

`outlets/<name>.cursor` of the data directory, JSON. Losing it loses no event: everything still in the log is
sent once more. So a file that cannot be understood is put aside, said, and not a reason to stop.
"""

from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.outlets.exchange_records import AssemblerState
from storage.errors import UNDECODABLE
from storage.files import REAL_FILES, FileOps, replace_file

DIRECTORY: Final = "outlets"
SUFFIX: Final = ".cursor"
MAX_STATE_BYTES: Final = 256 * 1024 * 1024
"""20,000 open exchanges with all the groups and names they may have."""


class OutletState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """sent, rejected, skipped: since the outlet was set up; skipped counts records."""

    logs: dict[str, AssemblerState] = {}
    sent: int = 0
    rejected: int = 0
    skipped: int = 0
    version: int = 1


class Loaded(NamedTuple):
    """complaint: why the state begins anew, "" if it does not."""

    state: OutletState
    complaint: str = ""


class CursorFile:
    """The state of one outlet."""

    def __init__(self, data_dir: Path, name: str, *, files: FileOps = REAL_FILES) -> None:
        self.directory = data_dir / DIRECTORY
        self._path = self.directory / f"{name}{SUFFIX}"
        self._files = files

    def load(self) -> Loaded:
        """The last state saved. Raises OSError when it cannot be read."""
        try:
            fd = self._files.open_read(self._path)
        except FileNotFoundError:
            return Loaded(OutletState())
        try:
            size = self._files.size(fd)
            content = self._files.read(fd, size, 0) if size <= MAX_STATE_BYTES else b""
        finally:
            self._files.close(fd)
        try:
            state = msgspec.json.decode(content, type=OutletState)
        except UNDECODABLE:
            state = None
        if state is None or state.version != 1:
            aside = self._path.with_suffix(".garbled")
            self._files.rename(self._path, aside)
            return Loaded(OutletState(), f"{self._path} is not readable and was renamed to {aside.name}")
        return Loaded(state)

    def save(self, state: OutletState) -> None:
        """The state survives a power cut on return. Raises OSError; then the old one is still there."""
        self._files.make_directory(self.directory)
        replace_file(self._files, self._path, msgspec.json.encode(state))
