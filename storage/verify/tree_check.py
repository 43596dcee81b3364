"""Is a log's tree what its checkpoints say? The newest one, all older ones kept beside it, and those held elsewhere.

Conduct for `verify`: finds the checkpoint to go by, has the tree hashed anew from its entries (`tree_scan`), and compares
the roots: a checkpoint of any size must be the root over that many first entries, which is stronger than a consistency
proof and needs none. What the entries say of segments is not judged here.

The trap: which of two files that disagree is the damaged one? The one whose hashes do not lead to the signed root.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.files import FileOps
from storage.notary.leaf import BlockLeaf, parse_leaf
from storage.tlog.checkpoint import BadCheckpoint, Checkpoint, open_checkpoint, read_unverified
from storage.tlog.note import BadNote, VerifierKey
from storage.tlog.tiles import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    Tile,
    edge_tiles,
    fold,
    parse_bundle,
    parse_tile,
    tile_of,
)
from storage.tlog.tree_reader import CHECKPOINT, CHECKPOINT_COPIES, TreeDamaged, file_reader
from storage.tlog.trust import Policy, PolicyNotMet
from storage.verify.findings import Finding, Kind
from storage.verify.tree_assembly import TreeAssembly, split
from storage.verify.tree_scan import Mismatch, Run, TreePart, TreeSnapshot, scan_tree

_TRIES: Final = 5
"""Looks at a tree that grows under us; its edge is replaced once a second."""

ScanParts = Callable[[TreeSnapshot, Sequence[tuple[int, int, list[int]]]], Iterator[TreePart]]
"""(tree, [(first bundle, end, sizes)]) -> their parts in the same order, in this process or in several."""


class Trust(msgspec.Struct, frozen=True):
    """What a verifier brings along. keys: of logs; checkpoints: (name, note) held elsewhere."""

    keys: tuple[VerifierKey, ...] = ()
    policy: Policy | None = None
    checkpoints: tuple[tuple[str, bytes], ...] = ()

    def keys_of(self, origin: str) -> list[VerifierKey]:
        """The keys that may sign for a log: those of its name."""
        logs = self.policy.logs if self.policy else ()
        return [key for key in (*self.keys, *(log.key for log in logs)) if key.name == origin]

    @property
    def is_empty(self) -> bool:
        return not self.keys and self.policy is None


class CheckedTree(msgspec.Struct):
    """A tree that was compared. is_signed: its root is the one a trusted key signed, so its leaves may be believed.

    runs, others: its leaves; see TreePart. unreadable: bundles that could not be read or believed, by number.
    """

    snapshot: TreeSnapshot
    checkpoint: Checkpoint
    is_signed: bool
    keys: list[VerifierKey]
    runs: list[Run] = []
    others: list[tuple[int, bytes]] = []
    unreadable: set[int] = set()
    compared: int = 0


class _Candidate(msgspec.Struct, frozen=True):
    path: str
    note: bytes
    checkpoint: Checkpoint
    problem: Finding | None  # with its signature


class TreeCheck:
    """One tree. findings: all that was found, `log` not filled in.

    own_keys: of the copy itself, believed when the verifier brought none. Raises OSError where a file can neither be
    read nor said to be missing.
    """

    def __init__(
        self, files: FileOps, directory: Path, trust: Trust, own_keys: Sequence[VerifierKey]
    ) -> None:
        self.findings: list[Finding] = []
        self._files, self._directory, self._trust, self._own_keys = files, directory, trust, own_keys
        self._read = file_reader(files, directory)
        self._sizes: list[int] = []  # of the kept copies, the largest first

    def run(self, scan_parts: ScanParts) -> CheckedTree | None:
        """None: there is no tree that could be compared."""
        for remaining in reversed(range(_TRIES)):
            self.findings = []
            # Before the checkpoint is read: what is published later must not look as if it had been lost.
            self._sizes = sorted(self._copies(), reverse=True)
            newest = self._newest()
            if newest is None:
                return None
            snapshot, is_whole = self._snapshot(newest.checkpoint)
            if is_whole or not remaining:
                return self._compare(newest, snapshot, scan_parts)
        raise AssertionError("the last try ends it")

    def _say(self, kind: Kind, why: str) -> None:
        finding = Finding(kind, why)
        if finding not in self.findings:
            self.findings.append(finding)

    # --- which checkpoint to go by ------------------------------------------------------------------

    def _newest(self) -> _Candidate | None:
        """The newest that a trusted key signed; else the newest that can be read at all."""
        sizes = self._sizes
        fallback: _Candidate | None = None
        for path in (CHECKPOINT, *(f"{CHECKPOINT_COPIES}/{size}" for size in sizes)):
            candidate = self._candidate(path)
            if candidate is None:
                continue
            if candidate.problem is None:
                return self._or_newer_copy(candidate, sizes)
            self.findings.append(candidate.problem)
            fallback = fallback or candidate
        if fallback is None:
            self._say(
                Kind.UNVERIFIABLE, "tlog: no checkpoint that can be read: there is nothing to compare with"
            )
        return fallback

    def _or_newer_copy(self, chosen: _Candidate, sizes: Sequence[int]) -> _Candidate:
        """A power cut may take back the name of `checkpoint`, not that of a copy."""
        if chosen.path == CHECKPOINT and sizes and sizes[0] > chosen.checkpoint.size:
            copy = self._candidate(f"{CHECKPOINT_COPIES}/{sizes[0]}")
            if copy is not None and copy.problem is None and self._snapshot(copy.checkpoint)[1]:
                return copy
        return chosen

    def _copies(self) -> list[int]:
        try:
            names = self._files.names(self._directory / CHECKPOINT_COPIES)
        except FileNotFoundError:
            return []
        return [int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 20]

    def _candidate(self, path: str) -> _Candidate | None:
        try:
            note = self._read(path)
            checkpoint = read_unverified(note)
        except FileNotFoundError:
            if self._sizes:
                self._say(Kind.CORRUPT, f"tlog/{path}: missing")
            return None
        except (BadNote, BadCheckpoint, TreeDamaged) as error:
            self._say(Kind.CORRUPT, f"tlog/{path}: {error}")
            return None
        return _Candidate(path, note, checkpoint, self._signature_problem(f"tlog/{path}", note, checkpoint))

    def _signature_problem(self, name: str, note: bytes, checkpoint: Checkpoint) -> Finding | None:
        keys = self.keys_of(checkpoint.origin)
        if not keys and self._trust.is_empty:
            return Finding(
                Kind.UNVERIFIABLE,
                f"{name}: no key of the log {checkpoint.origin!r} is at hand to check its signature: give it",
            )
        try:
            open_checkpoint(note, keys)
        except StorageError as error:
            return Finding(Kind.FORGED, f"{name} (log {checkpoint.origin!r}): {error}")
        return None

    def keys_of(self, origin: str) -> list[VerifierKey]:
        if not self._trust.is_empty:
            return self._trust.keys_of(origin)
        return [key for key in self._own_keys if key.name == origin]

    def _snapshot(self, checkpoint: Checkpoint) -> tuple[TreeSnapshot, bool]:
        """The tree of a checkpoint with its partial tiles, and whether all of them are there."""
        edge = {}
        is_whole = True
        for tile in edge_tiles(checkpoint.size):
            for path in (tile.path, tile.full().path):
                try:
                    edge[tile.path] = self._read(path)
                    break
                except (FileNotFoundError, TreeDamaged):
                    continue
            else:
                is_whole = False
        return TreeSnapshot(str(self._directory), checkpoint.size, edge), is_whole

    # --- comparing ----------------------------------------------------------------------------------

    def _compare(self, newest: _Candidate, snapshot: TreeSnapshot, scan_parts: ScanParts) -> CheckedTree:
        checkpoint = newest.checkpoint
        checked = CheckedTree(snapshot, checkpoint, False, self.keys_of(checkpoint.origin), compared=1)
        kept = list(self._kept(checkpoint, newest.path))
        held = list(self._held(checkpoint))
        sizes = sorted({other.size for _, other in (*kept, *held) if other.size <= checkpoint.size})
        parts = list(scan_parts(snapshot, split(snapshot.size, sizes)))
        for part in parts:
            checked.runs += part.runs
            checked.others += part.others
        tree = TreeAssembly(parts, self._level_1(snapshot))
        root = tree.choose(checkpoint.root)
        self._report_mismatches(checked, tree, root == checkpoint.root)
        checked.is_signed = root == checkpoint.root and newest.problem is None
        if root == checkpoint.root:
            self._check_upper_tiles(snapshot, tree)
        elif not tree.mismatches:
            self._say(
                Kind.REWRITE,
                f"the {checkpoint.size} entries of the tree lead to another root than tlog/{newest.path} was signed over",
            )
        roots = tree.roots_at(sizes)
        self._compare_others(checked, kept, roots)
        self._compare_others(checked, held, roots)
        self._judge_quorum(newest)
        return checked

    def _kept(self, newest: Checkpoint, path: str) -> Iterator[tuple[str, Checkpoint]]:
        """The copies beside the tree that a trusted key signed."""
        for size in reversed(self._sizes):
            name = f"{CHECKPOINT_COPIES}/{size}"
            if name == path:
                continue
            candidate = self._candidate(name)
            if candidate is None:
                continue
            if candidate.problem is not None:
                if candidate.problem not in self.findings:
                    self.findings.append(candidate.problem)
            elif candidate.checkpoint.origin != newest.origin:
                self._say(
                    Kind.FORGED, f"tlog/{name}: a checkpoint of the log {candidate.checkpoint.origin!r}"
                )
            else:
                yield f"tlog/{name}", candidate.checkpoint

    def _held(self, newest: Checkpoint) -> Iterator[tuple[str, Checkpoint]]:
        """Those of this log that the verifier brought along."""
        for name, note in self._trust.checkpoints:
            try:
                checkpoint = read_unverified(note)
            except StorageError:
                continue  # said once, for all logs
            if checkpoint.origin == newest.origin:
                problem = self._signature_problem(name, note, checkpoint)
                if problem is None:
                    yield name, checkpoint
                else:
                    self.findings.append(problem)

    def _compare_others(
        self, checked: CheckedTree, others: Sequence[tuple[str, Checkpoint]], roots: Mapping[int, bytes]
    ) -> None:
        good = 0
        for name, other in sorted(others, key=lambda pair: pair[1].size):
            checked.compared += 1
            if other.size > checked.checkpoint.size:
                self._say(
                    Kind.ROLLBACK,
                    f"{name} knows {other.size} leaves, the tree here has {checked.checkpoint.size}: what came after is gone",
                )
            elif roots.get(other.size) == other.root:
                good = max(good, other.size)
            else:
                place = self._place(checked.snapshot, good)
                self.findings.append(
                    msgspec.structs.replace(
                        place,
                        why=f"{name} of size {other.size} is of another history: the first {good} leaves agree, behind "
                        "them the log was rewritten",
                    )
                )

    def _place(self, snapshot: TreeSnapshot, index: int) -> Finding:
        """A rewrite that begins with this leaf at the earliest, with the place of that leaf if it can be told."""
        found = Finding(Kind.REWRITE, "")
        try:
            bundle = tile_of(ENTRIES_LEVEL, index // TILE_WIDTH, snapshot.size)
            leaf = parse_leaf(parse_bundle(bundle, snapshot.read(self._files, bundle))[index % TILE_WIDTH])
        except (StorageError, ValueError, IndexError):
            return found
        if isinstance(leaf, BlockLeaf):
            return Finding(Kind.REWRITE, "", "", leaf.segment_id, leaf.offset, leaf.first_record_seq)
        return found

    def _judge_quorum(self, newest: _Candidate) -> None:
        """A policy with witnesses: how far did enough of them follow?"""
        policy = self._trust.policy
        if policy is None:
            return
        paths = (
            newest.path,
            *(f"{CHECKPOINT_COPIES}/{size}" for size in self._sizes),
        )
        first_problem = ""
        for path in paths:
            try:
                policy.judge(newest.note if path == newest.path else self._read(path))
            except (StorageError, FileNotFoundError) as error:
                if isinstance(error, PolicyNotMet):
                    first_problem = first_problem or str(error)
                continue
            if path != newest.path:
                size = path.rpartition("/")[2]
                self._say(
                    Kind.NOT_COVERED, f"witnesses cosigned the tree up to {size} leaves, not yet the newest"
                )
            return
        if first_problem:
            self._say(Kind.UNVERIFIABLE, first_problem)

    # --- tiles --------------------------------------------------------------------------------------------

    def _level_1(self, snapshot: TreeSnapshot) -> dict[int, bytes]:
        """Roots of full bundles as the tiles of level 1 say; only those that can be read."""
        known: dict[int, bytes] = {}
        for number in range(-(-(snapshot.size // TILE_WIDTH) // TILE_WIDTH)):
            tile = tile_of(1, number, snapshot.size)
            try:
                known.update(
                    enumerate(parse_tile(tile, snapshot.read(self._files, tile)), number * TILE_WIDTH)
                )
            except StorageError:
                continue
        return known

    def _report_mismatches(self, checked: CheckedTree, tree: TreeAssembly, is_right: bool) -> None:
        for mismatch in tree.mismatches:
            bundle = tile_of(ENTRIES_LEVEL, mismatch.index, checked.snapshot.size)
            bundle_is_used = tree.chosen[mismatch.index] == mismatch.from_bundle != ()
            if not (bundle_is_used and is_right):
                checked.unreadable.add(mismatch.index)
            if bundle_is_used and is_right:
                path = Tile(0, bundle.index, bundle.width).path
                why = mismatch.tile_error or f"{path}: not the hashes of its entries"
            else:
                why = mismatch.bundle_error or f"{bundle.path}: {_first_difference(mismatch)}"
            self._say(Kind.CORRUPT, f"tlog/{why}")

    def _check_upper_tiles(self, snapshot: TreeSnapshot, tree: TreeAssembly) -> None:
        level, hashes = 1, tree.roots
        while hashes:
            for first in range(0, len(hashes), TILE_WIDTH):
                tile = tile_of(level, first // TILE_WIDTH, snapshot.size)
                try:
                    if (
                        parse_tile(tile, snapshot.read(self._files, tile))
                        != hashes[first : first + TILE_WIDTH]
                    ):
                        self._say(Kind.CORRUPT, f"tlog/{tile.path}: not the hashes of what is below it")
                except StorageError as error:
                    self._say(Kind.CORRUPT, f"tlog/{error}")
            full = len(hashes) // TILE_WIDTH * TILE_WIDTH
            hashes = [fold(hashes[at : at + TILE_WIDTH]) for at in range(0, full, TILE_WIDTH)]
            level += 1


def _first_difference(mismatch: Mismatch) -> str:
    if not mismatch.from_tile:
        return "its entries are not the ones the tree holds"
    pairs = zip(mismatch.from_bundle, mismatch.from_tile, strict=False)
    at = next((number for number, (mine, theirs) in enumerate(pairs) if mine != theirs), 0)
    return f"entry {mismatch.index * TILE_WIDTH + at} is not the one the tree holds"


def scan_here(files: FileOps) -> ScanParts:
    """Parts one after the other, in this process."""

    def scan_parts(tree: TreeSnapshot, tasks: Sequence[tuple[int, int, list[int]]]) -> Iterator[TreePart]:
        return (scan_tree(files, tree, *task) for task in tasks)

    return scan_parts
