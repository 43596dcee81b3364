"""The segments of a log as rows: what lies there, what is proven, exported, held; and of deleted ones why.

Opens every segment shown (a bucket: by range requests), so the number of rows is bounded by the caller. The trap: a
list is no proof. What is said here of trees and tombstones is what they say; `kubetape verify` checks it.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from gateway.cli.store.opening import Store
from gateway.retention.exported import noted_segments
from storage.encryption.cipher import SUITE_NONE
from storage.encryption.keys import read_envelope, read_small
from storage.errors import StorageError
from storage.format import SUFFIX_TOMBSTONE
from storage.index import INDEX_DIRECTORY
from storage.notary.coverage import read_covered
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, read_vkeys
from storage.notary.statement import MAX_STATEMENT_BYTES
from storage.notary.tombstone import read_tombstone
from storage.retention.expiry_plan import span_of
from storage.retention.holds import Hold, held_by
from storage.retention.holds_file import read_holds
from storage.retention.holds_index import IndexLookup
from storage.retention.inventory import Entry, Extent, list_entries, read_extent, size_of

DELETED: Final = "deleted"
SHREDDED: Final = "shredded"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One segment. Times: UTC nanoseconds, 0: unknown, or it has no records. None: cannot be told here."""

    log: str
    segment: str
    state: str  # open, sealed, recovered, shredded, deleted
    size: int
    records: int | None = None
    first_record_seq: int = 0
    first_ns: int = 0
    last_ns: int = 0
    encrypted_for: tuple[str, ...] = ()
    encrypted: bool | None = None
    exported: bool | None = None
    in_checkpoint: bool | None = None
    holds: tuple[str, ...] = ()
    deleted_ns: int = 0
    why: str = ""  # it was deleted; or what is wrong with it


class Lister:
    """Makes rows of one store. Raises OSError, and BadHolds when the legal holds cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store, self._files = store, store.files
        self._holds: Sequence[Hold] = ()
        self._exported: Collection[str] | None = None
        if store.is_local:
            self._holds = read_holds(store.files, store.data_dir)
            self._exported = noted_segments(store.data_dir)
        self._lookup = IndexLookup(store.data_dir / INDEX_DIRECTORY)
        self.notes: list[str] = []  # what could not be told, and why

    def rows(self, log: str, limit: int) -> Iterator[Row]:
        """The newest segments of a log, oldest first."""
        entries = list_entries(self._files, self._store.directory(log))
        covered = self._covered(log)
        for entry in entries[-limit:]:
            try:
                yield self._row(log, entry, covered)
            except FileNotFoundError:
                continue  # renamed or deleted since it was listed

    def _covered(self, log: str) -> int | None:
        try:
            vkeys = read_vkeys(self._store.data_dir / KEYS_DIRECTORY / VERIFIER_FILE, files=self._files)
            return read_covered(self._files, self._store.directory(log), vkeys).manifests
        except StorageError as error:
            self.notes.append(f"log {log}: its tree cannot be read: {error}")
            return None

    def _row(self, log: str, entry: Entry, covered: int | None) -> Row:
        if entry.state is None:
            return self._gone(log, entry)
        directory = self._store.directory(log)
        path = entry.path(directory)
        extent = read_extent(self._files, path)
        encrypted_for, problem = self._recipients(entry, extent, log)
        return Row(
            log=log,
            segment=entry.name.stem,
            state=SHREDDED if entry.is_shredded else entry.state.value,
            size=size_of(self._files, path),
            records=extent.next_record_seq - extent.first_record_seq if extent.segment_id else None,
            first_record_seq=extent.first_record_seq,
            first_ns=extent.first_ns,
            last_ns=extent.last_ns,
            encrypted=extent.suite != SUITE_NONE if extent.segment_id else None,
            encrypted_for=encrypted_for,
            exported=None if self._exported is None else entry.name.stem in self._exported,
            in_checkpoint=None if covered is None else entry.name.number <= covered,
            holds=self._held(log, entry, extent),
            why=extent.problem or problem,
        )

    def _recipients(self, entry: Entry, extent: Extent, log: str) -> tuple[tuple[str, ...], str]:
        if extent.suite in ("", SUITE_NONE) or entry.is_shredded:
            return (), ""
        try:
            envelope = read_envelope(self._files, entry.path(self._store.directory(log)))
        except StorageError as error:
            return (), str(error)
        return tuple(wrap.kek_id for wrap in envelope.wraps), ""

    def _held(self, log: str, entry: Entry, extent: Extent) -> tuple[str, ...]:
        if not self._holds:
            return ()
        span = span_of(self._files, self._store.directory(log), entry, extent, self._store.keys)
        return tuple(held_by(self._holds, span, self._lookup))

    def _gone(self, log: str, entry: Entry) -> Row:
        """Of a segment that is not there: what its tombstone says."""
        known = Row(log=log, segment=entry.name.stem, state=DELETED, size=0, why="gone, without a tombstone")
        if not entry.has_tombstone:
            return msgspec.structs.replace(known, state="missing")
        path = entry.path_beside(self._store.directory(log), SUFFIX_TOMBSTONE)
        try:
            tombstone = read_tombstone(read_small(self._files, path, MAX_STATEMENT_BYTES))
        except StorageError as error:
            return msgspec.structs.replace(known, why=f"its tombstone cannot be read: {error}")
        return msgspec.structs.replace(
            known,
            size=tombstone.size,
            records=tombstone.next_record_seq - tombstone.first_record_seq,
            first_record_seq=tombstone.first_record_seq,
            deleted_ns=tombstone.deleted_ns,
            why=tombstone.reason,
        )
