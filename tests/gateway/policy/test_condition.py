"""CEL: mistakes at load, answers and doubts per call."""

import pytest

from gateway.policy.condition import MAX_EXPRESSION_BYTES, VARIABLES, BadCondition, compile_condition
from gateway.policy.model import Facts
from gateway.policy.rule import Answer
from gateway.principal import Principal
from tests.kit.policies import facts

PUT = "PUT /apis/apps/v1/namespaces/dev/deployments/web?dryRun=All&fieldManager=x"
DEPLOYMENT: dict[str, object] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"replicas": 3},
}


def says(condition: str, asked: Facts) -> Answer:
    return compile_condition(condition).evaluate(asked)


@pytest.mark.parametrize(
    ("condition", "line", "column", "message"),
    [
        (
            "call.vreb == 'get'",
            1,
            5,
            "'call.vreb' is no variable or function of a condition; did you mean 'call.verb'?",
        ),
        ("true &&\n foo", 2, 2, "'foo' is no variable or function of a condition"),
        ("call == 1", 1, 1, "'call' is no variable or function of a condition; write call.method and so on"),
        ("call.verb == 1", 1, 11, "found no matching overload for '_==_' applied to '(string, int)'"),
        ("call.verb", 1, 1, "a condition is true or false; this is of type string: compare it"),
        ("call.verb ==", 1, 13, "Syntax error"),
        ("object.a.matches('(')", 1, 18, "invalid regular expression: missing ): ("),
        ("true ||\n  'a'.matches(r\"[\")", 2, 15, "invalid regular expression"),
        ("1" + " + 1" * 100 + " == 1", 1, 1, "max recursion depth"),
        ("true" + " " * MAX_EXPRESSION_BYTES, 1, 1, "a condition has at most 65536 bytes"),
    ],
)
def test_a_mistake_is_found_at_load_with_its_place(
    condition: str, line: int, column: int, message: str
) -> None:
    with pytest.raises(BadCondition) as raised:
        compile_condition(condition)
    assert raised.value.mistakes[0][:2] == (line, column)
    assert message in raised.value.mistakes[0][2]


def test_what_follows_from_a_mistake_is_not_reported() -> None:
    with pytest.raises(BadCondition) as raised:
        compile_condition("call.agv.exists(a, a == 'x')")
    assert len(raised.value.mistakes) == 1


@pytest.mark.parametrize("name", VARIABLES)
def test_every_variable_has_a_value_of_its_type_for_every_call(name: str) -> None:
    requests = ("GET /healthz", "GET /api/v1/namespaces/a/pods/b/exec?command=ls", PUT)
    condition = compile_condition(f"type({name}) == type({name})")
    assert [condition.evaluate(facts(request, body=DEPLOYMENT)) for request in requests] == [True] * 3


@pytest.mark.parametrize(
    "condition",
    [
        "request.operation == 'UPDATE' && request.resource.resource == 'deployments'",
        "request.kind.group == 'apps' && request.kind.version == 'v1' && request.kind.kind == 'Deployment'",
        "request.name == 'web' && request.namespace == 'dev' && request.dryRun && request.subResource == ''",
        "request.options.fieldManager == 'x' && call.query.fieldManager == ['x']",
        "request.userInfo.username == principal.user && request.userInfo.groups == principal.groups",
        "request.userInfo.extra.team == ['a']",
        "object.spec.replicas < 4 && object.metadata.name.startsWith('we') && oldObject == null",
        "principal.claims.mfa == true && principal.subject == 's'",
        "call.method == 'PUT' && call.group == 'apps' && call.version == 'v1' && call.isResource",
        "call.at.getFullYear('UTC') == 2026 && call.source == '10.0.0.1'",
    ],
)
def test_variables_have_the_names_people_know(condition: str) -> None:
    principal = Principal(
        "ann", ("dev",), "oidc", "0" * 32, subject="s", extra=(("team", ("a",)),), claims={"mfa": True}
    )
    base = facts(PUT)
    assert says(condition, Facts(principal, base.call, "10.0.0.1", base.at_ns, DEPLOYMENT))


