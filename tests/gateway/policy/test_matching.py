"""What a `match:` is about; in doubt neither yes nor no."""

import pytest

from gateway.policy.matching import compile_match
from gateway.policy.model import Facts
from gateway.policy.rule import Answer
from gateway.policy.syntax import Match, TimeWindow
from tests.kit.policies import NOON_NS, facts

POD = "GET /api/v1/namespaces/dev/pods/web"
LIST = "GET /api/v1/namespaces/dev/pods"
LIST_ALL = "GET /api/v1/pods"
EXEC = "GET /api/v1/namespaces/dev/pods/web/exec"
CREATE = "POST /api/v1/namespaces/dev/pods"


def answer(match: Match, asked: Facts, *, allows: bool = False, shows: bool = False) -> Answer:
    tests = compile_match(match, allows=allows, shows=shows)
    if not (tests.who(asked) and tests.verb(asked) and tests.resource(asked)):
        return False
    answers = [test(asked) for test in (*tests.tests, *tests.object_tests)]
    return False if False in answers else None if None in answers else True


def labelled(**labels: str) -> dict[str, object]:
    return {"metadata": {"name": "web", "labels": labels}}


def test_a_match_without_fields_is_about_every_call() -> None:
    assert answer(Match(), facts(POD))
    assert answer(Match(), facts("GET /healthz"))


def test_who_asks() -> None:
    asked = facts(POD, user="system:ann", groups=("dev", "vpn"), issuer="https://idp")
    assert answer(Match(users=["system:*"]), asked)
    assert not answer(Match(users=["ann"]), asked)
    assert answer(Match(groups=["sre", "d*"]), asked)
    assert not answer(Match(groups=["*", "!vpn"]), asked)
    assert answer(Match(issuers=["https://idp"]), asked)
    assert not answer(Match(users=["system:*"], groups=["sre"]), asked)


def test_verbs_groups_and_resources() -> None:
    assert answer(Match(verbs=["get", "list"]), facts(POD))
    assert not answer(Match(verbs=["get"]), facts(LIST))
    assert answer(Match(verbs=["!delete*"]), facts(LIST))
    assert answer(Match(api_groups=[""], resources=["pods"]), facts(POD))
    assert not answer(Match(api_groups=["apps"]), facts(POD))
    assert not answer(Match(resources=["pods"]), facts(EXEC))
    assert not answer(Match(api_groups=["*"]), facts("GET /version"))


def test_paths_are_those_of_calls_that_are_no_resources() -> None:
    assert answer(Match(paths=["/healthz", "/livez/*"]), facts("GET /livez/ping"))
    assert not answer(Match(paths=["/healthz"]), facts("GET /metrics"))
    assert not answer(Match(paths=["*"]), facts(POD))
    assert not answer(Match(resources=["*"]), facts("GET /healthz"))


def test_namespaces() -> None:
    assert answer(Match(namespaces=["dev*"]), facts(POD))
    assert answer(Match(namespaces=["!prod"]), facts(POD))
    assert answer(Match(namespaces=["prod"]), facts(POD)) is False
    assert answer(Match(namespaces=["prod"]), facts("GET /api/v1/nodes")) is False
    assert answer(Match(namespaces=["*"]), facts("GET /api/v1/nodes"))
    assert answer(Match(namespaces=["dev"]), facts("GET /healthz")) is False


def test_across_all_namespaces_any_of_them_may_be_touched() -> None:
    assert answer(Match(namespaces=["prod"]), facts(LIST_ALL)) is None
    assert answer(Match(namespaces=["!kube-system"]), facts(LIST_ALL)) is None
    assert answer(Match(namespaces=["*"]), facts(LIST_ALL))
    assert answer(Match(namespaces=["prod"]), facts("GET /apis/x.example/v1/nodes")) is None


def test_excluding_namespaces_does_not_say_what_is_in_none() -> None:
    assert answer(Match(namespaces=["!kube-system"]), facts("GET /api/v1/nodes")) is None


def test_names() -> None:
    assert answer(Match(names=["web*"]), facts(POD))
    assert answer(Match(names=["db"]), facts(POD)) is False
    assert answer(Match(names=["db"]), facts(LIST)) is None
    assert answer(Match(names=["*"]), facts(LIST))
    assert answer(Match(names=["db"]), facts(f"{LIST}?fieldSelector=metadata.name%3Dweb")) is False


def test_the_name_of_what_is_created_is_in_its_body() -> None:
    assert answer(Match(names=["web"]), facts(CREATE, body=labelled()))
    assert answer(Match(names=["db"]), facts(CREATE, body=labelled())) is False
    assert answer(Match(names=["web"]), facts(CREATE, body={"metadata": {"generateName": "web-"}})) is None
    assert answer(Match(names=["web"]), facts(CREATE, body={"metadata": 1})) is None
    assert answer(Match(names=["web"]), facts(CREATE)) is None


