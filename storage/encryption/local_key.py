"""The local key file: key encryption keys on the gateway's own disk, and data keys wrapped with them.

One text line a key, `kubetape-kek-1 <kek id> <base64 of 32 bytes>`; the first is the current one and wraps, all
of them open. The file is read again for every wrap, so a running gateway follows a rotation by itself. It is
made, rotated and shortened as a whole: written beside, synced, and given its name in one step.

The trap: whoever can read this file can read the log. It keeps a stolen export or backup of `log/` shut, not a
stolen disk; for that give recipients (`hpke_key`) or a key service. Hence nobody else may read it.
Not through FileOps: permissions and link(2) are no matter of the log.
Source: RFC 3394 (AES key wrap, as in `cryptography`).
"""

import base64
import binascii
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from storage.encryption.keys import Envelope, Wrap
from storage.errors import BadKeyFile, WrongKey

KEYS_DIRECTORY: Final = "keys"
LOCAL_KEY_NAME: Final = "local.key"
LOCK_NAME: Final = "LOCK"
ALG_LOCAL: Final = "aes-kw"
LINE_LABEL: Final = "kubetape-kek-1"
KEK_BYTES: Final = 32
MAX_FILE_BYTES: Final = 64 * 1024
"""Some hundred rotations; nothing larger is read."""
_KEK_ID: Final = re.compile(r"local:[0-9A-Za-z._-]{1,64}", re.ASCII)
_MADE: Final = "%Y%m%dT%H%M%SZ"


def default_path(data_dir: Path) -> Path:
    return data_dir / KEYS_DIRECTORY / LOCAL_KEY_NAME


@dataclass(frozen=True)
class Kek:
    """One key encryption key. Its text form hides the key."""

    kek_id: str  # "local:<when it was made>-<4 random hex digits>"
    key: bytes = field(repr=False)

    @property
    def made_s(self) -> float:
        """When it was made, Unix seconds as its id says; 0.0 when the id does not say."""
        made = self.kek_id.removeprefix("local:").partition("-")[0]
        try:
            return datetime.strptime(made, _MADE).replace(tzinfo=UTC).timestamp()
        except ValueError:
            return 0.0


class LocalKey:
    """A local key file as wrapper and unwrapper. Nothing is read before it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Kek] = {}

    def keks(self) -> tuple[Kek, ...]:
        """All keys as the file has them now, the current one first. Raises BadKeyFile, FileNotFoundError."""
        return read_local_keys(self.path)

    def wrap(self, key: bytes, segment_id: str) -> Wrap:
        """Wrap a data key with the current key. Raises BadKeyFile, also when the file is gone."""
        try:
            current = self.keks()[0]
        except FileNotFoundError:
            raise BadKeyFile(
                f"{self.path} is gone: restore it from a copy, or restart to make a new one"
            ) from None
        return Wrap(current.kek_id, ALG_LOCAL, aes_key_wrap(current.key, key))

    def unwrap(self, envelope: Envelope) -> bytes | None:
        """The data key of a segment; None if no key of the file wraps it. Raises BadKeyFile, WrongKey."""
        for wrap in envelope.wraps:
            if wrap.alg == ALG_LOCAL and (kek := self._kek(wrap.kek_id)) is not None:
                try:
                    return aes_key_unwrap(kek.key, wrap.blob)
                except (InvalidUnwrap, ValueError) as error:
                    raise WrongKey(
                        f"segment {envelope.segment_id}: {wrap.kek_id} in {self.path} is not the key its "
                        "envelope was made with, or the envelope is damaged: restore one of both from a copy"
                    ) from error
        return None

    def _kek(self, kek_id: str) -> Kek | None:
        """By id; one not known yet may have come by a rotation since."""
        if kek_id not in self._known:
            try:
                self._known = {kek.kek_id: kek for kek in self.keks()}
            except FileNotFoundError:
                return None
        return self._known.get(kek_id)


# --- reading --------------------------------------------------------------------------------------


def read_local_keys(path: Path) -> tuple[Kek, ...]:
    """Read a local key file. Raises FileNotFoundError, and BadKeyFile with the line."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadKeyFile(f"cannot read {path}: {error.strerror}") from error
    with open(fd, "rb") as file:
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode):
            raise BadKeyFile(f"{path} is not a file")
        if facts.st_mode & 0o077:
            raise BadKeyFile(f"{path} can be read or changed by others: chmod 600 {path}")
        content = file.read(MAX_FILE_BYTES + 1)
    return parse_local_keys(content, str(path))


