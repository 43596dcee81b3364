"""What a call costs a budget, and when a limit is crossed. Pure.

Deletes, secrets read, pods touched (each pod once), bytes out, minutes of exec: counted per session or grant. What is
attempted counts, whatever the cluster answers; what only an answer tells (how many objects a list has) is added then.
Dry runs count too: a query may say "dry run" while the body, which decides, does not. The trap: a limit is crossed by
the call that would go beyond it, which is then not forwarded, so nothing is ever used beyond a limit but what
another worker does within the same second, and what an answer shows too late (deletecollection).
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from gateway.policy.model import BudgetTerms
from protocol.apicall import Call

DELETES: Final = "deletes"
SECRETS_READ: Final = "secretsRead"
PODS_TOUCHED: Final = "podsTouched"
BYTES_OUT: Final = "bytesOut"
EXEC_MINUTES: Final = "execMinutes"
COUNTERS: Final = (DELETES, SECRETS_READ, PODS_TOUCHED, BYTES_OUT, EXEC_MINUTES)

FREEZE: Final = "freeze"
NEAR: Final = 0.8
"""From this part of a limit on, other workers are told at once what was used."""
_DELETING: Final = frozenset({"delete", "deletecollection"})
_TERMINALS: Final = frozenset({"exec", "attach"})
_POD_HASH_DIGITS: Final = 16


class Cost(msgspec.Struct, frozen=True):
    """What something costs. pods: `pod_hash` of each; bytes_out: 1 stands for "at least one"."""

    deletes: int = 0
    secrets_read: int = 0
    pods: tuple[str, ...] = ()
    bytes_out: int = 0
    exec_minutes: int = 0


class Spent(msgspec.Struct, frozen=True):
    """What a session or grant used of one counter so far. raised: added to the limit by approvals."""

    used: int = 0
    raised: int = 0
    names: frozenset[str] = frozenset()  # of PODS_TOUCHED: then `used` is their number


class Crossed(msgspec.Struct, frozen=True):
    """A limit is reached. used: before what was refused; limit: with what was raised."""

    terms: BudgetTerms
    subject: str
    used: int
    limit: int
    why: str

    @property
    def is_freeze(self) -> bool:
        return self.terms.action == FREEZE


class _Named(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct):
    metadata: _Named = msgspec.field(default_factory=_Named)


class _List(msgspec.Struct):
    """The members of a list or a Table; of an answer that is neither, none are there."""

    items: list[msgspec.Raw] | None = None
    rows: list[msgspec.Raw] | None = None


_LIST: Final = msgspec.json.Decoder(_List)
_OBJECT: Final = msgspec.json.Decoder(_Object)


def known_cost(call: Call) -> Cost:
    """What is certain before the call is forwarded."""
    if not call.is_resource:
        return Cost(bytes_out=1)
    is_eviction = call.subresource == "eviction" and call.verb == "create"
    return Cost(
        deletes=int((call.verb in _DELETING and not call.subresource) or is_eviction),
        secrets_read=int(call.is_secret_read),
        pods=(pod_hash(call.namespace, call.name),) if _touches_pod(call) else (),
        bytes_out=1,
        exec_minutes=int(call.stream_kind in _TERMINALS),
    )


def answer_cost(call: Call, answer: bytes) -> Cost | None:
    """What the whole answer adds to `known_cost`. None: it cannot be counted, so a limit must be taken for crossed.

    answer: of a list of secrets or a deletecollection, decoded from any transfer or content coding.
    """
    if not counts_in_answer(call):
        return Cost()
    try:
        found = _LIST.decode(answer)
        members = found.items if found.items is not None else found.rows
        if members is None:
            return Cost()  # a Status: nothing more is known, and nothing more was shown
        if call.verb == "list":
            return Cost(secrets_read=max(len(members) - 1, 0))
        pods = _pods_of(members) if call.group == "" and call.resource == "pods" else ()
        return Cost(deletes=max(len(members) - 1, 0), pods=pods)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def counts_in_answer(call: Call) -> bool:
    """Only the answer says how many objects this call was about: it has to be JSON, and whole before it goes down."""
    return (call.is_secret_read and call.verb == "list" and not call.name) or call.verb == "deletecollection"


def amount_of(cost: Cost, counter: str, spent: Spent) -> int:
    """How much of one counter this would use up, given what was used before."""
    match counter:
        case "deletes":
            return cost.deletes
        case "secretsRead":
            return cost.secrets_read
        case "podsTouched":
            return len(set(cost.pods) - spent.names)
        case "bytesOut":
            return cost.bytes_out
        case _:
            return cost.exec_minutes


def crossing(terms: BudgetTerms, subject: str, spent: Spent, cost: Cost | None) -> Crossed | None:
    """The limit this cost would go beyond, if any. cost: None for secrets nobody could count, which is beyond any."""
    limit = terms.limit + spent.raised
    if cost is None:
        if terms.counter != SECRETS_READ:
            return None
        why = "how many secrets the answer shows cannot be told: ask for JSON"
        return Crossed(terms, subject, spent.used, limit, why)
    amount = amount_of(cost, terms.counter, spent)
    if not amount or spent.used + amount <= limit:
        return None
    why = f"the budget of {limit} {terms.counter} for this {terms.per} is used up ({spent.used} used)"
    return Crossed(terms, subject, spent.used, limit, why)


def strongest(crossed: Iterable[Crossed]) -> Crossed | None:
    """Freeze beats hold; else the first."""
    found = list(crossed)
    return next((one for one in found if one.is_freeze), found[0] if found else None)


def is_near(terms: BudgetTerms, spent: Spent) -> bool:
    return spent.used >= NEAR * (terms.limit + spent.raised)


def subjects(terms: BudgetTerms, session: str, grants: tuple[str, ...]) -> tuple[str, ...]:
    """Whose budget it is: the session, or each grant the permission rests on."""
    return grants if terms.per == "grant" else (session,)


def pod_hash(namespace: str, name: str) -> str:
    """What stands for a pod in the shared state, which need not know its name."""
    return sha256(f"{namespace}/{name}".encode()).hexdigest()[:_POD_HASH_DIGITS]


def _touches_pod(call: Call) -> bool:
    is_named_pod = call.group == "" and call.resource == "pods" and call.name != ""
    return is_named_pod and (call.is_mutation or call.is_connect)


def _pods_of(members: list[msgspec.Raw]) -> tuple[str, ...]:
    found = (_OBJECT.decode(member).metadata for member in members)
    return tuple(pod_hash(metadata.namespace, metadata.name) for metadata in found)
