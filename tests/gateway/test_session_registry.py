"""Which session a credential has, for all workers of a data directory."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.session_registry import REGISTRY_FILE, RegistryUnavailable, SessionRegistry, Use

IDLE_NS = 1000


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SessionRegistry]:
    with closing(SessionRegistry(tmp_path, IDLE_NS)) as made:
        yield made


def test_the_first_claim_counts_and_who_comes_second_adopts_it(
    registry: SessionRegistry, tmp_path: Path
) -> None:
    with closing(SessionRegistry(tmp_path, IDLE_NS)) as other:
        assert registry.claim(Use("c", "S1", 10)) == "S1"
        assert other.claim(Use("c", "S2", 11)) == "S1"
        assert other.claim(Use("d", "S2", 11)) == "S2"


def test_an_idle_session_is_over_and_the_next_claim_begins_another(registry: SessionRegistry) -> None:
    registry.claim(Use("c", "S1", 10))
    assert registry.claim(Use("c", "S2", 10 + IDLE_NS)) == "S1"
    assert registry.claim(Use("c", "S3", 11 + 2 * IDLE_NS)) == "S3"


def test_a_use_prolongs_a_session_but_never_one_that_took_its_place(registry: SessionRegistry) -> None:
    registry.claim(Use("c", "S1", 10))
    registry.touch([Use("c", "S1", 900), Use("gone", "S9", 900)], 900)
    assert registry.find("c", 900 + IDLE_NS) == "S1"
    registry.claim(Use("c", "S2", 5000))
    registry.touch([Use("c", "S1", 9000)], 5000)
    assert registry.find("c", 5001 + IDLE_NS) == ""


def test_asking_neither_begins_nor_prolongs_a_session(registry: SessionRegistry) -> None:
    assert registry.find("c", 10) == ""
    registry.claim(Use("c", "S1", 10))
    assert registry.find("c", 10 + IDLE_NS) == "S1"
    assert registry.find("c", 11 + IDLE_NS) == ""


def test_what_is_over_is_forgotten(registry: SessionRegistry) -> None:
    registry.claim(Use("c", "S1", 10))
    registry.touch([], 11 + IDLE_NS)
    assert registry.find("c", 10) == ""


def test_a_clock_that_is_set_back_ends_no_session(registry: SessionRegistry) -> None:
    registry.claim(Use("c", "S1", 5000))
    assert registry.claim(Use("c", "S2", 10)) == "S1"
    registry.touch([Use("c", "S1", 20)], 20)
    assert registry.find("c", 5000 + IDLE_NS) == "S1"


def test_claims_at_the_same_moment_agree(tmp_path: Path) -> None:
    found: list[str] = []

    def claim(number: int) -> None:
        registry = SessionRegistry(tmp_path, IDLE_NS)
        found.append(registry.claim(Use("c", f"S{number}", 10)))
        registry.close()

    SessionRegistry(tmp_path, IDLE_NS).close()
    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_nobody_else_may_read_it(registry: SessionRegistry, tmp_path: Path) -> None:
    assert (tmp_path / REGISTRY_FILE).stat().st_mode & 0o077 == 0


def test_what_cannot_be_used_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / REGISTRY_FILE).write_bytes(b"no database" * 100)
    with pytest.raises(RegistryUnavailable, match=r"sessions\.sqlite"):
        SessionRegistry(tmp_path, IDLE_NS)


def test_a_registry_that_was_taken_away_fails_the_claim_and_finds_nothing(registry: SessionRegistry) -> None:
    registry.close()
    with pytest.raises(RegistryUnavailable):
        registry.claim(Use("c", "S1", 10))
    with pytest.raises(RegistryUnavailable):
        registry.touch([], 10)
    assert registry.find("c", 10) == ""
