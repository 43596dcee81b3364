"""Who may be believed: every entry is signed by the gateway that wrote it, and verified by every gateway that reads it.

A signature is the 4-byte id of a key and 64 bytes of Ed25519 over a purpose line, the cluster's name and the entry.
Trusted are the keys of this data directory and those the configuration names; never one that the store holds. So
whoever administers the database can keep entries from us, but can write none: not an approval, not a grant. The
cluster's name keeps an entry of one cluster from counting in another that trusts the same key.

The state key is a sibling of the log's key, not the same: the log's public key is for auditors, this one is for
replicas, and trusting somebody to write the state is not trusting him to sign the log (docs/decisions/0010).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from gateway.state.entries import AnyEntry, decode_entry, encode_entry
from gateway.state.store import MAX_ENTRY_BYTES, StateError, Stored
from storage.encryption.keys import read_small
from storage.files import REAL_FILES
from storage.notary.log_key import KEYS_DIRECTORY, open_signer, read_vkeys
from storage.tlog.note import (
    KEY_ID_BYTES,
    BadKey,
    KeyType,
    Signer,
    SignerKey,
    VerifierKey,
    parse_signer,
    parse_vkey,
)

STEM: Final = "state"
PURPOSE: Final = b"kubetape state entry v1\n"
MAX_KEY_FILE_BYTES: Final = 4096


class RefusedEntry(StateError):
    """An entry of the store must not be applied; somebody other than a trusted gateway wrote it, or a newer one."""


class Seal:
    """Signs our entries and opens those of the store. cluster: its name in the configuration."""

    def __init__(self, signer: Signer, trusted: Iterable[VerifierKey], cluster: str) -> None:
        self._signer = signer
        self._trusted = {key.key_id: key for key in (*trusted, signer.verifier)}
        self._prefix = PURPOSE + cluster.encode() + b"\n"

    def close(self, entry: AnyEntry) -> tuple[bytes, bytes]:
        """(encoded, signature)"""
        encoded = encode_entry(entry)
        return encoded, self._signer.verifier.key_id + self._signer.sign(self._prefix + encoded)

    def open(self, stored: Stored) -> AnyEntry:
        """Verify, then decode. Raises RefusedEntry."""
        where = f"entry {stored.seq} of the shared state"
        key_id, signature = stored.signature[:KEY_ID_BYTES], stored.signature[KEY_ID_BYTES:]
        key = self._trusted.get(key_id)
        if key is None:
            raise RefusedEntry(
                f"{where} is signed by an unknown key ({key_id.hex() or 'none'}): if a replica of yours wrote it, "
                "add its key to state.trustedKeys"
            )
        if len(stored.encoded) > MAX_ENTRY_BYTES or not key.verify(self._prefix + stored.encoded, signature):
            raise RefusedEntry(
                f"{where} was changed, or comes from another cluster: its signature does not verify; "
                "find out who writes to the database"
            )
        try:
            return decode_entry(stored.encoded)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise RefusedEntry(
                f"{where} is of a kind that this version does not know: upgrade this replica"
            ) from None


def open_seal(
    data_dir: Path,
    gateway_id: str,
    cluster: str,
    *,
    key_file: str = "",
    trusted_keys: Iterable[str] = (),
) -> Seal:
    """The seal of this gateway: with the shared key in `key_file`, or one of its own, made at the first start.

    trusted_keys: vkeys of other replicas. Raises BadKeyFile, LogFailed (storage.errors), StateError.
    """
    trusted = [_parse_trusted(text) for text in trusted_keys]
    if key_file:
        return Seal(_read_signer(Path(key_file)), trusted, cluster)
    signer = open_signer(data_dir, f"kubetape-state/{gateway_id}", stem=STEM)
    own = read_vkeys(data_dir / KEYS_DIRECTORY / f"{STEM}.vkey")  # a replaced key signed what came before it
    return Seal(signer, [*own, *trusted], cluster)


def _parse_trusted(text: str) -> VerifierKey:
    try:
        key = parse_vkey(text.strip())
    except BadKey as error:
        raise StateError(f"state.trustedKeys: {error}") from None
    if key.type is not KeyType.ED25519:
        raise StateError(f"state.trustedKeys: {key.name} is no Ed25519 key: name the key in keys/state.vkey")
    return key


def _read_signer(path: Path) -> SignerKey:
    try:
        text = read_small(REAL_FILES, path, MAX_KEY_FILE_BYTES).decode()
        signer = parse_signer(text.strip())
    except OSError as error:
        raise StateError(f"state.signingKeyFile: cannot read {path}: {error.strerror}") from None
    except (BadKey, UnicodeDecodeError) as error:
        why = error if isinstance(error, BadKey) else "not a text file"
        raise StateError(f"state.signingKeyFile {path}: {why}") from None
    if signer.verifier.type is not KeyType.ED25519:
        raise StateError(f"state.signingKeyFile {path}: no Ed25519 key")
    return signer
