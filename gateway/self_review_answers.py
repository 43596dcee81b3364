"""Judgements -> the JSON objects the API server would answer a self review with. Pure.

Always JSON: clients decode by Content-Type, whatever they asked for. What the client asked is echoed, as the API server does.
Source: k8s.io/api authorization/v1 and authentication/v1.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway.policy.model import Action, JsonObject
from gateway.policy.self_review import AllowedRules, Judgement
from gateway.principal import Principal

INCOMPLETE: Final = (
    "these are examples: kubetape policy also depends on names, command lines, bodies and time"
)
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(dict[str, object])


def access_answer(api_version: str, review: JsonObject, judgement: Judgement) -> bytes:
    """A SelfSubjectAccessReview."""
    status: JsonObject = {"allowed": judgement.action is Action.ALLOW}
    if judgement.is_explicit:
        status["denied"] = True
    if judgement.reason:
        status["reason"] = judgement.reason
    return _review("SelfSubjectAccessReview", api_version, review, status)


def rules_answer(api_version: str, review: JsonObject, rules: AllowedRules) -> bytes:
    """A SelfSubjectRulesReview; never complete."""
    status: JsonObject = {
        "resourceRules": [
            {"verbs": rule.verbs, "apiGroups": [rule.group], "resources": rule.resources}
            for rule in rules.resources
        ],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": rules.paths}] if rules.paths else [],
        "incomplete": True,
        "evaluationError": INCOMPLETE,
    }
    return _review("SelfSubjectRulesReview", api_version, review, status)


def subject_answer(api_version: str, principal: Principal, at_ns: int) -> bytes:
    """A SelfSubjectReview: the person as policy and record know him. at_ns: UTC."""
    user: JsonObject = {"username": principal.user}
    if principal.uid:
        user["uid"] = principal.uid
    if principal.groups:
        user["groups"] = principal.groups
    if principal.extra:
        user["extra"] = {key: list(values) for key, values in principal.extra}
    at = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _encode(
        {
            "kind": "SelfSubjectReview",
            "apiVersion": api_version,
            "metadata": {"creationTimestamp": at},
            "status": {"userInfo": user},
        }
    )


def add_reason(answer: bytes, reason: str) -> bytes:
    """The API server's own answer to an access review, with our reason in front of its own.

    Unchanged when it is no JSON object with a status: an error of the API server, say.
    """
    try:
        found = _DECODER.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return answer
    status = found.get("status")
    if not isinstance(status, dict):
        return answer
    theirs = status.get("reason")
    status["reason"] = f"{reason}; {theirs}" if isinstance(theirs, str) and theirs else reason
    return _encode(found)


def _review(kind: str, api_version: str, review: JsonObject, status: JsonObject) -> bytes:
    return _encode(
        {
            "kind": kind,
            "apiVersion": api_version,
            "metadata": {},
            "spec": review.get("spec") or {},
            "status": status,
        }
    )


def _encode(answer: JsonObject) -> bytes:
    return _ENCODER.encode(answer) + b"\n"
