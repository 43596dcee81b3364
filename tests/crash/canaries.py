"""INV13: what must be in no file, looked for in all of them, as bytes, decompressed, and decrypted.

Credentials must be nowhere in a data directory but in the two files that exist to hold the first user's token. The
content of calls is there to be recorded: in an encrypted directory it may be in clear text only where the
configuration says so (the index).
"""

import sqlite3
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Final

import zstandard

from gateway.first_user import KUBECONFIG, TOKENS_FILE
from storage.errors import CorruptFrame, NoKey
from storage.index import INDEX_DIRECTORY
from storage.reader import READABLE, iter_records, read_segment
from tests.crash.recorded import keys_of

HOLD_THE_TOKEN: Final = (KUBECONFIG, TOKENS_FILE)


def shapes(secret: str) -> list[bytes]:
    """A secret as itself and as the encodings in which clients send it."""
    plain = secret.encode()
    return [plain, b64encode(plain).rstrip(b"="), urlsafe_b64encode(plain).rstrip(b"=")]


def check_credentials(data_dir: Path, secrets: Iterable[str]) -> list[str]:
    """Every place in a data directory, records included, that shows a credential."""
    wanted = [(secret[:4], shape) for secret in secrets for shape in shapes(secret)]
    return [
        f"INV13: credential {name}... is in {where}"
        for where, content in _everything(data_dir)
        for name, shape in wanted
        if shape in content
    ]


def clear_text_places(data_dir: Path, canaries: Iterable[bytes], *, outside: tuple[str, ...]) -> list[str]:
    """Files below a data directory, but for those whose path begins with one of `outside`, that show a canary in
    clear: as they are, after decompression, or to a reader without keys."""
    wanted = list(canaries)
    return [
        where
        for where, content in chain(_files(data_dir), _readable_by_anybody(data_dir))
        if not where.startswith(outside) and any(canary in content for canary in wanted)
    ]


def in_index(data_dir: Path, canary: str) -> bool:
    """Whether the search index has this word, for whoever reads its files. Asked, not looked for: FTS5 leaves out what
    a word has in common with the one before it."""
    return any(_has_word(path, canary) for path in (data_dir / INDEX_DIRECTORY).glob("*.sqlite"))


def _has_word(database: Path, word: str) -> bool:
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader,
    ):
        return reader.execute("SELECT 1 FROM texts WHERE texts MATCH ?", (word,)).fetchone() is not None
    return False  # not made yet, or the file that is no day's


def recorded_content(data_dir: Path) -> bytes:
    """All records, decrypted, one behind the other."""
    keys = keys_of(data_dir)
    return b"\0".join(
        encoded for log in sorted((data_dir / "log").iterdir()) for _, encoded in iter_records(log, keys=keys)
    )


def _readable_by_anybody(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    """Segments that are not encrypted: compressed, so their bytes do not show what is in them."""
    for path in sorted((data_dir / "log").glob("*/*")):
        if path.suffix in READABLE:
            with suppress(NoKey, CorruptFrame):
                for frame in read_segment(path):
                    yield str(path.relative_to(data_dir)), b"\0".join(frame.records)


def _everything(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    for where, content in _files(data_dir):
        if where not in HOLD_THE_TOKEN:
            yield where, content
    yield "the records", recorded_content(data_dir)


def _files(data_dir: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(data_dir.rglob("*")):
        if not path.is_file():
            continue
        where, content = str(path.relative_to(data_dir)), path.read_bytes()
        yield where, content
        if path.suffix == ".zst":
            inflater = zstandard.ZstdDecompressor().decompressobj()
            yield f"{where}, decompressed", inflater.decompress(content)
