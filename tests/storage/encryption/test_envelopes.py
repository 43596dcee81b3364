from pathlib import Path

import pytest

from storage.encryption.envelopes import (
    CLEAR,
    GARBLED,
    MISSING,
    SHREDDED,
    WRAPPED,
    SegmentKeys,
    Target,
    is_renewed,
    is_unfinished_shredding,
    kind_of,
    list_segment_keys,
    look_at,
    rewrap,
)
from storage.encryption.keys import Envelope, KeyRing, Wrap, read_envelope, write_envelope
from storage.errors import BadKeyFile, NoKey, WrongKey
from storage.files import REAL_FILES, RealFiles
from storage.reader import iter_records
from tests.kit.faulty_files import FailingFiles
from tests.kit.recorded import Tape, write_log
from tests.kit.sealing import KEK, RING, XorKey, sealed_encrypted, write_encrypted_log

XOR = frozenset({"xor"})
NEW = XorKey("local:new", 3)
TARGET = Target("local:new", NEW)


def log_of(tmp_path: Path, *wrappers: XorKey) -> list[SegmentKeys]:
    tape = Tape()
    tape.get_pods()
    for _ in range(2):
        write_encrypted_log(tmp_path, tape, *wrappers)
    return list(list_segment_keys(REAL_FILES, tmp_path))


def test_every_state_a_segment_can_be_in_is_told(tmp_path: Path) -> None:
    write_log(tmp_path, Tape(), "1")
    segments = log_of(tmp_path)
    assert [(one.log, one.state) for one in list_segment_keys(REAL_FILES, tmp_path)] == [
        ("0", WRAPPED),
        ("0", WRAPPED),
        ("1", CLEAR),
    ]
    one = segments[0]
    assert one.envelope == read_envelope(REAL_FILES, one.envelope_path)

    def now() -> SegmentKeys:
        return look_at(REAL_FILES, "0", one.directory, one.name)

    content = one.envelope_path.read_bytes()
    one.envelope_path.write_bytes(b"{")
    assert (now().state, "not a key envelope" in now().problem) == (GARBLED, True)
    one.envelope_path.unlink()
    assert (now().state, now().problem) == (
        MISSING,
        f"{one.name.stem}.keys is missing: restore it from a copy",
    )
    shredded = one.envelope_path.with_suffix(".shredded")
    shredded.write_bytes(b"{}")
    assert (now().state, "its key was destroyed" in now().problem) == (SHREDDED, True)
    assert not is_unfinished_shredding(REAL_FILES, now())
    one.envelope_path.write_bytes(content)
    assert is_unfinished_shredding(REAL_FILES, now())
    assert not is_unfinished_shredding(REAL_FILES, segments[1])


def test_a_segment_deleted_or_damaged_meanwhile_is_missing(tmp_path: Path) -> None:
    one, two = log_of(tmp_path)
    for segment in (one, two):
        segment.envelope_path.unlink()
    (one.directory / f"{one.name.stem}.kseg").unlink()
    (two.directory / f"{two.name.stem}.kseg").write_bytes(b"garbage")
    for segment in (one, two):
        now = look_at(REAL_FILES, "0", segment.directory, segment.name)
        assert now.state == MISSING
        assert segment.name.stem in now.problem


def test_a_directory_without_logs_has_no_segments(tmp_path: Path) -> None:
    assert list(list_segment_keys(REAL_FILES, tmp_path)) == []


@pytest.mark.parametrize(
    ("alg", "kind"),
    [
        ("aes-kw", "local"),
        ("hpke-x25519-sha256-aes256gcm", "hpke"),
        ("hpke-mlkem768x25519-sha256-aes256gcm", "hpke"),
        ("aws-kms", "aws"),
    ],
)
def test_a_wrap_says_what_sort_of_key_it_is_for(alg: str, kind: str) -> None:
    assert kind_of(Wrap("k", alg, b"")) == kind


