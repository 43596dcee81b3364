import random
import threading
import time
from pathlib import Path

import pytest

from storage.files import REAL_FILES, RealFiles
from storage.log import LogIdentity, SegmentLog
from storage.notary.log_key import open_signer
from storage.notary.notary import Notary
from storage.pace import LogSettings
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.note import generate_signer, parse_signer
from storage.verify.findings import Kind
from storage.verify.tree_check import Trust
from storage.verify.verify import Progress, find_logs, verify
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import flip


def trust_of(log: NotarisedLog) -> Trust:
    return Trust((log.signer.verifier,))


def test_a_sound_data_directory(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    report = verify(REAL_FILES, tmp_path, trust=trust_of(log))
    assert (report.exit_code, report.all_findings) == (0, [])
    (found,) = report.logs
    assert (found.log, found.origin, found.size) == ("0", ORIGIN, 10)
    assert (found.segments, found.frames, found.records, found.next_record_seq) == (3, 8, 13, 14)
    assert found.read_bytes > 8000
    assert report.took_s > 0


def test_the_directory_of_one_log_will_do(tmp_path: Path) -> None:
    log = three_segments(tmp_path / "data")
    report = verify(REAL_FILES, log.directory)
    assert [finding.kind for finding in report.all_findings] == [Kind.TRUST]
    assert report.logs[0].log == "0"
    copy = log.directory.rename(tmp_path / "copy")
    assert verify(REAL_FILES, copy).exit_code == 15, "no key is at hand there"
    (copy / "tlog" / "vkey").write_text(log.signer.verifier.vkey)
    assert verify(REAL_FILES, copy).exit_code == 0
    (copy / "tlog" / "vkey").write_text("garbage")
    assert verify(REAL_FILES, copy).exit_code == 15
    for path in copy.glob("*-*"):
        path.unlink()
    assert find_logs(REAL_FILES, copy)[0] == [("copy", copy)]


def test_several_logs_are_all_verified(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    other = NotarisedLog(tmp_path)
    other.directory = tmp_path / "log" / "1"
    other.directory.mkdir()
    other.signer = open_signer(tmp_path, "example.com/other")
    path = other.sealed(1, log_origin="example.com/other")
    other.notarise()
    assert (
        verify(REAL_FILES, tmp_path, trust=Trust((log.signer.verifier, other.signer.verifier))).exit_code == 0
    )
    flip(path, 4150)
    report = verify(REAL_FILES, tmp_path)
    assert [finding.log for finding in report.all_findings if not finding.is_note] == ["1"]


def test_nothing_there_is_nothing_verified(tmp_path: Path) -> None:
    report = verify(REAL_FILES, tmp_path)
    assert report.exit_code == 15
    assert "holds no log" in report.all_findings[0].why


def test_a_checkpoint_held_of_a_log_that_is_gone_is_a_rollback(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    note = sign_checkpoint(Checkpoint("example.com/gone", 5, bytes(32)), [log.signer])
    mine = (log.directory / "tlog" / "checkpoint").read_bytes()
    held = (("gone", note), ("garbage", b"x"), ("mine", mine))
    trust = Trust((log.signer.verifier,), checkpoints=held)
    report = verify(REAL_FILES, tmp_path, trust=trust)
    assert report.exit_code == 12
    assert [finding.kind for finding in report.all_findings] == [Kind.ROLLBACK, Kind.UNVERIFIABLE]


class Unreadable(RealFiles):
    def open_read(self, path: Path) -> int:
        if path.suffix == ".kseg":
            raise PermissionError(13, "permission denied", str(path))
        return super().open_read(path)


def test_what_cannot_be_read_cannot_be_verified(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    report = verify(Unreadable(), tmp_path, trust=trust_of(log))
    assert report.exit_code == 15
    assert "permission denied" in report.all_findings[0].why


def test_processes_share_the_reading_and_find_the_same(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    paths = [log.sealed(*[1] * 300) for _ in range(4)]
    log.notarise()
    seen: list[Progress] = []
    alone = verify(REAL_FILES, tmp_path, trust=trust_of(log))
    shared = verify(REAL_FILES, tmp_path, trust=trust_of(log), processes=2, progress=seen.append)
    assert shared.logs == alone.logs
    assert shared.exit_code == 0
    assert [reached.read_bytes for reached in seen] == sorted(reached.read_bytes for reached in seen)
    assert seen[-1].read_bytes == sum(path.stat().st_size for path in paths)
    flip(paths[2], 5000)
    report = verify(REAL_FILES, tmp_path, trust=trust_of(log), processes=2)
    assert [finding.segment for finding in report.all_findings] == [paths[2].stem]


def test_a_large_tree_is_shared_out_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.verify.tree_assembly.PART_BUNDLES", 1)
    log = NotarisedLog(tmp_path)
    log.sealed(*[1] * 600)
    log.notarise()
    assert verify(REAL_FILES, tmp_path, trust=trust_of(log), processes=2).exit_code == 0


def test_another_file_system_is_read_in_this_process(tmp_path: Path) -> None:
    log = three_segments(tmp_path)
    assert verify(RealFiles(), tmp_path, trust=trust_of(log), processes=2).exit_code == 0


def test_a_key_of_another_log_is_forgery_and_no_key_is_not(tmp_path: Path) -> None:
    three_segments(tmp_path)
    other = parse_signer(generate_signer("example.com/other")[0])
    assert verify(REAL_FILES, tmp_path, trust=Trust((other.verifier,))).exit_code == 14
    (tmp_path / "keys" / "log.vkey").unlink()
    assert verify(REAL_FILES, tmp_path).exit_code == 15


# --- K17: a log that is being written ------------------------------------------------------------------


def test_a_log_that_is_written_rotated_and_signed_meanwhile_gives_no_false_alarm(tmp_path: Path) -> None:
    """A writer, a notary and a verifier at once; each round sees another moment of all three."""
    directory = tmp_path / "log" / "0"
    signer = open_signer(tmp_path, ORIGIN)
    stop = threading.Event()
    problems: list[BaseException] = []
    log = SegmentLog.open(
        directory,
        identity=LogIdentity("gw", ORIGIN, 0),
        on_commit=lambda _: None,
        on_failure=problems.append,
        settings=LogSettings(
            segment_bytes=64 << 10, first_segment_bytes=16 << 10, spares=2, company_s=0.0005, sync_s=0.002
        ),
    )

    def write() -> None:
        rng = random.Random(2)
        while not stop.is_set():
            log.append(rng.randbytes(rng.randrange(1, 900)), urgent=rng.random() < 0.05)
            stop.wait(0.0002)

    def sign() -> None:
        notary = Notary.open(REAL_FILES, directory, signer)
        now_s = 0.0
        try:
            while not stop.is_set():
                notary.advance()
                now_s += 100  # a checkpoint at every turn
                notary.publish(now_s, keep=True)
        except BaseException as error:
            problems.append(error)
        notary.close()

    threads = [threading.Thread(target=work) for work in (write, sign)]
    for thread in threads:
        thread.start()
    try:
        sizes: list[int] = []
        give_up_s = time.monotonic() + 30
        while (
            len(sizes) < 40 or sizes[0] == sizes[-1] or not _rotated(directory)
        ) and time.monotonic() < give_up_s:
            if not (directory / "tlog" / "checkpoint").exists():
                continue
            report = verify(REAL_FILES, tmp_path, trust=Trust((signer.verifier,)))
            assert report.exit_code == 0, report.all_findings
            kinds = {finding.kind for finding in report.all_findings}
            assert kinds <= {Kind.NOT_COVERED, Kind.TORN_TAIL}
            sizes.append(report.logs[0].size)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        log.close(10)
    assert problems == []
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    assert _rotated(directory)


def _rotated(directory: Path) -> bool:
    return len(list(directory.glob("*.kseg"))) > 2
