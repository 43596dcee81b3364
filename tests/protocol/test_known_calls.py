"""Calls that are remembered: the same answer as reading anew, bounded, and no secret kept."""

import pytest

from protocol.apicall import parse_call
from protocol.errors import RefusedTarget
from protocol.known_calls import MAX_KNOWN_CALLS, MAX_KNOWN_TARGET_BYTES, KnownCalls

PODS = b"/api/v1/namespaces/a/pods?limit=500"


def test_a_call_read_again_is_the_same_object_and_what_parsing_makes_of_it() -> None:
    calls = KnownCalls()
    first = calls.read(b"GET", PODS)
    assert calls.read(b"GET", PODS) is first
    assert first == parse_call(b"GET", PODS)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"DELETE", PODS),
        (b"HEAD", PODS),
        (b"GET", b"/api/v1/namespaces/A/pods?limit=500"),
        (b"GET", b"/api/v1/namespaces/a/pods?limit=50"),
        (b"GET", b"/api/v1/namespaces/a/pods?limit=500&"),
        (b"GET", b"/api/v1/namespaces/%61/pods?limit=500"),
    ],
)
def test_no_other_request_line_is_taken_for_a_known_one(method: bytes, target: bytes) -> None:
    calls = KnownCalls()
    calls.read(b"GET", PODS)
    assert calls.read(method, target) == parse_call(method, target)
    assert len(calls) == 2


def test_a_target_that_is_refused_is_refused_each_time() -> None:
    calls = KnownCalls()
    for _ in range(2):
        with pytest.raises(RefusedTarget):
            calls.read(b"GET", b"/api/v1//pods")
    assert len(calls) == 0


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/namespaces/a/pods/p/exec?command=mysql&command=-psecret",
        b"/api/v1/namespaces/a/pods/p/exec?%63ommand=secret",
        b"/api/v1/namespaces/a/services/web/proxy/login?password=secret",
        b"/api/v1/proxy/namespaces/a/services/web/login?password=secret",
        b"/api/v1/namespaces/a/pods?labelSelector=" + b"x" * MAX_KNOWN_TARGET_BYTES,
    ],
)
def test_what_may_carry_a_secret_or_is_long_is_not_kept(target: bytes) -> None:
    calls = KnownCalls()
    assert calls.read(b"GET", target) == parse_call(b"GET", target)
    assert len(calls) == 0


def test_a_client_that_invents_targets_fills_no_memory_and_breaks_nothing() -> None:
    calls = KnownCalls()
    calls.read(b"GET", PODS)
    for number in range(MAX_KNOWN_CALLS + 10):
        calls.read(b"GET", b"/api/v1/namespaces/n%d/pods" % number)
    assert len(calls) == MAX_KNOWN_CALLS
    assert calls.read(b"GET", PODS) == parse_call(b"GET", PODS)
