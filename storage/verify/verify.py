"""`kubetape verify`: is this log, or this copy of it, what was signed? Offline, without keys, changing nothing. Conduct.

Finds the logs of a directory, shares the reading out among processes, and puts the reports together; the checks are in
`log_verifier` and below it. Everything is read through FileOps, so a bucket that looks like a directory will do.

The trap: what a verifier knows from elsewhere decides what it can find. With nothing but the copy itself, it proves that
the copy is consistent; with the log's key, that the log wrote it; with a checkpoint held elsewhere, that nothing before
it was changed or is gone.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.files import REAL_FILES, FileOps
from storage.notary.log_key import KEYS_DIRECTORY, VERIFIER_FILE, read_vkeys
from storage.notary.retelling import TREE_DIRECTORY
from storage.reader import list_segments
from storage.sources import LOG_DIRECTORY, log_names
from storage.tlog.checkpoint import read_unverified
from storage.tlog.note import VerifierKey
from storage.tlog.tree_reader import VKEY
from storage.verify.findings import Finding, Kind, LogReport, Report
from storage.verify.log_verifier import LogVerifier
from storage.verify.segment_check import SegmentResult, SegmentTask, check_segment
from storage.verify.tree_check import ScanParts, Trust
from storage.verify.tree_scan import TreePart, TreeSnapshot, scan_tree

WORTH_PROCESSES_BYTES: Final = 256 << 20
"""Below that, starting processes takes about as long as reading."""


class Progress(msgspec.Struct, frozen=True):
    """How far it is: bytes of segments."""

    log: str
    read_bytes: int
    total_bytes: int


def verify(
    files: FileOps,
    directory: Path,
    *,
    trust: Trust = Trust(),  # noqa: B008 - frozen
    since_ns: int = 0,
    lag_ns: int = 0,
    processes: int | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Verify all logs of a data directory, or the one log a directory is.

    since_ns: read no segment that ended before (UTC nanoseconds); the tree is checked as a whole. lag_ns: how
    long after their signing segments may arrive, in a store. processes: how many share the reading; None: one a CPU, for
    real files and enough of them. Whatever is wrong with a log is in the report;
    raises nothing but OSError for a directory that cannot be listed.
    """
    began = time.monotonic()
    logs, data_dir = find_logs(files, directory)
    own_keys = _own_keys(files, data_dir)
    beside = {name: _vkeys(files, path / TREE_DIRECTORY / VKEY) for name, path in logs}
    findings = _about_trust(trust, [*own_keys, *(key for keys in beside.values() for key in keys)])
    if not logs:
        findings.append(Finding(Kind.UNVERIFIABLE, f"{directory} holds no log"))
    sizes = {name: _segment_bytes(files, path) for name, path in logs}
    reports = []
    with _work(files, sum(sizes.values()), processes) as work:
        for name, path in logs:
            keys = [*own_keys, *beside[name]]
            verifier = LogVerifier(files, path, name, trust, keys, since_ns, lag_ns)
            reports.append(_verify_log(verifier, name, work, sizes[name], progress))
    findings += _about_checkpoints(trust, reports)
    return Report(tuple(reports), tuple(findings), time.monotonic() - began)


def _verify_log(
    verifier: LogVerifier, name: str, work: "Readers", total_bytes: int, progress: Callable[[Progress], None]
) -> LogReport:
    read_bytes = 0

    def tick(more: int) -> None:
        nonlocal read_bytes
        read_bytes += more
        progress(Progress(name, read_bytes, total_bytes))

    try:
        return verifier.run(work, tick)
    except (StorageError, OSError) as error:
        why = f"it cannot be read to its end: {error}"
        return LogReport(name, findings=(Finding(Kind.UNVERIFIABLE, why, name),))


