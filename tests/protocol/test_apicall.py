import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.apicall import METHOD_VERBS, Call, parse_call
from protocol.errors import RefusedTarget
from protocol.query import MAX_QUERY_PAIRS
from tests.kit import requestinfo, targets

A = {"namespace": "a"}

# (request, what RequestInfo reads, whether it has a single reading and so is ours to accept)
VECTORS: list[tuple[str, dict[str, Any], bool]] = [
    ("GET /api/v1/pods", {"verb": "list", "resource": "pods"}, True),
    ("GET /api/v1/namespaces/a/pods?watch=no", {"verb": "watch", "resource": "pods", **A}, True),
    ("GET /api/v1/namespaces/a/pods/p?watch=true", {"verb": "get", "resource": "pods", "name": "p", **A}, True),
    ("GET /api/v1/watch/namespaces/a/pods/p", {"verb": "watch", "resource": "pods", "name": "p", **A}, True),
    ("GET /api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dp", {"verb": "list", "resource": "pods", "name": "p", **A}, True),
    ("GET /api/v1/namespaces/a", {"verb": "get", "resource": "namespaces", "name": "a", **A}, True),
    ("PUT /api/v1/namespaces/a/finalize", {"verb": "update", "resource": "namespaces", "subresource": "finalize", "name": "a", **A}, True),
    ("GET /api/v1/namespaces/", {"verb": "list", "resource": "namespaces"}, False),
    ("GET /api/v1/namespaces//pods", {"verb": "list", "resource": "pods"}, False),
    ("GET /api/v1//pods", {"verb": "get", "resource": "", "name": "pods"}, False),
    ("GET //api/v1/pods", {"verb": "list", "resource": "pods"}, False),
    ("GET /api/v1/namespaces/a%2Fpods", {"verb": "list", "resource": "pods", **A}, False),
    ("GET /api/v1/namespaces/a/pods/x%2Fexec", {"verb": "get", "resource": "pods", "subresource": "exec", "name": "x", **A}, False),
    ("GET /api/v1/namespaces/a/pods/p%2Flog", {"verb": "get", "resource": "pods", "subresource": "log", "name": "p", **A}, False),
    ("GET /api/v1/namespaces/../pods", {"verb": "list", "resource": "pods", "namespace": ".."}, False),
    ("POST /api/v1/namespaces/a/pods/p/exec/", {"verb": "create", "resource": "pods", "subresource": "exec", "name": "p", **A}, False),
    ("DELETE /api/v1/namespaces/a/pods", {"verb": "deletecollection", "resource": "pods", **A}, True),
    ("GET /apis/apps/v1/namespaces/a/deployments/d/scale", {"verb": "get", "group": "apps", "resource": "deployments", "subresource": "scale", "name": "d", **A}, True),
    ("GET /api/v1/namespaces/a/services/https:web:443/proxy/x/y", {"verb": "get", "resource": "services", "subresource": "proxy", "name": "https:web:443", **A}, True),
    ("GET /api/v1/nodes/n1/proxy/exec/a/p/c", {"verb": "get", "resource": "nodes", "subresource": "proxy", "name": "n1"}, True),
    ("POST /api/v1/namespaces/a/serviceaccounts/s/token", {"verb": "create", "resource": "serviceaccounts", "subresource": "token", "name": "s", **A}, True),
    ("GET /apis/apps/v1", {"verb": "get", "is_resource": False}, True),
    ("GET /apis/apps/v1/", {"verb": "get", "is_resource": False}, True),
    ("GET /api/v1", {"verb": "get", "is_resource": False}, True),
    ("OPTIONS /api/v1/pods", {"verb": "", "resource": "pods"}, True),
    ("HEAD /api/v1/pods", {"verb": "list", "resource": "pods"}, True),
    ("GET /API/v1/pods", {"verb": "get", "is_resource": False}, True),
    ("GET /api/v1/pods?a=1;watch=true", {"verb": "list", "resource": "pods"}, False),
    ("GET /api/v1/pods?watch=%zz&watch=1", {"verb": "watch", "resource": "pods"}, False),
    ("GET /api/v1/pods%3Fwatch=1", {"verb": "list", "resource": "pods?watch=1"}, True),
    ("GET /healthz/../api/v1/secrets", {"verb": "get", "is_resource": False}, False),
]  # fmt: skip
_ATTRIBUTES = (
    "verb",
    "is_resource",
    "group",
    "version",
    "namespace",
    "resource",
    "subresource",
    "name",
    "label_selector",
    "field_selector",
)
_DEFAULTS = {name: "" for name in _ATTRIBUTES}


