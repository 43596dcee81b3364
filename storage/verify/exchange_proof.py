"""One file that proves what was recorded of a call or session: its frames, each with its place in a signed tree.

Translates and decides, no I/O. Whoever holds the file and the log's key can check it offline, without the log and without
keys to its content: each frame's entry (place, record numbers, time, SHA-256) is under the checkpoint that comes with
it. Whoever has the segment too can compare the frame; whoever can decrypt it, read it.

The trap: it proves that these frames are in the log, not that there are no others. For that, verify the log.
Source: c2sp.org/tlog-proof for each single proof.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from storage.errors import UNDECODABLE, StorageError
from storage.notary.leaf import BlockLeaf, parse_leaf
from storage.tlog.checkpoint import Checkpoint
from storage.tlog.proof import parse_proof, verify_proof

FORMAT: Final = "kubetape/exchange-proof/v1"
MAX_FILE_BYTES: Final = 256 << 20
MAX_BLOCKS: Final = 100_000


class BadExchangeProof(StorageError):
    """The file is no such proof, or not the proof of what it says. Believe nothing of it."""


class ProvenBlock(msgspec.Struct, frozen=True):
    """One frame. entry: of the tree; proof: the text of a tlog-proof; records: numbers of those of the call in it."""

    segment: str  # the stem of its file name
    entry: bytes
    proof: str
    records: tuple[int, ...]


class ExchangeProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """kind: "call", "command" or "session"; id: its id. blocks: in order of the log."""

    kind: str
    id: str
    origin: str
    blocks: tuple[ProvenBlock, ...]
    format: str = FORMAT


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ExchangeProof)

OpenNote = Callable[[bytes], Checkpoint]
"""A checkpoint note -> the checkpoint, if it is to be believed; else raises StorageError."""


def encode_exchange_proof(proof: ExchangeProof) -> bytes:
    return msgspec.json.format(_ENCODER.encode(proof), indent=1) + b"\n"


def parse_exchange_proof(data: bytes) -> ExchangeProof:
    """Raises BadExchangeProof; verifies nothing."""
    if len(data) > MAX_FILE_BYTES:
        raise BadExchangeProof(f"longer than {MAX_FILE_BYTES} bytes")
    try:
        proof = _DECODER.decode(data)
    except UNDECODABLE as error:
        raise BadExchangeProof(f"not a proof file: {error}") from None
    if proof.format != FORMAT:
        raise BadExchangeProof(f"a proof of format {proof.format!r}: it needs a newer version of kubetape")
    if not 0 < len(proof.blocks) <= MAX_BLOCKS:
        raise BadExchangeProof(f"it holds {len(proof.blocks)} frames, not 1 to {MAX_BLOCKS}")
    return proof


def verify_exchange_proof(
    proof: ExchangeProof, open_note: OpenNote
) -> Iterator[tuple[ProvenBlock, BlockLeaf, Checkpoint]]:
    """Check frame after frame. Raises BadExchangeProof with the number of the frame that fails."""
    for number, block in enumerate(proof.blocks, 1):
        where = f"frame {number} of {len(proof.blocks)}"
        try:
            leaf = parse_leaf(block.entry)
            checkpoint = verify_proof(parse_proof(block.proof.encode()), block.entry, open_note)
        except StorageError as error:
            raise BadExchangeProof(f"{where}: {error}") from error
        if checkpoint.origin != proof.origin:
            raise BadExchangeProof(
                f"{where}: it is of the log {checkpoint.origin!r}, not of {proof.origin!r}"
            )
        if not isinstance(leaf, BlockLeaf) or block.segment[-8:] != leaf.segment_id[-8:]:
            raise BadExchangeProof(
                f"{where}: its entry is not that of a frame of segment {block.segment[:60]}"
            )
        if not all(leaf.first_record_seq <= seq < leaf.next_record_seq for seq in block.records):
            raise BadExchangeProof(
                f"{where}: it holds records {leaf.first_record_seq} to {leaf.next_record_seq - 1}, not those named"
            )
        yield block, leaf, checkpoint
