"""The question of an access review becomes the calls it is about, as those would be parsed from a request."""

import pytest

from gateway.policy.asked_calls import PATH_VERBS, VERBS, BadReview, asked_calls, namespace_of
from gateway.policy.model import JsonObject
from protocol.apicall import Call, parse_call


def resource(**attributes: object) -> JsonObject:
    return {"spec": {"resourceAttributes": attributes}}


def path(**attributes: object) -> JsonObject:
    return {"spec": {"nonResourceAttributes": attributes}}


@pytest.mark.parametrize(
    ("review", "method", "target"),
    [
        (
            resource(verb="get", resource="pods", namespace="d", name="p", version="v1"),
            b"GET",
            b"/api/v1/namespaces/d/pods/p",
        ),
        (resource(verb="list", resource="pods", namespace="d"), b"GET", b"/api/v1/namespaces/d/pods"),
        (resource(verb="list", resource="pods"), b"GET", b"/api/v1/pods"),
        (resource(verb="create", resource="pods", namespace="d"), b"POST", b"/api/v1/namespaces/d/pods"),
        (
            resource(verb="deletecollection", resource="jobs", group="batch", namespace="d", version="*"),
            b"DELETE",
            b"/apis/batch/v1/namespaces/d/jobs",
        ),
        (
            resource(verb="patch", resource="deployments", subresource="scale", group="apps", name="w"),
            b"PATCH",
            b"/apis/apps/v1/deployments/w/scale",
        ),
        (
            resource(verb="delete", resource="namespaces", namespace="d", name="prod"),
            b"DELETE",
            b"/api/v1/namespaces/prod",
        ),
        (resource(verb="list", resource="nodes", namespace="d"), b"GET", b"/api/v1/nodes"),
        (path(verb="get", path="/metrics"), b"GET", b"/metrics"),
    ],
)
def test_it_is_the_call_that_kubectl_would_make(review: JsonObject, method: bytes, target: bytes) -> None:
    assert asked_calls(review) == (parse_call(method, target),)


def test_verbs_no_request_has_are_asked_about_as_they_are() -> None:
    (call,) = asked_calls(resource(verb="impersonate", resource="users", name="root"))
    assert (call.method, call.verb, call.resource, call.name) == ("POST", "impersonate", "users", "root")


def test_a_watch_is_one() -> None:
    (call,) = asked_calls(resource(verb="watch", resource="pods"))
    assert call.watch


def test_every_verb_means_every_verb_there_is() -> None:
    assert [call.verb for call in asked_calls(resource(verb="*", resource="pods"))] == ["*", *VERBS]
    assert [call.verb for call in asked_calls(path(verb="*", path="/x"))] == list(PATH_VERBS)


@pytest.mark.parametrize(
    "review",
    [
        resource(verb="get", resource="*"),
        resource(verb="get", group="*", resource="pods"),
        resource(verb="get", resource="pods", subresource="*"),
        resource(verb="get", resource="pods", namespace="*"),
        resource(verb="get", resource="pods", name="*"),
        path(verb="get", path="/api/*"),
    ],
)
def test_any_other_wildcard_is_no_finite_number_of_calls(review: JsonObject) -> None:
    assert asked_calls(review) == ()


@pytest.mark.parametrize(
    "review",
    [
        {},
        {"spec": None},
        {"spec": []},
        {"spec": {"resourceAttributes": None}},
        {"spec": {"resourceAttributes": "pods"}},
        {"spec": {"resourceAttributes": {}, "nonResourceAttributes": {}}},
        resource(verb=["get"], resource="pods"),
        path(verb="get", path=5),
    ],
)
def test_a_question_that_cannot_be_read_is_not_answered(review: JsonObject) -> None:
    with pytest.raises(BadReview):
        asked_calls(review)


def test_a_null_is_an_absent_text() -> None:
    (call,) = asked_calls(resource(verb="get", resource="pods", name=None))
    assert call == Call("GET", "get", True, "/api/v1/pods", b"/api/v1/pods", version="v1", resource="pods")


def test_a_lone_surrogate_harms_nothing() -> None:
    (call,) = asked_calls(resource(verb="get", resource="pods", name="\ud800"))
    assert call.target == b"/api/v1/pods/\\ud800"


def test_a_rules_review_names_a_namespace() -> None:
    assert namespace_of({"spec": {"namespace": "d"}}) == "d"
    assert namespace_of({}) == ""
    with pytest.raises(BadReview):
        namespace_of({"spec": {"namespace": 1}})
