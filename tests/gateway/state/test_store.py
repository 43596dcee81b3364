"""The contract of every store, run on both."""

import queue
import threading
import time
from collections.abc import Callable

import pytest

from gateway.state.store import (
    KEPT_AFTER_EXPIRY_NS,
    MAX_ENTRY_BYTES,
    AlreadyClaimed,
    StateError,
    StateStore,
    Stored,
)

OpenStore = Callable[[], StateStore]
NOW = 1_800_000_000_000_000_000


def test_what_is_appended_is_read_as_it_was(open_store: OpenStore) -> None:
    store = open_store()
    seq = store.append(b'{"a":1}\x00\xff', b"sig\x00", expires_ns=NOW)
    assert store.read_after(0, 10) == [Stored(seq, b'{"a":1}\x00\xff', b"sig\x00", NOW)]


def test_numbers_ascend_over_all_who_append(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    seqs = [store.append(b"x", b"s") for store in (one, other, one, other)]
    assert seqs == sorted(set(seqs))
    assert one.last_seq() == other.last_seq() == seqs[-1]


def test_a_reader_gets_only_what_came_after_and_only_a_page(open_store: OpenStore) -> None:
    store = open_store()
    seqs = [store.append(b"%d" % number, b"s") for number in range(5)]
    assert [row.seq for row in store.read_after(seqs[1], 2)] == seqs[2:4]
    assert store.read_after(seqs[-1], 10) == []


def test_an_empty_store_has_no_last_number(open_store: OpenStore) -> None:
    assert open_store().last_seq() == 0


def test_a_unique_key_is_taken_once(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    one.append(b"first", b"s", unique="hold/1/use/d")
    with pytest.raises(AlreadyClaimed, match="hold/1/use/d"):
        other.append(b"second", b"s", unique="hold/1/use/d")
    other.append(b"third", b"s", unique="hold/1/use/e")
    assert [row.encoded for row in one.read_after(0, 10)] == [b"first", b"third"]


def test_entries_without_a_key_may_repeat(open_store: OpenStore) -> None:
    store = open_store()
    assert store.append(b"same", b"s") < store.append(b"same", b"s")


def test_a_start_reads_what_has_not_expired(open_store: OpenStore) -> None:
    store = open_store()
    for name, expires_ns in ((b"over", NOW), (b"alive", NOW + 1), (b"for ever", 0)):
        store.append(name, b"s", expires_ns=expires_ns)
    assert [row.encoded for row in store.read_alive(NOW)] == [b"alive", b"for ever"]


def test_only_what_expired_a_month_ago_is_deleted(open_store: OpenStore) -> None:
    store = open_store()
    old = store.append(b"old", b"s", expires_ns=NOW - KEPT_AFTER_EXPIRY_NS - 1)
    store.append(b"expired", b"s", expires_ns=NOW - KEPT_AFTER_EXPIRY_NS)
    store.append(b"for ever", b"s")
    assert store.delete_expired(NOW) == 1
    assert [row.encoded for row in store.read_after(0, 10)] == [b"expired", b"for ever"]
    assert store.append(b"next", b"s") > old


def test_a_number_is_not_used_again_after_a_deletion(open_store: OpenStore) -> None:
    store = open_store()
    last = store.append(b"old", b"s", expires_ns=1)
    store.delete_expired(NOW)
    assert store.append(b"new", b"s") > last


def test_the_version_changes_with_every_append_and_only_then(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    before = one.version()
    assert one.version() == before
    other.append(b"x", b"s")
    theirs = one.version()
    assert theirs != before
    one.append(b"y", b"s")
    assert one.version() != theirs


def test_the_version_can_be_asked_from_any_thread(open_store: OpenStore) -> None:
    store = open_store()
    store.append(b"x", b"s")
    answers: list[object] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: answers.append(store.version()))
        thread.start()
        thread.join()
    assert answers == [store.version()] * 2


def test_a_listener_hears_of_others_appends(open_store: OpenStore) -> None:
    one, other = open_store(), open_store()
    heard: queue.Queue[None] = queue.Queue()
    one.listen(lambda: heard.put(None))
    deadline = time.monotonic() + 20
    while True:  # it may take a moment until it listens
        other.append(b"x", b"s")
        try:
            heard.get(timeout=0.5)
            break
        except queue.Empty:
            assert time.monotonic() < deadline, "nothing was heard"


def test_its_clock_is_near_ours(open_store: OpenStore) -> None:
    assert abs(open_store().clock_ns() - time.time_ns()) < 2_000_000_000


def test_an_entry_that_is_too_large_is_refused(open_store: OpenStore) -> None:
    store = open_store()
    with pytest.raises(StateError, match="shorten"):
        store.append(b"x" * (MAX_ENTRY_BYTES + 1), b"s")
    assert store.last_seq() == 0


def test_a_reader_never_misses_a_number_that_became_visible_late(open_store: OpenStore) -> None:
    """Four writers at once; a reader that always asks for what came after the highest it saw gets all."""
    stores = [open_store() for _ in range(4)]
    reader = open_store()

    def write(store: StateStore) -> None:
        for _ in range(50):
            store.append(b"x", b"s")

    threads = [threading.Thread(target=write, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    seen: list[int] = []
    while any(thread.is_alive() for thread in threads) or reader.last_seq() > (seen[-1] if seen else 0):
        seen += [row.seq for row in reader.read_after(seen[-1] if seen else 0, 7)]
    assert len(seen) == 200
    assert seen == sorted(seen)