def test_claims() -> None:
    asked = facts(POD, claims={"mfa": True, "level": 3, "teams": ["a", "b", {}], "realm": {"roles": ["x"]}})
    assert answer(Match(claims={"mfa": ["true"], "level": ["3"]}), asked)
    assert answer(Match(claims={"teams": ["b"]}), asked)
    assert answer(Match(claims={"realm.roles": ["x"]}), asked)
    assert answer(Match(claims={"realm.roles.deep": ["x"]}), asked) is False
    assert answer(Match(claims={"none": ["*"]}), asked) is False
    assert answer(Match(claims={"none": ["!*"]}), asked)


@pytest.mark.parametrize(
    ("old", "sent", "expected"),
    [
        (labelled(team="a"), labelled(team="a"), True),
        (labelled(team="b"), labelled(team="b"), False),
        (labelled(team="b"), labelled(team="a"), None),
        (labelled(team="a"), labelled(), None),
        (None, labelled(team="a"), True),
        (labelled(team="a"), None, None),
    ],
)
def test_labels_are_certain_when_both_objects_agree(
    old: dict[str, object] | None, sent: dict[str, object] | None, expected: Answer
) -> None:
    asked = facts("PUT /api/v1/namespaces/dev/pods/web", body=sent, old=old)
    assert answer(Match(labels={"team": ["a"]}), asked) is expected


def test_a_patch_leaves_the_labels_it_does_not_name() -> None:
    patch = "PATCH /api/v1/namespaces/dev/pods/web"
    match = Match(labels={"team": ["a"]})
    assert answer(match, facts(patch, body={"spec": {}}, old=labelled(team="a")))
    assert answer(match, facts(patch, body=labelled(team="b"), old=labelled(team="a"))) is None
    assert (
        answer(match, facts(patch, body={"metadata": {"labels": {"team": None}}}, old=labelled(team="a")))
        is None
    )


def test_what_a_json_patch_makes_of_labels_cannot_be_told() -> None:
    patch = "PATCH /api/v1/namespaces/dev/pods/web"
    body: dict[str, object] = {"jsonPatch": [{"op": "remove", "path": "/metadata/labels/team"}]}
    assert answer(Match(labels={"team": ["a"]}), facts(patch, body=body, old=labelled(team="a"))) is None


def test_labels_of_what_is_only_read_run_in_or_deleted_are_those_in_the_cluster() -> None:
    match = Match(labels={"team": ["a"], "tier": ["!*"]})
    for request in (POD, EXEC, "DELETE /api/v1/namespaces/dev/pods/web"):
        assert answer(match, facts(request, old=labelled(team="a")))
        assert answer(match, facts(request, old=labelled(team="a", tier="x"))) is False
        assert answer(match, facts(request)) is None
    status = "PUT /api/v1/namespaces/dev/pods/web/status"
    assert answer(match, facts(status, old=labelled(team="a"), body=labelled(team="b")))
    assert answer(match, facts(LIST)) is None


def run(*argv: str) -> Facts:
    return facts(f"{EXEC}?{'&'.join(f'command={word}' for word in argv)}")


def test_argv_as_a_line() -> None:
    match = Match(argv=["rm *", "* --force", "!rm -i *"])
    assert answer(match, run("rm", "-rf"))
    assert answer(match, run("git", "push", "--force"))
    assert answer(match, run("rm", "-i", "x")) is False
    assert answer(match, run("ls")) is False


def test_a_line_is_also_looked_for_inside_shells_and_wrappers() -> None:
    match = Match(argv=["rm *"])
    for words in (("sh", "-c", "cd%20/%3Brm%20-rf%20x"), ("env", "A=b", "/bin/rm", "x")):
        assert answer(match, run(*words))
    assert answer(match, run("sh", "-c", "ls")) is False


def test_argv_by_argument() -> None:
    match = Match(argv=[["ls"], ["cat", "/var/log/*"], ["tar", "..."], "!*secret*"])
    assert answer(match, run("ls"))
    assert answer(match, run("ls", "-l")) is False
    assert answer(match, run("cat", "/var/log/x"))
    assert answer(match, run("cat")) is False
    assert answer(match, run("cat", "/etc/passwd")) is False
    assert answer(match, run("tar"))
    assert answer(match, run("tar", "a", "b"))
    assert answer(match, run("tar", "secret")) is False


