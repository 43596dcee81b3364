"""`match:` -> tests over facts. Each answers yes, no or None, "cannot be told" (see `rule`).

A collection (list, watch, deletecollection) counts as everything in it: whether it touches a certain name or, across
all namespaces, a certain namespace cannot be told, so a rule that denies, holds or masks is about it, and one that
allows is not. An object is both, what is in the cluster and what is sent: labels are certain when both agree.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from gateway.policy.argv import programs
from gateway.policy.echoes import resources_shown_by, verbs_shown_by
from gateway.policy.globs import Globs, MatchesOne, compile_glob
from gateway.policy.model import Facts, JsonObject
from gateway.policy.resources import Resource, Resources, is_cluster_scoped
from gateway.policy.rule import (
    COLLECTION_VERBS,
    Answer,
    IndexTest,
    Test,
    carries_object,
    knows_object,
    verb_of,
)
from gateway.policy.surroundings import during, from_networks
from gateway.policy.syntax import Match

REST = "..."
"""As the last argument of an argv pattern: any number of further arguments."""


class Tests(NamedTuple):
    """What `compile_match` makes; see `rule.Rule`."""

    who: IndexTest
    verb: IndexTest
    resource: IndexTest
    tests: tuple[Test, ...]
    object_tests: tuple[Test, ...]
    fields: tuple[str, ...]  # of `match:`, one for each of tests, then for each of object_tests


def compile_match(match: Match, *, allows: bool, shows: bool = False) -> Tests:
    """match: checked by `match_checks`. allows: for a rule that allows, whose patterns must be safe; shows: for a rule
    that hides something, which is about every answer that shows it (`echoes`)."""
    tests = list(_tests(match, allows=allows))
    object_tests = list(_object_tests(match))
    who, resource = _all(_who_tests(match)), _all(_resource_tests(match, shows=shows))
    if allows and not _names_proxy(match):
        resource = _all([resource, _is_no_proxy])
    verb = _all([_on_verb(Globs(match.verbs), shows=shows)] if match.verbs is not None else [])
    return Tests(
        who,
        verb,
        resource,
        tuple(test for _, test in tests),
        tuple(test for _, test in object_tests),
        tuple(field for field, _ in (*tests, *object_tests)),
    )


def _tests(match: Match, *, allows: bool) -> Iterator[tuple[str, Test]]:
    """What is asked of the call and of who makes it, each with the field that asks."""
    if match.paths is not None:
        yield "paths", _on_paths(Globs(match.paths))
    if match.namespaces is not None:
        yield "namespaces", _on_namespace(Globs(match.namespaces))
    if match.claims is not None:
        for name, patterns in match.claims.items():
            yield "claims", _on_claim(name, Globs(patterns))
    if match.argv is not None:
        yield "argv", _on_argv(match.argv, is_strict=allows)
    if match.ports is not None:
        yield "ports", _on_ports(frozenset(match.ports), allows=allows)
    for wanted, name in ((match.tty, "tty"), (match.stdin, "stdin")):
        if wanted is not None:
            yield name, _on_flag(name, wanted)
    if match.sources is not None:
        yield "sources", from_networks(match.sources)
    if match.time is not None:
        yield "time", during(match.time)


def _object_tests(match: Match) -> Iterator[tuple[str, Test]]:
    """What may have to look into objects."""
    if match.names is not None:
        yield "names", _on_name(Globs(match.names))
    if match.labels is not None:
        for name, patterns in match.labels.items():
            yield "labels", _on_label(name, Globs(patterns))


def _all(tests: list[IndexTest]) -> IndexTest:
    if len(tests) < 2:
        return tests[0] if tests else _always
    return lambda facts: all(test(facts) for test in tests)


def _always(facts: Facts) -> bool:
    return True


def _who_tests(match: Match) -> list[IndexTest]:
    tests: list[IndexTest] = []
    if match.users is not None:
        users = Globs(match.users)
        tests.append(lambda facts: users.match(facts.principal.user))
    if match.groups is not None:
        groups = Globs(match.groups)
        tests.append(lambda facts: groups.match_any(facts.principal.groups))
    if match.issuers is not None:
        issuers = Globs(match.issuers)
        tests.append(lambda facts: issuers.match(facts.principal.issuer))
    return tests


def _on_verb(verbs: Globs, *, shows: bool) -> IndexTest:
    if shows:
        return lambda facts: any(map(verbs.match, verbs_shown_by(verb_of(facts.call))))
    return lambda facts: verbs.match(verb_of(facts.call))


def _resource_tests(match: Match, *, shows: bool) -> list[IndexTest]:
    tests: list[IndexTest] = []
    if match.paths is not None:
        tests.append(lambda facts: not facts.call.is_resource)
    if _is_of_resources(match):
        tests.append(lambda facts: facts.call.is_resource)
    if match.api_groups is not None:
        api_groups = Globs(match.api_groups)
        tests.append(lambda facts: api_groups.match(facts.call.group))
    if match.resources is not None:
        tests.append(_on_resource(Resources(match.resources), shows=shows))
    return tests


def _names_proxy(match: Match) -> bool:
    return any(pattern.partition(".")[0].endswith("/proxy") for pattern in match.resources or ())


def _is_no_proxy(facts: Facts) -> bool:
    """What lies behind `proxy` is another API: the kubelet's runs commands, a service's does what it likes. It is
    allowed only by a rule that names it, `services/proxy`, not by one about everything."""
    return facts.call.subresource != "proxy" and facts.call.verb != "proxy"


def _on_resource(resources: Resources, *, shows: bool) -> IndexTest:
    def named(facts: Facts) -> Resource:
        return Resource(facts.call.group, facts.call.resource, facts.call.subresource)

    if shows:
        return lambda facts: any(resources.match(shown) for shown in resources_shown_by(named(facts)))
    return lambda facts: resources.match(named(facts))


def _is_of_resources(match: Match) -> bool:
    fields = (match.resources, match.api_groups, match.namespaces, match.names, match.labels, match.argv)
    return any(field is not None for field in (*fields, match.ports, match.tty, match.stdin))


def _on_paths(globs: Globs) -> Test:
    return lambda facts: globs.match(facts.call.path)


def _on_namespace(globs: Globs) -> Test:
    def test(facts: Facts) -> Answer:
        call = facts.call
        if call.namespace:
            return globs.match(call.namespace)
        if globs.is_everything:
            return True
        if call.verb in COLLECTION_VERBS and not is_cluster_scoped(call.group, call.resource):
            return None  # all namespaces at once
        if not globs.has_positive:
            return None  # `!kube-system` is about namespaces; what is in none is neither in nor out
        return globs.match("")

    return test


def _on_name(globs: Globs) -> Test:
    def test(facts: Facts) -> Answer:
        call = facts.call
        if call.name:
            return globs.match(call.name)
        if globs.is_everything:
            return True
        if call.verb != "create":
            return None  # a collection, which may contain it
        name = _metadata(facts.object).get("name")
        return globs.match(name) if isinstance(name, str) and name else None

    return test


def _on_claim(name: str, globs: Globs) -> Test:
    return lambda facts: globs.match_any(_claim_values(facts.principal.claims, name))


def _claim_values(claims: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A claim as texts; `a.b` is also b in a."""
    value: object = claims.get(name)
    if value is None and "." in name:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    values: Iterable[object] = value if isinstance(value, list | tuple) else (value,)
    return tuple(_text(item) for item in values if isinstance(item, str | int | float))


