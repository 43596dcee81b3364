"""The key that signs a log's checkpoints and tombstones: made at the first start, kept in `keys/log.key`.

Conduct over two small files below the data directory: `log.key` (0600, a signer line an origin) and `log.vkey` (the
public side, a line a key, to be given to auditors; a replaced key stays in it). Signing itself is `note`'s.

The trap: a key that is lost must not be replaced silently. Verifiers would call everything that follows forged, so a
missing `log.key` beside a `log.vkey` that knows the origin is an error, not a first start.
"""

from pathlib import Path
from typing import Final

from storage.encryption.keys import read_small
from storage.errors import BadKeyFile
from storage.files import REAL_FILES, FileOps, log_failed, replace_file
from storage.tlog.note import BadKey, SignerKey, VerifierKey, generate_signer, parse_signer, parse_vkey
from storage.tlog.tree_reader import VKEY

KEYS_DIRECTORY: Final = "keys"
SIGNER_FILE: Final = "log.key"
VERIFIER_FILE: Final = "log.vkey"
LOG_STEM: Final = "log"
MAX_KEY_FILE_BYTES: Final = 64 * 1024


def open_signer(
    data_dir: Path, origin: str, *, files: FileOps = REAL_FILES, stem: str = LOG_STEM
) -> SignerKey:
    """The signing key of a log, whose name is the log's origin; made when there is none yet.

    stem: of the two files; a key for another purpose lies beside the log's. Key and vkey are durable on return.
    Raises BadKeyFile when a file cannot be used or the key was lost, BadKey for an origin that cannot name a key,
    LogFailed on an I/O error. Call it from one process at a time (the log's lock).
    """
    directory = data_dir / KEYS_DIRECTORY
    try:
        files.make_directory(directory)
        return _open_signer(files, directory / f"{stem}.key", directory / f"{stem}.vkey", origin)
    except OSError as error:
        raise log_failed("open the log key in", directory, error) from error


def _open_signer(files: FileOps, secrets: Path, public: Path, origin: str) -> SignerKey:
    secret_lines = _lines(files, secrets)
    vkeys = read_vkeys(public, files=files)
    signer = _find_signer(secret_lines, origin, secrets)
    if signer is None:
        if any(key.name == origin for key in vkeys):
            raise BadKeyFile(
                f"{secrets} holds no key of the log {origin!r}, though {public.name} lists one: "
                f"restore it from a copy; to go on with a new key, which auditors must be told of, remove the "
                f"line from {public.name}"
            )
        secret, _ = generate_signer(origin)
        _replace(files, secrets, [*secret_lines, secret])
        signer = parse_signer(secret)
    if signer.verifier not in vkeys:
        lines = [key.vkey for key in (*vkeys, signer.verifier)]
        _replace(files, public, lines)
    return signer


def _find_signer(lines: list[str], origin: str, path: Path) -> SignerKey | None:
    """The last key of this name: a later line replaces an earlier one."""
    for number, line in reversed(list(enumerate(lines, 1))):
        try:
            signer = parse_signer(line)
        except BadKey as error:
            raise BadKeyFile(f"{path}, line {number}: {error}") from None
        if signer.verifier.name == origin:
            return signer
    return None


def write_vkey(files: FileOps, directory: Path, key: VerifierKey) -> None:
    """Put the public key beside the checkpoints it signs (`vkey`), for whoever finds a copy without `keys/`. A
    replaced key stays in it. Raises BadKeyFile, LogFailed."""
    path = directory / VKEY
    known = read_vkeys(path, files=files)
    if key in known:
        return
    try:
        files.make_directory(directory)
        _replace(files, path, [one.vkey for one in (*known, key)])
    except OSError as error:
        raise log_failed("write", path, error) from error


def read_vkeys(path: Path, *, files: FileOps = REAL_FILES) -> list[VerifierKey]:
    """The public keys of a file, one a line, `#` begins a comment; [] when there is no file.

    Raises BadKeyFile, OSError.
    """
    keys = []
    for number, line in enumerate(_lines(files, path), 1):
        try:
            keys.append(parse_vkey(line))
        except BadKey as error:
            raise BadKeyFile(f"{path}, key {number}: {error}") from None
    return keys


def _lines(files: FileOps, path: Path) -> list[str]:
    try:
        data = read_small(files, path, MAX_KEY_FILE_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BadKeyFile(f"{path}: not a text file") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _replace(files: FileOps, path: Path, lines: list[str]) -> None:
    """Write the file anew; durable on return, the old or the new one after a crash."""
    replace_file(files, path, "".join(f"{line}\n" for line in lines).encode())