def test_lists_and_lines_of_argv_are_or_ed() -> None:
    match = Match(argv=[["ls"], "rm *"])
    assert answer(match, run("rm", "x"))
    assert answer(match, run("cat")) is False
    assert answer(Match(argv=["!rm *"]), run("ls"))


def test_only_an_exec_with_a_command_has_argv() -> None:
    assert answer(Match(argv=["*"]), facts(POD)) is False
    assert answer(Match(argv=["*"]), facts(EXEC)) is False


def test_a_rule_that_allows_lets_no_path_climb_out() -> None:
    match = Match(argv=[["cat", "/var/log/*"]])
    climbing = run("cat", "/var/log/../../etc/shadow")
    assert answer(match, climbing, allows=True) is False
    assert answer(match, climbing)
    assert answer(match, run("cat", "/var/log/a..b"), allows=True)


def test_ports() -> None:
    forward = "GET /api/v1/namespaces/dev/pods/web/portforward"
    match = Match(ports=[80, 443])
    assert answer(match, facts(f"{forward}?ports=80,443"))
    assert answer(match, facts(f"{forward}?ports=22")) is False
    assert answer(match, facts(f"{forward}?ports=80,22")) is None
    assert answer(match, facts(forward)) is None
    assert answer(match, facts(forward), allows=True)
    assert answer(match, facts(POD)) is False


def test_flags_of_terminals() -> None:
    asked = facts(f"{EXEC}?command=sh&tty=true")
    assert answer(Match(tty=True, stdin=False), asked)
    assert answer(Match(tty=False), asked) is False
    assert answer(Match(tty=False), facts(POD)) is False


def test_time_and_sources_count_too() -> None:
    match = Match(time=TimeWindow(from_="12:00", to="13:00"), sources=["10.0.0.0/8"])
    assert answer(match, facts(POD))
    assert answer(match, facts(POD, at_ns=NOON_NS - 1000)) is False
    assert answer(match, facts(POD, source="?")) is None


@pytest.mark.parametrize(
    "request_line",
    [
        POD,
        LIST,
        LIST + "?watch=true",
        CREATE,
        "PUT /api/v1/namespaces/dev/pods/web",
        "PATCH /api/v1/namespaces/dev/pods/web?dryRun=All",
        "DELETE /api/v1/namespaces/dev/pods/web",
        "DELETE /api/v1/namespaces/dev/pods",
        "PATCH /api/v1/namespaces/dev/pods/web/status",
        "PUT /api/v1/namespaces/dev/pods/web/ephemeralcontainers",
    ],
)
def test_what_hides_something_from_get_is_about_every_answer_that_shows_it(request_line: str) -> None:
    match = Match(verbs=["get"], resources=["pods"])
    assert answer(match, facts(request_line), shows=True)


def test_but_not_about_other_objects_or_verbs_that_were_not_named() -> None:
    assert not answer(
        Match(verbs=["get"], resources=["pods"]), facts("GET /api/v1/namespaces/dev/pods/web/log"), shows=True
    )
    assert not answer(
        Match(verbs=["get"], resources=["pods"]), facts("GET /api/v1/namespaces/dev/secrets/s"), shows=True
    )
    assert not answer(Match(verbs=["watch"], resources=["pods"]), facts(POD), shows=True)
    assert not answer(Match(verbs=["get"], resources=["pods"]), facts(CREATE))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("stream", ["exec", "attach", "portforward"])
def test_opening_a_stream_is_create_whatever_method_asks_for_it(method: str, stream: str) -> None:
    asked = facts(f"{method} /api/v1/namespaces/dev/pods/web/{stream}")
    assert answer(Match(verbs=["create"]), asked)
    assert not answer(Match(verbs=["get", "list", "watch"]), asked)


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /api/v1/nodes/n/proxy/run/default/p/c",
        "GET /api/v1/namespaces/dev/services/s/proxy/",
        "POST /api/v1/namespaces/dev/pods/p:8080/proxy/x",
        "GET /api/v1/proxy/nodes/n",
    ],
)
def test_what_is_behind_proxy_is_allowed_only_by_name(request_line: str) -> None:
    for match in (Match(), Match(resources=["*"]), Match(resources=["pods/*", "services/*", "nodes/*"])):
        assert not answer(match, facts(request_line), allows=True)
        assert answer(match, facts(request_line)) or match.resources == ["pods/*", "services/*", "nodes/*"]


def test_a_rule_that_names_a_proxy_allows_it() -> None:
    service = facts("GET /api/v1/namespaces/dev/services/s/proxy/")
    assert answer(Match(resources=["services/proxy"]), service, allows=True)
    assert not answer(Match(resources=["pods/proxy"]), service, allows=True)
