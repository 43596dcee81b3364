"""Retention without a gateway: a plan for any data directory, and a run over one that nobody writes. Conduct.

What a running gateway's keeper does every minute, for a command: the tree is opened for the moment, by the same
code. The trap: two at once would grow the tree twice. So a run takes the locks of the keeper and of every log, and
where export is required it is refused: only the gateway asks the bucket before it deletes.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.keeper_process import LOCK_FILE
from gateway.retention.exported import noted_segments
from gateway.retention.running import Report, Retention
from gateway.retention.settings import RetentionSettings
from storage.encryption.keys import KeyRing
from storage.errors import LogInUse, StorageError
from storage.files import FileOps
from storage.index import INDEX_DIRECTORY
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, open_signer, read_vkeys
from storage.notary.notary import Notary
from storage.retention.decide import Choice
from storage.retention.expiry_plan import Outlook, Rules
from storage.retention.holds_file import read_holds
from storage.retention.holds_index import IndexLookup
from storage.retention.inventory import list_entries, read_extent
from storage.sources import LOCK_NAME, LOG_DIRECTORY, log_names
from storage.tlog.note import SignerKey


class RunRefused(StorageError):
    """Retention is not run here; the message says what to do."""


def plan(
    files: FileOps, data_dir: Path, settings: RetentionSettings, *, exports: bool, keys: KeyRing
) -> Iterator[tuple[str, Choice]]:
    """(log, what would become of a segment), changing nothing; works beside a running gateway.

    exports: whether export is configured; what is in S3 is what the export noted. Raises StorageError, OSError.
    """
    holds = read_holds(files, data_dir)
    lookup, vkeys = (
        IndexLookup(data_dir / INDEX_DIRECTORY),
        read_vkeys(data_dir / KEYS_DIRECTORY / VERIFIER_FILE),
    )
    policy = settings.policy(export_configured=exports)
    noted = noted_segments(data_dir) or frozenset()
    for log in log_names(files, data_dir / LOG_DIRECTORY):
        entries = list_entries(files, data_dir / LOG_DIRECTORY / log)
        exported = {entry.name for entry in entries if entry.name.stem in noted}
        rules = Rules(policy, holds, lookup, time.time_ns(), keys)
        outlook = Outlook(files, data_dir, log, rules, exported=exported, keys=vkeys)
        for choice in outlook.plan():
            yield log, choice


def run(
    files: FileOps, data_dir: Path, settings: RetentionSettings, *, exports: bool, keys: KeyRing
) -> Report:
    """Delete what is due, in a data directory without a running gateway.

    Raises RunRefused where export is required, LogInUse while a gateway runs, StorageError, OSError.
    """
    if settings.policy(export_configured=exports).require_export:
        raise RunRefused(
            "export is required, and only a running gateway asks the bucket before it deletes: start it (its "
            "configuration has record.retention), or look with --dry-run"
        )
    with _alone(files, data_dir):
        signers = {log: _signer(files, data_dir, log) for log in log_names(files, data_dir / LOG_DIRECTORY)}
        retention = Retention(
            data_dir,
            settings,
            signer=signers.__getitem__,
            publish_leaf=lambda log: publish(files, data_dir / LOG_DIRECTORY / log, signers[log]),
            key_ring=keys,
            files=files,
        )
        reports = [retention.run_once()]
        while reports[-1].more:
            reports.append(retention.run_once())
    problems = tuple(dict.fromkeys(problem for report in reports for problem in report.problems))
    return Report(
        tuple(log for report in reports for log in report.logs),
        sum(report.rows_deleted for report in reports),
        problems,
    )


@contextmanager
def _alone(files: FileOps, data_dir: Path) -> Iterator[None]:
    """Neither keeper nor gateway meanwhile. Raises LogInUse."""
    with ExitStack() as locks:
        logs = data_dir / LOG_DIRECTORY
        for path in (data_dir / LOCK_FILE, *(logs / log / LOCK_NAME for log in log_names(files, logs))):
            try:
                locks.callback(files.close, files.lock(path))
            except BlockingIOError:
                raise LogInUse(
                    f"{data_dir} belongs to a running gateway, which applies its own retention every minute: look "
                    "with --dry-run, or stop it"
                ) from None
        yield


def _signer(files: FileOps, data_dir: Path, log: str) -> SignerKey:
    """The key of a log, by the origin its segments name."""
    directory = data_dir / LOG_DIRECTORY / log
    there = [entry.path(directory) for entry in list_entries(files, directory) if entry.state is not None]
    for path in reversed(there):
        if origin := read_extent(files, path).log_origin:
            return open_signer(data_dir, origin, files=files)
    raise RunRefused(f"log {log}: no segment of it says what log it is")


def publish(files: FileOps, directory: Path, signer: SignerKey) -> None:
    """Give everything in a log's directory its leaf, sign the tree and make it durable. Raises StorageError."""
    notary = Notary.open(files, directory, signer)
    try:
        while notary.advance():
            pass
        notary.publish(time.monotonic(), durable=True)
        notary.sync()
    finally:
        notary.close()
