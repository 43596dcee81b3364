"""What no crash and no recovery may do to the bytes of a log.

INV6  a record that could be read while nobody wrote stays, at its number and with its content, for ever
INV7  no two frames are sealed with the same key and nonce, over all lives of a data directory
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.encryption.cipher import SUITE_NONE, AesGcmCipher, open_cipher
from storage.encryption.keys import KeyRing, read_envelope
from storage.files import REAL_FILES, FileOps
from storage.format import SegmentName
from storage.reader import first_position, iter_records, list_segments, open_segment_file
from storage.segment_file import SegmentFile
from tests.crash.recorded import keys_of

DIGEST_BYTES: Final = 16


class Witness:
    """Looks at a log between two lives of its writer, and remembers every record it could read (INV6).

    keys: None for those beside the log.
    """

    def __init__(self, directory: Path, *, files: FileOps = REAL_FILES, keys: KeyRing | None = None) -> None:
        self._directory, self._files, self._keys = directory, files, keys
        self._known: dict[int, bytes] = {}
        self._last: SegmentName | None = None  # newest segment seen; those before it were whole

    @property
    def records(self) -> int:
        return len(self._known)

    def look(self, *, whole: bool = False) -> list[str]:
        """Read what is new since the last look (all of it if `whole`), and the segment that was being written
        then; what is missing or other than before. Raises what the reader raises."""
        if not self._directory.exists():
            return [f"INV6: {self._directory} is gone"] if self._known else []
        start = None
        if self._last is not None and not whole:
            start = first_position(self._directory, self._last, files=self._files)
        keys = keys_of(self._directory.parent.parent) if self._keys is None else self._keys
        read: dict[int, bytes] = {}
        for position, encoded in iter_records(self._directory, start=start, files=self._files, keys=keys):
            read[position.record_seq] = hashlib.blake2b(encoded, digest_size=DIGEST_BYTES).digest()
        first = start.record_seq if start is not None else 1
        faults = [
            f"INV6: record {number} was {'changed' if number in read else 'lost'} by a recovery"
            for number, digest in self._known.items()
            if number >= first and read.get(number) != digest
        ]
        self._known |= read
        self._last = max(list_segments(self._directory, files=self._files), default=None)
        return faults


def check_nonces(directory: Path, *, files: FileOps = REAL_FILES, keys: KeyRing | None = None) -> list[str]:
    """INV7 of every segment of a log that is there; also of frames nobody reads any more, behind a torn one."""
    keys = keys_of(directory.parent.parent) if keys is None else keys
    faults: list[str] = []
    pairs: dict[tuple[bytes, bytes], str] = {}
    owners: dict[bytes, str] = {}
    for name in list_segments(directory, files=files):
        with open_segment_file(directory, name, files, keys=keys) as segment:
            if segment.header.cipher.suite == SUITE_NONE:
                continue
            data_key = keys.data_key(read_envelope(files, segment.path))
            if owners.setdefault(data_key, name.stem) != name.stem:
                faults.append(f"INV7: {name.stem} has the data key of {owners[data_key]}")
            cipher = open_cipher(segment.header, data_key)
            assert isinstance(cipher, AesGcmCipher)
            identity = data_key + segment.header.cipher.salt24
            for offset, block_seq in _sealed_frames(segment):
                where = f"{name.stem} at byte {offset}"
                first = pairs.setdefault((identity, cipher.nonce(block_seq)), where)
                if first != where:
                    faults.append(f"INV7: {where} has key and nonce of {first}")
    return faults


def _sealed_frames(segment: SegmentFile) -> Iterator[tuple[int, int]]:
    """Offset and number of every data frame: those of the log, then what lies behind its end."""
    cursor = segment.start()
    while (raw := segment.next_block(cursor, whole=True)) is not None:
        yield raw.offset, raw.header.block_seq
    if not segment.sealed:
        for index, header in enumerate(segment.frames_behind(cursor.offset)):
            yield -1 - index, header.block_seq