def find_logs(files: FileOps, directory: Path) -> tuple[list[tuple[str, Path]], Path | None]:
    """(name, directory) of each log of a data directory, and that directory; or a log's directory itself, whose data
    directory is guessed from its place."""
    names = log_names(files, directory / LOG_DIRECTORY)
    if names:
        return [(name, directory / LOG_DIRECTORY / name) for name in names], directory
    if TREE_DIRECTORY in files.names(directory) or list_segments(directory, files=files):
        is_inside = directory.absolute().parent.name == LOG_DIRECTORY
        return [(directory.name, directory)], directory.absolute().parent.parent if is_inside else None
    return [], directory


def _own_keys(files: FileOps, data_dir: Path | None) -> list[VerifierKey]:
    return _vkeys(files, data_dir / KEYS_DIRECTORY / VERIFIER_FILE) if data_dir else []


def _vkeys(files: FileOps, path: Path) -> list[VerifierKey]:
    """Keys that lie with the copy; what cannot be read is as good as none."""
    try:
        return read_vkeys(path, files=files)
    except (StorageError, OSError):
        return []


def _segment_bytes(files: FileOps, directory: Path) -> int:
    """About what is to be read: sizes only, and only of real files."""
    if files is not REAL_FILES:
        return 0
    total = 0
    for entry in os.scandir(directory):
        with suppress(FileNotFoundError):  # renamed meanwhile
            total += entry.stat().st_size
    return total


def _about_trust(trust: Trust, own_keys: Sequence[VerifierKey]) -> list[Finding]:
    if not trust.is_empty or not own_keys:
        return []
    why = (
        "no key was given: signatures were checked with the key that lies with the copy itself. That proves that the copy "
        "is consistent, not who wrote it: give the log's key (--vkey) or a policy (--policy)"
    )
    return [Finding(Kind.TRUST, why)]


def _about_checkpoints(trust: Trust, reports: Sequence[LogReport]) -> Iterator[Finding]:
    """Checkpoints held elsewhere that no log here could be compared with."""
    origins = {report.origin for report in reports}
    for name, note in trust.checkpoints:
        try:
            origin = read_unverified(note).origin
        except StorageError as error:
            yield Finding(Kind.UNVERIFIABLE, f"{name}: {error}")
            continue
        if origin not in origins:
            yield Finding(Kind.ROLLBACK, f"{name} is of the log {origin!r}, of which nothing is here")


# --- who does the reading ----------------------------------------------------------------------------


class Readers:
    """In this process, or shared out by an executor."""

    def __init__(self, files: FileOps, executor: Executor | None) -> None:
        self._files, self._executor = files, executor

    @property
    def scan_parts(self) -> ScanParts:
        return self._scan_parts

    def _scan_parts(
        self, tree: TreeSnapshot, tasks: Sequence[tuple[int, int, list[int]]]
    ) -> Iterator[TreePart]:
        if self._executor is None or len(tasks) < 2:
            return (scan_tree(self._files, tree, *task) for task in tasks)
        waiting = [self._executor.submit(scan_tree, self._files, tree, *task) for task in tasks]
        return (future.result() for future in waiting)

    def check_segments(
        self, tasks: Sequence[SegmentTask], tree: TreeSnapshot | None
    ) -> Iterator[SegmentResult]:
        if self._executor is None or len(tasks) < 2:
            return (check_segment(self._files, task, tree) for task in tasks)
        waiting = [self._executor.submit(check_segment, self._files, task, tree) for task in tasks]
        return (future.result() for future in waiting)


@contextmanager
def _work(files: FileOps, total_bytes: int, processes: int | None) -> Iterator[Readers]:
    """Processes are spawned, not forked: a fork of a process with threads may never run."""
    wanted = processes or (os.cpu_count() or 1 if total_bytes >= WORTH_PROCESSES_BYTES else 1)
    if wanted < 2 or files is not REAL_FILES:
        yield Readers(files, None)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(wanted, mp_context=context) as executor:
        try:
            yield Readers(files, executor)
        finally:
            executor.shutdown(cancel_futures=True)
