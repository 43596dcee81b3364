"""The static token file: kube-apiserver's CSV, for demos, observing and break-glass.

One line a token: `token,user,uid,"group1,group2"`; uid may be empty, groups may be left out. In the place
of the token may stand `sha256:` and 64 hex digits, which is what `append_token` writes: then the file
holds nothing that opens a door. In memory there are only hashes. Unlike kube-apiserver we read the file
again when it changes; a broken file keeps what was read before, a missing one is no tokens.
File work here is a stat and, on change, one small read: done in place, without a thread.
"""

import csv
import hashlib
import io
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.identity.errors import Unauthenticated
from gateway.identity.names import SYSTEM_PREFIX, check_name
from gateway.principal import Principal

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_TOKENS: Final = 10_000
HASH_PREFIX: Final = "sha256:"

_log = logging.getLogger(__name__)
_TOKEN: Final = re.compile(
    r"[A-Za-z0-9._~+/-]+=*"
)  # b64token of RFC 6750: all that a Bearer header can carry
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


class BadTokenFile(GatewayError):
    """A token file nobody should trust. Says file, line and what is wrong; never a token."""

    def __init__(self, path: Path | str, line: int, why: str) -> None:
        super().__init__(f"{path}, line {line}: {why}")
        self.path, self.line = path, line


def mint_token() -> str:
    """A new token: 43 URL-safe characters, 256 random bits."""
    return secrets.token_urlsafe(32)


def append_token(path: Path, user: str, groups: tuple[str, ...] = (), *, uid: str = "") -> str:
    """Give `user` a new token and return it; the file keeps its hash only.

    Creates the file, readable by its owner alone. The line is synced on return. Raises BadTokenFile for names that
    could not be read back, OSError when it cannot be written.
    """
    token = mint_token()
    line = io.StringIO()
    fields = [HASH_PREFIX + _digest(token.encode()).hex(), user, uid]
    csv.writer(line, lineterminator="\n").writerow([*fields, ",".join(groups)] if groups else fields)
    parsed = parse_token_file(line.getvalue(), path.name)
    if [principal.groups for principal in parsed.values()] != [groups]:
        raise BadTokenFile(path, 0, "a group name cannot be written to this file")
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        file.write((b"\n" if torn else b"") + line.getvalue().encode())
        os.fsync(descriptor)
    return token


def parse_token_file(text: str, name: str) -> dict[bytes, Principal]:
    """SHA-256 of each token -> its Principal. Raises BadTokenFile. name: the file's, for the records."""
    tokens: dict[bytes, Principal] = {}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if not row or row[0].startswith("#"):
                continue
            digest, principal = _parse_row(row, name, reader.line_num)
            if digest in tokens:
                raise BadTokenFile(name, reader.line_num, "the same token a second time")
            if len(tokens) == MAX_TOKENS:
                raise BadTokenFile(name, reader.line_num, f"more than {MAX_TOKENS} tokens")
            tokens[digest] = principal
    except csv.Error as error:
        raise BadTokenFile(name, reader.line_num, f"not CSV: {error}") from None
    return tokens


def _parse_row(row: list[str], name: str, line: int) -> tuple[bytes, Principal]:
    if not 3 <= len(row) <= 4:
        raise BadTokenFile(name, line, 'a line is token,user,uid or token,user,uid,"group1,group2"')
    token, user, uid = row[:3]
    if _HASH.fullmatch(token):
        digest = bytes.fromhex(token.removeprefix(HASH_PREFIX))
    elif _TOKEN.fullmatch(token):
        digest = _digest(token.encode())
    else:
        raise BadTokenFile(name, line, "the token is empty or has characters no Bearer header can carry")
    groups = tuple(dict.fromkeys(row[3].split(","))) if len(row) == 4 and row[3] else ()
    try:
        for given, what in ((user, "user name"), *((group, "group name") for group in groups)):
            # The operator writes this file: a reserved name in it is a decision, not a claim.
            check_name(given, what, allowed_system_names=(given,) if given.startswith(SYSTEM_PREFIX) else ())
    except Unauthenticated as error:
        raise BadTokenFile(name, line, error.reason) from None
    credential_id = hashlib.sha256(b"kubetape static token\0" + digest).hexdigest()[:32]
    return digest, Principal(user, groups, "token", credential_id, issuer=name, uid=uid)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


class StaticTokens:
    """The tokens of one file, as it was when last looked at. Raises BadTokenFile only when made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens: dict[bytes, Principal] = {}
        self._seen: tuple[int, ...] | None = None  # what stat said of the file that was read last
        self._read()
        if self._seen is None:
            _log.warning("%s does not exist: no static token is valid yet", path)

    def find(self, digest: bytes) -> Principal | None:
        """The owner of the token with this SHA-256, or None.

        How long the look-up takes may tell something about a hash, never about a token behind it.
        """
        return self._tokens.get(digest)

    def refresh(self) -> None:
        """Read the file again if it changed. A broken one is logged and what was read before stays."""
        try:
            self._read()
        except (BadTokenFile, OSError) as error:
            _log.error("token file not used, the tokens read before stay valid: %s", error)

    def _read(self) -> None:
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            if self._seen is not None:
                _log.warning("%s is gone: no static token is valid", self.path)
            self._seen, self._tokens = None, {}
            return
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if seen == self._seen:
            return
        self._seen = seen  # first: a broken file is complained about once, not every second
        if status.st_mode & 0o077:
            _log.warning("%s can be read by others: chmod 600 it", self.path)
        with open(self.path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise BadTokenFile(self.path, 0, f"longer than {MAX_FILE_BYTES} bytes")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise BadTokenFile(self.path, 0, "not UTF-8") from None
        self._tokens = parse_token_file(text, self.path.name)
