"""`kubectl auth can-i` and `auth whoami` through the gateway: answered for the person, not for the gateway's role.

What policy denies is denied here, and the cluster is not asked. What it allows is asked of the cluster too, because both have
to agree: with impersonation it answers for the person, else for the one role everything goes through. A held call is
allowed, with a note who approves.

whoami under one shared credential is always answered here, policy or not, on clusters that lack the resource too
(before 1.26): who a person is to kubetape does not depend on the cluster, and the cluster's answer would be about
somebody else. With impersonation the API server says it, and what it adds (system:authenticated) is true.
"""

from typing import Final

import msgspec

from gateway.errors import BAD_REQUEST, UNSUPPORTED_MEDIA, Refusal
from gateway.policy.asked_calls import BadReview, namespace_of
from gateway.policy.model import Action, Facts, Mode
from gateway.policy.self_review import (
    ACCESS_REVIEW,
    SUBJECT_REVIEW,
    Decide,
    derive_rules,
    judge,
    review_kind,
)
from gateway.self_review_answers import access_answer, rules_answer, subject_answer
from gateway.upstream.request import IdentityMode
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from protocol.status import status_headers

CREATED: Final = 201


class AskCluster(msgspec.Struct, frozen=True):
    """The cluster has to be asked. reason: to be put into its answer (`self_review_answers.add_reason`), which then
    has to come as JSON."""

    reason: str = ""


def answer_self_review(facts: Facts, decide: Decide, mode: IdentityMode) -> tuple[Event, ...] | AskCluster:
    """Answer one self review, or say that the cluster has to be asked. For any other call: ask.

    facts: of the review itself; `object`: its decoded body, whatever its encoding was. decide: of the policy in force.
    Raises Refusal: 400 for a question nobody could answer, 415 for a body that could not be decoded.
    """
    kind = review_kind(facts.call)
    api_version = f"{facts.call.group}/{facts.call.version}"
    if kind == SUBJECT_REVIEW:
        if mode is IdentityMode.IMPERSONATE:
            return AskCluster()
        return _created(subject_answer(api_version, facts.principal, facts.at_ns))
    if not kind or decide(facts).mode is Mode.OBSERVE:
        return AskCluster()
    if facts.object is None:
        raise Refusal(UNSUPPORTED_MEDIA, "kubetape cannot read this review: send it as application/json")
    try:
        if kind == ACCESS_REVIEW:
            return _access(facts, decide, api_version)
        if mode is IdentityMode.IMPERSONATE:
            return AskCluster()
        rules = derive_rules(namespace_of(facts.object), facts, decide)
    except BadReview as error:
        raise Refusal(BAD_REQUEST, f"this review cannot be answered: {error}") from error
    return _created(rules_answer(api_version, facts.object, rules))


def _access(facts: Facts, decide: Decide, api_version: str) -> tuple[Event, ...] | AskCluster:
    assert facts.object is not None
    judgement = judge(facts.object, facts, decide)
    if judgement.action is Action.DENY:
        return _created(access_answer(api_version, facts.object, judgement))
    return AskCluster(judgement.reason)


def _created(body: bytes) -> tuple[Event, ...]:
    return ResponseHead(CREATED, status_headers(body)), BodyChunk(body), EndOfBody()
