import hashlib
from pathlib import Path

import msgspec
import pytest

from storage.files import REAL_FILES, RealFiles
from storage.format import CipherParameters, parse_header_page
from storage.notary.frame_scan import SILENCE_NS
from storage.notary.leaf import (
    RecoveredLeaf,
    SealedLeaf,
    TombstoneLeaf,
    UnknownLeaf,
    encode_leaf,
    parse_leaf,
)
from storage.notary.retelling import open_store
from storage.notary.tombstone import sign_tombstone
from storage.reader import list_segments
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.verify.findings import Finding, Kind
from storage.verify.log_verifier import MAX_SILENCES, _readable, ranges
from storage.verify.tree_check import Trust
from storage.verify.tree_scan import Run
from storage.verify.verify import verify
from tests.crash.test_tamper import buried
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import START_NS, flip, record


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return NotarisedLog(tmp_path / "data")


def findings(log: NotarisedLog, files: RealFiles | None = None, since_ns: int = 0) -> list[Finding]:
    trust = Trust((log.signer.verifier,))
    return verify(files or REAL_FILES, log.data_dir, trust=trust, since_ns=since_ns).all_findings


def kinds(log: NotarisedLog) -> list[Kind]:
    return [finding.kind for finding in findings(log)]


def sign_over(log: NotarisedLog, *entries: bytes) -> None:
    """A checkpoint over these leaves besides those there are: what the key of the log can do."""
    store = open_store(REAL_FILES, log.directory, [log.signer.verifier])
    store.append(entries)
    store.publish(sign_checkpoint(Checkpoint(ORIGIN, *store.head()), [log.signer]))


# --- notes ----------------------------------------------------------------------------------------------


def spaced(log: NotarisedLog, *at_s: float, epoch: int = 1) -> None:
    segment = log.begin(writer_epoch=epoch)
    for second in at_s:
        segment.append([record(1)], START_NS + int(second * 1e9))
    log._next_record_seq = segment.next_record_seq
    segment.seal()


def test_silence_within_and_between_segments_of_one_run_is_a_note(log: NotarisedLog) -> None:
    spaced(log, 0, 100, 400)
    spaced(log, 1000)
    spaced(log, 9000, epoch=2)
    log.notarise()
    silences = [finding for finding in findings(log) if finding.kind is Kind.SILENCE]
    assert [(finding.record, finding.why) for finding in silences] == [
        (3, "nothing was written for 5 minutes"),
        (4, "nothing was written for 10 minutes"),
    ]


def test_many_silences_are_counted(log: NotarisedLog) -> None:
    spaced(log, *[n * (SILENCE_NS / 1e9 + 1) for n in range(MAX_SILENCES + 4)])
    log.notarise()
    silences = [finding.why for finding in findings(log) if finding.kind is Kind.SILENCE]
    assert len(silences) == MAX_SILENCES + 1
    assert silences[-1] == "3 more such silences"


def test_an_encrypted_segment_without_its_key_is_a_note(log: NotarisedLog) -> None:
    path = log.sealed(1)
    data = path.read_bytes()
    path.unlink()
    header = parse_header_page(data[:4096], "")
    other = NotarisedLog(log.data_dir.with_name("encrypted"))
    sealed = other.sealed(1, segment_id=header.segment_id)
    other.notarise()
    assert kinds(other) == []
    from storage.format import encode_header_page, encode_trailer, parse_trailer

    page = encode_header_page(
        msgspec.structs.replace(header, cipher=CipherParameters("aes-256-gcm", bytes(24)))
    )
    body = page + sealed.read_bytes()[4096:-64]
    trailer = parse_trailer(sealed.read_bytes()[-64:], "", len(sealed.read_bytes()) - 64)
    sealed.write_bytes(
        body + encode_trailer(msgspec.structs.replace(trailer, sha256=hashlib.sha256(body).digest()))
    )
    third = NotarisedLog(log.data_dir.with_name("third"))
    third.sealed(1).unlink()
    target = third.directory / sealed.name
    target.write_bytes(sealed.read_bytes())
    third.notarise()
    assert kinds(third) == [Kind.KEYS_MISSING]
    target.with_suffix(".shredded").write_bytes(b"{}")
    third.notarise()
    assert kinds(third) == [Kind.SHREDDED]
    target.with_suffix(".shredded").unlink()
    target.with_suffix(".keys").write_bytes(b"{}")
    assert Kind.KEYS_MISSING not in kinds(third)


