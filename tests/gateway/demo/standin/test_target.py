import pytest

from gateway.demo.standin.target import parse_query, parse_target


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        # verb, namespace, resource, name, subresource: as kube-apiserver's requestinfo.go reads them
        ("GET", b"/api/v1/pods", ("list", "", "pods", "", "")),
        ("GET", b"/api/v1/namespaces/a/pods?watch=no", ("watch", "a", "pods", "", "")),
        ("GET", b"/api/v1/namespaces/a/pods?watch=false", ("list", "a", "pods", "", "")),
        ("GET", b"/api/v1/namespaces/a/pods/p?watch=true", ("get", "a", "pods", "p", "")),
        ("GET", b"/api/v1/watch/namespaces/a/pods/p", ("watch", "a", "pods", "p", "")),
        ("GET", b"/api/v1/namespaces/a", ("get", "a", "namespaces", "a", "")),
        ("PUT", b"/api/v1/namespaces/a/finalize", ("update", "a", "namespaces", "a", "finalize")),
        ("GET", b"/api/v1/namespaces//pods", ("list", "", "pods", "", "")),
        ("GET", b"/api/v1/namespaces/a%2Fpods", ("list", "a", "pods", "", "")),
        ("GET", b"/api/v1/namespaces/a/pods/x%2Fexec", ("get", "a", "pods", "x", "exec")),
        ("POST", b"/api/v1/namespaces/a/pods/p/exec/", ("create", "a", "pods", "p", "exec")),
        ("DELETE", b"/api/v1/namespaces/a/pods", ("deletecollection", "a", "pods", "", "")),
        ("GET", b"/apis/apps/v1/namespaces/a/deployments/d/scale", ("get", "a", "deployments", "d", "scale")),
        ("GET", b"/apis/apps/v1", ("get", "", "", "", "")),
        ("GET", b"/api/v1/pods?a=1;watch=true", ("list", "", "pods", "", "")),
        ("GET", b"/api/v1/pods?watch=%zz&watch=1", ("watch", "", "pods", "", "")),
        ("GET", b"/api/v1/pods%3Fwatch=1", ("list", "", "pods?watch=1", "", "")),
        ("OPTIONS", b"/api/v1/pods", ("", "", "pods", "", "")),
    ],
)
def test_targets_are_read_as_the_api_server_reads_them(
    method: str, target: bytes, expected: tuple[str, ...]
) -> None:
    found = parse_target(method, target)
    assert (found.verb, found.namespace, found.resource, found.name, found.subresource) == expected


def test_a_malformed_escape_in_the_path_is_an_error() -> None:
    with pytest.raises(ValueError, match="escape"):
        parse_target("GET", b"/api/v1/%zz")


def test_plus_is_a_blank_in_a_query_and_every_value_is_kept() -> None:
    assert parse_query(b"command=echo+a&command=%2B") == {"command": ["echo a", "+"]}
