"""Verdicts that stand: the same call of the same person, under the same policy, is allowed again. Pure.

Kept only where nothing else can enter: no grant, no condition, no time, no source, no object. A denial or a hold is made
anew each time; it is rare, and its words depend on more. The trap: what is compared is the very object, of a call and
of a principal, not what they say. A client that is verified anew, or a call that is read anew, is decided anew.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from gateway.policy.model import Action, Facts, Verdict
from gateway.policy.rule import Rule
from gateway.principal import Principal
from protocol.apicall import Call
from protocol.known_calls import MAX_KNOWN_TARGET_BYTES

MAX_SETTLED: Final = 4096
"""Calls times people of a busy hour; the oldest is decided anew when it comes back."""

_OF_CALL_AND_PERSON: Final = frozenset(
    {"paths", "namespaces", "names", "claims", "argv", "ports", "tty", "stdin"}
)
"""Fields of `match:` whose tests look at nothing else; `names` only where `_is_named` holds."""


class _Standing(NamedTuple):
    """Held with the verdict, so that no other object can have their ids."""

    call: Call
    principal: Principal
    verdict: Verdict


class Settled:
    """Those of one policy: another policy has none of them."""

    def __init__(self) -> None:
        self._standing: dict[tuple[int, int], _Standing] = {}

    def __len__(self) -> int:
        return len(self._standing)

    def find(self, facts: Facts) -> Verdict | None:
        """The verdict, if this was decided before and nothing can have changed it; None: decide."""
        if facts.grants:
            return None
        found = self._standing.get((id(facts.call), id(facts.principal)))
        return found.verdict if found is not None else None

    def keep(self, facts: Facts, verdict: Verdict) -> None:
        """verdict: of rules that all `can_settle`."""
        call = facts.call
        if facts.grants or verdict.action is not Action.ALLOW or not _is_named(call):
            return
        if call.is_connect:  # its command line, or its query, may hold a secret
            return
        if (
            len(call.target) > MAX_KNOWN_TARGET_BYTES
        ):  # it is read anew each time: never found, it would only be held
            return
        if len(self._standing) >= MAX_SETTLED:
            del self._standing[next(iter(self._standing))]
        self._standing[id(call), id(facts.principal)] = _Standing(call, facts.principal, verdict)


def can_settle(rules: Iterable[Rule]) -> bool:
    """Whether what these rules say follows from call and person alone, where `_is_named` holds."""
    return all(
        rule.condition is None
        and len(rule.fields) == len(rule.tests) + len(rule.object_tests)  # every test says what it looks at
        and _OF_CALL_AND_PERSON.issuperset(rule.fields)
        for rule in rules
    )


def _is_named(call: Call) -> bool:
    """The name of what is created stands in its body."""
    return call.name != "" or call.verb != "create"
