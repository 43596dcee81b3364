"""What was verified in the bucket, one JSON line each: `data/export/ledger.jsonl`. Appended to, never waited for.

Disposable. Without it every object is asked for again, and that is all, so nothing here is synced and a line that
cannot be read counts for nothing. The trap: it is true of one bucket and prefix only; its first line says which, and a
ledger of another store is thrown away.
"""

import os
import threading
from collections.abc import Container
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE

LEDGER: Final = Path("export") / "ledger.jsonl"
_STALE_SHARE: Final = 2
_STALE_LINES: Final = 1000
"""Rewritten when it has that many lines, and so many times the lines that still count."""
TREE_PART: Final = "/tlog/"
"""In the keys of trees, which are no files of `retain`'s callers."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One object as verified."""

    key: str
    sha256: str  # hex
    size: int
    mtime_ns: int = 0  # of the local file: whether it changed since, for those that may
    tree_size: int = 0  # of a checkpoint


class _First(msgspec.Struct, frozen=True):
    store: str


_ENCODE: Final = msgspec.json.Encoder()
_ENTRY: Final = msgspec.json.Decoder(Entry)
_FIRST: Final = msgspec.json.Decoder(_First)


class Ledger:
    """The ledger of one store; in memory and, as far as that works, on disk. For several threads."""

    def __init__(self, data_dir: Path, store: str) -> None:
        """store: names the bucket and prefix. Never raises: a ledger that cannot be read or written is empty."""
        self.path = data_dir / LEDGER
        self.problem = ""  # why it is not kept on disk, "" while it is
        self._store, self._mutex = store, threading.Lock()
        self._entries, self._lines, of_this_store = _load(self.path, store)
        self.was_lost = not of_this_store
        if self.was_lost or self._has_stale_lines():
            self._rewrite()

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        with self._mutex:
            self._entries[entry.key] = entry
            self._lines += 1
            if self._has_stale_lines():
                self._rewrite()
            else:
                self._append(_ENCODE.encode(entry) + b"\n")

    def forget(self, key: str) -> None:
        """In memory; after a restart it may be remembered again, so only for what is asked anew anyway."""
        with self._mutex:
            self._entries.pop(key, None)

    def retain(self, keys: Container[str]) -> None:
        """Forget what is not among these, once it is much: the local files are gone, nobody will ask. Trees stay."""
        with self._mutex:
            kept = {key: entry for key, entry in self._entries.items() if key in keys or TREE_PART in key}
            if len(self._entries) > _STALE_SHARE * len(kept) + _STALE_LINES:
                self._entries = kept
                self._rewrite()

    def _has_stale_lines(self) -> bool:
        return self._lines > _STALE_SHARE * len(self._entries) + _STALE_LINES

    def _rewrite(self) -> None:
        lines = [_First(self._store), *self._entries.values()]
        unfinished = self.path.with_suffix(".tmp")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(fd, "wb") as file:
                file.writelines(_ENCODE.encode(line) + b"\n" for line in lines)
            os.rename(unfinished, self.path)
            self._lines = len(self._entries)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"

    def _append(self, line: bytes) -> None:
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"


def _load(path: Path, store: str) -> tuple[dict[str, Entry], int, bool]:
    """(entries, lines read, whether it was a ledger of this store)."""
    entries: dict[str, Entry] = {}
    lines = 0
    try:
        with open(path, "rb") as file:
            if _FIRST.decode(file.readline()).store != store:
                return {}, 0, False
            for line in file:
                lines += 1
                try:
                    entry = _ENTRY.decode(line)
                except UNDECODABLE:
                    continue  # torn by a power cut, or by a full disk: asked for again
                entries[entry.key] = entry
    except (OSError, *UNDECODABLE):
        return {}, 0, False
    return entries, lines, True
