"""One log verified: its tree, then every segment against its leaves, then what links them. Conduct for `verify`.

The order matters on a log that is being written: first the checkpoint, then the names, then the bytes. What a
checkpoint covers is on the disk before it is signed, so everything it names must be found; what came later is "not
covered yet". A segment that is not found is looked for a second time before it is called missing, because retention
may have deleted it meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final, Protocol

import msgspec

from storage.encryption.cipher import SUITE_NONE
from storage.encryption.keys import SUFFIX_KEYS
from storage.files import FileOps
from storage.format import SegmentName
from storage.notary.frame_scan import SILENCE_NS
from storage.notary.leaf import (
    BadLeaf,
    BlockLeaf,
    LossAcceptedLeaf,
    RecoveredLeaf,
    SealedLeaf,
    ShreddedLeaf,
    TombstoneLeaf,
    UnknownLeaf,
    parse_leaf,
    parse_segment_id,
)
from storage.notary.retelling import TREE_DIRECTORY
from storage.reader import list_segments
from storage.tlog.note import VerifierKey
from storage.tlog.tiles import TILE_WIDTH
from storage.verify.findings import Finding, Kind, LogReport
from storage.verify.segment_check import SegmentResult, SegmentTask
from storage.verify.special_check import Explained, SpecialCheck
from storage.verify.tree_check import CheckedTree, ScanParts, TreeCheck, Trust
from storage.verify.tree_scan import Run, TreeSnapshot, entries_of_runs

MAX_SILENCES: Final = 20
"""Of one log, said one by one."""
NS_PER_MS: Final = 1_000_000


class Work(Protocol):
    """Who does the reading: this process, or several."""

    @property
    def scan_parts(self) -> ScanParts: ...

    def check_segments(
        self, tasks: Sequence[SegmentTask], tree: TreeSnapshot | None
    ) -> Iterator[SegmentResult]:
        """In the order of the tasks."""
        ...


class _Known(msgspec.Struct):
    """What the tree says of one segment."""

    segment_id: str
    runs: list[Run] = []
    end: bytes = b""
    end_index: int = -1  # of that leaf
    number: int = 0  # 0: no last leaf, so not told

    @property
    def indexes(self) -> Iterator[int]:
        for run in self.runs:
            yield from range(run.start, run.end)
        if self.end:
            yield self.end_index


class LogVerifier:
    """name: of the log, for findings. own_keys: those of the copy itself. since_ns: check no segment that ended
    before. lag_ns: how far segments may be behind the checkpoint, in a store. Raises OSError when something cannot be
    read at all."""

    def __init__(
        self,
        files: FileOps,
        directory: Path,
        name: str,
        trust: Trust,
        own_keys: Sequence[VerifierKey],
        since_ns: int = 0,
        lag_ns: int = 0,
    ) -> None:
        self._files, self._directory, self._name = files, directory, name
        self._trust, self._own_keys, self._since_ns, self._lag_ns = trust, own_keys, since_ns, lag_ns
        self._findings: list[Finding] = []
        self._known: dict[str, _Known] = {}
        self._ends: dict[int, SealedLeaf | RecoveredLeaf] = {}
        self._special: list[TombstoneLeaf | ShreddedLeaf | LossAcceptedLeaf] = []
        self._keys: list[VerifierKey] = []

    def run(self, work: Work, tick: Callable[[int], None]) -> LogReport:
        """tick: told of the bytes of each segment that was read."""
        check = TreeCheck(self._files, self._directory / TREE_DIRECTORY, self._trust, self._own_keys)
        tree = check.run(work.scan_parts)
        self._findings += check.findings
        if tree is not None:
            self._read_leaves(tree)
        file_names = self._files.names(self._directory)
        segments = list_segments(self._directory, files=self._files)
        self._keys = tree.keys if tree else [*self._trust.keys, *self._own_keys]
        explained = SpecialCheck(
            self._files, self._directory, self._keys, self._special, has_tree=tree is not None
        ).run(file_names, self._ends)
        self._findings += explained.findings
        tasks = self._tasks(segments, tree, explained)
        results = []
        for result in work.check_segments(tasks, tree.snapshot if tree else None):
            tick(result.read_bytes)
            results.append(result)
        self._judge(results, segments, tree, explained, file_names)
        return self._report(results, tree)

    def _say(
        self, kind: Kind, why: str, segment: str = "", offset: int | None = None, record: int | None = None
    ) -> None:
        self._findings.append(Finding(kind, why, "", segment, offset, record))

    # --- what the tree says -------------------------------------------------------------------------

    def _read_leaves(self, tree: CheckedTree) -> None:
        for run in tree.runs:
            for part in _readable(run, tree.unreadable):
                segment_id = parse_segment_id(part.segment_id)
                self._known.setdefault(segment_id, _Known(segment_id)).runs.append(part)
        unknown = 0
        number = 0
        for index, entry in tree.others:
            if index // TILE_WIDTH in tree.unreadable:
                continue
            try:
                leaf = parse_leaf(entry)
            except BadLeaf as error:
                self._say(Kind.CORRUPT, f"tlog: entry {index}: {error}")
                continue
            if isinstance(leaf, SealedLeaf | RecoveredLeaf):
                if leaf.number <= number:
                    self._say(
                        Kind.CORRUPT,
                        f"tlog: entry {index} is of segment number {leaf.number}, after {number}",
                    )
                number = leaf.number
                self._read_end(index, entry, leaf)
            elif isinstance(leaf, UnknownLeaf):
                unknown += 1
            elif isinstance(leaf, BlockLeaf):
                raise AssertionError("BLOCK leaves come in runs")
            else:
                self._special.append(leaf)
                if isinstance(leaf, LossAcceptedLeaf):
                    number = 0
        if unknown:
            self._say(Kind.TRUST, f"{unknown} leaves are of a newer version: they are proven, not understood")

    def _read_end(self, index: int, entry: bytes, leaf: SealedLeaf | RecoveredLeaf) -> None:
        known = self._known.setdefault(leaf.segment_id or f"number {leaf.number}", _Known(leaf.segment_id))
        known.end, known.end_index, known.number = entry, index, leaf.number
        self._ends[leaf.number] = leaf

    # --- what to read ---------------------------------------------------------------------------------

    def _tasks(
        self, segments: Sequence[SegmentName], tree: CheckedTree | None, explained: Explained
    ) -> list[SegmentTask]:
        by_place: dict[object, _Known] = {}
        for known in self._known.values():
            by_place[known.segment_id[-8:] or known.number] = known
        tasks = []
        for name, successor in zip_longest(segments, segments[1:]):
            found = by_place.get(name.uuid8) or by_place.get(name.number)
            if successor is not None and successor.start_ms * NS_PER_MS < self._since_ns:
                continue
            excused = explained.excused
            is_end_lost = found is not None and any(start <= found.end_index < end for start, end in excused)
            tasks.append(
                SegmentTask(
                    str(self._directory),
                    name.stem,
                    runs=tuple(found.runs) if found else (),
                    end=found.end if found and not is_end_lost else b"",
                    is_last=successor is None,
                    is_partial=bool(tree and tree.unreadable),
                    excused=excused,
                )
            )
        return tasks

    # --- what links them ------------------------------------------------------------------------------

    def _judge(
        self,
        results: Sequence[SegmentResult],
        segments: Sequence[SegmentName],
        tree: CheckedTree | None,
        explained: Explained,
        file_names: Sequence[str],
    ) -> None:
        self._findings += [finding for result in results for finding in result.findings]
        gone = {result.stem for result in results if result.gone}
        self._judge_missing([name for name in segments if name.stem not in gone], explained, tree)
        self._judge_links([result for result in results if not result.gone], explained)
        self._judge_coverage(results, tree)
        self._judge_silence(results)
        self._judge_keys(results, explained, file_names)
        if explained.tombstones:
            self._say(
                Kind.DELETED,
                f"{len(explained.tombstones)} segments were deleted by retention and left a tombstone: numbers "
                f"{ranges(explained.tombstones)}",
            )
        if explained.shredded:
            numbers = ranges(name.number for name in explained.shredded)
            self._say(
                Kind.SHREDDED,
                f"the keys of {len(explained.shredded)} segments were destroyed: numbers {numbers}",
            )

    def _judge_missing(
        self, there: Sequence[SegmentName], explained: Explained, tree: CheckedTree | None
    ) -> None:
        if any(self._missing(there, explained)):  # retention may have been at work
            again = SpecialCheck(self._files, self._directory, self._keys, (), has_tree=False)
            explained = again.run(self._files.names(self._directory), self._ends)
            there = list_segments(self._directory, files=self._files)
        unfound, numbers = self._missing(there, explained)
        newest = max((name.number for name in there), default=0)
        late = self._late(unfound, tree) if tree else set()
        for known in unfound:
            if known.segment_id in late:
                why = f"segment ({known.segment_id}) is not here yet: its first frame was signed moments before the last"
                self._say(Kind.NOT_HERE_YET, why, known.segment_id)
                continue
            named = f"number {known.number} " if known.number else ""
            where = ", and everything after it" if known.number > newest or not known.number else ""
            first = known.runs[0].start if known.runs else known.end_index
            self._say(
                Kind.MISSING,
                f"segment {named}({known.segment_id}) is gone and left no tombstone{where}; the tree has it from leaf "
                f"{first} on",
                known.segment_id,
                None,
                _first_record(known),
            )
        for number in numbers:
            self._say(Kind.MISSING, f"segment number {number} is gone and left no tombstone")

    def _late(self, unfound: Sequence[_Known], tree: CheckedTree) -> set[str]:
        """Which of these may simply not have been uploaded: the last of the tree, and young."""
        missing = {known.segment_id for known in unfound}
        there = [known for known in self._known.values() if known.segment_id not in missing]
        newest_there = max((max(known.indexes) for known in there), default=-1)
        newest_ns = max(
            (self._committed_ns(tree, known.runs[-1].end - 1) for known in unfound if known.runs), default=0
        )
        return {
            known.segment_id
            for known in unfound
            if known.runs
            and known.runs[0].start > newest_there
            and newest_ns - self._committed_ns(tree, known.runs[0].start) < self._lag_ns
        }

    def _committed_ns(self, tree: CheckedTree, index: int) -> int:
        """When the frame of a BLOCK leaf was committed; 0 if that cannot be read."""
        entry = entries_of_runs(self._files, tree.snapshot, [Run(b"", index, index + 1)])
        leaf = parse_leaf(entry[2:]) if entry else None
        return leaf.committed_ns if isinstance(leaf, BlockLeaf) else 0

    def _missing(self, there: Sequence[SegmentName], explained: Explained) -> tuple[list[_Known], list[int]]:
        """Segments that the tree knows, and numbers that it does not (yet), of which there is nothing."""
        ids = {name.uuid8 for name in there}
        numbers = {name.number for name in there}
        buried = {tombstone.segment_id for tombstone in explained.tombstones.values()}
        unfound = [
            known for known in self._known.values() if not _is_there(known, ids, numbers, buried, explained)
        ]
        known_numbers = {*numbers, *explained.tombstones, *(known.number for known in unfound)}
        newest = max((*numbers, *explained.tombstones), default=0)
        return unfound, [n for n in range(explained.free_below, newest) if n not in known_numbers]

    def _judge_links(self, results: Sequence[SegmentResult], explained: Explained) -> None:
        """Each segment follows the one before it, by id and by record number; a tombstone may stand in for one."""
        previous: tuple[int, str, int | None] | None = None
        accepted = {loss.next_segment_number for loss in explained.losses}  # with these the log went on
        numbered = {result.header.segment_number: result for result in results if result.header}
        for number in sorted({*numbered, *explained.tombstones}):
            result = numbered.get(number)
            if result is None or result.header is None:
                tombstone = explained.tombstones[number]
                previous = (number, tombstone.segment_id, tombstone.next_record_seq)
                continue
            header = result.header
            if previous is not None and previous[0] + 1 == number and number not in accepted:
                if header.prev_segment_id != previous[1]:
                    self._say(
                        Kind.REWRITE,
                        f"it follows segment {header.prev_segment_id}, not the one before it",
                        result.stem,
                        0,
                    )
                elif previous[2] is not None and header.first_record_seq != previous[2]:
                    self._say(
                        Kind.REWRITE,
                        f"it begins with record {header.first_record_seq}, the segment before it ends before {previous[2]}",
                        result.stem,
                        0,
                        previous[2],
                    )
            is_sound = not any(not finding.is_note for finding in result.findings)
            previous = (number, header.segment_id, result.next_record_seq if is_sound else None)

    def _judge_coverage(self, results: Sequence[SegmentResult], tree: CheckedTree | None) -> None:
        if tree is None:
            return
        for result in results:
            if result.header is not None and result.header.log_origin != tree.checkpoint.origin:
                self._say(
                    Kind.REWRITE, f"it is a segment of the log {result.header.log_origin!r}", result.stem, 0
                )
        newer = [result for result in results if result.frames > result.covered]
        if newer:
            frames = sum(result.frames - result.covered for result in newer)
            self._say(
                Kind.NOT_COVERED,
                f"{frames} frames in {len(newer)} segments are newer than the checkpoint of size {tree.checkpoint.size}: "
                "consistent in themselves, not signed yet",
                newer[0].stem,
            )

    def _judge_silence(self, results: Sequence[SegmentResult]) -> None:
        said = 0
        previous: SegmentResult | None = None
        for result in results:
            header = result.header
            if header is None or not result.frames:
                continue
            gaps = [
                (silence.offset, silence.record, silence.since_ns, silence.until_ns)
                for silence in result.silences
            ]
            if (
                previous is not None
                and previous.header
                and previous.header.writer_epoch == header.writer_epoch
            ):
                if result.first_ns - previous.last_ns > SILENCE_NS:
                    gaps.insert(0, (0, header.first_record_seq, previous.last_ns, result.first_ns))
            for offset, record, since_ns, until_ns in gaps:
                said += 1
                if said <= MAX_SILENCES:
                    minutes = (until_ns - since_ns) // 60_000_000_000
                    self._say(
                        Kind.SILENCE,
                        f"nothing was written for {minutes} minutes",
                        result.stem,
                        offset,
                        record,
                    )
            previous = result
        if said > MAX_SILENCES:
            self._say(Kind.SILENCE, f"{said - MAX_SILENCES} more such silences")

    def _judge_keys(
        self, results: Sequence[SegmentResult], explained: Explained, file_names: Sequence[str]
    ) -> None:
        shredded = {name.stem for name in explained.shredded}
        names = set(file_names)
        bare = [
            result.header.segment_number
            for result in results
            if result.header is not None
            and result.header.cipher.suite != SUITE_NONE
            and result.stem + SUFFIX_KEYS not in names
            and result.stem not in shredded
        ]
        if bare:
            self._say(
                Kind.KEYS_MISSING,
                f"{len(bare)} encrypted segments are without their wrapped key: numbers {ranges(bare)}",
            )

    def _report(self, results: Sequence[SegmentResult], tree: CheckedTree | None) -> LogReport:
        origins = [result.header.log_origin for result in results if result.header]
        checkpoint = tree.checkpoint if tree else None
        return LogReport(
            self._name,
            checkpoint.origin if checkpoint else next(iter(origins), ""),
            checkpoint.size if checkpoint else 0,
            checkpoint.root.hex() if checkpoint else "",
            tree.compared if tree else 0,
            len(results),
            sum(result.frames for result in results),
            sum(result.records for result in results),
            sum(result.read_bytes for result in results),
            max((result.next_record_seq or 1 for result in results), default=1),
            tuple(msgspec.structs.replace(finding, log=self._name) for finding in self._findings),
        )


def _is_there(
    known: _Known, ids: set[str], numbers: set[int], buried: set[str], explained: Explained
) -> bool:
    """ids, numbers: of the segments that are there; buried: ids of those with a tombstone."""
    if not known.segment_id:  # no header page was ever read: it goes by its number
        return known.number in numbers or known.number in explained.tombstones
    if known.segment_id[-8:] in ids or known.segment_id in buried:
        return True
    return all(any(start <= at < end for start, end in explained.excused) for at in known.indexes)


def _first_record(known: _Known) -> int | None:
    end = parse_leaf(known.end) if known.end else None
    return end.first_record_seq if isinstance(end, SealedLeaf) else None


def _readable(run: Run, unreadable: set[int]) -> Iterator[Run]:
    """A run without the leaves of bundles that could not be read."""
    start = run.start
    for index in sorted(unreadable):
        if start < (index + 1) * TILE_WIDTH and index * TILE_WIDTH < run.end:
            if start < index * TILE_WIDTH:
                yield Run(run.segment_id, start, index * TILE_WIDTH)
            start = max(start, (index + 1) * TILE_WIDTH)
    if start < run.end:
        yield Run(run.segment_id, start, run.end)


def ranges(numbers: Iterable[int]) -> str:
    """`1-3, 7`: ascending numbers for people, cut after twenty ranges."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] + 1 >= number:
            found[-1][1] = number
        else:
            found.append([number, number])
    texts = [f"{first}-{last}" if last > first else str(first) for first, last in found]
    return ", ".join(texts[:20]) + (", ..." if len(texts) > 20 else "")