def test_operations_are_those_of_admission() -> None:
    for request, operation in (
        ("POST /api/v1/namespaces/a/pods", "CREATE"),
        ("PATCH /api/v1/namespaces/a/pods/b", "UPDATE"),
        ("DELETE /api/v1/namespaces/a/pods", "DELETE"),
        ("POST /api/v1/namespaces/a/pods/b/exec", "CONNECT"),
        ("GET /api/v1/namespaces/a/pods/b", ""),
    ):
        assert says(f"request.operation == '{operation}'", facts(request))


def test_the_options_of_a_deletion_are_in_its_body_too() -> None:
    asked = facts(
        "DELETE /api/v1/namespaces/a/pods/b?propagationPolicy=Orphan",
        body={"kind": "DeleteOptions", "gracePeriodSeconds": 0},
    )
    assert says("request.options.gracePeriodSeconds == 0", asked)
    assert says("request.options.propagationPolicy == 'Orphan'", asked)
    assert says("request.kind.kind == '' && request.kind.version == ''", asked)


def test_a_kind_that_is_no_text_is_none() -> None:
    assert says("request.kind.kind == ''", facts(PUT, body={"kind": 3, "apiVersion": []}))


@pytest.mark.parametrize(
    "condition",
    [
        "object.nothing == 1",
        "object.spec.replicas.matches('a')",
        "object.spec.replicas ? true : false",
        "oldObject.metadata.name == 'web'",
        "call.argv[7] == 'x'",
    ],
)
def test_what_cannot_be_evaluated_cannot_be_told(condition: str) -> None:
    assert says(condition, facts(PUT, body=DEPLOYMENT)) is None


def test_an_endless_evaluation_ends_without_an_answer() -> None:
    body: dict[str, object] = {"l": list(range(120))}
    condition = "object.l.all(a, object.l.all(b, object.l.all(c, a + b + c >= 0)))"
    assert says(condition, facts(PUT, body=body)) is None


def test_text_that_is_no_unicode_cannot_be_told() -> None:
    assert says("object.a == 'x'", facts(PUT, body={"a": "\ud800"})) is None


def test_a_body_that_nobody_could_read_is_not_no_body() -> None:
    assert says("object == null", facts(PUT)) is None
    assert says("object == null", facts("GET /api/v1/namespaces/a/pods/b"))


def test_a_json_patch_is_no_object() -> None:
    patch = "PATCH /api/v1/namespaces/a/pods/b"
    hidden: dict[str, object] = {"jsonPatch": [{"op": "add", "path": "/spec/hostNetwork", "value": True}]}
    condition = "has(object.spec) && object.spec.hostNetwork == true"
    assert says(condition, facts(patch, body=hidden)) is None
    assert says(condition, facts(patch, body={"spec": {}, "x": 1, "jsonPatch": 1})) is None
    assert says("request.kind.kind != 'Pod'", facts(patch, body=hidden)) is None


def test_the_kind_of_what_is_deleted_is_that_of_the_object() -> None:
    asked = facts("DELETE /api/v1/namespaces/a/pods/b", body={"kind": "DeleteOptions"}, old={"kind": "Pod"})
    assert says("request.kind.kind == 'Pod'", asked)


def test_it_knows_which_objects_it_looks_at() -> None:
    shadowing = compile_condition("[1].exists(object, object == 1) && 'oldObject' != ''")
    both = compile_condition("has(object.a) || has(oldObject.a)")
    assert (shadowing.uses_object, shadowing.uses_old_object) == (False, False)
    kind = compile_condition("request.kind.kind == 'Pod'")
    assert (both.uses_object, both.uses_old_object) == (True, True)
    assert (kind.uses_object, kind.uses_old_object, kind.uses_options) == (True, True, False)
    assert compile_condition("has(request.options.dryRun)").uses_options
