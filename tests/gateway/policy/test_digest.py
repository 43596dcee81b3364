"""An approval is bound to one exact request, and to one kubectl run only as far as a person would say so."""

import pytest

from gateway.policy.digest import command_key, request_digest
from gateway.principal import Principal
from protocol.apicall import Call, parse_call

ANN = Principal("ann", ("dev",), "oidc", "c1", issuer="https://idp")
POD = b"/api/v1/namespaces/a/pods/p"


def digest(
    method: bytes = b"DELETE",
    target: bytes = POD,
    body: bytes = b"{}",
    *,
    who: Principal = ANN,
    media: bytes = b"application/json",
    rule: str = "p/hold",
) -> str:
    return request_digest(who, parse_call(method, target), media, body, rule)


def test_the_same_request_has_the_same_digest_every_time() -> None:
    assert digest() == digest()
    assert len(bytes.fromhex(digest())) == 32


@pytest.mark.parametrize(
    "other",
    [
        digest(method=b"PUT"),
        digest(target=POD + b"x"),
        digest(target=POD + b"?dryRun=All"),
        digest(body=b"{ }"),
        digest(media=b"application/yaml"),
        digest(rule="p/other"),
        digest(who=Principal("bob", ("dev",), "oidc", "c1", issuer="https://idp")),
        digest(who=Principal("ann", ("dev",), "oidc", "c1", issuer="https://other")),
    ],
)
def test_whatever_differs_makes_another_digest(other: str) -> None:
    assert other != digest()


def test_how_long_a_client_waits_and_how_it_orders_its_query_is_no_part_of_it() -> None:
    one = digest(target=POD + b"?a=1&timeout=5s&b=2")
    assert digest(target=POD + b"?b=2&a=1&timeout=30s") == one


def test_a_stream_asked_for_over_websocket_and_over_spdy_is_one_request() -> None:
    target = POD + b"/exec?command=ls&stdout=true"
    assert digest(b"GET", target, b"") == digest(b"POST", target, b"")


def test_two_lists_of_parts_never_run_into_each_other() -> None:
    assert digest(target=POD + b"?a=1&b=2", body=b"") != digest(target=POD + b"?a=1", body=b"b=2")


def call(method: bytes, target: bytes = POD) -> Call:
    return parse_call(method, target)


def test_calls_of_one_run_that_do_the_same_kind_of_thing_share_a_key() -> None:
    key = command_key(ANN, call(b"DELETE"), "run-1", "p/hold")
    assert (
        command_key(ANN, call(b"DELETE", b"/apis/apps/v1/namespaces/b/deployments/d"), "run-1", "p/hold")
        == key
    )
    create = call(b"POST", b"/api/v1/namespaces/a/pods")
    assert command_key(ANN, create, "run-1", "p/hold") == command_key(ANN, call(b"PATCH"), "run-1", "p/hold")


@pytest.mark.parametrize(
    ("method", "run", "rule", "who"),
    [
        (b"PATCH", "run-1", "p/hold", ANN),
        (b"DELETE", "run-2", "p/hold", ANN),
        (b"DELETE", "run-1", "p/other", ANN),
        (b"DELETE", "run-1", "p/hold", Principal("ann", ("dev",), "oidc", "c2", issuer="https://idp")),
    ],
)
def test_another_kind_run_rule_or_credential_is_another_key(
    method: bytes, run: str, rule: str, who: Principal
) -> None:
    assert command_key(who, call(method), run, rule) != command_key(ANN, call(b"DELETE"), "run-1", "p/hold")


def test_a_stream_and_a_call_outside_a_run_belong_to_no_command() -> None:
    assert command_key(ANN, call(b"GET", POD + b"/exec?command=ls"), "run-1", "p/hold") == ""
    assert command_key(ANN, call(b"DELETE"), "", "p/hold") == ""
