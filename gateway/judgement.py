"""One call judged: everything its rules look at is gathered, then the policy decides. Conduct.

What a rule needs is read before the decision and not again: the request body (kept, and forwarded as it was read), and
the object as it is in the cluster. What cannot be read counts against the call, never for it.
"""

from typing import Final

import msgspec

from gateway.errors import FORBIDDEN, UNPROCESSABLE, Answer, Refusal
from gateway.policy.decide import OBSERVED
from gateway.policy.masking.masker import Masker, decode_body, find_placeholder, masker_for
from gateway.policy.model import Action, ActiveGrant, Facts, JsonObject, Verdict
from gateway.policy.self_review import review_kind
from gateway.principal import Principal
from gateway.request_body import read_whole_body
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.sub_request import Question, ask
from gateway.tape import Tape
from protocol.apicall import Call
from protocol.errors import Unreadable
from protocol.events import RequestHead
from protocol.media import parse_json_object
from protocol.status import Cause, Details

NO_MASKS: Final = masker_for(())
MASKED_VALUE: Final = (
    "this body contains a value that kubetape had masked; writing it back would destroy the real one. "
    "Apply your own manifest, or patch only the fields you mean to change"
)


class Judgement(msgspec.Struct, frozen=True):
    """The verdict with what it was made from. body: all of the request body, None where nobody needed to see it.

    is_review: a question about access, which is ours to answer.
    """

    verdict: Verdict
    facts: Facts
    masker: Masker
    body: bytes | None
    is_review: bool = False


class Asked(msgspec.Struct, frozen=True):
    """One call, before it is judged. upstream: the head as it would go there."""

    request: ClientRequest
    principal: Principal
    session: str
    call: Call
    upstream: RequestHead


async def judge(asked: Asked, tape: Tape, services: Services) -> Judgement:
    """Decide one call. Raises Refusal for a body that no rule can see into, ClientLeft, UpstreamError, LogFailed."""
    policy = services.policy.current
    is_review = bool(review_kind(asked.call))
    source = asked.request.facts.source_address
    if policy is None and not is_review:  # no rule looks at these facts, so nobody asks what time it is
        return Judgement(OBSERVED, Facts(asked.principal, asked.call, source), NO_MASKS, None)
    body = await _read_body(asked) if _has_readable_body(asked) else None
    grants = _grants_of(services, asked.principal) if policy is not None else ()
    facts = Facts(asked.principal, asked.call, source, services.state.now_ns(), grants=grants)
    if policy is None:
        facts = msgspec.structs.replace(facts, object=_decoded(asked, body or b""))
        return Judgement(OBSERVED, facts, NO_MASKS, body, is_review)
    needs = policy.needs(facts)
    if body and (needs.object or is_review):
        facts = msgspec.structs.replace(facts, object=_decoded(asked, body))
    if needs.old_object and _may_have_old_object(asked.call):
        facts = msgspec.structs.replace(facts, old_object=await _old_object(asked, tape, services))
    verdict = policy.decide(facts)
    if is_review and verdict.action is Action.DENY and not verdict.rules:
        # What somebody may do is told to anybody, as Kubernetes does (system:basic-user): a denial can be asked about.
        verdict = msgspec.structs.replace(verdict, action=Action.ALLOW, reason="", hint="")
    masker = masker_for(verdict.masks, policy.detectors) if verdict.masks else NO_MASKS
    return Judgement(verdict, facts, masker, body, is_review)


def judge_again(judgement: Judgement, services: Services) -> Verdict:
    """The same facts, later: what is allowed after a wait is what is allowed now."""
    policy = services.policy.current
    if policy is None:
        return judgement.verdict
    facts = msgspec.structs.replace(
        judgement.facts, at_ns=services.state.now_ns(), grants=_grants_of(services, judgement.facts.principal)
    )
    return policy.decide(facts)


def _grants_of(services: Services, principal: Principal) -> tuple[ActiveGrant, ...]:
    return services.state.grants_of(principal.user, principal.issuer)


def _has_readable_body(asked: Asked) -> bool:
    """Below `proxy` an application has bodies of its own kind and length."""
    return asked.request.head.content_length != 0 and asked.call.subresource != "proxy"


async def _read_body(asked: Asked) -> bytes:
    call = asked.call
    body = await read_whole_body(asked.request, call)
    if find_placeholder(body):
        # kubectl shows the causes of this kind of refusal, and in `edit` nothing else.
        cause = Cause("MaskedValue", MASKED_VALUE, "masked value")
        details = Details(call.name, call.group, call.resource, "", (cause,))
        raise Refusal(UNPROCESSABLE, MASKED_VALUE, details=details)
    return body


def _decoded(asked: Asked, body: bytes) -> JsonObject | None:
    content_type = dict(asked.request.head.headers).get(b"content-type", b"")
    try:
        return decode_body(content_type, body, asked.call)
    except Unreadable as error:
        reason = {413: "RequestEntityTooLarge", 415: "UnsupportedMediaType"}.get(error.status, "BadRequest")
        raise Refusal(Answer(error.status, reason, "refused"), error.why) from error


def _may_have_old_object(call: Call) -> bool:
    """What is created by name is something of an object that is there: an exec over SPDY, an eviction."""
    return call.is_resource and bool(call.name) and call.verb not in ("list", "watch", "proxy")


async def _old_object(asked: Asked, tape: Tape, services: Services) -> JsonObject | None:
    """The object this call is about (of a subresource: its parent), as the cluster has it now; None: there is none.

    It is looked at and forgotten: nothing of it is recorded. Raises Refusal when a rule needs it and it cannot be had.
    """
    call = asked.call
    target = call.target.partition(b"?")[0]
    target = target.removesuffix(call.subpath.encode())  # below `proxy`, where the same words may stand again
    if call.subresource:
        target = target[: target.rindex(b"/" + call.subresource.encode())]
    status, body = await ask(services, tape, Question("old-object", asked.upstream, b"GET", target))
    if status == 404:
        return None
    found = parse_json_object(body) if status == 200 else None
    if found is None:
        raise Refusal(
            FORBIDDEN,
            f"kubetape policy has to see the object before it can decide, and the API server answered {status}",
        )
    return found
