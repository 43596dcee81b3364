from pathlib import Path

import pytest

from gateway.keys.memory import MemoryKeys
from storage.encryption.hpke_key import HpkeRecipient, generate_recipient
from storage.encryption.keys import DataKey, Envelope, KeyRing, read_envelope
from storage.errors import OutOfReach
from storage.files import REAL_FILES
from storage.index import Indexer
from storage.query import Query
from storage.search import Archive
from storage.sources import SegmentLogs
from tests.kit.recorded import Tape
from tests.kit.sealing import ORIGIN, maker, write_encrypted_log


def made(count: int) -> list[DataKey]:
    """Data keys of one run, in the order of their segments."""
    run = maker()
    return [run.make() for _ in range(count)]


def told(memory: MemoryKeys, key: DataKey) -> None:
    memory.add(key.envelope.log_origin, key.envelope.segment_id, key.key)


def test_a_key_that_was_told_is_known_and_one_still_to_come_is_waited_for() -> None:
    memory, (one, two) = MemoryKeys(), made(2)
    assert memory.unwrap(one.envelope) is None, "nothing was told yet"
    told(memory, one)
    assert KeyRing([memory]).data_key(one.envelope) == one.key
    assert memory.unwrap(two.envelope) is None


def test_segments_of_earlier_runs_are_out_of_reach() -> None:
    memory, (before, now) = MemoryKeys(), made(2)
    told(memory, now)
    with pytest.raises(OutOfReach, match="whoever holds the key of local:test can"):
        memory.unwrap(before.envelope)


def test_a_segment_of_an_earlier_run_that_looks_younger_is_given_up_after_a_while() -> None:
    """The clock went back between the runs."""
    now_s = 0.0
    memory, (now, before) = MemoryKeys(monotonic_s=lambda: now_s), made(2)
    told(memory, now)
    assert memory.unwrap(before.envelope) is None
    now_s = 9.9
    assert memory.unwrap(before.envelope) is None
    now_s = 10.0
    with pytest.raises(OutOfReach):
        memory.unwrap(before.envelope)
    told(memory, before)
    assert memory.unwrap(before.envelope) == before.key


def test_what_is_remembered_of_questions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.keys.memory.MAX_ASKED", 3)
    memory, (first, *later) = MemoryKeys(), made(9)
    told(memory, first)
    for key in later:
        assert memory.unwrap(key.envelope) is None
    assert len(memory._logs[ORIGIN].asked_s) <= 3


def test_logs_do_not_know_of_each_other() -> None:
    memory, (one, two) = MemoryKeys(), made(2)
    told(memory, two)
    assert memory.unwrap(Envelope(one.envelope.segment_id, "another log", one.envelope.wraps)) is None


def test_a_key_is_forgotten_an_hour_after_its_successor_came_and_the_newest_never() -> None:
    now_s = 0.0
    memory, (one, two, three) = MemoryKeys(monotonic_s=lambda: now_s), made(3)
    told(memory, one)
    now_s = 50_000.0
    assert memory.unwrap(one.envelope) == one.key, "an idle gateway's segment may still grow"
    told(memory, two)
    now_s += 3599
    assert memory.unwrap(one.envelope) == one.key
    now_s += 1
    with pytest.raises(OutOfReach):
        memory.unwrap(one.envelope)
    assert memory.unwrap(two.envelope) == two.key
    assert memory.unwrap(three.envelope) is None


def test_no_more_keys_are_kept_than_agreed() -> None:
    memory, keys = MemoryKeys(max_keys=3), made(10)
    for key in keys:
        told(memory, key)
    for key in keys[:7]:
        with pytest.raises(OutOfReach):
            memory.unwrap(key.envelope)
    assert [memory.unwrap(key.envelope) for key in keys[7:]] == [key.key for key in keys[7:]]


def test_the_text_form_hides_keys() -> None:
    memory, (one,) = MemoryKeys(), made(1)
    told(memory, one)
    assert repr(one.key)[2:-1] not in repr(memory._logs)
    assert ORIGIN in repr(memory._logs)


def test_a_gateway_that_cannot_read_indexes_what_it_writes_and_keeps_what_it_has(tmp_path: Path) -> None:
    """Two runs of a gateway, and between them no key of the first is left; the keeper restarts in the second."""
    recipient = HpkeRecipient(generate_recipient(tmp_path / "audit.pem"))

    def indexed(memory: MemoryKeys) -> list[str]:
        source = SegmentLogs(tmp_path, keys=KeyRing([memory]))
        indexer = Indexer(tmp_path, source=source)
        while indexer.run_once():
            pass
        indexer.close()
        return [call.kubectl_command for call in Archive(indexer.directory, source).calls(Query(), limit=50)]

    def run(number: int, memory: MemoryKeys) -> None:
        tape = Tape(tag=str(number))
        tape.started()
        tape.delete()
        write_encrypted_log(tmp_path, tape, recipient, on_data_key=lambda key: told(memory, key))

    run(0, MemoryKeys())  # nobody indexed it
    first = MemoryKeys()
    run(1, first)
    assert indexed(first) == ["kubectl delete"]
    second = MemoryKeys()
    run(2, second)
    assert indexed(second) == ["kubectl delete"] * 2
    restarted = MemoryKeys()
    newest = max(tmp_path.glob("log/0/*.keys"))
    envelope = read_envelope(REAL_FILES, newest)
    restarted.add(envelope.log_origin, envelope.segment_id, second.unwrap(envelope) or b"")
    assert indexed(restarted) == ["kubectl delete"] * 2
