"""Settings and a data directory -> a record that may be written. Conduct, blocking, at start only.

In this order, and nothing is served before all of it: the key that signs the log, the proof that what was signed
is still there, the keys that encrypt what will be written, the log. A log that was rolled back, or whose key is
gone, is not written on: that is the one moment when a loss can still be seen.
"""

import os
import time
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from gateway import journal
from gateway.clear_text import needs_keys
from gateway.config import Settings
from gateway.keys.opening import open_key_maker, pool_size
from gateway.log_name import identify_log
from gateway.policy_in_force import PolicyInForce
from gateway.recorder import Recorder
from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey
from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, open_signer, read_vkeys
from storage.notary.loss_acceptance import accept_loss as accept_the_loss
from storage.notary.notary import sign_beginning
from storage.notary.start_check import check_log
from storage.pace import LogSettings
from storage.records import LogStarted, LossAccepted
from storage.recovery import Floor
from storage.sources import LOG_DIRECTORY
from storage.tlog.note import SignerKey


class LogNotContinuous(StorageError):
    """What was signed is not there any more: the disk was rolled back or exchanged, or files were removed.

    Restore the data directory from a copy or the bucket; to go on without what is lost, start with --accept-loss.
    """


class OpenRecord(NamedTuple):
    """What a gateway needs of its record. log_key: the public one, to be told to auditors."""

    recorder: Recorder
    keys: KeyPool | None
    log_key: str


def open_record(
    settings: Settings,
    data_dir: Path,
    policy: PolicyInForce,
    *,
    upstream: str,
    number: int = 0,
    tell_key: Callable[[DataKey], None] = lambda _: None,
    accept_loss: str = "",
) -> OpenRecord:
    """Open a log of a data directory for writing.

    number: of the log; each has one writer at a time. tell_key: for a keeper that cannot read what we write; called
    from any thread. accept_loss: an operator's reason to go on although the start check found something. Raises LogNotContinuous,
    and what storage raises: LogInUse, LogFailed, BadKeyFile, NoKey.
    """
    identity = identify_log(gateway_id(data_dir), number)
    directory = data_dir / LOG_DIRECTORY / str(number)
    signer = open_signer(data_dir, identity.log_origin)
    accepted, floor = _check(data_dir, directory, signer, accept_loss)
    sign_beginning(REAL_FILES, directory, signer)
    encryption = settings.record.encryption
    maker = open_key_maker(encryption, data_dir, identity.log_origin, settings.cluster.name)
    keys = KeyPool(maker, pool_size(encryption)) if maker is not None else None
    if keys is not None:
        keys.start()
    try:
        recorder = Recorder(
            directory,
            identity=identity,
            settings=LogSettings(segment_bytes=settings.record.segment_bytes),
            keys=keys,
            on_data_key=tell_key if needs_keys(settings) else lambda _: None,
            floor=floor,
        )
    except BaseException:
        if keys is not None:
            keys.stop()
        raise
    for found in recorder.recovered:
        if found.finding == "corrupt":
            journal.problem(
                "recovery", f"segment {found.segment} is damaged; it was kept as it is, look at it"
            )
    if accepted:
        recorder.append(LossAccepted(time.time_ns(), accepted, accept_loss), urgent=True)
    recorder.append(
        LogStarted(
            at_ns=time.time_ns(),
            gateway_id=identity.gateway_id,
            version=version("kubetape"),
            worker=number,
            mode=policy.mode.value,
            policy_sha256=policy.sha256,
            upstream=upstream,
            log_key=signer.verifier.vkey,
            encryption=_encrypted_for(settings),
        ),
        urgent=True,
    )
    return OpenRecord(recorder, keys, signer.verifier.vkey)


def _check(data_dir: Path, directory: Path, signer: SignerKey, accept_loss: str) -> tuple[str, Floor]:
    """What an operator accepts to have lost ("" for nothing), and what new numbers must not be below."""
    keys = read_vkeys(data_dir / KEYS_DIRECTORY / VERIFIER_FILE)  # a replaced key signed what came before it
    continuity = check_log(REAL_FILES, directory, keys)
    finding = continuity.text
    if finding:
        if not accept_loss:
            raise LogNotContinuous(
                f"the log is not the one that was signed: {finding}. Restore the data directory from a copy or the "
                "bucket and start again; to go on without what is lost, say why: --accept-loss REASON"
            )
        accept_the_loss(REAL_FILES, directory, signer, accept_loss, time.time_ns(), keys=keys)
        continuity = check_log(REAL_FILES, directory, keys)
        journal.problem("recovery", f"an accepted loss: {finding}", reason=accept_loss)
    return finding, Floor(continuity.next_segment_number, continuity.next_record_seq)


def _encrypted_for(settings: Settings) -> str:
    """For whom data keys are wrapped, in words that are no secret."""
    encryption = settings.record.encryption
    if not encryption.is_encrypted:
        return "none"
    names = ["local key"] if encryption.uses_local else []
    return ", ".join([*names, *encryption.hpke_recipients, *filter(None, [encryption.kms_key])])


def gateway_id(data_dir: Path) -> str:
    """The name of this data directory's gateway: made once, kept beside the log."""
    path = data_dir / "gateway-id"
    if not path.exists():
        temporary = path.with_suffix(".new")
        with temporary.open("w") as file:
            file.write(uuid.uuid4().hex + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        REAL_FILES.sync_directory(data_dir)  # or a power cut leaves a log whose origin nobody knows
    return path.read_text().strip()
