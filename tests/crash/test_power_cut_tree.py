"""Power cuts with a hash tree over the log: whatever they keep, nothing that was signed is missed afterwards.

The model of `test_power_cut.py`: a file system that knows what is durable. A checkpoint signed over frames that only the
page cache held would turn every power cut into an alarm; here each cut, and samples of what may be left, is started on.
"""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.notary.leaf_source import LeafSource
from storage.notary.notary import Notary
from storage.notary.start_check import check_log
from storage.recovery import mark_recovered, recover
from storage.verify.log_verifier import LogVerifier
from storage.verify.tree_check import Trust
from storage.verify.verify import Readers
from tests.kit.faulty_files import CrashFiles
from tests.kit.notarised import NotarisedLog

DATA = Path("/data")
NOTE = "loss-1.note"
SAMPLES = 4


def scenario(files: CrashFiles, log: NotarisedLog | None = None) -> NotarisedLog:
    """Segments grow, are signed over, sealed; a note is noticed. Frames are signed before they are synced."""
    log = log or NotarisedLog(DATA, files=files)
    notary = Notary.open(files, log.directory, log.signer, clock=lambda: log.now_s)
    try:
        for _ in range(2):
            segment = log.begin()
            for count in (1, 2):
                segment.append([b"record %d" % n for n in range(count)], 1_790_000_000_123_456_789)
                log._next_record_seq = segment.next_record_seq
                log.notarise(notary)
            segment.sync()
            segment.seal()
            log.notarise(notary)
        fd = files.create(log.directory / NOTE)
        files.write(fd, [b"a statement"], 0)
        files.sync(fd)
        files.close(fd)
        files.sync_directory(log.directory)
        log.notarise(notary)
    finally:
        notary.close()
    return log


def calls_of_a_whole_run() -> int:
    files = CrashFiles()
    scenario(files)
    return files.calls


@pytest.mark.parametrize("part", range(4))
def test_after_any_power_cut_the_log_goes_on_without_a_finding(part: int) -> None:
    cut_everywhere(part, 4)


def cut_everywhere(part: int, step: int) -> None:
    """The power goes at every step-th call."""
    rng = random.Random(part)
    prepared = CrashFiles()
    NotarisedLog(DATA, files=prepared)
    keys = {path: bytes(inode.current) for path, inode in prepared._names.items()}
    for cut_at in range(1 + part, calls_of_a_whole_run() + 1, step):
        files = CrashFiles(dict(keys), cut_at)
        with suppress(LogFailed, OSError):
            scenario(files)
        for image in images(files, rng):
            starts_again(image, cut_at)


def test_without_the_sync_before_signing_a_power_cut_looks_like_a_rollback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above can fail."""
    monkeypatch.setattr(LeafSource, "sync", lambda _: None)
    with pytest.raises(AssertionError, match=r"rolled back|do not lead to what was signed"):
        cut_everywhere(0, 1)


def images(files: CrashFiles, rng: random.Random) -> Iterator[CrashFiles]:
    """Nothing kept, all kept, and some of each at random."""
    names = files.pending_names()
    yield files.image(lambda _, data: None, 0)
    yield files.image(lambda _, data: data, names)
    yield files.image(lambda _, data: None, names)
    for _ in range(SAMPLES):
        yield files.image(lambda _, data: _kept(rng, data), rng.randint(0, names))


def _kept(rng: random.Random, data: bytes) -> bytes | None:
    return rng.choice([None, data, data, data[: len(data) // 2] or None])


def starts_again(image: CrashFiles, cut_at: int) -> None:
    """What a start does: check, recover, go on with the tree. Then verify, with the log's key."""
    log = NotarisedLog(DATA, files=image)
    found = check_log(image, log.directory, [log.signer.verifier])
    assert found.findings == (), (cut_at, found.text)
    recovered = recover(image, log.directory)
    mark_recovered(image, recovered.examined)
    notary = log.notary()
    log.notarise(notary)
    is_signed = notary.checkpoint is not None
    notary.close()
    verifier = LogVerifier(image, log.directory, "0", Trust((log.signer.verifier,)), ())
    report = verifier.run(Readers(image, None), lambda _: None)
    findings = [finding for finding in report.findings if not finding.is_note]
    if is_signed:
        assert [finding for finding in findings if NOTE not in finding.why] == [], cut_at