def test_leaves_of_a_newer_version_are_proven_and_counted(log: NotarisedLog) -> None:
    log.sealed(1)
    log.notarise()
    sign_over(log, encode_leaf(UnknownLeaf(1, 99, b"\x01\x63what next")))
    (note,) = findings(log)
    assert (note.kind, note.why) == (
        Kind.TRUST,
        "1 leaves are of a newer version: they are proven, not understood",
    )


# --- what only the key of the log can do wrong ------------------------------------------------------------


def test_an_entry_that_is_no_leaf_is_corrupt(log: NotarisedLog) -> None:
    log.sealed(1)
    log.notarise()
    sign_over(log, b"\x01\x02too short")
    assert kinds(log) == [Kind.CORRUPT]


def test_leaves_out_of_order_are_corrupt(log: NotarisedLog) -> None:
    log.sealed(1)
    log.sealed(1)
    log.notarise()
    store = open_store(REAL_FILES, log.directory, [log.signer.verifier])
    ends = [entry for entry in store.entries(0, store.size) if isinstance(parse_leaf(entry), SealedLeaf)]
    sign_over(log, ends[0])
    assert "after 2" in findings(log)[0].why


# --- links ------------------------------------------------------------------------------------------------


def test_segments_that_do_not_follow_each_other_are_named(log: NotarisedLog) -> None:
    log.sealed(1)
    log.sealed(1, prev_segment_id="01a0c450-6c7b-7747-8290-6058ad151265")
    log.notarise()
    (finding,) = findings(log)
    assert (finding.kind, finding.offset) == (Kind.REWRITE, 0)
    assert "it follows segment" in finding.why


def test_a_hole_in_the_record_numbers_is_named(log: NotarisedLog) -> None:
    log.sealed(1)
    log.sealed(1, first_record_seq=5)
    log.notarise()
    (finding,) = findings(log)
    assert (finding.kind, finding.record) == (Kind.REWRITE, 2)
    assert "begins with record 5, the segment before it ends before 2" in finding.why


def test_behind_damage_numbers_are_not_asked_for(log: NotarisedLog) -> None:
    path = log.sealed(1, 1)
    log.sealed(1)
    log.notarise()
    flip(path, 4150)
    assert kinds(log) == [Kind.CORRUPT]


def test_a_segment_of_another_log_is_named(log: NotarisedLog) -> None:
    log.sealed(1, log_origin="example.com/other")
    log.notarise()
    (finding,) = findings(log)
    assert "of the log 'example.com/other'" in finding.why


def test_a_tombstone_stands_in_for_a_segment(log: NotarisedLog) -> None:
    path = log.sealed(1)
    log.sealed(1)
    log.notarise()
    path.with_suffix(".tombstone").write_bytes(sign_tombstone(buried(log, path), log.signer))
    log.notarise()
    assert kinds(log) == [Kind.DELETED], "not gone yet"
    path.unlink()
    assert kinds(log) == [Kind.DELETED]
    other = log.data_dir.with_name("cut")
    log.data_dir.rename(other)


# --- missing segments ---------------------------------------------------------------------------------------


def test_a_missing_segment_without_header_page_goes_by_its_number(log: NotarisedLog) -> None:
    path = log.opened(1)
    flip(path, 100)
    log.recover()
    log.sealed(1, prev_segment_id="", first_record_seq=1, segment_number=2)
    log.notarise()
    assert Kind.MISSING not in kinds(log)
    path.with_suffix(".recovered").unlink()
    (finding,) = [finding for finding in findings(log) if finding.kind is Kind.MISSING]
    assert "number 1" in finding.why


def test_the_missing_newest_segment_says_that_everything_after_it_is_gone_too(log: NotarisedLog) -> None:
    three_segments(log.data_dir.with_name("three"))
    again = NotarisedLog(log.data_dir.with_name("three"))
    next(again.directory.glob("*.open")).unlink()
    (finding,) = findings(again)
    assert "and everything after it" in finding.why


class Retiring(RealFiles):
    """Retention deletes the first segment while it is looked for: the tombstone was there before."""

    def __init__(self, log: NotarisedLog, path: Path) -> None:
        self._log, self._path = log, path
        self.listings = 0

    def names(self, directory: Path) -> list[str]:
        names = super().names(directory)
        if directory == self._log.directory:
            self.listings += 1
            if self.listings == 2 and self._path.exists():
                note = sign_tombstone(buried(self._log, self._path), self._log.signer)
                self._path.with_suffix(".tombstone").write_bytes(note)
                self._path.unlink()
        return names


def test_a_segment_that_retention_deletes_meanwhile_is_not_missing(log: NotarisedLog) -> None:
    path = log.sealed(1)
    log.sealed(1)
    log.notarise()
    files = Retiring(log, path)
    assert [finding.kind for finding in findings(log, files)] == []
    assert files.listings > 2
    assert not path.exists()


