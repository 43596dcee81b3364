"""What the gateway says itself in an answer: self reviews answered for the person, and warnings on the cluster's answers."""

import msgspec

from gateway.admission import Admitted
from gateway.client_warnings import warning_headers
from gateway.policy.decide import OBSERVED
from gateway.policy.model import Facts, Verdict
from gateway.self_review import AskCluster, answer_self_review
from gateway.self_review_answers import add_reason
from gateway.services import Services
from gateway.sub_request import Question, ask
from gateway.tape import Tape
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead


async def self_review(services: Services, tape: Tape, admitted: Admitted, body: bytes) -> list[Event] | None:
    """`auth can-i` and `auth whoami`, answered for the person; None: the cluster's to answer.

    admitted: a review. body: of the request. Raises Refusal, UpstreamError, LogFailed.
    """
    policy = services.policy.current

    def decide(facts: Facts) -> Verdict:
        return policy.decide(facts) if policy is not None else OBSERVED

    answer = answer_self_review(admitted.judgement.facts, decide, services.identity_mode)
    if not isinstance(answer, AskCluster):
        return list(answer)
    if not answer.reason:
        return None
    # The cluster has to agree, and the person is told that people have to as well.
    upstream = admitted.upstream
    media = dict(upstream.headers).get(b"content-type", b"")
    question = Question("access-review", upstream, b"POST", admitted.call.target, body, media)
    status, said = await ask(services, tape, question)
    said = add_reason(said, answer.reason)
    head = ResponseHead(status, ((b"content-type", b"application/json"),), content_length=len(said))
    return [head, BodyChunk(said), EndOfBody()] if said else [head, EndOfBody()]


def warned(head: ResponseHead, admitted: Admitted, services: Services) -> ResponseHead:
    """The head with what the client is warned about: rules in shadow mode, a grant that ends soon."""
    verdict = admitted.verdict
    if not verdict.shadow and not verdict.grants:
        return head
    now_ns = services.state.now_ns()
    headers = warning_headers(verdict, admitted.judgement.facts.grants, now_ns)
    return msgspec.structs.replace(head, headers=head.headers + headers) if headers else head
