"""Which session a call belongs to."""

import re

from gateway.principal import Principal
from gateway.sessions import IDLE_NS, Sessions, make_session_id


def principal(credential: str) -> Principal:
    return Principal("alice", (), "token", credential)


def test_session_ids_are_26_characters_without_lookalikes_and_sort_by_time() -> None:
    early, late = make_session_id(1_000_000_000, 1 << 79), make_session_id(2_000_000_000, 0)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", early)
    assert early < late


def test_calls_of_one_credential_share_a_session_until_thirty_idle_minutes() -> None:
    sessions = Sessions()
    first, begins = sessions.session_for(principal("a"), now_ns=0)
    assert begins
    assert sessions.session_for(principal("a"), now_ns=IDLE_NS) == (first, False)
    assert sessions.session_for(principal("a"), now_ns=2 * IDLE_NS) == (first, False)
    again, begins = sessions.session_for(principal("a"), now_ns=3 * IDLE_NS + 1)
    assert begins
    assert again != first


def test_two_credentials_of_one_person_are_two_sessions() -> None:
    sessions = Sessions()
    assert sessions.session_for(principal("a"))[0] != sessions.session_for(principal("b"))[0]


def test_asking_for_the_open_session_neither_begins_nor_prolongs_one() -> None:
    sessions = Sessions()
    assert sessions.open_session(principal("a"), now_ns=0) == ""
    first, _ = sessions.session_for(principal("a"), now_ns=0)
    assert sessions.open_session(principal("a"), now_ns=IDLE_NS) == first
    assert sessions.open_session(principal("b"), now_ns=1) == ""
    assert sessions.open_session(principal("a"), now_ns=IDLE_NS + 1) == ""
    assert sessions.session_for(principal("a"), now_ns=IDLE_NS + 1)[1]