def test_only_segments_that_ended_since_are_read(log: NotarisedLog) -> None:
    old = log.sealed(1)
    log.sealed(1, created_ns=START_NS + 3600 * 10**9)
    new = log.sealed(1, created_ns=START_NS + 7200 * 10**9)
    log.notarise()
    since_ns = START_NS + 7000 * 10**9
    flip(old, 4150)
    assert findings(log, since_ns=since_ns) == []
    flip(new, 4150)
    assert [finding.segment for finding in findings(log, since_ns=since_ns)] == [new.stem]
    assert len(list_segments(log.directory)) == 3


def test_leaves_in_a_bundle_that_cannot_be_read_are_not_asked_for(log: NotarisedLog) -> None:
    log.sealed(*[1] * 270)
    log.sealed(1)
    log.notarise()
    (path,) = (log.directory / "tlog" / "tile" / "entries" / "001.p").iterdir()
    flip(path, 50)
    assert kinds(log) == [Kind.CORRUPT, Kind.NOT_COVERED]
    path.unlink()
    assert kinds(log) == [Kind.CORRUPT, Kind.NOT_COVERED]


def test_a_segment_gone_before_the_tree_knew_it_is_missing_by_its_number(log: NotarisedLog) -> None:
    log.sealed(1)
    log.notarise()
    log.sealed(1).unlink()
    log.sealed(1)
    assert "segment number 2 is gone" in findings(log)[0].why


def test_without_a_tree_the_segments_are_compared_with_each_other(log: NotarisedLog) -> None:
    log.sealed(1)
    log.sealed(1, first_record_seq=9)
    assert kinds(log) == [Kind.REWRITE, Kind.UNVERIFIABLE]


def test_in_a_store_the_last_segments_may_be_late_and_only_they(log: NotarisedLog) -> None:
    def missing(lag_s: int) -> list[tuple[Kind, str]]:
        report = verify(REAL_FILES, log.data_dir, trust=Trust((log.signer.verifier,)), lag_ns=lag_s * 10**9)
        return [(finding.kind, finding.segment[-8:]) for finding in report.all_findings]

    spaced(log, 0, 10)
    spaced(log, 20, 30)
    spaced(log, 50)
    log.notarise()
    first, second, third = sorted(log.directory.glob("*.kseg"))
    third.unlink()
    assert missing(60) == [(Kind.NOT_HERE_YET, third.stem[-8:])]
    second.unlink()
    both = {third.stem[-8:], second.stem[-8:]}
    assert {kind for kind, _ in missing(60)} == {Kind.NOT_HERE_YET}
    assert {segment for _, segment in missing(60)} == both
    assert (Kind.MISSING, second.stem[-8:]) in missing(25), "longer ago than that"
    assert {kind for kind, _ in missing(0)} == {Kind.MISSING}
    first.unlink()
    assert (Kind.MISSING, first.stem[-8:]) in missing(45)


def test_a_gap_before_what_is_there_is_never_late(log: NotarisedLog) -> None:
    path = log.sealed(1)
    log.sealed(1)
    log.notarise()
    path.unlink()
    report = verify(REAL_FILES, log.data_dir, trust=Trust((log.signer.verifier,)), lag_ns=10**12)
    assert report.exit_code == 11


# --- small things -------------------------------------------------------------------------------------------


def test_numbers_are_shown_as_ranges() -> None:
    assert ranges([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges(range(0, 100, 2)).endswith("36, 38, ...")


@pytest.mark.parametrize(
    ("unreadable", "parts"),
    [
        (set(), [(10, 1000)]),
        ({0}, [(256, 1000)]),
        ({1}, [(10, 256), (512, 1000)]),
        ({0, 1, 2, 3}, []),
        ({3}, [(10, 768)]),
        ({9}, [(10, 1000)]),
    ],
)
def test_a_run_without_the_bundles_that_cannot_be_read(
    unreadable: set[int], parts: list[tuple[int, int]]
) -> None:
    run = Run(bytes(16), 10, 1000)
    assert [(part.start, part.end) for part in _readable(run, unreadable)] == parts


def test_the_leaves_these_tests_sign_are_leaves() -> None:
    leaf = RecoveredLeaf("", "", 1, 0, bytes(32), 0, b"", "clean", 1)
    assert parse_leaf(encode_leaf(leaf)) == leaf
    assert parse_leaf(encode_leaf(TombstoneLeaf("", 1, bytes(32)))) == TombstoneLeaf("", 1, bytes(32))
