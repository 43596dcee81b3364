"""The notes of a program's file operations (`write_log`) -> the disks a power cut may leave, at any moment.

What is durable: of a file's bytes, what was written before its last sync began; of a directory's names, what was
there at its last sync. Of the rest an image may have any part. Pure: the images are in memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kit.faulty_files import Choose, apply_write
from tests.kit.write_log import ADOPT, CREATE, Note, Noted


class _File:
    """durable: its bytes at the last sync. pending: (when, offset, bytes) since; no bytes: cut there."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = bytearray(durable)
        self.pending: list[tuple[int, int, bytes]] = []


class Replay:
    """The notes, one after the other; after each, any number of images."""

    def __init__(self, notes: list[Noted]) -> None:
        self._notes = notes
        self._files: dict[tuple[str, int], _File] = {}
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._changes: list[tuple[int, Path | None, Path | None, _File]] = []

    def steps(self) -> Iterator[Noted]:
        """Take the next note, and hand it out."""
        for noted in self._notes:
            self._take(noted.process, noted.note)
            yield noted

    def _take(self, process: str, note: Note) -> None:
        file = self._files.get((process, note.file)) or self._names.get(Path(note.path)) or _File()
        match note.kind:
            case 0 | 1:  # CREATE, ADOPT
                known = self._names.get(Path(note.path)) if note.kind == ADOPT else None
                file = self._files[process, note.file] = known or _File(note.data)
                self._names[Path(note.path)] = file
                if note.kind == CREATE:
                    self._changes.append((note.at_ns, Path(note.path), None, file))
                else:
                    self._durable_names[Path(note.path)] = file
            case 2:  # WRITE
                file.pending.append((note.at_ns, note.number, note.content()))
            case 3:  # TRUNCATE
                file.pending.append((note.at_ns, note.number, b""))
            case 4:  # SYNC
                self._sync(file, note.number)
            case 5:  # RENAME
                source, target = Path(note.path), Path(note.target)
                moved = self._names.pop(source, None) or self._durable_names.get(source) or _File()
                self._names[target] = moved
                self._changes.append((note.at_ns, target, source, moved))
            case 6:  # REMOVE
                gone = self._names.pop(Path(note.path), None)
                if gone is not None:
                    self._changes.append((note.at_ns, None, Path(note.path), gone))
            case _:  # SYNC_NAMES
                self._sync_names(Path(note.path), note.number)

    def _sync(self, file: _File, began_ns: int) -> None:
        later = []
        for pending in file.pending:
            if pending[0] > began_ns:
                later.append(pending)
            else:
                apply_write(file.durable, *pending[1:])
        file.pending = later

    def _sync_names(self, directory: Path, began_ns: int) -> None:
        """Renames stay within their directory, so a change belongs to one."""
        later = []
        for change in self._changes:
            is_here = (change[1] or change[2] or directory).parent == directory
            if is_here and change[0] <= began_ns:
                _rename(self._durable_names, *change[1:])
            else:
                later.append(change)
        self._changes = later

    def image(self, choose: Choose, kept_names: Callable[[int], bool]) -> dict[Path, bytes]:
        """The files found after a cut now. choose: which part of each unsynced write is there; kept_names: whether
        the first so many unsynced changes of names are (a journal keeps their order)."""
        names = dict(self._durable_names)
        for number, change in enumerate(self._changes):
            if not kept_names(number):
                break
            _rename(names, *change[1:])
        contents: dict[int, bytes] = {}
        number = 0
        for file in names.values():
            if id(file) in contents:
                continue
            content = bytearray(file.durable) if file.pending else file.durable
            for _, offset, data in file.pending:
                kept = choose(number, data)
                number += 1
                if kept is not None and (kept or not data):
                    apply_write(content, offset, kept)
            contents[id(file)] = bytes(content)
        return {path: contents[id(file)] for path, file in names.items()}


def _rename(names: dict[Path, _File], new: Path | None, old: Path | None, file: _File) -> None:
    if old is not None:
        names.pop(old, None)
    if new is not None:
        names[new] = file