def _expected(attributes: dict[str, Any]) -> dict[str, Any]:
    is_resource = attributes.get("is_resource", True)
    return _DEFAULTS | {"is_resource": is_resource, "version": "v1" if is_resource else ""} | attributes


def _attributes(seen: Call | requestinfo.RequestInfo) -> dict[str, Any]:
    return {name: getattr(seen, name) for name in _ATTRIBUTES}


def _parse(line: str) -> Call:
    method, _, target = line.partition(" ")
    return parse_call(method.encode(), target.encode("latin-1"))


@pytest.mark.parametrize(("line", "attributes", "_"), VECTORS)
def test_the_model_reads_every_vector_as_the_server_does(
    line: str, attributes: dict[str, Any], _: bool
) -> None:
    method, _, target = line.partition(" ")
    seen = _attributes(requestinfo.read(method, target.encode()))
    if "field_selector" not in attributes and seen["field_selector"]:
        attributes = attributes | {"field_selector": seen["field_selector"]}
    assert seen == _expected(attributes)


@pytest.mark.parametrize(("line", "attributes", "accepted"), VECTORS)
def test_a_vector_is_read_as_the_server_reads_it_or_refused(
    line: str, attributes: dict[str, Any], accepted: bool
) -> None:
    if not accepted:
        with pytest.raises(RefusedTarget):
            _parse(line)
        return
    call = _parse(line)
    if call.field_selector:
        attributes = attributes | {"field_selector": "metadata.name=p"}
    assert _attributes(call) == _expected(attributes)


def test_a_path_verb_without_a_resource_is_refused_where_the_server_fails() -> None:
    for target in (b"/api/v1/watch", b"/api/v1/proxy", b"/apis/apps/v1/watch", b"/api/v1/watch/"):
        with pytest.raises(RefusedTarget, match="names no resource"):
            parse_call(b"GET", target)
        with pytest.raises(requestinfo.BadRequest):
            requestinfo.read("GET", target)


def test_500_hostile_paths_are_all_refused_with_400() -> None:
    paths = targets.hostile_paths()
    assert len(paths) >= 500
    answers = {path: _status_of_refusal(path) for path in paths}
    assert [path for path, status in answers.items() if status != 400] == []


def _status_of_refusal(target: bytes) -> int | None:
    try:
        parse_call(b"GET", target)
    except RefusedTarget as refused:
        return refused.status
    return None


def test_a_refusal_repeats_no_byte_of_the_target() -> None:
    for path in targets.hostile_paths():
        with pytest.raises(RefusedTarget) as refused:
            parse_call(b"GET", path)
        assert "secrets" not in refused.value.why
        assert refused.value.why.isprintable()


@pytest.mark.parametrize(
    "method", [b"TRACE", b"CONNECT", b"get", b"Get", b"", b"PRI", b"GETT", b"PROPFIND", b"G\xc4\xb0T"]
)
def test_an_unknown_method_is_refused_with_405(method: bytes) -> None:
    with pytest.raises(RefusedTarget) as refused:
        parse_call(method, b"/api/v1/pods")
    assert refused.value.status == 405


@pytest.mark.parametrize(
    "target", [b"", b"*", b"api/v1/pods", b"http://h/api/v1/pods", b"h:443", b"?watch", b"\\api"]
)
def test_only_origin_form_is_read(target: bytes) -> None:
    with pytest.raises(RefusedTarget, match="does not start with '/'"):
        parse_call(b"GET", target)


