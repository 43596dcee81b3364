"""What retention would do with one log, segment by segment: facts gathered, the decision asked for. Conduct.

Deletes nothing and reads little: one listing, the end of the tree, and of segments only those that are due. A
segment's end is taken from the begin of its successor, which is never too early, so that a month of segments costs
no opening of files.

The trap: a list grows old while it is worked on. Whatever vanished meanwhile is kept, and the next run sees.
"""

from collections.abc import Callable, Collection, MutableMapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.cipher import SUITE_NONE
from storage.encryption.keys import NO_KEYS, KeyRing, read_envelope
from storage.errors import StorageError
from storage.files import FileOps
from storage.format import SUFFIX_TORN, SegmentName
from storage.notary.coverage import read_covered
from storage.retention.decide import Choice, Policy, SegmentFacts, State, decide
from storage.retention.expiry import NotDeletable, check_own
from storage.retention.holds import Hold, Lookup, OfSession, OfUser, Span, held_by
from storage.retention.inventory import Entry, Extent, list_entries, read_extent, size_of
from storage.sources import LOG_DIRECTORY
from storage.tlog.note import VerifierKey

_NS_PER_MS: Final = 1_000_000

Sizes = MutableMapping[tuple[str, str], int]
"""(log, file name) -> bytes of files that never change again; kept by the caller between runs."""


def needed_by_nobody(log: str, name: SegmentName) -> str:
    return ""


class Rules(msgspec.Struct, frozen=True):
    """What is decided by, for all logs of a data directory. lookup: asks the index; key_ring: what the index was
    made with, since a segment that could not be read has nothing in it. needed_by: who has not read a segment
    yet and would miss it, in words; "" for nobody."""

    policy: Policy
    holds: Sequence[Hold]
    lookup: Lookup
    now_ns: int
    key_ring: KeyRing = NO_KEYS
    needed_by: Callable[[str, SegmentName], str] = needed_by_nobody


class Outlook:
    """One log of a data directory, as it is now.

    exported: what is verified in S3, as last seen. keys: of the log, whose signatures are believed. Everything raises
    OSError and, when the tree cannot be read, StorageError.
    """

    def __init__(
        self,
        files: FileOps,
        data_dir: Path,
        log: str,
        rules: Rules,
        *,
        exported: Collection[SegmentName],
        keys: Sequence[VerifierKey],
        sizes: Sizes | None = None,
    ) -> None:
        self.log, self.directory = log, data_dir / LOG_DIRECTORY / log
        self.rules, self.keys, self.files = rules, keys, files
        self._exported = exported
        self._sizes: Sizes = {} if sizes is None else sizes
        self._extents: dict[SegmentName, Extent] = {}
        self.entries = list_entries(files, self.directory)
        self._covered = read_covered(files, self.directory, keys).manifests

    def plan(self) -> list[Choice]:
        """What retention would do, segment by segment; those with a tombstone are not asked about again."""
        by_name = {entry.name: entry for entry in self.entries}
        return decide(
            self.rules.policy,
            self._facts(),
            self.rules.now_ns,
            lambda facts: self._vetoes(by_name[facts.name]),
        )

    def _facts(self) -> list[SegmentFacts]:
        facts = []
        followers = [*self.entries[1:], None]
        for entry, follower in zip(self.entries, followers, strict=True):
            if entry.state is None or entry.has_tombstone:
                continue
            # A segment was written before its successor was begun: no need to open thousands of files.
            end_ms = max(follower.name.start_ms, entry.name.start_ms) if follower else None
            facts.append(
                SegmentFacts(
                    entry.name,
                    entry.state,
                    self._size(entry) if self.rules.policy.max_bytes is not None else 0,
                    self.rules.now_ns if end_ms is None else end_ms * _NS_PER_MS,
                    entry.name in self._exported,
                    entry.name.number <= self._covered,
                )
            )
        return facts

    def _size(self, entry: Entry) -> int:
        paths = [entry.path(self.directory)]
        if SUFFIX_TORN in entry.beside:
            paths.append(entry.path_beside(self.directory, SUFFIX_TORN))
        return sum(self._size_of(path, entry.state is not State.OPEN) for path in paths)

    def _size_of(self, path: Path, is_final: bool) -> int:
        known = self._sizes.get((self.log, path.name))
        if known is None:
            known = size_of(self.files, path)
            if is_final:
                self._sizes[self.log, path.name] = known
        return known

    def _vetoes(self, entry: Entry) -> list[str]:
        """What only the segment itself, its readers and the index can say against its deletion."""
        needed_by = self.rules.needed_by(self.log, entry.name)
        if needed_by:
            return [f"not read yet by {needed_by}"]
        try:
            extent = self.extent(entry)
            check_own(entry, extent)
        except FileNotFoundError:
            return ["it was renamed or removed just now"]
        except NotDeletable as error:
            return [str(error)]
        return [f"legal hold {hold}" for hold in self.holds_on(entry, extent)]

    def extent(self, entry: Entry) -> Extent:
        """What a segment says of itself; read once. Raises FileNotFoundError."""
        if entry.name not in self._extents:
            self._extents[entry.name] = read_extent(self.files, entry.path(self.directory))
        return self._extents[entry.name]

    def holds_on(self, entry: Entry, extent: Extent) -> list[str]:
        """The ids of the legal holds on a segment."""
        rules = self.rules
        if not rules.holds:
            return []
        asks_index = any(isinstance(hold.scope, OfSession | OfUser) for hold in rules.holds)
        key_ring = rules.key_ring if asks_index else NO_KEYS  # opening a key may ask a key service
        span = span_of(self.files, self.directory, entry, extent, key_ring)
        return held_by(rules.holds, span, rules.lookup)


def span_of(
    files: FileOps, directory: Path, entry: Entry, extent: Extent, key_ring: KeyRing = NO_KEYS
) -> Span:
    """A segment as legal holds see it; directory: of its log."""
    return Span(
        directory.name,
        entry.name.stem,
        extent.first_ns,
        extent.last_ns,
        extent.next_record_seq,
        undamaged=not extent.problem,
        readable=extent.suite == SUITE_NONE or _opens(files, entry.path(directory), key_ring),
    )


def _opens(files: FileOps, segment: Path, key_ring: KeyRing) -> bool:
    try:
        key_ring.data_key(read_envelope(files, segment))
    except StorageError:  # no envelope, a destroyed one, or one that nothing at hand opens
        return False
    return True
