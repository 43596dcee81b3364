"""A bucket's listing as a data directory: translates keys to paths. No bucket, no bytes.

    /log/<gateway>-<worker>/<segment>.kseg .recovered .torn .tombstone .shredded .keys
    /log/<gateway>-<worker>/tlog/...

Two things are not in a segment's key. Its wrapped keys are named by the whole segment id, its file by the last digits
of that and its start, so of several that fit the one made last before the start is meant; a wrong one would not
open it. And its log's tree is named by the origin, which only a header page tells: `attach_tree` says it later.
The trap: one gateway exported under two names of a cluster is still one log.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

import msgspec

from gateway.export.store import Listed
from storage.encryption.keys import SUFFIX_KEYS
from storage.object_keys import parse_envelope_key, parse_segment_key, parse_tlog_key, tlog_root
from storage.sources import LOG_DIRECTORY
from storage.tlog.tree_reader import CHECKPOINT

TREE_DIRECTORY: Final = "tlog"
ROOT: Final = PurePosixPath("/")
_LOGS: Final = ROOT / LOG_DIRECTORY


class Entry(msgspec.Struct, frozen=True):
    """A file of the virtual directory. volatile: it may have been replaced since the listing."""

    key: str
    size: int
    etag: str
    volatile: bool = False


class Catalogue:
    """What one listing of a store says. prefix: as in storage.object_keys.Place."""

    def __init__(self, prefix: str, objects: Iterable[Listed]) -> None:
        self._prefix = prefix
        self._directories: dict[PurePosixPath, dict[str, Entry | None]] = {ROOT: {}}  # None: a directory
        self._by_id_end: dict[str, list[tuple[int, PurePosixPath]]] = {}  # (start_ms, path without suffix)
        self._trees: dict[str, list[tuple[str, Entry]]] = {}  # by SHA-256 of the origin
        self._make(_LOGS)
        envelopes: list[tuple[str, Entry]] = []
        for listed in objects:
            entry = Entry(listed.key, listed.size, listed.etag)
            if segment := parse_segment_key(prefix, listed.key):
                path = _LOGS / segment.log / segment.name.stem
                self._add(path.with_name(segment.name.stem + segment.suffix), entry)
                homes = self._by_id_end.setdefault(segment.name.uuid8, [])
                if (home := (segment.name.start_ms, path)) not in homes:
                    homes.append(home)
            elif segment_id := parse_envelope_key(prefix, listed.key):
                envelopes.append((segment_id, msgspec.structs.replace(entry, volatile=True)))
            elif tree := parse_tlog_key(prefix, listed.key):
                volatile = tree.name == CHECKPOINT or ".p/" in tree.name
                named = (tree.name, msgspec.structs.replace(entry, volatile=volatile))
                self._trees.setdefault(tree.origin_sha256, []).append(named)
        for segment_id, entry in envelopes:
            self._place_envelope(segment_id, entry)

    def attach_tree(self, log: str, origin: str) -> None:
        """Show the tree of this origin as the log's."""
        digest = tlog_root(self._prefix, origin).rstrip("/").rpartition("/")[2]
        for name, entry in self._trees.get(digest, ()):
            self._add(_LOGS / log / TREE_DIRECTORY / name, entry)

    @property
    def has_trees(self) -> bool:
        return bool(self._trees)

    def names(self, directory: PurePosixPath) -> list[str]:
        """Raises FileNotFoundError, NotADirectoryError."""
        found = self._directories.get(directory)
        if found is not None:
            return list(found)
        self.entry(directory)
        raise NotADirectoryError(20, "not a directory", str(directory))

    def entry(self, path: PurePosixPath) -> Entry:
        """Raises FileNotFoundError, IsADirectoryError."""
        if path in self._directories:
            raise IsADirectoryError(21, "a directory", str(path))
        entry = self._directories.get(path.parent, {}).get(path.name)
        if entry is None:
            raise FileNotFoundError(2, "not in the bucket", str(path))
        return entry

    def _place_envelope(self, segment_id: str, entry: Entry) -> None:
        made_ms = int(segment_id.replace("-", "")[:12], 16)  # a UUID of version 7 begins with its time
        homes = self._by_id_end.get(segment_id[-8:], [])
        fitting = [home for home in homes if home[0] >= made_ms] or homes
        if fitting:
            _, path = min(fitting)
            self._add(path.with_name(path.name + SUFFIX_KEYS), entry)

    def _add(self, path: PurePosixPath, entry: Entry) -> None:
        self._make(path.parent)
        self._directories[path.parent][path.name] = entry

    def _make(self, directory: PurePosixPath) -> None:
        if directory not in self._directories:
            self._make(directory.parent)
            self._directories[directory.parent][directory.name] = None
            self._directories[directory] = {}