@pytest.mark.parametrize(
    "target", [b"/", b"/api/", b"/apis/", b"/apis/apps/", b"/api/v1/", b"/apis/apps/v1/", b"/version/"]
)
def test_one_slash_at_the_end_of_a_path_outside_the_resources_is_kept(target: bytes) -> None:
    call = parse_call(b"GET", target)
    assert (call.is_resource, call.path, call.target, call.verb) == (False, target.decode(), target, "get")


@pytest.mark.parametrize(
    ("sent", "name", "canonical"),
    [
        (b"system%3Anode", "system:node", b"system:node"),
        (b"system:node", "system:node", b"system:node"),
        (b"%61dmin", "admin", b"admin"),
        (b"a%20b", "a b", b"a%20b"),
        (b"a+b", "a+b", b"a+b"),
        (b"a%2Bb", "a+b", b"a+b"),
        (b"caf%c3%a9", "café", b"caf%C3%A9"),
        (b"%3Fx%23", "?x#", b"%3Fx%23"),
        (b"...", "...", b"..."),
        (b"a!*'()", "a!*'()", b"a%21%2A%27%28%29"),
    ],
)
def test_an_encoded_name_is_decoded_once_and_encoded_canonically(
    sent: bytes, name: str, canonical: bytes
) -> None:
    prefix = b"/apis/rbac.authorization.k8s.io/v1/clusterroles/"
    call = parse_call(b"GET", prefix + sent)
    assert (call.name, call.target) == (name, prefix + canonical)
    assert parse_call(b"GET", call.target) == call


def test_below_proxy_the_remainder_and_the_query_stay_as_they_came() -> None:
    remainder = b"/a%2Fb/../c//%2e/;x\\~%ff?q=1;r=%zz&q=2&access_token=t&"
    call = parse_call(b"PUT", b"/api/v1/namespaces/a/services/http%3Aweb%3A80/proxy" + remainder)
    assert call.target == b"/api/v1/namespaces/a/services/http:web:80/proxy" + remainder
    assert (call.name, call.subresource, call.verb) == ("http:web:80", "proxy", "update")
    assert call.subpath == "/a%2Fb/../c//%2e/;x\\~%ff"
    assert call.path == "/api/v1/namespaces/a/services/http:web:80/proxy/a/b/../c//./;x\\~\\xff"
    assert call.query == (("q", "2"), ("access_token", "t"))


@pytest.mark.parametrize(
    ("end", "subpath"), [(b"", ""), (b"/", "/"), (b"//", "//"), (b"/metrics", "/metrics"), (b"/a/", "/a/")]
)
def test_the_slash_behind_proxy_belongs_to_the_backend(end: bytes, subpath: str) -> None:
    call = parse_call(b"GET", b"/api/v1/nodes/n/proxy" + end)
    assert (call.subpath, call.target) == (subpath, b"/api/v1/nodes/n/proxy" + end)


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/nodes//proxy/x",
        b"/api/v1/nodes/../proxy/x",
        b"/api/v1/nodes/a%2Fb/proxy/x",
        b"/api/v1/namespaces//services/web/proxy/x",
        b"/api/v1/nodes/n/proxy/%zz",
        b"/api/v1/nodes/n/proxy/\x00",
        b"/api/v1/nodes/n/proxy/x#y",
        b"/api/v1/nodes/n/proxy/x?\xff",
        b"/api/v1/watch/nodes/n/proxy/..",
        b"/api/v1/proxy/nodes/n/..",
    ],
)
def test_proxy_excuses_nothing_before_it_and_no_byte_outside_a_target(target: bytes) -> None:
    with pytest.raises(RefusedTarget):
        parse_call(b"GET", target)


