"""The parts of a tree, hashed by `tree_scan`, put together to roots of any size. Pure.

Where a bundle and its tile disagree, one of them is damaged: the other is gone by if it leads to the signed root.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from storage.tlog.merkle import Frontier, root_of_peaks
from storage.tlog.tiles import TILE_WIDTH, fold
from storage.verify.tree_scan import Mismatch, TreePart, peaks_within

PART_BUNDLES: Final = 128
"""Bundles of one task: 32,768 leaves, some 50 ms."""


def split(size: int, sizes: Sequence[int]) -> list[tuple[int, int, list[int]]]:
    """Tasks over the bundles of a tree, each with the older sizes that end in it."""
    bundles = -(-size // TILE_WIDTH)
    return [
        (
            first,
            min(first + PART_BUNDLES, bundles),
            [older for older in sizes if first * TILE_WIDTH < older <= (first + PART_BUNDLES) * TILE_WIDTH],
        )
        for first in range(0, bundles, PART_BUNDLES)
    ]


class TreeAssembly:
    """The parts of a tree put together. chosen: of each mismatching bundle, the leaf hashes that were gone by."""

    def __init__(self, parts: Sequence[TreePart], level_1: Mapping[int, bytes]) -> None:
        self.roots = [root for part in parts for root in part.roots]
        self.mismatches = [mismatch for part in parts for mismatch in part.mismatches]
        self.chosen: dict[int, tuple[bytes, ...]] = {}
        self._edge = [leaf for part in parts for leaf in part.edge]
        self._peaks = {size: peaks for part in parts for size, peaks in part.peaks.items()}
        self._level_1 = level_1

    def choose(self, signed_root: bytes) -> bytes:
        """Settle the mismatches so that the signed root is reached, if that can be; returns the root reached."""
        root = b""
        for prefer in (self._by_level_1, self._by_bundle, self._by_tile):
            for mismatch in self.mismatches:
                self._take(mismatch, prefer(mismatch))
            root = self._root()
            if root == signed_root or not self.mismatches:
                break
        return root

    def _by_level_1(self, mismatch: Mismatch) -> tuple[bytes, ...]:
        wanted = self._level_1.get(mismatch.index)
        for hashes in (mismatch.from_bundle, mismatch.from_tile):
            if len(hashes) == TILE_WIDTH and fold(hashes) == wanted:
                return hashes
        return self._by_bundle(mismatch)

    def _by_bundle(self, mismatch: Mismatch) -> tuple[bytes, ...]:
        return mismatch.from_bundle or mismatch.from_tile

    def _by_tile(self, mismatch: Mismatch) -> tuple[bytes, ...]:
        return mismatch.from_tile or mismatch.from_bundle

    def _take(self, mismatch: Mismatch, hashes: tuple[bytes, ...]) -> None:
        self.chosen[mismatch.index] = hashes
        if mismatch.index < len(self.roots):
            self.roots[mismatch.index] = fold(hashes) if len(hashes) == TILE_WIDTH else bytes(32)
        else:
            self._edge = list(hashes)

    def _root(self) -> bytes:
        frontier = Frontier()
        for root in self.roots:
            frontier.append(root)
        return root_of_peaks([*frontier.peaks, *peaks_within(self._edge)])

    def roots_at(self, sizes: Sequence[int]) -> dict[int, bytes]:
        """The root over the first leaves, for each of these sizes, which ascend."""
        found = {}
        frontier = Frontier()
        for size in sizes:
            index = max(size - 1, 0) // TILE_WIDTH
            while frontier.size < min(index, len(self.roots)):
                frontier.append(self.roots[frontier.size])
            peaks = self._peaks.get(size)
            if peaks is None:
                peaks = peaks_within(self.chosen.get(index, ())[: size - index * TILE_WIDTH])
            found[size] = root_of_peaks([*frontier.peaks, *peaks])
        return found