def test_a_renewed_envelope_opens_with_the_new_key_only_and_the_records_are_the_same(tmp_path: Path) -> None:
    segments = log_of(tmp_path)
    before = [data for _, data in iter_records(segments[0].directory, keys=RING)]
    for segment in segments:
        assert rewrap(REAL_FILES, segment, RING, [TARGET], XOR)
    assert [data for _, data in iter_records(segments[0].directory, keys=KeyRing([NEW]))] == before
    with pytest.raises(NoKey):
        list(iter_records(segments[0].directory, keys=KeyRing([KEK])))
    for segment in list_segment_keys(REAL_FILES, tmp_path):
        assert not rewrap(REAL_FILES, segment, KeyRing([]), [TARGET], XOR), "nothing to do needs no key"


def test_wraps_of_other_kinds_stay(tmp_path: Path) -> None:
    (segment, _) = log_of(tmp_path)
    assert rewrap(REAL_FILES, segment, RING, [TARGET], frozenset({"local"}))
    envelope = read_envelope(REAL_FILES, segment.envelope_path)
    assert [wrap.kek_id for wrap in envelope.wraps] == ["local:new", "local:test"]
    assert is_renewed(envelope, [TARGET, Target("local:test", KEK)], XOR)
    assert not is_renewed(envelope, [TARGET], XOR)


def test_a_segment_without_envelope_is_left_alone(tmp_path: Path) -> None:
    write_log(tmp_path, Tape())
    (clear,) = list_segment_keys(REAL_FILES, tmp_path)
    assert not rewrap(REAL_FILES, clear, RING, [TARGET], XOR)


def test_a_failure_at_any_step_leaves_an_envelope_that_opens(tmp_path: Path) -> None:
    both = KeyRing([KEK, NEW])
    for fail_at in range(1, 20):
        data_dir = tmp_path / str(fail_at)
        (segment, _) = log_of(data_dir)
        files = FailingFiles(fail_at)
        try:
            rewrap(files, segment, RING, [TARGET], XOR)
        except OSError:
            assert list(iter_records(segment.directory, keys=both))
        if not files.failed:
            return
    pytest.fail("it never succeeded")


def test_a_wrong_key_never_replaces_the_way_to_the_right_one(tmp_path: Path) -> None:
    (segment, _) = log_of(tmp_path)
    content = segment.envelope_path.read_bytes()
    with pytest.raises(WrongKey):
        rewrap(REAL_FILES, segment, KeyRing([XorKey(pad=9)]), [TARGET], XOR)
    assert segment.envelope_path.read_bytes() == content
    with pytest.raises(NoKey):
        rewrap(REAL_FILES, segment, KeyRing([]), [TARGET], XOR)
    assert segment.envelope_path.read_bytes() == content


def test_the_envelope_of_another_segment_is_not_renewed(tmp_path: Path) -> None:
    (one, two) = log_of(tmp_path)
    assert two.envelope is not None
    write_envelope(REAL_FILES, one.envelope_path, two.envelope)
    exchanged = look_at(REAL_FILES, "0", one.directory, one.name)
    with pytest.raises(BadKeyFile, match="is the envelope of another segment"):
        rewrap(REAL_FILES, exchanged, RING, [TARGET], XOR)


def test_no_envelope_is_left_of_a_segment_deleted_while_it_was_renewed(tmp_path: Path) -> None:
    (tmp_path / "log" / "0").mkdir(parents=True)
    path = sealed_encrypted(tmp_path / "log" / "0", 1)
    (segment,) = list_segment_keys(REAL_FILES, tmp_path)

    class Retention(RealFiles):
        def rename(self, source: Path, target: Path) -> None:
            path.unlink()
            super().rename(source, target)

    assert rewrap(Retention(), segment, RING, [TARGET], XOR)
    assert list(path.parent.iterdir()) == []


def test_the_envelope_of_the_segment_being_written_is_renewed_too(tmp_path: Path) -> None:
    tape = Tape()
    tape.get_pods()
    log = write_encrypted_log(tmp_path, tape, running=True)
    (segment,) = list_segment_keys(REAL_FILES, tmp_path)
    assert rewrap(REAL_FILES, segment, RING, [TARGET], XOR)
    log.append(b"after", urgent=True)
    log.close(20)
    *_, last = iter_records(segment.directory, keys=KeyRing([NEW]))
    assert last[1] == b"after"
    assert isinstance(segment.envelope, Envelope)