def test_a_backend_query_with_too_many_pairs_shows_none_but_goes_up_whole() -> None:
    call = parse_call(b"GET", b"/api/v1/nodes/n/proxy?" + b"a&" * MAX_QUERY_PAIRS)
    assert call.query == ()
    assert len(call.target) == len(b"/api/v1/nodes/n/proxy?") + 2 * MAX_QUERY_PAIRS


@pytest.mark.parametrize(
    "key",
    ["watch", "fieldSelector", "labelSelector", "container", "stdin", "tty", "limit", "fieldManager", "any"],
)
def test_a_repeated_parameter_is_refused_on_a_resource(key: str) -> None:
    with pytest.raises(RefusedTarget, match="repeated"):
        _parse(f"GET /api/v1/namespaces/a/pods/p/exec?{key}=1&{key}=1")
    with pytest.raises(RefusedTarget, match="repeated"):
        _parse(f"GET /api/v1/pods?{key}=0&x=y&%{ord(key[0]):x}{key[1:]}=1")


def test_outside_the_resources_parameters_may_repeat() -> None:
    call = parse_call(b"GET", b"/readyz?verbose&exclude=etcd&exclude=ping")
    assert call.query == (("verbose", ""), ("exclude", "etcd"), ("exclude", "ping"))
    assert call.target == b"/readyz?verbose=&exclude=etcd&exclude=ping"


WATCH_SPELLINGS = [
    ("watch", True), ("watch=", True), ("watch=1", True), ("watch=true", True), ("watch=True", True), ("watch=t", True),
    ("watch=no", True), ("watch=off", True), ("watch=00", True), ("watch=-0", True), ("watch=+0", True), ("watch=0%20", True),
    ("watch=f", True), ("watch=null", True), ("w%61tch=1", True), ("watch=%31", True), ("watch=false%00"[:11] + "e", True),
    ("watch=0", False), ("watch=false", False), ("watch=False", False), ("watch=FALSE", False), ("watch=fAlSe", False),
    ("watch=%30", False), ("watch=f%61lse", False), ("Watch=1", False), ("WATCH=1", False), ("watc=1", False), ("", False),
]  # fmt: skip


@pytest.mark.parametrize(("query", "is_watch"), WATCH_SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_watch_is_what_the_server_takes_for_one(method: str, query: str, is_watch: bool) -> None:
    call = _parse(f"{method} /api/v1/secrets?{query}")
    assert (call.verb, call.watch, call.is_long_running) == (
        ("watch", True, True) if is_watch else ("list", False, False)
    )
    assert requestinfo.read(method, f"/api/v1/secrets?{query}".encode()).verb == call.verb


def test_a_boolean_that_folds_to_false_in_some_languages_only_is_refused() -> None:
    with pytest.raises(RefusedTarget, match="ASCII"):
        parse_call(b"GET", b"/api/v1/pods?watch=fal%C5%BFe")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fieldSelector=metadata.name%3Dp", "p"),
        ("fieldSelector=metadata.name=p&labelSelector=a+in+(b)&limit=5&timeoutSeconds=9", "p"),
        ("fieldSelector=metadata.name%3D%3Dp,status.phase=Running", "p"),
        ("fieldSelector=metadata.name!=p", ""),
        ("fieldSelector=status.phase=Running", ""),
        ("fieldSelector=metadata.name=..", ""),
        ("fieldSelector=metadata.name=a%2Fb", ""),
        ("fieldSelector=metadata.name=%2525", ""),
        ("fieldSelector=metadata.name=", ""),
        ("fieldSelector=metadata.name=p,broken", ""),
        ("fieldSelector=metadata.name=p&limit=x", ""),
        ("fieldSelector=metadata.name=p&timeoutSeconds=", ""),
        ("fieldSelector=metadata.name=p&labelSelector=a+b", ""),
    ],
)
def test_the_name_in_a_field_selector_counts_when_all_list_options_decode(query: str, name: str) -> None:
    call = _parse(f"GET /api/v1/namespaces/a/pods?{query}")
    assert (call.verb, call.name) == ("list", name)
    assert requestinfo.read("GET", f"/api/v1/namespaces/a/pods?{query}".encode()).name == name


