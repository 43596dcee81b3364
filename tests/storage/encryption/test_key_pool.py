import threading

from storage.encryption.key_pool import KeyPool
from storage.encryption.keys import DataKey
from storage.errors import StorageError
from tests.kit.sealing import FlakyMaker, service_away
from tests.kit.waiting import until

PATIENCE_S = 10.0


def taken(pool: KeyPool) -> DataKey:
    key = pool.take(PATIENCE_S)
    assert key is not None
    return key


def test_keys_are_made_ahead_and_never_given_twice() -> None:
    pool = KeyPool(FlakyMaker(), 3)
    assert not pool.is_ready
    pool.start()
    keys = {taken(pool).key for _ in range(20)}
    assert len(keys) == 20
    pool.stop()


def test_no_more_keys_are_made_than_the_pool_holds() -> None:
    maker = FlakyMaker()
    pool = KeyPool(maker, 2)
    pool.start()
    until(lambda: maker.made == 2)
    assert maker.made == 2
    taken(pool)
    until(lambda: maker.made == 3)
    pool.stop()
    pool._thread.join(PATIENCE_S)
    assert maker.made == 3


def test_an_outage_lasts_as_long_as_the_pool_and_says_why_and_its_end_is_noticed() -> None:
    maker = FlakyMaker()
    pool = KeyPool(maker, 2, first_pause_s=0.001)
    pool.start()
    until(lambda: maker.made == 2)
    maker.error = service_away()
    taken(pool)
    taken(pool)
    assert pool.take(0.01) is None
    until(lambda: pool.problem == "the key service does not answer")
    assert not pool.is_ready
    maker.error = None
    taken(pool)
    until(lambda: pool.problem == "")
    pool.stop()


def test_pauses_between_attempts_grow() -> None:
    maker = FlakyMaker()
    maker.error = service_away()
    pool = KeyPool(maker, 1, first_pause_s=0.001)
    pauses: list[float] = []
    pool._pause = pauses.append  # type: ignore[method-assign]
    pool.start()
    until(lambda: len(pauses) > 20)
    pool.stop()
    pool._thread.join(PATIENCE_S)
    assert pauses[:4] == [0.001, 0.002, 0.004, 0.008]
    assert max(pauses) == 30.0


def test_a_bug_of_a_library_does_not_end_the_pool_and_its_text_is_not_shown() -> None:
    maker = FlakyMaker()
    maker.error = KeyError("secret material")
    pool = KeyPool(maker, 1, first_pause_s=0.001)
    pool.start()
    until(lambda: pool.problem == "no data key can be made: KeyError")
    maker.error = OSError("disk")
    until(lambda: pool.problem == "disk")
    maker.error = None
    taken(pool)
    pool.stop()


def test_a_key_older_than_an_hour_is_thrown_away_and_made_again() -> None:
    now_s = 0.0
    maker = FlakyMaker()
    pool = KeyPool(maker, 2, monotonic_s=lambda: now_s)
    pool.start()
    until(lambda: maker.made == 2)
    with pool._changed:
        old = {key.key for _, key in pool._ready}
    now_s = 3600.0
    assert taken(pool).key not in old
    assert taken(pool).key not in old
    pool.stop()


def test_while_the_service_is_away_old_keys_are_not_ready() -> None:
    now_s = 0.0
    maker = FlakyMaker()
    pool = KeyPool(maker, 1, monotonic_s=lambda: now_s, first_pause_s=0.001)
    pool.start()
    until(lambda: maker.made == 1)
    until(lambda: pool.is_ready)
    maker.error = service_away()
    now_s = 3599.0
    assert pool.is_ready
    now_s = 3600.0
    assert not pool.is_ready
    assert pool.take(0.001) is None
    pool.stop()


def test_stop_wakes_who_waits_and_forgets_what_was_made() -> None:
    maker = FlakyMaker()
    maker.error = StorageError("away")
    pool = KeyPool(maker, 1)
    pool.start()
    found: list[DataKey | None] = []
    waiting = threading.Thread(target=lambda: found.append(pool.take(PATIENCE_S)))
    waiting.start()
    maker.asked.acquire(timeout=PATIENCE_S)
    pool.stop()
    waiting.join(PATIENCE_S)
    assert found == [None]
    pool._thread.join(PATIENCE_S)
    assert not pool._thread.is_alive()
    pool.stop()


def test_a_key_that_comes_after_the_stop_is_dropped() -> None:
    class Slow(FlakyMaker):
        def make(self) -> DataKey:
            key = super().make()
            pool.stop()
            return key

    pool = KeyPool(Slow(), 1)
    pool.start()
    pool._thread.join(PATIENCE_S)
    assert not pool.is_ready
