"""Policy files -> one compiled `Policy`, or everything that is wrong with them.

Files are read together: rules of all of them count, names of bundles and detectors are shared, `lifts` may name a rule
of another file. Loading is all or nothing.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Final

from gateway.policy.actions import (
    check_action,
    check_approvers,
    check_limits,
    compile_approvers,
    compile_budget,
    compile_effects,
    kind_of,
    seconds_of,
    spec_masks,
)
from gateway.policy.cases import BadCase, Case, compile_case
from gateway.policy.condition import BadCondition, CelCondition, compile_condition
from gateway.policy.decide import Policy
from gateway.policy.hints import phrase
from gateway.policy.masking.detectors import NAMES, check_pattern
from gateway.policy.match_checks import problems_of_match
from gateway.policy.matching import compile_match
from gateway.policy.model import BudgetTerms, CustomDetector, GrantTerms
from gateway.policy.problems import BadPolicy, Problem
from gateway.policy.reading import Source
from gateway.policy.rule import Kind, Rule
from gateway.policy.syntax import (
    Actions,
    BudgetRule,
    BudgetSpec,
    CaseSpec,
    GrantSpec,
    PolicyFile,
    RuleSpec,
)
from gateway.strict_yaml import Path, nearest

MAX_RULES: Final = 5000
MAX_GRANT_S: Final = 30 * 24 * 3600
_BODY_VERBS: Final = "when it looks at `object`, say at which verbs: verbs: [create, update, patch]"
_OLD_VERBS: Final = "when it looks at `oldObject`, say at which verbs: verbs: [update, patch, delete]"


def load_policy(files: Mapping[str, bytes]) -> Policy:
    """files: name -> content; the names appear in messages. Raises BadPolicy with every problem found."""
    if not files:
        raise BadPolicy([Problem("policy", 0, 0, "there is no policy file")])
    sources = [Source(name, files[name]) for name in sorted(files)]
    _raise_problems(sources)  # what is said of meaning would be half wrong while a file cannot be read
    loading = _Loading(sources)
    loading.run()
    _raise_problems(sources)
    return loading.policy(sha256=_digest(files), files=tuple(sorted(files)))


def _raise_problems(sources: list[Source]) -> None:
    problems = [problem for source in sources for problem in source.problems]
    if problems:
        raise BadPolicy(problems)


def _digest(files: Mapping[str, bytes]) -> str:
    """The same for a directory and for its files named one by one: directories are no part of it."""
    digest = hashlib.sha256()
    for name in sorted(files, key=lambda name: name.rpartition("/")[2]):
        encoded = name.rpartition("/")[2].encode("utf-8", "surrogateescape")
        digest.update(b"%d:%d:" % (len(encoded), len(files[name])) + encoded + files[name])
    return digest.hexdigest()


class _Loading:
    """What has been compiled so far. Problems go to the source they are in."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources: Final = [(source, _file_of(source)) for source in sources]
        self._rules: list[Rule] = []
        self._kinds: dict[str, Kind] = {}  # of all rules, of those with mistakes too
        self._detectors: dict[str, CustomDetector] = {}
        self._grants: dict[str, GrantTerms] = {}
        self._bundle_budgets: dict[str, tuple[BudgetTerms, ...]] = {}
        self._tests: list[Case] = []
        self._names: set[str] = set()

    def run(self) -> None:
        for source, file in self._sources:
            self._unique(source, file.metadata.name, ("metadata", "name"), "policy")
            self._add_detectors(source, file)
        for source, file in self._sources:
            self._add_rules(source, file)
        holds = {rule for rule, kind in self._kinds.items() if kind is Kind.HOLD}
        for source, file in self._sources:
            for at, grant in enumerate(file.grants):
                self._add_grant(source, file.metadata.name, grant, ("grants", at), holds)
        rules = frozenset(self._kinds)
        for source, file in self._sources:
            for at, spec in enumerate(file.tests):
                self._add_test(source, file.metadata.name, spec, ("tests", at), rules)

    def policy(self, *, sha256: str, files: tuple[str, ...]) -> Policy:
        defaults = [file.default for _, file in self._sources]
        return Policy(
            sha256=sha256,
            files=files,
            rules=tuple(self._rules),
            default_allows="allow" in defaults and "deny" not in defaults,
            detectors=tuple(self._detectors.values()),
            grants=self._grants,
            bundle_budgets=self._bundle_budgets,
            tests=tuple(self._tests),
        )

    def _unique(self, source: Source, name: str, path: Path, what: str) -> None:
        if f"{what} {name}" in self._names:
            source.problem(path, f"there is another {what} {name!r}: names are unique")
        self._names.add(f"{what} {name}")

    def _add_detectors(self, source: Source, file: PolicyFile) -> None:
        for at, detector in enumerate(file.detectors):
            path: Path = ("detectors", at)
            self._unique(source, detector.name, (*path, "name"), "detector")
            if detector.name in NAMES:
                source.problem((*path, "name"), f"{detector.name!r} is built in: take another name")
            made = CustomDetector(detector.name, detector.re2, detector.group)
            try:
                check_pattern(made)
            except ValueError as error:
                source.problem((*path, "re2"), str(error))
            self._detectors[detector.name] = made

    def _add_rules(self, source: Source, file: PolicyFile) -> None:
        for spec, path, prefix, bundle in all_rules(file):
            rule_id = f"{prefix}/{spec.name}"
            self._unique(source, rule_id, (*path, "name"), "rule")
            self._kinds[rule_id] = kind_of(spec)
            if len(self._kinds) > MAX_RULES:
                source.problem(path, f"more than {MAX_RULES} rules")
                continue
            rule = self._compile(source, spec, path, rule_id, bundle)
            if rule is not None:
                self._rules.append(rule)

    def _compile(self, source: Source, spec: RuleSpec, path: Path, rule_id: str, bundle: str) -> Rule | None:
        """None: it has mistakes, which are reported."""
        before = len(source.problems)

        def report(where: Path, message: str) -> None:
            source.problem((*path, *where), message)

        kind = kind_of(spec)
        allows = kind is Kind.ALLOW
        for where, message in problems_of_match(spec.match, allows=allows):
            report(("match", *where), message)
        check_action(spec, frozenset(NAMES) | self._detectors.keys(), report)
        condition = _compile_condition(source, spec, path)
        if len(source.problems) > before:
            return None
        match = spec.match
        tests = compile_match(match, allows=allows, shows=spec_masks(spec))
        return Rule(
            id=rule_id,
            kind=kind,
            effects=compile_effects(spec, rule_id),
            who=tests.who,
            verb=tests.verb,
            resource=tests.resource,
            tests=tests.tests,
            object_tests=tests.object_tests,
            fields=tests.fields,
            condition=condition,
            needs_object=match.labels is not None or (condition is not None and condition.uses_object),
            needs_name=match.names is not None,
            needs_options=condition is not None and condition.uses_options,
            needs_old_object=match.labels is not None
            or (condition is not None and condition.uses_old_object),
            uses_claims=match.claims is not None or (condition is not None and condition.uses_claims),
            is_shadow=spec.mode == "shadow",
            bundle=bundle,
            phrase=phrase(match, is_conditional=condition is not None) if allows else "",
        )

    def _add_grant(self, source: Source, policy: str, spec: GrantSpec, path: Path, holds: set[str]) -> None:
        self._unique(source, spec.name, (*path, "name"), "grant")
        check_approvers(spec.approvers, (*path, "approvers"), source.problem)
        duration_s = seconds_of(spec.max_duration)
        if not 60 <= duration_s <= MAX_GRANT_S:
            source.problem((*path, "maxDuration"), "a grant lasts between 1m and 720h")
        lifts = [name if "/" in name else f"{policy}/{name}" for name in spec.lifts or ()]
        for at, name in enumerate(lifts):
            if name not in holds:
                message = f"there is no hold rule {name!r}{nearest(name, holds)}"
                source.problem((*path, "lifts", at), message)
        if not spec.rules and not lifts:
            source.problem(path, "this grants nothing: give rules or lifts")
        budget_id = f"{policy}/{spec.name}"
        for at, budget in enumerate(spec.budgets):
            check_limits(budget, (*path, "budgets", at), source.problem)
        self._bundle_budgets[spec.name] = tuple(
            terms for budget in spec.budgets for terms in compile_budget(budget, budget_id, "grant")
        )
        self._grants[spec.name] = GrantTerms(
            bundle=spec.name,
            approvers=compile_approvers(spec.approvers),
            max_duration_s=duration_s,
            requester_users=tuple(spec.requesters.users or ()),
            requester_groups=tuple(spec.requesters.groups or ()),
            rules=tuple(f"{budget_id}/{rule.name}" for rule in spec.rules),
            lifts=tuple(lifts),
            reason=spec.reason or "",
        )

    def _add_test(
        self, source: Source, policy: str, spec: CaseSpec, path: Path, rules: frozenset[str]
    ) -> None:
        try:
            line, _ = source.position(path)
            case = compile_case(spec, policy=policy, file=source.name, line=line)
        except BadCase as error:
            source.problem((*path, error.field), str(error))
            return
        for field, names in (("rule", (case.rule,)), ("masks", case.masks), ("shadow", case.shadow)):
            for name in names or ():
                if name and name not in rules:
                    source.problem((*path, field), f"there is no rule {name!r}{nearest(name, rules)}")
        for bundle in spec.grants:
            if bundle not in self._grants:
                message = f"there is no grant {bundle!r}{nearest(bundle, self._grants)}"
                source.problem((*path, "grants"), message)
        self._tests.append(case)


