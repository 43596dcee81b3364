"""What is wrong with a `match:` that has the right form: words that are no verbs, and fields that can never agree."""

from collections.abc import Iterator, Sequence
from typing import Final

from gateway.policy.globs import Globs, problem_of
from gateway.policy.matching import REST
from gateway.policy.resources import Resource, Resources, problem_of_resource
from gateway.policy.surroundings import parse_clock, parse_network, parse_zone
from gateway.policy.syntax import METHOD_VERBS, VERBS, Match, TimeWindow
from gateway.strict_yaml import Path, nearest

Found = Iterator[tuple[Path, str]]
"""Where, from the match on, and what is wrong."""

_NO_VERBS: Final = {
    "exec": "exec is no verb; write resources: [pods/exec]",
    "attach": "attach is no verb; write resources: [pods/attach]",
    "port-forward": "port-forward is no verb; write resources: [pods/portforward]",
    "logs": "logs is no verb; write resources: [pods/log]",
    "apply": "apply is no verb; write verbs: [create, patch]",
    "edit": "edit is no verb; write verbs: [update, patch]",
    "scale": "scale is no verb; write resources: [*/scale]",
    "read": "read is no verb; write verbs: [get, list, watch]",
    "write": "write is no verb; write verbs: [create, update, patch, delete, deletecollection]",
}
_NO_RESOURCES: Final = {
    "pod": "pods",
    "po": "pods",
    "deployment": "deployments",
    "deploy": "deployments",
    "service": "services",
    "svc": "services",
    "secret": "secrets",
    "configmap": "configmaps",
    "cm": "configmaps",
    "node": "nodes",
    "no": "nodes",
    "namespace": "namespaces",
    "ns": "namespaces",
    "job": "jobs",
    "cronjob": "cronjobs",
    "ingress": "ingresses",
    "event": "events",
    "serviceaccount": "serviceaccounts",
    "sa": "serviceaccounts",
    "pods/logs": "pods/log",
    "pods/port-forward": "pods/portforward",
    "exec": "pods/exec",
}
_TERMINAL: Final = (Resource("", "pods", "exec"), Resource("", "pods", "attach"))
_EXEC: Final = (Resource("", "pods", "exec"),)
_FORWARD: Final = (Resource("", "pods", "portforward"),)


def problems_of_match(match: Match, *, allows: bool) -> Found:
    """match: of the right form. allows: of a rule that allows."""
    yield from _glob_problems(match)
    yield from _verb_problems(match)
    yield from _resource_problems(match)
    yield from _argv_problems(match, allows=allows)
    yield from _source_problems(match)
    if match.time is not None:
        yield from _time_problems(match.time)
    yield from _contradictions(match)
    yield from _stream_problems(match)


def _stream_problems(match: Match) -> Found:
    """Rules about streams alone that leave out the one verb streams have."""
    streams = {f"pods/{name}" for name in ("exec", "attach", "portforward")}
    if match.resources is None or match.verbs is None or not set(match.resources) <= streams:
        return
    if not Globs(match.verbs).match("create"):
        yield (
            ("verbs",),
            "opening a stream is create, whatever the method: leave verbs out, or write verbs: [create]",
        )


def _glob_problems(match: Match) -> Found:
    lists: list[tuple[Path, Sequence[str] | None, bool]] = [
        (("users",), match.users, False),
        (("groups",), match.groups, False),
        (("issuers",), match.issuers, False),
        (("verbs",), match.verbs, False),
        (("apiGroups",), match.api_groups, False),
        (("resources",), match.resources, False),
        (("namespaces",), match.namespaces, False),
        (("names",), match.names, False),
        (("paths",), match.paths, False),
    ]
    lists += [(("claims", name), globs, True) for name, globs in (match.claims or {}).items()]
    lists += [(("labels", name), globs, True) for name, globs in (match.labels or {}).items()]
    for path, globs, may_be_absent in lists:
        problem = problem_of(globs, may_be_absent=may_be_absent) if globs is not None else None
        if problem is not None:
            yield (*path, problem[0]), problem[1]
    for name, empty in (("claims", match.claims), ("labels", match.labels)):
        if empty == {}:
            yield (name,), f"`{name}` names none: write name: [value], or leave it out"