def test_selectors_belong_to_collections_named_by_the_method() -> None:
    query = "?labelSelector=a%3Db&fieldSelector=c%3Dd"
    for line in ("GET /api/v1/pods", "DELETE /api/v1/pods", "GET /api/v1/pods?watch"):
        call = _parse(line + query.replace("?", "&" if "?" in line else "?"))
        assert (call.label_selector, call.field_selector) == ("a=b", "c=d")
    for line in ("GET /api/v1/watch/pods", "GET /api/v1/namespaces/a/pods/p", "POST /api/v1/pods"):
        call = _parse(line + query)
        assert (call.label_selector, call.field_selector) == ("", "")


def test_the_exec_of_kubectl_is_read_whole() -> None:
    call = _parse(
        "GET /api/v1/namespaces/ns1/pods/p1/exec?command=sh&command=-c&command=echo+%22a+b%22+%3B+x"
        "&container=c1&stderr=true&stdout=true"
    )
    assert call.argv == ("sh", "-c", 'echo "a b" ; x')
    assert (call.container, call.stdin, call.stdout, call.stderr, call.tty) == (
        "c1",
        False,
        True,
        True,
        False,
    )
    assert (call.stream_kind, call.is_connect, call.is_long_running, call.durability_class) == (
        "exec",
        True,
        True,
        1,
    )
    assert call.target.endswith(
        b"?command=sh&command=-c&command=echo+%22a+b%22+%3B+x&container=c1&stderr=true&stdout=true"
    )


def test_stream_options_follow_the_boolean_rule() -> None:
    call = _parse("POST /api/v1/namespaces/a/pods/p/attach?stdin&stdout=0&stderr=False&tty=no&command=x")
    assert (call.stdin, call.stdout, call.stderr, call.tty, call.argv) == (True, False, False, True, ())
    log = _parse("GET /api/v1/namespaces/a/pods/p/log?follow&container=c&stdin=1")
    assert (log.follow, log.container, log.stdin, log.is_long_running) == (True, "c", False, True)


def test_options_of_another_resource_mean_nothing() -> None:
    call = _parse("GET /apis/x.io/v1/namespaces/a/pods/p/exec?command=sh&stdin=1&ports=0&container=c")
    assert (call.argv, call.stdin, call.container, call.ports, call.stream_kind) == ((), False, "", (), "")
    assert call.is_connect


def test_ports_come_repeated_or_as_a_list() -> None:
    call = _parse("GET /api/v1/namespaces/a/pods/p/portforward?ports=80&x=1&ports=443,8080")
    assert call.ports == (80, 443, 8080)


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "-1", "+80", "8_0", "80,", "x", "%EF%BC%91", "1e2", "000080"]
)
def test_what_is_not_a_port_is_refused(port: str) -> None:
    with pytest.raises(RefusedTarget, match="port"):
        _parse(f"GET /api/v1/namespaces/a/pods/p/portforward?ports={port}")


@pytest.mark.parametrize(
    ("query", "dry_run"),
    [
        ("dryRun=All", True),
        ("dryRun=All&dryRun=All", True),
        ("dryRun=", False),
        ("dryRun=all", False),
        ("dryRun=All&dryRun=x", False),
        ("", False),
    ],
)
def test_a_dry_run_is_one_beyond_doubt(query: str, dry_run: bool) -> None:
    assert _parse(f"POST /api/v1/namespaces/a/pods?{query}").dry_run is dry_run


@pytest.mark.parametrize("method", sorted(METHOD_VERBS))
@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward", "proxy"])
def test_connecting_is_connecting_whatever_the_method(method: bytes, subresource: str) -> None:
    call = parse_call(method, f"/api/v1/namespaces/a/pods/p/{subresource}".encode())
    assert call.is_connect
    assert call.is_long_running
    assert call.durability_class == 1
    assert call.stream_kind == ("" if subresource == "proxy" else subresource)


