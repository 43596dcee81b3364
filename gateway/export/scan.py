"""What of a data directory belongs in the bucket, and under which key. Reads names, header pages, sizes; no network.

Only what will not change any more is taken: sealed and recovered segments, what a recovery set aside, tombstones, rows;
and wrapped data keys, which do change and are taken again then. The trap: a file may be renamed or deleted between two
looks (recovery, retention), so whatever is not there any more is passed over and met again, or not, at the next look.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.export.ledger import Entry
from gateway.export.settings import Rows, S3Settings
from storage.dictionary import DICTIONARIES, shipped_parameters
from storage.encryption.keys import MAX_ENVELOPE_BYTES, SUFFIX_KEYS, SUFFIX_SHREDDED
from storage.errors import CorruptFrame, UnknownDictionary
from storage.export import Item, Kind, make_item
from storage.format import (
    PAGE_BYTES,
    SUFFIX_OPEN,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TOMBSTONE,
    SUFFIX_TORN,
    SegmentName,
    parse_header_page,
    parse_segment_name,
)
from storage.lake.rows import TABLES
from storage.object_keys import (
    ROWS_SUFFIX,
    Place,
    dictionary_key,
    envelope_key,
    rows_key,
    segment_key,
)
from storage.sources import LOG_DIRECTORY

ROWS_DIRECTORY: Final = "rows"
FINISHED: Final = (SUFFIX_SEALED, SUFFIX_RECOVERED)
_BESIDE: Final = {
    SUFFIX_TORN: Kind.SEGMENT,
    SUFFIX_TOMBSTONE: Kind.TOMBSTONE,
    SUFFIX_SHREDDED: Kind.SHREDDED,
}

_SEGMENT_ID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Known = Callable[[str], Entry | None]
"""What the ledger says about a key."""


class Facts(msgspec.Struct, frozen=True):
    """What a segment's header page says, as far as it matters here."""

    segment_id: str
    place: Place
    dict_id: int
    dict_sha256: bytes


class Segment(msgspec.Struct, frozen=True):
    """A finished segment as found. keys: of its own object, then of all that must be there with it."""

    name: SegmentName
    path: Path
    keys: tuple[str, ...]
    shredded_keys: tuple[str, ...]  # of what must not be there any more: wrapped data keys and rows


class Found(msgspec.Struct, frozen=True):
    """One look at a data directory."""

    items: list[Item]  # not known, or changed since
    segments: dict[str, list[Segment]]  # by log
    shredded: list[str]  # keys of what is to be destroyed in the bucket
    keys: set[str]  # of everything local
    problems: list[str]


