"""The key envelopes of a data directory: which segment is wrapped for whom, and renewing that.

Conduct over `keys`. A renewal opens the data key, proves with the segment's header that it is the right one, and
replaces the envelope as a whole; a crash leaves the old or the new one, and running it again does the rest.

The trap: a gateway may be writing, sealing and deleting segments meanwhile. Names are looked up anew for each
segment, and an envelope whose segment was deleted while it was renewed is taken away again.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.cipher import SUITE_NONE, open_cipher
from storage.encryption.keys import (
    SUFFIX_KEYS,
    SUFFIX_SHREDDED,
    Envelope,
    KeyRing,
    Wrap,
    Wrapper,
    read_envelope,
    write_envelope,
)
from storage.errors import BadKeyFile, CorruptFrame, NoKey, Shredded, UnknownDictionary
from storage.files import FileOps, exists
from storage.format import SegmentName
from storage.reader import list_segments, open_segment_file
from storage.sources import LOG_DIRECTORY, log_names

WRAPPED: Final = "wrapped"
CLEAR: Final = "clear"
SHREDDED: Final = "shredded"
MISSING: Final = "missing"
GARBLED: Final = "garbled"


class SegmentKeys(msgspec.Struct, frozen=True):
    """How one segment can be opened. envelope: only when `state` is WRAPPED; problem: what is wrong, "" if nothing."""

    log: str
    directory: Path
    name: SegmentName
    state: str  # WRAPPED, CLEAR (not encrypted), SHREDDED, MISSING, GARBLED
    envelope: Envelope | None = None
    problem: str = ""

    @property
    def envelope_path(self) -> Path:
        return self.directory / (self.name.stem + SUFFIX_KEYS)


class Target(msgspec.Struct, frozen=True):
    """For whom data keys are to be wrapped. kek_id: what its wraps are called."""

    kek_id: str
    wrapper: Wrapper


def list_segment_keys(files: FileOps, data_dir: Path) -> Iterator[SegmentKeys]:
    """Every segment of every log of a data directory, in order. Raises OSError."""
    for log in log_names(files, data_dir / LOG_DIRECTORY):
        directory = data_dir / LOG_DIRECTORY / log
        for name in list_segments(directory, files=files):
            yield look_at(files, log, directory, name)


def look_at(files: FileOps, log: str, directory: Path, name: SegmentName) -> SegmentKeys:
    """How one segment can be opened; it may be deleted meanwhile, and is MISSING then. Raises OSError."""
    segment = directory / name.stem
    try:
        return SegmentKeys(log, directory, name, WRAPPED, read_envelope(files, segment))
    except Shredded as error:
        return SegmentKeys(log, directory, name, SHREDDED, problem=str(error))
    except BadKeyFile as error:
        return SegmentKeys(log, directory, name, GARBLED, problem=str(error))
    except NoKey:
        pass
    try:
        with open_segment_file(directory, name, files) as file:
            if file.header.cipher.suite == SUITE_NONE:
                return SegmentKeys(log, directory, name, CLEAR)
    except (CorruptFrame, UnknownDictionary, FileNotFoundError) as error:
        return SegmentKeys(log, directory, name, MISSING, problem=str(error))
    problem = f"{name.stem}{SUFFIX_KEYS} is missing: restore it from a copy"
    return SegmentKeys(log, directory, name, MISSING, problem=problem)


def kind_of(wrap: Wrap) -> str:
    """What sort of key a wrap is for: "local", "hpke", "aws"."""
    return "local" if wrap.alg == "aes-kw" else wrap.alg.partition("-")[0]


def is_renewed(envelope: Envelope, targets: Sequence[Target], kinds: frozenset[str]) -> bool:
    """Whether exactly the targets hold the wraps of these kinds already."""
    of_kinds = [wrap.kek_id for wrap in envelope.wraps if kind_of(wrap) in kinds]
    return sorted(of_kinds) == sorted(target.kek_id for target in targets)


def rewrap(
    files: FileOps,
    segment: SegmentKeys,
    keys: KeyRing,
    targets: Sequence[Target],
    kinds: frozenset[str],
) -> bool:
    """Replace the wraps of these kinds by wraps for the targets; other wraps stay. False: nothing to do.

    The caller holds `local_key.key_lock`, and syncs the directory when it has done all it wants to: until then a
    power cut may bring back the old envelope. Raises NoKey, WrongKey, BadKeyFile, OSError; the old envelope stays.
    """
    envelope = segment.envelope
    if envelope is None or is_renewed(envelope, targets, kinds):
        return False
    key = keys.data_key(envelope)
    with open_segment_file(segment.directory, segment.name, files) as file:
        if file.header.segment_id != envelope.segment_id:
            raise BadKeyFile(f"{segment.envelope_path.name}: is the envelope of another segment: restore it")
        open_cipher(file.header, key)  # the right key, before the old way to it is given up
    kept = [wrap for wrap in envelope.wraps if kind_of(wrap) not in kinds]
    fresh = [target.wrapper.wrap(key, envelope.segment_id) for target in targets]
    renewed = msgspec.structs.replace(envelope, wraps=(*fresh, *kept))
    write_envelope(files, segment.envelope_path, renewed)
    if segment.name not in list_segments(segment.directory, files=files):
        files.remove(segment.envelope_path)
    return True


def is_unfinished_shredding(files: FileOps, segment: SegmentKeys) -> bool:
    """Whether its destruction was decided and its key is still there: a crash came between."""
    return segment.state in (WRAPPED, GARBLED) and exists(
        files, segment.directory / (segment.name.stem + SUFFIX_SHREDDED)
    )
