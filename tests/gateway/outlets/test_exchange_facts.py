"""What every outlet says of an exchange."""

import pytest

from gateway.outlets.exchange_facts import (
    MAX_NS,
    Ending,
    clamped,
    cut,
    ending_of,
    moment_ns,
    source_address,
    succeeded,
)
from storage.records import CallRecord, LogStarted
from tests.kit.assembling import answered, exchanges_of, feed, new_assembler, only_exchange
from tests.kit.recorded import START_NS, Tape

PODS = CallRecord("get", "", "v1", "pods", "", "prod", "web", "/api/v1/namespaces/prod/pods/web")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"kind":"Status","reason":"Forbidden","message":"no"}', Ending(403, "Forbidden", "no")),
        (b"<html>", Ending(403, "", "why")),
        (b'{"reason":5}', Ending(403, "", "why")),
        (b"[" * 5000, Ending(403, "", "why")),
        (b"", Ending(403, "", "why")),
    ],
)
def test_an_error_has_the_words_of_its_status_else_ours(body: bytes, expected: Ending) -> None:
    tape = Tape()
    tape.records += answered(tape.intent(PODS), body, status=403, result="refused", why="why")
    assert ending_of(only_exchange(tape.records)) == expected
    assert expected.failed


def test_a_good_answer_has_no_words() -> None:
    tape = Tape()
    tape.records += answered(tape.intent(PODS), b'{"reason":"x"}')
    ending = ending_of(only_exchange(tape.records))
    assert (ending, ending.failed) == (Ending(200, "", ""), False)


def test_success_is_what_was_asked_for_and_nobody_knows_after_a_crash() -> None:
    tape = Tape()
    tape.get_pods()
    tape.denied()
    tape.exec(exit_code=1)
    tape.exec(exit_code=0, run="again")
    tape.crashed()
    ended = exchanges_of([*tape.records, LogStarted(1, "gw", "1", 0, "observe")])
    assert [succeeded(one) for one in ended[-6:]] == [False, True, False, True, True, None]


def test_moments_are_counted_from_the_intent() -> None:
    tape = Tape()
    exchange = tape.logs()
    begun, ended = feed(new_assembler(), tape.records)
    assert begun.exchange.intent.exchange == exchange
    assert moment_ns(begun.exchange, "ResponseStarted") == START_NS + 3_000_000
    assert moment_ns(ended.exchange, "ResponseComplete") == START_NS + 5_000_000_000


def test_an_unknown_end_has_the_time_of_its_last_record() -> None:
    tape = Tape()
    tape.logs(end=False)
    (*_, ended) = feed(new_assembler(), [*tape.records, LogStarted(1, "gw", "1", 0, "observe")])
    assert moment_ns(ended.exchange, "ResponseComplete") == START_NS + 4_010_000 * 1000


def test_times_of_a_clock_gone_mad_can_be_written() -> None:
    assert (clamped(-5), clamped(2**80)) == (0, MAX_NS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("10.0.0.9:50100", ("10.0.0.9", 50100)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("unix", ("unix", 0)),
        ("", ("", 0)),
    ],
)
def test_a_source_is_an_address_and_a_port(source: str, expected: tuple[str, int]) -> None:
    assert source_address(source) == expected


def test_a_cut_is_marked() -> None:
    assert (cut("abc", 3), cut("abcd", 3)) == ("abc", "abc...TRUNCATED")
