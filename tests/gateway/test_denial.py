"""A denial says in one line who said no, why, and what to do; and the same in parts."""

import uuid

import pytest

from gateway.denial import Denial, deny, refuse
from gateway.errors import Answer
from gateway.policy.model import Action, Mode, Verdict
from gateway.principal import Principal
from protocol.apicall import parse_call
from protocol.status import Cause

EXCHANGE = bytes(range(16))
REQUEST_ID = str(uuid.UUID(bytes=EXCHANGE))
ALICE = Principal("alice", ("dev",), "oidc", "c0")
DELETE = parse_call(b"DELETE", b"/api/v1/namespaces/prod/pods/web-0")


def denied(rules: tuple[str, ...] = (), reason: str = "", hint: str = "") -> Verdict:
    return Verdict(Action.DENY, Mode.ENFORCE, rules, reason=reason, hint=hint)


def test_a_rule_is_named_with_its_reason_and_what_would_be_allowed() -> None:
    refusal = deny(
        denied(("prod/no-delete", "prod/x"), "production is read-only", "you may get pods"),
        DELETE,
        ALICE,
        EXCHANGE,
    )
    assert (refusal.answer.code, refusal.answer.reason, refusal.answer.result) == (403, "Forbidden", "denied")
    assert refusal.message == (
        'pods "web-0" is forbidden: kubetape policy prod/no-delete: production is read-only. '
        f"You may get pods. (request {REQUEST_ID})"
    )
    details = refusal.details
    assert details is not None
    assert (details.name, details.group, details.kind) == ("web-0", "", "pods")
    assert details.causes == (
        Cause("PolicyRule", "prod/no-delete", "rules[no-delete]"),
        Cause("Why", "production is read-only"),
        Cause("Allowed", "you may get pods"),
        Cause("RequestID", REQUEST_ID),
    )


def test_where_no_rule_matched_the_attempt_is_spelled_out_in_the_words_of_rbac() -> None:
    refusal = deny(denied(), DELETE, ALICE, EXCHANGE)
    assert (
        'no rule allows this: User "alice" cannot delete resource "pods" in API group "" in the namespace "prod".'
    ) in refusal.message
    assert refusal.details is not None
    assert refusal.details.causes[0] == Cause("NoPolicyRule", "nothing allows this call")
    assert "Ask the owner of that policy." in refusal.message


def test_a_rule_that_only_masks_is_not_blamed() -> None:
    refusal = deny(denied(("p/mask",), "no rule allows this"), DELETE, ALICE, EXCHANGE)
    assert "kubetape policy: no rule allows this: User" in refusal.message
    assert refusal.details is not None
    assert refusal.details.causes[0].reason == "NoPolicyRule"


def test_a_group_and_a_path_are_named_as_kubernetes_does() -> None:
    scale = parse_call(b"PATCH", b"/apis/apps/v1/namespaces/prod/deployments/web/scale")
    assert deny(denied(("p/r",)), scale, ALICE, EXCHANGE).message.startswith(
        'deployments.apps "web" is forbidden: kubetape policy p/r: denied. '
    )
    path = parse_call(b"GET", b"/debug/pprof")
    message = deny(denied(), path, ALICE, EXCHANGE).message
    assert message.startswith("/debug/pprof is forbidden: ")
    assert 'cannot get path "/debug/pprof"' in message


@pytest.mark.parametrize("reason", ["caf\u00e9", "a\u202eb"])
def test_everything_shown_is_ascii(reason: str) -> None:
    mallory = Principal("m\u00e4llory", (), "oidc", "c0")
    for verdict in (denied(("p\u00f6/r",), reason, reason), denied((), "", reason)):
        refusal = deny(verdict, DELETE, mallory, EXCHANGE)
        assert refusal.message.isascii()
        assert refusal.details is not None
        assert all((cause.message + cause.field).isascii() for cause in refusal.details.causes)


def test_other_reasons_to_refuse_come_in_the_same_shape() -> None:
    later = Answer(429, "TooManyRequests", "refused")
    refusal = refuse(
        Denial("p/hold", "waits for approval?", "Ask ann!", cause=Cause("Approval", "8F3K")),
        DELETE,
        EXCHANGE,
        answer=later,
        retry_after_s=1,
    )
    assert (refusal.answer, refusal.retry_after_s) == (later, 1)
    assert "p/hold: waits for approval? Ask ann! (request " in refusal.message
    assert refusal.details is not None
    assert Cause("Approval", "8F3K") in refusal.details.causes