def _file_of(source: Source) -> PolicyFile:
    if source.policy is None:
        raise AssertionError("only files that could be read are loaded")
    return source.policy


def all_rules(file: PolicyFile) -> Iterator[tuple[RuleSpec, Path, str, str]]:
    """Rules, budgets and rules of grants: the rule, its path, what stands before its name, its bundle."""
    name = file.metadata.name
    for at, rule in enumerate(file.rules):
        yield rule, ("rules", at), name, ""
    for at, budget in enumerate(file.budgets):
        yield _as_rule(budget), ("budgets", at), name, ""
    for at, grant in enumerate(file.grants):
        for inner, rule in enumerate(grant.rules):
            yield rule, ("grants", at, "rules", inner), f"{name}/{grant.name}", grant.name


def _as_rule(budget: BudgetRule) -> RuleSpec:
    limits = {name: getattr(budget, name) for name in BudgetSpec.__struct_fields__}
    return RuleSpec(budget.name, Actions(budget=BudgetSpec(**limits)), match=budget.match, when=budget.when)


def _compile_condition(source: Source, spec: RuleSpec, path: Path) -> CelCondition | None:
    if spec.when is None:
        return None
    where = (*path, "when")
    try:
        condition = compile_condition(spec.when)
    except BadCondition as error:
        for line, column, message in error.mistakes:
            source.problem_in_text(where, line, column, message)
        return None
    if spec.match.verbs is None and (condition.uses_object or condition.uses_old_object):
        source.problem(where, _BODY_VERBS if condition.uses_object else _OLD_VERBS)
    return condition
