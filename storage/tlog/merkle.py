"""Merkle tree hashing and proofs of RFC 6962. Pure: hashes in, hashes and proofs out.

The verifiers follow the loops of RFC 9162 (2.1.3.2, 2.1.4.2), the provers the recursions of RFC 6962
(2.1.1, 2.1.2): two independent routes to one result. Provers ask a `HashReader` for complete subtrees, so
they run on tiles, on S3 or on a list. Nothing here knows how a leaf is made or where hashes are kept.

The trap: a consistency proof from size 0 proves nothing and is empty; whoever accepts one must not take
it for a statement about an older tree.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

from storage.errors import StorageError

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
MAX_PROOF_HASHES: Final = 63
"""A tree of 2^63 leaves needs no more in an inclusion proof (c2sp.org/tlog-witness for consistency)."""

HashReader = Callable[[int, int], bytes]
"""(level, index) -> hash of the complete subtree over leaves [index << level, index + 1 << level)."""


class ProofMismatch(StorageError):
    """A proof does not lead to the root it claims. Keep both as evidence; believe neither."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf: the prefix 0x00 keeps leaves and nodes apart."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node over two 32-byte hashes."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a growing tree: one hash per complete subtree, the largest first.

    `peaks` restores it: as many hashes as `size` has 1 bits.
    """

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self._peaks = list(peaks)
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} peaks, not {len(self._peaks)}")

    @property
    def peaks(self) -> tuple[bytes, ...]:
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash; on average one node is hashed."""
        size, peaks = self.size, self._peaks
        self.size = size + 1
        while size & 1:
            leaf = sha256(b"\x01" + peaks.pop() + leaf).digest()
            size >>= 1
        peaks.append(leaf)

    def root(self) -> bytes:
        return root_of_peaks(self._peaks)


def root_of_peaks(peaks: Sequence[bytes]) -> bytes:
    """The root over complete subtrees, the largest first."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


# --- proving ---------------------------------------------------------------------------------------


def _split(count: int) -> int:
    """The largest power of two smaller than count, which is at least 2."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(start: int, end: int, read: HashReader) -> bytes:
    """MTH over leaves [start, end), a range that RFC 6962's recursion reaches."""
    count = end - start
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(count)
    return node_hash(_range_hash(start, middle, read), _range_hash(middle, end, read))


def peaks_of(size: int, read: HashReader) -> list[bytes]:
    """The peaks of a tree of this size, as `Frontier` takes them."""
    peaks, start = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            peaks.append(read(level, start >> level))
            start += 1 << level
    return peaks


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """PATH(index, D[size]): from the leaf's sibling up to the root's child. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """PROOF(old, D[new]); empty when old is 0 or equals new. Raises ValueError."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves has no prefix of {old}")
    if old == 0:
        return []
    proof, start, end = [], 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    if start:
        proof.append(_range_hash(start, end, read))
    return proof[::-1]


# --- verifying -------------------------------------------------------------------------------------


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf hash is at `index` of the tree (size, root). Raises ProofMismatch."""
    where = f"inclusion of leaf {index} in the tree of size {size}"
    if not 0 <= index < size:
        raise ProofMismatch(f"{where}: there is no such leaf")
    _check_lengths(where, proof)
    node, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofMismatch(f"{where}: the proof is too long")
        if node & 1 or node == last:
            reached = node_hash(sibling, reached)
            node, last = _skip_lone(node, last)
        else:
            reached = node_hash(reached, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofMismatch(f"{where}: the proof is too short")
    if reached != root:
        raise ProofMismatch(f"{where}: the proof leads to another root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree (old, old_root) is a prefix of (new, new_root). Raises ProofMismatch."""
    where = f"consistency of the tree of size {old} with that of size {new}"
    if not 0 <= old <= new:
        raise ProofMismatch(f"{where}: the first is larger")
    _check_lengths(where, proof)
    if old == 0 or old == new:
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof:
            raise ProofMismatch(f"{where}: the proof must be empty")
        if old_root != expected or (new == 0 and new_root != EMPTY_ROOT):
            raise ProofMismatch(f"{where}: the roots differ")
        return
    # A complete subtree is its own first proof hash, which the prover leaves out.
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise ProofMismatch(f"{where}: the proof is empty")
    node, last = _skip_right(old - 1, new - 1)
    reached_old = reached_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofMismatch(f"{where}: the proof is too long")
        if node & 1 or node == last:
            reached_old = node_hash(sibling, reached_old)
            reached_new = node_hash(sibling, reached_new)
            node, last = _skip_lone(node, last)
        else:
            reached_new = node_hash(reached_new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ProofMismatch(f"{where}: the proof is too short")
    if reached_old != old_root:
        raise ProofMismatch(f"{where}: the proof leads to another old root")
    if reached_new != new_root:
        raise ProofMismatch(f"{where}: the proof leads to another new root")


def _skip_lone(node: int, last: int) -> tuple[int, int]:
    """Climb while the node is the right edge and has no sibling of its own height."""
    while node and not node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _skip_right(node: int, last: int) -> tuple[int, int]:
    """Climb to the root of the complete subtree that ends with this node."""
    while node & 1:
        node, last = node >> 1, last >> 1
    return node, last


def _check_lengths(where: str, proof: Sequence[bytes]) -> None:
    for number, value in enumerate(proof):
        if len(value) != HASH_BYTES:
            raise ProofMismatch(
                f"{where}: hash {number} of the proof is {len(value)} bytes, not {HASH_BYTES}"
            )
