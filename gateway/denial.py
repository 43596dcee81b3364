"""A denial in words: Verdict and Call -> the Refusal a person reads in kubectl and a program in `details`.

Pure. It decides nothing and says nothing that the client did not send or the policy file does not say. The trap:
kubectl shows only `message`, so everything a person needs stands in that one line; `details.causes` say the same
in parts (docs/denials.md).
"""

import uuid
from typing import Final

import msgspec

from gateway.errors import FORBIDDEN, Answer, Refusal
from gateway.policy.assembly import NOTHING_ALLOWS
from gateway.policy.denying import denying_rule
from gateway.policy.model import Verdict
from gateway.principal import Principal
from protocol.apicall import Call
from protocol.status import Cause, Details, cannot, forbidden_message

ASK_OWNER: Final = "Ask the owner of that policy"
"""What to do when the policy does not say what would be allowed."""


class Denial(msgspec.Struct, frozen=True):
    """Why a call is refused.

    rule: "policy/rule", "" when nothing allowed it. why, advice: sentences without a full stop. allowed: what the
    same person may do. cause: the reason of further parts, "Approval", "Budget", "Revocation", with its id.
    """

    rule: str
    why: str
    advice: str = ""
    allowed: str = ""
    cause: Cause | None = None


def deny(verdict: Verdict, call: Call, principal: Principal, exchange: bytes) -> Refusal:
    """The 403 for a verdict that is a denial. exchange: 16 bytes, the request id."""
    rule, why = denying_rule(verdict), verdict.reason or "denied"
    if not rule:
        why = f"{verdict.reason or NOTHING_ALLOWS}: {_attempt(call, principal)}"
    return refuse(Denial(rule, why, allowed=verdict.hint), call, exchange)


def refuse(
    denial: Denial,
    call: Call,
    exchange: bytes,
    *,
    answer: Answer = FORBIDDEN,
    retry_after_s: int | None = None,
) -> Refusal:
    """The refusal of one call by a rule, an approver, a budget or a revocation. Everything in it is ASCII."""
    request_id = str(uuid.UUID(bytes=exchange))
    by = f"kubetape policy {denial.rule}" if denial.rule else "kubetape policy"
    advice = denial.advice or denial.allowed or ASK_OWNER
    words = (
        f"{by}: {_sentence(denial.why)} {_sentence(advice[:1].upper() + advice[1:])} (request {request_id})"
    )
    named = forbidden_message(words, resource=call.resource or call.path, group=call.group, name=call.name)
    return Refusal(
        answer, _ascii(named), details=_details(denial, call, request_id), retry_after_s=retry_after_s
    )


def _details(denial: Denial, call: Call, request_id: str) -> Details:
    causes = []
    if denial.rule:
        _, _, rule = denial.rule.partition("/")
        causes.append(Cause("PolicyRule", _ascii(denial.rule), _ascii(f"rules[{rule}]")))
    else:
        causes.append(Cause("NoPolicyRule", "nothing allows this call"))
    causes.append(Cause("Why", _ascii(denial.why)))
    if denial.allowed:
        causes.append(Cause("Allowed", _ascii(denial.allowed)))
    if denial.cause is not None:
        cause = denial.cause
        causes.append(Cause(_ascii(cause.reason), _ascii(cause.message), _ascii(cause.field)))
    causes.append(Cause("RequestID", request_id))
    return Details(_ascii(call.name), _ascii(call.group), _ascii(call.resource), "", tuple(causes))


def _attempt(call: Call, principal: Principal) -> str:
    return cannot(
        principal.user,
        call.verb,
        resource=call.resource,
        subresource=call.subresource,
        group=call.group,
        namespace=call.namespace,
        path=call.path,
    )


def _sentence(text: str) -> str:
    """One full stop at its end, whether or not the policy's author wrote one."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _ascii(text: str) -> str:
    r"""Non-ASCII as \u escapes: a name that looks like another one is not shown as that other one."""
    return text.encode("ascii", "backslashreplace").decode("ascii")
