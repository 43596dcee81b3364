"""The seam where a call is decided: facts in, a Verdict out, never an exception.

Without policy files there is one verdict: allow, and say so. Allow-all is a mode of its own (`Mode.OBSERVE`), not the
absence of a decision: it stands in every record. With files, `Policy.decide` looks at the rules that can be about
this person, verb and resource (an index that fills as calls come), and `assembly` makes a verdict of those that match.
What depends on nothing but call and person is decided once (`settled`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from gateway.policy.assembly import NOTHING_ALLOWS, Ground, Matched, assemble
from gateway.policy.cases import Case
from gateway.policy.hints import what_is_allowed, with_grants
from gateway.policy.model import (
    Action,
    ActiveGrant,
    BudgetTerms,
    CustomDetector,
    Facts,
    GrantTerms,
    Mode,
    Needs,
    Verdict,
)
from gateway.policy.rule import Kind, Rule
from gateway.policy.settled import Settled, can_settle
from protocol.apicall import Call

NOTHING_MORE: Final = Needs()
OBSERVED: Final = Verdict(action=Action.ALLOW, mode=Mode.OBSERVE)

MAX_INDEX_ENTRIES: Final = 4096
"""Users times kinds of calls of a busy hour. Beyond it the index starts anew: a client may invent resources."""

MAX_KIND_CHARACTERS: Final = 512
"""Of group, resource and subresource together; those of any API have at most 253, 63 and 63. What a client invents may
be as long as a request target, and is not held."""

CallKey: TypeAlias = tuple[str, str, str, str, bool]
"""Verb, resource, subresource, API group, whether it is a resource at all."""


def decide(facts: Facts) -> Verdict:
    """Decide one call of an identified principal where no policy file is loaded."""
    del facts  # observe mode looks at nothing
    return OBSERVED


@dataclass(slots=True)
class _Candidates:
    """The rules that can be about one kind of call of one kind of person. hint: made at the first denial."""

    rules: tuple[Rule, ...]
    can_settle: bool
    hint: str | None = None


@dataclass(frozen=True)
class Policy:
    """All files, compiled. Made by `load.load_policy`; never changes, but for the index it keeps.

    grants: what may be asked for, by bundle. tests: those of all files, see `testing`.
    """

    sha256: str
    files: tuple[str, ...]
    rules: tuple[Rule, ...]
    default_allows: bool = False
    detectors: tuple[CustomDetector, ...] = ()
    grants: Mapping[str, GrantTerms] = field(default_factory=dict)
    bundle_budgets: Mapping[str, tuple[BudgetTerms, ...]] = field(default_factory=dict)
    tests: tuple[Case, ...] = ()
    _index: dict[tuple[object, ...], _Candidates] = field(default_factory=dict, repr=False, compare=False)
    _by_call: dict[CallKey, tuple[Rule, ...]] = field(default_factory=dict, repr=False, compare=False)
    _settled: Settled = field(default_factory=Settled, repr=False, compare=False)

    def needs(self, facts: Facts) -> Needs:
        """Which objects `decide` has to see for this call; ask before it, with facts that have none. Never raises."""
        if self._settled.find(facts) is not None:
            return NOTHING_MORE
        try:
            return self._needs(facts)
        except Exception:  # then a decision without them fails closed
            return Needs(object=True, old_object=True)

    def _needs(self, facts: Facts) -> Needs:
        wants_object = wants_old = False
        for rule in self._candidates(facts).rules:
            needs = rule.needs(facts)
            wants_object, wants_old = wants_object or needs.object, wants_old or needs.old_object
        return Needs(wants_object, wants_old)

    def decide(self, facts: Facts) -> Verdict:
        """Never raises: what cannot be decided is denied.

        facts: the call exactly as it will be forwarded, with what `needs` asked for. An object in the cluster that
        could not be fetched (other than: there is none) is for the caller to refuse.
        """
        standing = self._settled.find(facts)
        if standing is not None:
            return standing
        try:
            return self._decide(facts)
        except Exception as error:
            return Verdict(
                action=Action.DENY,
                mode=Mode.ENFORCE,
                policy_sha256=self.sha256,
                reason=f"the policy could not be evaluated ({type(error).__name__})",
            )

    def _decide(self, facts: Facts) -> Verdict:
        ground = self.ground(facts)
        candidates = self._candidates(facts)
        matched = []
        for rule in candidates.rules:
            if rule.bundle and rule.bundle not in ground.held:
                continue
            answer = rule.matches(facts)
            if answer or (answer is None and rule.kind is not Kind.ALLOW):
                matched.append(Matched(rule, answer))
        verdict = assemble(matched, ground)
        if verdict.action is not Action.DENY:
            if candidates.can_settle:
                self._settled.keep(facts, verdict)
            return verdict
        if candidates.hint is None:
            candidates.hint = what_is_allowed(self.rules, facts)
        hint = candidates.hint
        if verdict.reason == NOTHING_ALLOWS:  # what a rule denies, no grant allows
            askable = [terms for bundle, terms in self.grants.items() if bundle not in ground.held]
            hint = with_grants(hint, candidates.rules, askable, facts)
        return msgspec.structs.replace(verdict, hint=hint)

    def candidates(self, facts: Facts) -> tuple[Rule, ...]:
        """The rules that can be about such a call of such a person, in the order of the files."""
        return self._candidates(facts).rules

    def ground(self, facts: Facts) -> Ground:
        """What a verdict rests on beside the rules that match."""
        held, lifted = self._grants_of(facts)
        return Ground(self.sha256, self.default_allows, held, lifted, self.bundle_budgets)

    def _candidates(self, facts: Facts) -> _Candidates:
        who, call = facts.principal, facts.call
        key = (call.verb, call.resource, call.subresource, call.group, call.is_resource)
        full_key = (key, who.user, who.groups, who.issuer)
        found = self._index.get(full_key)
        if found is None:
            rules = tuple(rule for rule in self._about(key, facts) if rule.who(facts))
            found = _Candidates(rules, can_settle(rules))
            if _may_exist(call):
                if len(self._index) >= MAX_INDEX_ENTRIES:
                    self._index.clear()
                self._index[full_key] = found
        return found

    def _about(self, key: CallKey, facts: Facts) -> tuple[Rule, ...]:
        """The rules that can be about such a call, whoever makes it."""
        found = self._by_call.get(key)
        if found is None:
            found = tuple(rule for rule in self.rules if rule.verb(facts) and rule.resource(facts))
            if _may_exist(facts.call):
                if len(self._by_call) >= MAX_INDEX_ENTRIES:
                    self._by_call.clear()
                self._by_call[key] = found
        return found

    def _grants_of(self, facts: Facts) -> tuple[Mapping[str, ActiveGrant], Mapping[str, ActiveGrant]]:
        """The bundles this person holds, and the hold rules they lift; of two grants, the one that lasts longer."""
        if not facts.grants:
            return _NONE_HELD, _NONE_HELD
        held: dict[str, ActiveGrant] = {}
        for grant in sorted(facts.grants, key=lambda grant: grant.expires_ns):
            if grant.expires_ns > facts.at_ns and grant.bundle in self.grants:
                held[grant.bundle] = grant
        lifted = {rule: held[bundle] for bundle in held for rule in self.grants[bundle].lifts}
        return held, lifted


def _may_exist(call: Call) -> bool:
    return len(call.group) + len(call.resource) + len(call.subresource) <= MAX_KIND_CHARACTERS


_NONE_HELD: Final[Mapping[str, ActiveGrant]] = {}
