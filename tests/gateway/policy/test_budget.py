"""What calls cost, and which of them would go beyond a limit."""

import json

import pytest

from gateway.policy.budget import (
    COUNTERS,
    Cost,
    Spent,
    amount_of,
    answer_cost,
    counts_in_answer,
    crossing,
    is_near,
    known_cost,
    pod_hash,
    strongest,
    subjects,
)
from gateway.policy.model import BudgetTerms
from protocol.apicall import parse_call

POD = b"/api/v1/namespaces/d/pods/p"
P = (pod_hash("d", "p"),)


@pytest.mark.parametrize(
    ("method", "target", "cost"),
    [
        (b"GET", b"/version", Cost(bytes_out=1)),
        (b"GET", POD, Cost(bytes_out=1)),
        (b"DELETE", POD, Cost(deletes=1, pods=P, bytes_out=1)),
        (b"DELETE", POD + b"?dryRun=All", Cost(deletes=1, pods=P, bytes_out=1)),
        (b"DELETE", b"/api/v1/namespaces/d/pods", Cost(deletes=1, bytes_out=1)),
        (b"POST", POD + b"/eviction", Cost(deletes=1, pods=P, bytes_out=1)),
        (b"PATCH", POD, Cost(pods=P, bytes_out=1)),
        (b"PATCH", b"/apis/apps/v1/namespaces/d/deployments/p", Cost(bytes_out=1)),
        (b"GET", POD + b"/log", Cost(bytes_out=1)),
        (b"GET", POD + b"/exec?command=sh", Cost(pods=P, bytes_out=1, exec_minutes=1)),
        (b"POST", POD + b"/attach", Cost(pods=P, bytes_out=1, exec_minutes=1)),
        (b"GET", POD + b"/portforward", Cost(pods=P, bytes_out=1)),
        (b"GET", b"/api/v1/namespaces/d/secrets/s", Cost(secrets_read=1, bytes_out=1)),
        (b"GET", b"/api/v1/secrets?watch=true", Cost(secrets_read=1, bytes_out=1)),
        (b"PUT", b"/api/v1/namespaces/d/secrets/s", Cost(bytes_out=1)),
    ],
)
def test_every_kind_of_call_has_its_price(method: bytes, target: bytes, cost: Cost) -> None:
    assert known_cost(parse_call(method, target)) == cost


def named(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "d"}}


@pytest.mark.parametrize(
    ("method", "target", "answer", "cost"),
    [
        (b"GET", b"/api/v1/secrets", {"items": [1, {}, "x"]}, Cost(secrets_read=2)),
        (b"GET", b"/api/v1/secrets", {"kind": "Table", "rows": [{}] * 5}, Cost(secrets_read=4)),
        (b"GET", b"/api/v1/secrets", {"items": []}, Cost()),
        (b"GET", b"/api/v1/secrets", {"kind": "Status", "code": 403}, Cost()),
        (b"GET", b"/api/v1/pods", {"items": [1, 2]}, Cost()),
        (b"DELETE", b"/api/v1/namespaces/d/configmaps", {"items": [{}] * 3}, Cost(deletes=2)),
        (b"DELETE", b"/apis/x/v1/namespaces/d/pods", {"items": [{}] * 3}, Cost(deletes=2)),
        (
            b"DELETE",
            b"/api/v1/namespaces/d/pods",
            {"items": [named("p"), named("q")]},
            Cost(deletes=1, pods=(pod_hash("d", "p"), pod_hash("d", "q"))),
        ),
    ],
)
def test_an_answer_tells_how_many_objects_there_were(
    method: bytes, target: bytes, answer: object, cost: Cost
) -> None:
    assert answer_cost(parse_call(method, target), json.dumps(answer).encode()) == cost


@pytest.mark.parametrize(
    "answer", [b"k8s\x00\x0a", b"", b"[]", b'{"items":5}', b'{"items":["\xff"]}', b'{"items":' + b"[" * 9999]
)
def test_an_answer_that_cannot_be_counted_is_no_free_answer(answer: bytes) -> None:
    assert answer_cost(parse_call(b"DELETE", b"/api/v1/namespaces/d/pods"), answer) is None


@pytest.mark.parametrize(
    ("method", "target", "needed"),
    [
        (b"GET", b"/api/v1/secrets", True),
        (b"GET", b"/api/v1/secrets?fieldSelector=metadata.name%3Ds", False),
        (b"GET", b"/api/v1/namespaces/d/secrets/s", False),
        (b"GET", b"/api/v1/secrets?watch=1", False),
        (b"GET", b"/api/v1/pods", False),
        (b"DELETE", b"/api/v1/namespaces/d/pods", True),
    ],
)
def test_only_lists_have_to_be_counted(method: bytes, target: bytes, needed: bool) -> None:
    assert counts_in_answer(parse_call(method, target)) is needed


def test_a_counter_counts_what_it_is_named_after() -> None:
    cost = Cost(1, 2, ("a", "b", "b"), 4, 5)
    assert [amount_of(cost, counter, Spent()) for counter in COUNTERS] == [1, 2, 2, 4, 5]


def test_a_pod_counts_once() -> None:
    assert amount_of(Cost(pods=("a", "b")), "podsTouched", Spent(1, names=frozenset({"a"}))) == 1


def test_the_call_beyond_the_limit_crosses_it_and_a_raise_makes_room() -> None:
    terms = BudgetTerms("p/r", "deletes", 3)
    assert crossing(terms, "S1", Spent(2), Cost(deletes=1)) is None
    assert crossing(terms, "S1", Spent(9), Cost(secrets_read=1)) is None
    crossed = crossing(terms, "S1", Spent(3), Cost(deletes=1))
    assert crossed is not None
    assert (crossed.subject, crossed.used, crossed.limit, crossed.is_freeze) == ("S1", 3, 3, False)
    assert crossed.why == "the budget of 3 deletes for this session is used up (3 used)"
    assert crossing(terms, "S1", Spent(3, 3), Cost(deletes=1)) is None


def test_secrets_nobody_could_count_are_beyond_any_limit() -> None:
    assert crossing(BudgetTerms("p/r", "deletes", 9), "S1", Spent(), None) is None
    crossed = crossing(BudgetTerms("p/r", "secretsRead", 9), "S1", Spent(1, 2), None)
    assert crossed is not None
    assert (crossed.limit, "ask for JSON" in crossed.why) == (11, True)


def test_freeze_beats_hold() -> None:
    one = Cost(deletes=1)
    hold = crossing(BudgetTerms("p/hold", "deletes", 0), "S1", Spent(), one)
    freeze = crossing(BudgetTerms("p/freeze", "deletes", 0, action="freeze"), "S1", Spent(), one)
    assert hold is not None
    assert freeze is not None
    assert strongest([]) is None
    assert strongest([hold]) is hold
    assert strongest([hold, freeze]) is freeze


def test_a_budget_is_of_the_session_or_of_each_grant() -> None:
    assert subjects(BudgetTerms("p/r", "deletes", 1), "S1", ("G1",)) == ("S1",)
    assert subjects(BudgetTerms("p/r", "deletes", 1, per="grant"), "S1", ("G1", "G2")) == ("G1", "G2")


def test_the_last_fifth_of_a_limit_is_near() -> None:
    terms = BudgetTerms("p/r", "deletes", 10)
    assert not is_near(terms, Spent(7))
    assert is_near(terms, Spent(8))
    assert not is_near(terms, Spent(8, 10))
