"""Settings -> what makes data keys; the files at hand -> what opens them.

Nobody who can read a log needs the gateway's configuration: `open_key_ring` looks at the data directory and at
the key files named, and an envelope itself says when KMS has to be asked.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.keys.kms import KmsKeys
from gateway.keys.settings import EncryptionSettings
from storage.encryption.hpke_key import HpkeRecipient, parse_private_key
from storage.encryption.keys import KeyMaker, KeyRing, Unwrapper, Wrapper
from storage.encryption.local_key import LINE_LABEL, LocalKey, default_path, ensure_local_key, read_local_keys
from storage.errors import BadKeyFile

POOL_SIZE: Final = 2
KMS_POOL_SIZE: Final = 8
"""Segments an outage of KMS may last: at one a minute enough for a redeployment of a proxy."""
MAX_KEY_FILE_BYTES: Final = 64 * 1024


def local_key_path(settings: EncryptionSettings, data_dir: Path) -> Path:
    return Path(settings.local_key) if settings.local_key is not None else default_path(data_dir)


def open_key_maker(
    settings: EncryptionSettings, data_dir: Path, log_origin: str, cluster: str
) -> KeyMaker | None:
    """What makes data keys for a log; None: it is not to be encrypted. Makes the local key file if need be.

    Raises BadKeyFile. KMS is not asked here.
    """
    if not settings.is_encrypted:
        return None
    wrappers: list[Wrapper] = [HpkeRecipient(text) for text in settings.hpke_recipients]
    if settings.uses_local:
        wrappers.insert(0, ensure_local_key(local_key_path(settings, data_dir)))
    if settings.kms_key is None:
        return KeyMaker(log_origin, wrappers)
    context = {"origin": log_origin, "cluster": cluster}
    kms = KmsKeys(settings.kms_key, settings.kms_region or "", settings.kms_endpoint or "", context)
    return KeyMaker(log_origin, wrappers, kms.generate)


def pool_size(settings: EncryptionSettings) -> int:
    """How many data keys to make ahead."""
    return POOL_SIZE if settings.kms_key is None else KMS_POOL_SIZE


def can_read(settings: EncryptionSettings) -> bool:
    """Whether a gateway with these settings can read its own log; else it indexes with the keys of this run."""
    return not settings.is_encrypted or settings.uses_local


def open_key_ring(data_dir: Path | None, key_files: Sequence[Path], use_kms: bool) -> KeyRing:
    """Everything at hand that opens the logs of a data directory, or of an exported store (None).

    Its local key file if there is one that we may read; the key files named; KMS, asked only for an envelope
    that it wraps. Raises BadKeyFile for a named file that cannot be used.
    """
    unwrappers: list[Unwrapper] = []
    local = default_path(data_dir) if data_dir is not None else None
    if local is not None and os.access(local, os.R_OK):
        read_local_keys(local)  # what is wrong with it is said now, not as "no key"
        unwrappers.append(LocalKey(local))
    unwrappers += [open_key_file(path) for path in key_files]
    if use_kms:
        unwrappers.append(KmsKeys())
    return KeyRing(unwrappers)


def open_key_file(path: Path) -> Unwrapper:
    """A private key in PEM, or a local key file, by what is in it. Raises BadKeyFile."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise BadKeyFile(f"cannot read key file {path}: {error.strerror}") from error
    if LINE_LABEL.encode() in content:
        read_local_keys(path)
        return LocalKey(path)
    return parse_private_key(content, str(path))
