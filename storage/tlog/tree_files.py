"""The files of one tree: written as wholes, swept, synced; conduct for `storage.tlog.tree`, which says when.

A file comes to its name by a rename, so a killed process leaves the old one or the new one. Only what was
synced, its name included, survives a power cut. Everything raises OSError.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from storage.files import FileOps, write_all
from storage.tlog.tiles import TILE_WIDTH, Tile, levels_of, tile_count
from storage.tlog.tree_reader import CHECKPOINT_COPIES, TreeDamaged, file_reader

SYNCED: Final = "synced"
_TEMPORARY: Final = ".tmp"


class TreeFiles:
    """The files below the tree's directory. Everything raises OSError."""

    def __init__(self, files: FileOps, directory: Path) -> None:
        self._files, self._directory = files, directory
        self._made: set[Path] = set()
        self.read = file_reader(files, directory)

    def write(self, path: str, data: bytes, *, synced: bool = False) -> None:
        """Replace a file as a whole: never half of it under its name."""
        self._write_temporary(path, data, synced)
        self._rename(path)

    def _write_temporary(self, path: str, data: bytes, synced: bool) -> None:
        target = self._directory / (path + _TEMPORARY)
        if target.parent not in self._made:
            self._files.make_directory(target.parent)
            self._made.add(target.parent)
        fd = self._files.create(target)
        try:
            write_all(self._files, fd, [data], 0)
            if synced:
                self._files.sync_data(fd)
        finally:
            self._files.close(fd)

    def _rename(self, path: str) -> None:
        self._files.rename(self._directory / (path + _TEMPORARY), self._directory / path)

    def remove(self, tile: Tile) -> None:
        self._remove(tile.path)
        self._remove_empty((self._directory / tile.path).parent)

    def _remove(self, path: str) -> bool:
        try:
            self._files.remove(self._directory / path)
        except FileNotFoundError:
            return False
        return True

    def _remove_empty(self, directory: Path) -> None:
        """A `.p` directory without tiles. Not by FileOps: nothing can be lost, whatever becomes of it."""
        with suppress(OSError):
            os.rmdir(directory)
            self._made.discard(directory)

    def sync_tiles(self, tiles: Iterable[Tile]) -> None:
        """Make these tiles and their names durable."""
        directories = set()
        for tile in tiles:
            path = self._directory / tile.path
            fd = self._files.open_read(path)
            try:
                self._files.sync_data(fd)
            finally:
                self._files.close(fd)
            directories.add(path.parent)
        for directory in sorted(directories):
            self._files.sync_directory(directory)

    def sync_names(self) -> None:
        """Make the name of the checkpoint, and those of its copies, durable."""
        for directory in (self._directory, self._directory / CHECKPOINT_COPIES):
            with suppress(FileNotFoundError):
                self._files.sync_directory(directory)

    def names(self, path: str) -> list[str]:
        try:
            return self._files.names(self._directory / path)
        except FileNotFoundError:
            return []

    def copies(self) -> list[int]:
        """Sizes of the kept checkpoints."""
        return [int(name) for name in self.names(CHECKPOINT_COPIES) if name.isascii() and name.isdigit()]

    def read_synced(self) -> int:
        try:
            text = self.read(SYNCED)
        except FileNotFoundError:
            return 0
        number = text.removesuffix(b"\n")
        return int(number) if number != text and number.isdigit() and len(number) < 20 else 0

    def sweep(self, size: int) -> None:
        """Remove what killed processes left near the edge: old partial tiles, tiles beyond the tree."""
        for level in levels_of(size):
            count = tile_count(level, size)
            edge = count // TILE_WIDTH
            kept = str(count % TILE_WIDTH)
            for index in range(max(edge - 1, 0), edge + 1):
                directory = Tile(level, index).path + ".p"
                for name in self.names(directory):
                    if index != edge or name != kept:
                        self._remove(f"{directory}/{name}")
                self._remove_empty(self._directory / directory)
            while self._remove(Tile(level, edge).path):
                edge += 1

    # --- rebuilding -----------------------------------------------------------------------------

    def prepare(self, tile: Tile, data: bytes) -> bool:
        """Write a tile beside the one that is there; False if that one is right already."""
        try:
            if self.read(tile.path) == data:
                return False
        except (FileNotFoundError, TreeDamaged):
            pass
        self._write_temporary(tile.path, data, synced=True)
        return True

    def adopt(self, tile: Tile) -> None:
        self._rename(tile.path)

    def discard(self, tile: Tile) -> None:
        self._remove(tile.path + _TEMPORARY)