def _verb_problems(match: Match) -> Found:
    known = {*VERBS, *METHOD_VERBS}
    for at, pattern in enumerate(match.verbs or ()):
        verb = pattern.removeprefix("!")
        if verb not in known and not ("*" in verb and any(Globs([verb]).match(word) for word in known)):
            yield ("verbs", at), _NO_VERBS.get(verb) or f"{verb!r} is no verb{nearest(verb, known)}"


def _resource_problems(match: Match) -> Found:
    for at, pattern in enumerate(match.resources or ()):
        plain = pattern.removeprefix("!")
        problem = problem_of_resource(pattern)
        if plain in _NO_RESOURCES:
            problem = f"{plain!r} is no resource; did you mean {_NO_RESOURCES[plain]!r}?"
        if problem:
            yield ("resources", at), problem


def _argv_problems(match: Match, *, allows: bool) -> Found:
    for at, pattern in enumerate(match.argv or ()):
        if isinstance(pattern, list):
            if REST in pattern[:-1]:
                yield ("argv", at), f"{REST!r} stands for further arguments: it can only be the last"
            if pattern == [REST]:
                yield ("argv", at), "this matches every command: leave `argv` out"
        elif allows and not pattern.startswith("!"):
            words = ", ".join(pattern.split())
            yield ("argv", at), f"in a rule that allows, write the arguments one by one: [{words}]"


def _source_problems(match: Match) -> Found:
    for at, text in enumerate(match.sources or ()):
        try:
            parse_network(text.removeprefix("!"))
        except ValueError as error:
            yield ("sources", at), str(error)


def _time_problems(window: TimeWindow) -> Found:
    if window == TimeWindow():
        yield ("time",), "an empty `time` is always: write days, from, to, or leave it out"
    for name, text in (("from", window.from_), ("to", window.to)):
        try:
            parse_clock(text or "00:00")
        except ValueError as error:
            yield ("time", name), str(error)
    if window.from_ is not None and window.from_ == window.to:
        yield ("time", "to"), "from and to are the same: this never matches"
    try:
        parse_zone(window.zone)
    except ValueError as error:
        yield ("time", "zone"), str(error)


def _contradictions(match: Match) -> Found:
    """Fields that exclude each other: such a rule would never match."""
    if match.paths is not None:
        others = ("api_groups", "resources", "namespaces", "names", "labels", "argv", "ports", "tty", "stdin")
        found = [name for name in others if getattr(match, name) is not None]
        if found:
            yield ("paths",), f"a call has a path or is about {found[0]}, never both: write two rules"
        if match.verbs is not None and not any(Globs(match.verbs).match(verb) for verb in METHOD_VERBS):
            yield ("verbs",), "the verbs of paths are methods: get, head, post, put, patch, delete, options"
        return
    if match.verbs is not None and match.resources is not None:
        if not any(Globs(match.verbs).match(verb) for verb in VERBS):
            yield ("verbs",), f"no call on resources has such a verb: they are {', '.join(VERBS)}"
    if match.resources is None or any(problem_of_resource(pattern) for pattern in match.resources):
        return
    resources = Resources(match.resources)
    for name, wanted in (("argv", _EXEC), ("tty", _TERMINAL), ("stdin", _TERMINAL), ("ports", _FORWARD)):
        if getattr(match, name) is not None and not any(resources.match(resource) for resource in wanted):
            need = " or ".join(f"pods/{resource.subresource}" for resource in wanted)
            yield (name,), f"only {need} has `{name}`, and `resources` leaves it out: this never matches"