def _text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _on_label(name: str, globs: Globs) -> Test:
    def holds(labels: Mapping[str, object]) -> bool:
        value = labels.get(name)
        return globs.match_any((value,) if isinstance(value, str) else ())

    def test(facts: Facts) -> Answer:
        old = _labels(facts.old_object)
        answers = {holds(old)} if facts.old_object is not None else set()
        if carries_object(facts) and facts.call.subresource == "":
            if facts.object is None or not knows_object(facts):
                return None
            sent = _labels(facts.object)
            # A patch says only what changes.
            answers.add(holds({**old, **sent} if facts.call.verb == "patch" else sent))
        return answers.pop() if len(answers) == 1 else None

    return test


def _metadata(obj: JsonObject | None) -> Mapping[str, object]:
    metadata = obj.get("metadata") if obj is not None else None
    return metadata if isinstance(metadata, dict) else {}


def _labels(obj: JsonObject | None) -> Mapping[str, object]:
    labels = _metadata(obj).get("labels")
    return labels if isinstance(labels, dict) else {}


def _on_argv(patterns: Iterable[str | list[str]], *, is_strict: bool) -> Test:
    """Texts are for the whole line and for each command in it (`sh -c`), lists for the arguments one by one."""
    by_argument = [_compile_arguments(p, is_strict=is_strict) for p in patterns if isinstance(p, list)]
    texts = [pattern for pattern in patterns if isinstance(pattern, str)]
    lines = Globs(texts)
    excluding = Globs([text for text in texts if text.startswith("!")])

    def test(facts: Facts) -> Answer:
        argv = facts.call.argv
        if facts.call.stream_kind != "exec" or not argv:
            return False
        if any(one(argv) for one in by_argument):
            return excluding.match(" ".join(argv))
        if by_argument and not lines.has_positive:
            return False
        shown = [argv] if is_strict else [argv, *(program.argv for program in programs(argv))]
        return any(lines.match(" ".join(words)) for words in shown)

    return test


def _compile_arguments(patterns: list[str], *, is_strict: bool) -> Callable[[tuple[str, ...]], bool]:
    has_rest = patterns[-1] == REST
    fixed = patterns[:-1] if has_rest else patterns
    globs = [_argument(pattern) if is_strict else compile_glob(pattern) for pattern in fixed]

    def match(argv: tuple[str, ...]) -> bool:
        if len(argv) < len(globs) or (len(argv) > len(globs) and not has_rest):
            return False
        return all(one(argument) for one, argument in zip(globs, argv, strict=False))

    return match


def _argument(pattern: str) -> MatchesOne:
    """In a rule that allows, `/var/log/*` must not let `/var/log/../../etc/shadow` through."""
    matches = compile_glob(pattern)
    if "*" not in pattern:
        return matches
    return lambda argument: ".." not in argument.split("/") and matches(argument)


def _on_ports(ports: frozenset[int], *, allows: bool) -> Test:
    def test(facts: Facts) -> Answer:
        call = facts.call
        if call.stream_kind != "portforward":
            return False
        if not call.ports:  # they come later, in the tunnel, where what is allowed is enforced
            return True if allows else None
        known = [port in ports for port in call.ports]
        return all(known) or (None if any(known) else False)

    return test


def _on_flag(name: str, wanted: bool) -> Test:
    def test(facts: Facts) -> Answer:
        call = facts.call
        is_terminal = call.stream_kind in ("exec", "attach")
        return is_terminal and (call.tty if name == "tty" else call.stdin) is wanted

    return test
