"""Exchanges as values: which are long-running, and what of an open one survives a restart."""

import msgspec
import pytest

from gateway.outlets.exchange_records import (
    AssemblerState,
    CarriedExchange,
    carry,
    is_long_running,
    restore,
)
from storage.policy_story import PolicyStory
from storage.records import CallRecord, LogStopped, Masked, encode_record
from tests.kit.assembling import feed, new_assembler
from tests.kit.governed import guarded_exec
from tests.kit.recorded import Tape

PODS = CallRecord("get", "", "v1", "pods", "", "prod", "web", "/api/v1/namespaces/prod/pods/web")
WATCH = CallRecord("watch", "", "v1", "pods", "", "prod", "", "/api/v1/namespaces/prod/pods?watch=1")


def test_only_what_the_api_server_puts_no_deadline_on_is_long_running() -> None:
    assert not is_long_running(None)
    assert not is_long_running(PODS)
    assert is_long_running(WATCH)
    assert is_long_running(CallRecord("get", "", "v1", "services", "proxy", "prod", "web"))


def test_a_state_that_carries_something_else_is_refused() -> None:
    tape = Tape()
    tape.exec(end=False)
    assembler = new_assembler()
    feed(assembler, tape.records)
    (carried,) = assembler.state().carried
    for change in ({"intent": encode_record(LogStopped(1, ""))}, {"tunnel": carried.intent}, {"intent": b""}):
        wrong = AssemblerState(carried=(msgspec.structs.replace(carried, **change),))
        with pytest.raises(msgspec.DecodeError):
            new_assembler(state=wrong)


def test_what_is_carried_is_restored_but_for_bodies() -> None:
    tape = Tape()
    tape.exec(end=False)
    _, begun = feed(new_assembler(), tape.records)
    one = begun.exchange
    one.request.is_cut = one.response.is_cut = True
    assert restore(carry(one)) == one


def test_what_policy_did_survives_a_restart_and_is_a_copy() -> None:
    tape = Tape()
    exchange = guarded_exec(tape)
    records = tape.records[:-1]
    assembler = new_assembler()
    feed(assembler, records)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(assembler.state()), type=AssemblerState)
    (carried,) = state.carried
    assert restore(carried).story.masked == {"secrets/mask": 2}
    later = new_assembler(state=state)
    feed(later, [Masked(exchange, 9_000_000, "stream", (("secrets/mask", 5),))], len(records))
    assert [one.story.masked_values for one in map(restore, assembler.state().carried)] == [2]


def test_a_state_of_before_policy_is_read() -> None:
    tape = Tape()
    tape.exec(end=False)
    assembler = new_assembler()
    feed(assembler, tape.records)
    (carried,) = msgspec.to_builtins(assembler.state().carried)
    del carried["story"]
    assert restore(msgspec.convert(carried, CarriedExchange)).story == PolicyStory()