@pytest.mark.parametrize(
    ("line", "durability_class"),
    [
        ("GET /api/v1/pods", 2),
        ("GET /version", 2),
        ("OPTIONS /api/v1/pods", 2),
        ("GET /api/v1/namespaces/a/pods/p/log", 2),
        ("HEAD /api/v1/namespaces/a/secrets/s", 1),
        ("GET /api/v1/secrets", 1),
        ("GET /api/v1/watch/secrets", 1),
        ("GET /api/v1/secrets?watch", 1),
        ("GET /apis/x.io/v1/secrets", 2),
        ("POST /version", 1),
        ("PATCH /api/v1/namespaces/a/pods/p", 1),
        ("DELETE /api/v1/namespaces/a/pods", 1),
        ("PUT /api/v1/namespaces/a/pods/p", 1),
        ("POST /api/v1/namespaces/a/serviceaccounts/s/token", 1),
        ("GET /api/v1/proxy/nodes/n", 1),
    ],
)
def test_what_must_be_durable_first(line: str, durability_class: int) -> None:
    assert _parse(line).durability_class == durability_class


def test_profiling_is_long_running_and_a_stream_under_a_path_verb_is_none() -> None:
    assert _parse("GET /debug/pprof/profile").is_long_running
    assert not _parse("GET /debug/pprof").is_long_running
    assert _parse("GET /api/v1/watch/namespaces/a/pods/p/exec").stream_kind == ""


def test_the_server_would_see_none_of_too_many_pairs() -> None:
    parse_call(b"GET", b"/api?" + b"&".join([b"a"] * MAX_QUERY_PAIRS))
    with pytest.raises(RefusedTarget, match="pairs"):
        parse_call(b"GET", b"/api?" + b"&".join([b"a"] * (MAX_QUERY_PAIRS + 1)))


_METHODS = st.sampled_from(sorted(METHOD_VERBS))


@settings(max_examples=1500, deadline=None)
@given(method=_METHODS, target=st.one_of(targets.targets(), targets.clean_targets()))
def test_what_is_accepted_has_one_reading_before_and_after(method: bytes, target: bytes) -> None:
    try:
        call = parse_call(method, target)
    except RefusedTarget:
        return
    _assert_single_reading(call, method, target)


@settings(max_examples=500, deadline=None)
@given(target=st.binary(max_size=40).map(lambda end: b"/" + end))
def test_any_bytes_are_refused_or_have_one_reading(target: bytes) -> None:
    try:
        call = parse_call(b"GET", target)
    except RefusedTarget:
        return
    _assert_single_reading(call, b"GET", target)


def _assert_single_reading(call: Call, method: bytes, target: bytes) -> None:
    for spelled in (target, call.target):
        model = requestinfo.read(method.decode(), spelled)
        assert _attributes(model) == _attributes(call)
        assert model.path.decode("utf-8", "backslashreplace") == call.path
    assert parse_call(method, call.target) == call


@settings(max_examples=300, deadline=None)
@example(method=b"GET", target=b"/api/v1/pods?watch=%C3%A9")
@given(method=_METHODS, target=targets.clean_targets())
def test_ordinary_targets_are_not_refused_without_need(method: bytes, target: bytes) -> None:
    doubtful = (b"%zz", b";", b"%ff", b"%00", b"fal%C5", b"w%61tch")
    try:
        parse_call(method, target)
    except RefusedTarget:
        # "proxy" is one below a resource's name only: behind a namespace's it is a resource of its own.
        behind_namespace = re.search(rb"/namespaces/[^/]*/proxy/", target)
        # A boolean beyond ASCII has two readings (protocol.query.is_true).
        odd_boolean = re.search(rb"[?&](watch|follow|stdin|stdout|stderr|tty)=[^&]*%C3%A9", target)
        is_odd = behind_namespace or odd_boolean or (b"/watch/" in target and b"/proxy/" in target)
        assert is_odd or any(mark in target for mark in doubtful)