class Scanner:
    """Looks at one data directory again and again; remembers header pages. Blocks: for a worker thread."""

    def __init__(self, data_dir: Path, settings: S3Settings, cluster: str) -> None:
        self._data_dir, self._settings, self._cluster = data_dir, settings, cluster
        self._facts: dict[tuple[str, str], Facts] = {}  # (log, stem)

    def logs(self) -> list[Path]:
        """The directories of all logs, sorted by name."""
        try:
            with os.scandir(self._data_dir / LOG_DIRECTORY) as entries:
                return sorted(Path(entry.path) for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []

    def scan(self, known: Known) -> Found:
        """Raises OSError when the data directory cannot be read."""
        found = Found([], {}, [], set(), [])
        for directory in self.logs():
            self._scan_log(directory, known, found)
        return found

    def _scan_log(self, directory: Path, known: Known, found: Found) -> None:
        files = {name: directory / name for name in os.listdir(directory)}
        named = sorted((parsed, suffix) for name in files for parsed, suffix in _parsed(name))
        self._remember(directory, named)
        place = self._place(directory.name)
        if place is None:
            if named:
                found.problems.append(
                    f"log {directory.name}: no segment of it has a header page that can be read"
                )
            return
        segments = found.segments.setdefault(directory.name, [])
        finished = {name for name, suffix in named if suffix in FINISHED}
        being_written = {name for name, suffix in named if suffix == SUFFIX_OPEN}
        collect = _Collector(self._settings, known, found)
        for name, suffix in named:
            path = files[name.stem + suffix]
            if suffix in FINISHED:
                segments.append(self._segment(collect, place, name, path, files))
            elif suffix in _BESIDE and name not in being_written:
                collect.add(_BESIDE[suffix], segment_key(self._place_of(path, place), name, suffix), path)
            if suffix == SUFFIX_SHREDDED and name not in finished | being_written:
                self._shred(collect, place, name, path, files)
        if self._settings.rows is not Rows.NONE:
            for table, name, path in _rows(self._data_dir / ROWS_DIRECTORY / directory.name):
                collect.add(Kind.ROWS, rows_key(place, name, table), path)

    def _segment(
        self, collect: "_Collector", place: Place, name: SegmentName, path: Path, files: dict[str, Path]
    ) -> Segment:
        """Collect a finished segment and what it cannot be read without; what lies beside it comes by itself."""
        facts = self._facts.get((path.parent.name, name.stem))
        place = self._place_of(path, place)
        keys = [segment_key(place, name, path.suffix)]
        collect.add(Kind.SEGMENT, keys[0], path)
        if name.stem + SUFFIX_TORN in files:
            keys.append(segment_key(place, name, SUFFIX_TORN))
        if facts is not None and (dictionary := _dictionary(facts)):
            keys.append(dictionary_key(self._settings.prefix, facts.dict_sha256))
            collect.add(Kind.DICTIONARY, keys[-1], dictionary)
        envelope = files.get(name.stem + SUFFIX_KEYS)
        if envelope is None:
            return Segment(name, path, tuple(keys), self._shred(collect, place, name, path, files))
        if segment_id := facts.segment_id if facts is not None else _id_in(envelope, name):
            keys.append(envelope_key(self._settings.prefix, segment_id))
            collect.add(Kind.KEYS, keys[-1], envelope)
        else:
            collect.found.problems.append(f"{envelope.name} does not name its segment: it stays here alone")
        return Segment(name, path, tuple(keys), ())

    def _shred(
        self,
        collect: "_Collector",
        place: Place,
        name: SegmentName,
        path: Path,
        files: dict[str, Path],
    ) -> tuple[str, ...]:
        """What was destroyed here and must be there, too: wrapped data keys, and rows, which hold what they lock."""
        marker = files.get(name.stem + SUFFIX_SHREDDED)
        if marker is None or name.stem + SUFFIX_KEYS in files:
            return ()
        keys = [rows_key(self._place_of(path, place), name, table) for table in TABLES]
        facts = self._facts.get((path.parent.name, name.stem))
        segment_id = facts.segment_id if facts is not None else _id_in(marker, name)
        if segment_id:
            keys.append(envelope_key(self._settings.prefix, segment_id))
        else:
            problem = f"{marker.name} does not name its segment: its keys in the bucket stay"
            collect.found.problems.append(problem)
        collect.found.shredded.extend(keys)
        return tuple(keys)

    # --- header pages ---------------------------------------------------------------------------------

    def _remember(self, directory: Path, named: list[tuple[SegmentName, str]]) -> None:
        """Read the header pages that are new. Of deleted segments the facts stay: their tombstones need them."""
        for name, suffix in named:
            if suffix in (*FINISHED, SUFFIX_OPEN) and (directory.name, name.stem) not in self._facts:
                facts = self._read(directory / (name.stem + suffix))
                if facts is not None:
                    self._facts[directory.name, name.stem] = facts

    def _read(self, path: Path) -> Facts | None:
        try:
            with open(path, "rb") as file:
                header = parse_header_page(file.read(PAGE_BYTES), path.name)
        except (FileNotFoundError, CorruptFrame):
            return None
        place = Place(self._settings.prefix, self._cluster, header.gateway_id, header.worker)
        return Facts(header.segment_id, place, header.zstd.dict_id, header.zstd.dict_sha256)

    def _place_of(self, path: Path, place: Place) -> Place:
        facts = self._facts.get((path.parent.name, path.name.partition(".")[0]))
        return facts.place if facts is not None else place

    def _place(self, log: str) -> Place | None:
        """Where a log goes, for files that do not say it themselves: as any segment of it does."""
        return next((facts.place for (of, _), facts in self._facts.items() if of == log), None)


class _Collector:
    """Turns files into items, but for those the ledger knows."""

    def __init__(self, settings: S3Settings, known: Known, found: Found) -> None:
        self._settings, self._known, self.found = settings, known, found

    def add(self, kind: Kind, key: str, path: Path) -> None:
        if key in self.found.keys:
            return
        self.found.keys.add(key)
        entry = self._known(key)
        if entry is not None and kind is not Kind.KEYS:
            return
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        if entry is not None and (entry.mtime_ns, entry.size) == (status.st_mtime_ns, status.st_size):
            return
        lock_keys = self._settings.lock_keys
        self.found.items.append(
            make_item(kind, key, path, born_ns=status.st_mtime_ns, size=status.st_size, lock_keys=lock_keys)
        )


def _parsed(file_name: str) -> Iterator[tuple[SegmentName, str]]:
    stem, dot, suffix = file_name.partition(".")
    name = parse_segment_name(stem)
    if name is not None:
        yield name, dot + suffix


def _id_in(beside: Path, name: SegmentName) -> str:
    """The id of a segment whose header page is not there, from its envelope, or the marker that there is none."""
    try:
        with open(beside, encoding="utf-8", errors="replace") as file:
            ids: list[str] = _SEGMENT_ID.findall(file.read(MAX_ENVELOPE_BYTES))
    except FileNotFoundError:
        return ""
    return next((found for found in ids if found.endswith(name.uuid8)), "")


def _dictionary(facts: Facts) -> Path | None:
    """The file of a segment's dictionary, if it is exactly the one it was written with."""
    if not facts.dict_id:
        return None
    try:
        same = shipped_parameters(facts.dict_id).dict_sha256 == facts.dict_sha256
    except UnknownDictionary:
        return None
    return DICTIONARIES / f"{facts.dict_id}.zdict" if same else None


def _rows(directory: Path) -> Iterator[tuple[str, SegmentName, Path]]:
    """(table, segment, file) of all rows of one log."""
    try:
        tables = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    except FileNotFoundError:
        return
    for table in tables:
        for file_name in sorted(os.listdir(directory / table)):
            name = parse_segment_name(file_name.removesuffix(ROWS_SUFFIX))
            if name is not None and file_name.endswith(ROWS_SUFFIX):
                yield table, name, directory / table / file_name