def parse_local_keys(content: bytes, name: str) -> tuple[Kek, ...]:
    """Decode the text of a local key file. Raises BadKeyFile with the line; never shows what is on it."""
    if len(content) > MAX_FILE_BYTES:
        raise BadKeyFile(f"{name}: larger than {MAX_FILE_BYTES} bytes: that is no key file")
    keks: list[Kek] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        kek = _parse_line(line, f"{name}:{number}")
        if any(kek.kek_id == other.kek_id for other in keks):
            raise BadKeyFile(f"{name}:{number}: {kek.kek_id} is there twice")
        keks.append(kek)
    if not keks:
        raise BadKeyFile(f"{name}: holds no key: restore it from a copy")
    return tuple(keks)


def _parse_line(line: bytes, where: str) -> Kek:
    words = line.decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != LINE_LABEL or not _KEK_ID.fullmatch(words[1]):
        raise BadKeyFile(f"{where}: not a key: a line is `{LINE_LABEL} local:ID BASE64`")
    try:
        key = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKeyFile(f"{where}: the key is not base64") from error
    if len(key) != KEK_BYTES:
        raise BadKeyFile(f"{where}: a key has {KEK_BYTES} bytes, this one has {len(key)}")
    return Kek(words[1], key)


# --- writing --------------------------------------------------------------------------------------


def new_kek(now_s: float) -> Kek:
    made = datetime.fromtimestamp(now_s, UTC).strftime(_MADE)
    return Kek(f"local:{made}-{secrets.token_hex(2)}", secrets.token_bytes(KEK_BYTES))


def encode_local_keys(keks: tuple[Kek, ...]) -> bytes:
    lines = [f"{LINE_LABEL} {kek.kek_id} {base64.b64encode(kek.key).decode()}\n" for kek in keks]
    return "".join(lines).encode()


def ensure_local_key(path: Path) -> LocalKey:
    """The local key file, made now if there is none: of two processes that make it at once both get the same.

    Durable on return. Raises BadKeyFile.
    """
    try:
        read_local_keys(path)
        return LocalKey(path)
    except FileNotFoundError:
        pass
    try:
        _make_directory(path.parent)
        unfinished = _write_beside(path, (new_kek(time.time()),))
        try:
            os.link(unfinished, path)  # unlike rename, it never replaces what another process made
        except FileExistsError:
            pass
        finally:
            os.unlink(unfinished)
        _sync_directory(path.parent)
        read_local_keys(path)
    except FileNotFoundError as error:
        raise BadKeyFile(f"{path} is a link to nowhere: restore the key file it names") from error
    except OSError as error:
        raise BadKeyFile(f"cannot make {path}: {error.strerror}") from error
    return LocalKey(path)


def rotate_local_key(path: Path) -> Kek:
    """Put a new key first; it wraps the data keys of new segments. Durable on return.

    The caller holds `key_lock`. Raises BadKeyFile, FileNotFoundError.
    """
    kek = new_kek(time.time())
    _replace(path, (kek, *read_local_keys(path)))
    return kek


def retire_local_key(path: Path, kek_id: str) -> None:
    """Take a key out for ever: what only it opens is lost. Durable on return.

    The caller holds `key_lock` and knows that no envelope needs it. Raises BadKeyFile, FileNotFoundError.
    """
    current, *older = read_local_keys(path)
    if kek_id == current.kek_id:
        raise BadKeyFile(f"{kek_id} is the current key: rotate first")
    if kek_id not in [kek.kek_id for kek in older]:
        raise BadKeyFile(f"{path} has no key {kek_id}")
    _replace(path, (current, *(kek for kek in older if kek.kek_id != kek_id)))


@contextmanager
def key_lock(data_dir: Path) -> Iterator[None]:
    """Only one process at a time renews, retires or destroys keys of a data directory. Raises BadKeyFile."""
    directory = data_dir / KEYS_DIRECTORY
    try:
        _make_directory(directory)
        fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadKeyFile(f"cannot write to {directory}: {error.strerror}") from error
    try:
        own_as(fd, directory)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BadKeyFile(f"another process works on the keys of {data_dir}: wait for it") from error
    finally:
        os.close(fd)


def own_as(fd: int, path: Path) -> None:
    """Root, working for a gateway that is not, leaves files that the gateway can use."""
    if os.geteuid() == 0:
        owner = os.stat(path)
        os.fchown(fd, owner.st_uid, owner.st_gid)


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        own_as(fd, directory.parent)
    finally:
        os.close(fd)
    _sync_directory(directory.parent)


def _replace(path: Path, keks: tuple[Kek, ...]) -> None:
    real = path.resolve()  # a link stays a link
    try:
        for left in real.parent.glob(f"{real.name}.*.tmp"):  # by a crash; it may hold a key now retired
            left.unlink()
        os.rename(_write_beside(real, keks), real)
        _sync_directory(real.parent)
    except OSError as error:
        raise BadKeyFile(f"cannot write {real}: {error.strerror}") from error


def _write_beside(path: Path, keks: tuple[Kek, ...]) -> Path:
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        own_as(fd, path.parent)
        file.write(encode_local_keys(keks))
        file.flush()
        os.fsync(fd)
    return unfinished


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
