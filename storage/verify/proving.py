"""Making an `exchange_proof` from a log and its tree, and comparing one with the frames of a copy. Conduct, no keys.

Which records belong to a call is the caller's to say (the index knows); here they become frames, the frames' leaves
are looked up in the tree, and each leaf gets its inclusion proof under the newest checkpoint.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from storage.errors import CorruptFrame, StorageError
from storage.files import FileOps
from storage.format import SegmentName, parse_segment_name
from storage.notary.leaf import BlockLeaf, encode_segment_id, parse_leaf
from storage.notary.retelling import TREE_DIRECTORY
from storage.reader import Position, open_segment_file
from storage.segment_file import GLANCE_BYTES
from storage.tlog.note import VerifierKey
from storage.tlog.proof import LogProof, encode_proof
from storage.tlog.tiles import ENTRIES_LEVEL, TILE_WIDTH, tile_of
from storage.tlog.tree import open_tree_reader
from storage.tlog.tree_reader import TreeReader
from storage.verify.exchange_proof import ExchangeProof, ProvenBlock


class NotProvable(StorageError):
    """Not all of it is under a signed checkpoint (yet). Try again in a few seconds; then verify the log."""


def prove(
    files: FileOps,
    directory: Path,
    kind: str,
    id: str,
    positions: Sequence[Position],
    keys: Sequence[VerifierKey] = (),
) -> ExchangeProof:
    """The proof of the frames that hold these records of one log. directory: of the log.

    Raises NotProvable, TreeDamaged, CorruptFrame, FileNotFoundError.
    """
    wanted: dict[tuple[str, int], list[int]] = {}
    for position in positions:
        wanted.setdefault((position.segment, position.offset), []).append(position.record_seq)
    if not wanted:
        raise NotProvable(f"nothing was recorded of {kind} {id}")
    reader, note = open_tree_reader(files, directory / TREE_DIRECTORY, keys)
    ids = {stem: _segment_id(files, directory, stem) for stem in {stem for stem, _ in wanted}}
    found = {(leaf.segment_id, leaf.offset): index for index, leaf in _leaves_of(reader, set(ids.values()))}
    blocks = []
    for (stem, offset), records in wanted.items():
        index = found.get((ids[stem], offset))
        if index is None:
            raise NotProvable(
                f"record {records[0]} of {kind} {id} is newer than the last checkpoint (of size {reader.size})"
            )
        (entry,) = reader.entries(index, index + 1)
        proof = LogProof(index, tuple(reader.inclusion_proof(index, reader.size)), note)
        blocks.append(ProvenBlock(stem, entry, encode_proof(proof).decode(), tuple(records)))
    origin = note.partition(b"\n")[0].decode()
    return ExchangeProof(kind, id, origin, tuple(blocks))


def _segment_id(files: FileOps, directory: Path, stem: str) -> str:
    with open_segment_file(directory, _name(stem), files, window_bytes=GLANCE_BYTES) as segment:
        return segment.header.segment_id


def _name(stem: str) -> SegmentName:
    name = parse_segment_name(stem)
    if name is None:
        raise StorageError(f"{stem[:80]!r} is not the name of a segment")
    return name


def _leaves_of(reader: TreeReader, segment_ids: set[str]) -> Iterator[tuple[int, BlockLeaf]]:
    """The BLOCK leaves of some segments. Bundles that do not mention them are not taken apart."""
    needles = [encode_segment_id(segment_id) for segment_id in segment_ids]
    for number in range(-(-reader.size // TILE_WIDTH)):
        entries = reader.values(tile_of(ENTRIES_LEVEL, number, reader.size))
        joined = b"".join(entries)
        if not any(needle in joined for needle in needles):
            continue
        for index, entry in enumerate(entries, number * TILE_WIDTH):
            leaf = parse_leaf(entry)
            if isinstance(leaf, BlockLeaf) and leaf.segment_id in segment_ids:
                yield index, leaf


def compare_with_copy(files: FileOps, directory: Path, block: ProvenBlock, leaf: BlockLeaf) -> None:
    """Whether a copy of the log holds the proven frame. Raises CorruptFrame, FileNotFoundError."""
    with open_segment_file(directory, _name(block.segment), files, window_bytes=GLANCE_BYTES) as segment:
        frame = segment.frame_at(leaf.offset)
        if frame is None or hashlib.sha256(frame.data).digest() != leaf.sha256:
            raise CorruptFrame(segment.path.name, leaf.offset, "not the frame that was proven")
