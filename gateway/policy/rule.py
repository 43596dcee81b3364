"""One rule, compiled: does it match a call, and what does it bring about.

A match has three answers: yes, no, and "cannot be told" (None): a condition that fails, a body that could not be read,
a list that may or may not contain what the rule is about. Fail closed: then it counts for every rule but one that
allows, and what it would leave out of the record stays in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol, TypeAlias

from gateway.policy.masking.bodies import JSON_PATCH
from gateway.policy.model import BudgetTerms, CommandRule, Facts, FileRule, HoldTerms, Mask, Needs
from protocol.apicall import Call

Answer: TypeAlias = bool | None
Test: TypeAlias = Callable[[Facts], Answer]
IndexTest: TypeAlias = Callable[[Facts], bool]
"""Depends on user, groups, issuer, verb, API group, resource and subresource alone: its answers can be kept."""

COLLECTION_VERBS: Final = frozenset(("list", "watch", "deletecollection"))
_DELETING: Final = frozenset(("delete", "deletecollection"))
_WITH_BODY: Final = frozenset(("create", "update", "patch"))


class Kind(IntEnum):
    """What a rule says about the call itself; the strongest first. OTHER: nothing, it masks, records, counts."""

    DENY = 0
    HOLD = 1
    ALLOW = 2
    OTHER = 3


class Predicate(Protocol):
    """A condition over facts. Whoever evaluates it bounds its time; `evaluate` never raises."""

    @property
    def uses_object(self) -> bool: ...

    @property
    def uses_old_object(self) -> bool: ...

    @property
    def uses_options(self) -> bool: ...

    def evaluate(self, facts: Facts) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Effects:
    """What a matching rule brings about beside its kind. ports: what a port-forward may open; None: not said."""

    reason: str = ""
    hold: HoldTerms | None = None
    mask: Mask | None = None
    metadata_only: bool = False
    commands: tuple[CommandRule, ...] = ()
    files: tuple[FileRule, ...] = ()
    ports: tuple[int, ...] | None = None
    budgets: tuple[BudgetTerms, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """tests: what is not in the index, without objects. object_tests: what looks into objects. fields: of `match:`,
    one for each of tests, then of object_tests. phrase: what it allows, in words, for hints.
    """

    id: str
    kind: Kind
    effects: Effects
    who: IndexTest
    verb: IndexTest
    resource: IndexTest
    tests: tuple[Test, ...] = ()
    object_tests: tuple[Test, ...] = ()
    fields: tuple[str, ...] = ()
    condition: Predicate | None = None
    needs_object: bool = False
    needs_name: bool = False  # of what is created: it is in the body
    needs_options: bool = False  # of a deletion: they are in the body
    needs_old_object: bool = False
    uses_claims: bool = False  # of the token, which no record keeps
    is_shadow: bool = False
    bundle: str = ""  # of the grant whose holders it is for; "": everybody
    phrase: str = ""

    def matches(self, facts: Facts) -> Answer:
        """Whether it is about this call, given that its index tests are."""
        answer: Answer = True
        for tests in (self.tests, self.object_tests):
            for test in tests:
                found = test(facts)
                if found is False:
                    return False
                answer = answer and found
        if self.condition is not None:
            found = self.condition.evaluate(facts)
            if found is False:
                return False
            answer = answer and found
        return answer

    def needs(self, facts: Facts) -> Needs:
        """Which objects it has to see for this call; none if it is not about it anyway."""
        call = facts.call
        wants_object = self.needs_options and call.verb in _DELETING
        if carries_object(facts):
            wants_object = self.needs_object or (self.needs_name and not call.name)
        is_single = call.is_resource and call.name != "" and call.verb not in COLLECTION_VERBS
        wants_old = self.needs_old_object and is_single
        if not (wants_object or wants_old) or any(test(facts) is False for test in self.tests):
            return Needs()
        return Needs(wants_object, wants_old)


def verb_of(call: Call) -> str:
    """The verb of a call as rules name it.

    Opening an exec, attach or port-forward is `create`, whichever method asks for it: over WebSocket it is a GET, and
    whoever may only read must not get a shell that way (Kubernetes itself asks for `create` since 1.35, KEP-4006).
    """
    return "create" if call.stream_kind else call.verb


def knows_object(facts: Facts) -> bool:
    """Whether the body is there to be looked at. A JSON patch is not: what it makes of the object is not in it."""
    return facts.object is not None and not (facts.call.verb == "patch" and JSON_PATCH in facts.object)


def carries_object(facts: Facts) -> bool:
    """Whether the body of this call is an object, or a patch of one."""
    call = facts.call
    return call.is_resource and call.verb in _WITH_BODY and not call.is_connect
