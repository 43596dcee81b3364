"""Protobuf request bodies: read as their JSON form would be, or refused."""

import pytest

from protocol.errors import Unreadable
from protocol.kinds import _SPECIAL, _TABLES, MAGIC, _messages, decode_object

# `kubectl create configmap x --from-literal=a=b`, as kubectl 1.36 sends it.
KUBECTL_CONFIG_MAP = bytes.fromhex(
    "6b387300 0a0f 0a02 7631 1209 436f6e6669674d6170 121b 0a11 0a01 78 1200 1a00 2200 2a00 3200 3800 4200"
    "1206 0a01 61 1201 62 1a00 2200"
)


def field(number: int, data: bytes | int) -> bytes:
    if isinstance(data, int):
        return varint(number << 3) + varint(data & (1 << 64) - 1)
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def body(api_version: str, kind: str, *fields: bytes, envelope: bytes = b"") -> bytes:
    type_meta = field(1, api_version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, type_meta) + field(2, b"".join(fields)) + envelope


def test_what_kubectl_sends_is_read() -> None:
    assert len(KUBECTL_CONFIG_MAP) == 54
    assert decode_object(KUBECTL_CONFIG_MAP) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x"},
        "data": {"a": "b"},
    }


def test_every_type_of_the_tables_is_known() -> None:
    for package, text in _TABLES.items():
        assert text.strip()
        for name, specs in _messages(package).items():
            for spec in specs.values():
                if spec.type in ("", "int", "bool", "bytes", "opaque") or spec.type in _SPECIAL:
                    continue
                outer, _, inner = spec.type.rpartition(".")
                group = {"core": "v1", "": package}.get(outer, outer)
                assert inner in _messages(group), f"{package} {name}.{spec.name}"


def test_a_pod_is_read_as_its_json_form() -> None:
    env = field(1, b"E") + field(2, b"v")
    empty_env = field(1, b"F") + field(2, b"")
    security = field(2, 1) + field(4, -1)
    probe = field(1, field(1, field(1, b"cat"))) + field(2, 0)
    container = (
        field(1, b"c")
        + field(4, b"-x")
        + field(4, b"-y")
        + field(7, env)
        + field(7, empty_env)
        + field(10, probe)
        + field(15, security)
        + field(8, field(1, field(1, b"cpu") + field(2, field(1, b"500m"))))
        + field(6, field(3, 8080))
        + field(16, 0)
    )
    volume = field(1, b"host") + field(2, field(1, field(1, b"/etc")))
    ephemeral = field(1, field(1, b"debug")) + field(2, b"c")
    spec = field(1, volume) + field(2, container) + field(34, ephemeral) + field(11, 1) + field(4, 0)
    when = field(1, 1_700_000_000)
    metadata = field(1, b"p") + field(8, when) + field(9, b"") + field(11, field(1, b"a"))
    decoded = decode_object(body("v1", "Pod", field(1, metadata), field(2, spec)))
    assert decoded == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "creationTimestamp": "2023-11-14T22:13:20Z", "labels": {"a": ""}},
        "spec": {
            "volumes": [{"name": "host", "hostPath": {"path": "/etc"}}],
            "containers": [
                {
                    "name": "c",
                    "args": ["-x", "-y"],
                    "env": [{"name": "E", "value": "v"}, {"name": "F"}],
                    "livenessProbe": {"exec": {"command": ["cat"]}},
                    "securityContext": {"privileged": True, "runAsUser": -1},
                    "resources": {"limits": {"cpu": "500m"}},
                    "ports": [{"containerPort": 8080}],
                }
            ],
            "ephemeralContainers": [{"name": "debug", "targetContainerName": "c"}],
            "hostNetwork": True,
            "terminationGracePeriodSeconds": 0,
        },
    }


def test_a_deployment_holds_the_template_of_core() -> None:
    template = field(2, field(2, field(1, b"c")))
    decoded = decode_object(body("apps/v1", "Deployment", field(2, field(1, 3) + field(3, template))))
    assert decoded["spec"] == {"replicas": 3, "template": {"spec": {"containers": [{"name": "c"}]}}}


def test_secrets_are_base64_and_numbers_or_names_keep_their_type() -> None:
    entry = field(1, b"k") + field(2, b"\xff\x00")
    assert decode_object(body("v1", "Secret", field(2, entry)))["data"] == {"k": "/wA="}
    by_number = field(3, 80) + field(4, field(1, 0) + field(2, 8080))
    by_name = field(3, 81) + field(4, field(1, 1) + field(3, b"http"))
    service = decode_object(body("v1", "Service", field(2, field(1, by_number) + field(1, by_name))))
    assert service["spec"] == {
        "ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "http"}]
    }


def test_embedded_json_times_and_lists_of_lists_are_read() -> None:
    lease = field(1, b"me") + field(3, field(1, 1_700_000_000) + field(2, 5000))
    assert decode_object(body("coordination.k8s.io/v1", "Lease", field(2, lease)))["spec"] == {
        "holderIdentity": "me",
        "acquireTime": "2023-11-14T22:13:20.000005Z",
    }
    empty = decode_object(body("coordination.k8s.io/v1", "Lease", field(2, field(3, b""))))
    assert empty["spec"] == {}
    revision = body("apps/v1", "ControllerRevision", field(2, field(1, b'{"spec":{}}')), field(3, 2))
    assert decode_object(revision)["data"] == {"spec": {}}
    review = field(4, field(1, b"scopes") + field(2, field(1, b"a") + field(1, b"b")))
    access = body("authorization.k8s.io/v1", "SubjectAccessReview", field(2, field(5, review[2:])))
    assert decode_object(access)["spec"] == {"extra": {"scopes": ["a", "b"]}}


def test_repeated_numbers_may_be_packed() -> None:
    groups = field(4, varint(10) + varint(20)) + field(4, 30)
    decoded = decode_object(body("v1", "Pod", field(2, field(14, groups))))
    assert decoded["spec"] == {"securityContext": {"supplementalGroups": [10, 20, 30]}}


def test_options_of_a_delete_are_read_in_any_group() -> None:
    decoded = decode_object(body("apps/v1", "DeleteOptions", field(4, b"Background"), field(5, b"All")))
    assert decoded["dryRun"] == ["All"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{}", "not Kubernetes protobuf"),
        (body("example.com/v1", "Widget"), "send it as JSON"),
        (body("v1", "Widget"), "send it as JSON"),
        (body("v1", "Secret", envelope=field(3, b"gzip")), "wraps another encoding"),
        (body("v1", "Secret", envelope=field(4, b"application/json")), "wraps another encoding"),
        (body("v1", "Secret", envelope=field(2, b"")), "where none belongs"),
        (body("v1", "Secret", envelope=field(9, b"")), "where none belongs"),
        (body("v1", "Secret", field(99, b"x")), "field 99 of Secret is unknown"),
        (body("v1", "Secret", field(1, b""), field(1, b"")), "twice"),
        (body("v1", "Secret", field(2, 1)), "of another type"),
        (body("v1", "Secret", field(3, 1)), "of another type"),
        (body("v1", "Secret", field(5, b"x")), "of another type"),
        (body("v1", "Secret", field(3, b"\xff")), "not UTF-8"),
        (body("apps/v1", "ControllerRevision", field(2, field(1, b"{"))), "not JSON"),
        (body("v1", "Pod", field(1, field(8, field(1, 1 << 60)))), "impossible time"),
        (body("v1", "Pod", field(1, field(8, field(1, 1) + field(1, 2)))), "where none belongs"),
        (
            body(
                "authorization.k8s.io/v1", "SubjectAccessReview", field(2, field(5, field(2, field(2, b""))))
            ),
            "where none belongs",
        ),
        (body("batch/v1", "Job", field(2, field(17, field(1, b"x")))), "kubetape cannot read|unknown"),
    ],
)
def test_what_has_no_single_reading_is_unreadable(data: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        decode_object(data)


def test_an_alpha_type_is_unreadable() -> None:
    opaque = next(
        (package, name, number)
        for package in _TABLES
        for name, specs in _messages(package).items()
        for number, spec in specs.items()
        if spec.type == "opaque"
    )
    package, name, number = opaque
    with pytest.raises(Unreadable, match="cannot read as protobuf"):
        decode_object(body(package, name, field(number, b"x")))


def test_no_message_holds_itself_so_depth_is_bounded_by_the_tables() -> None:
    def visit(package: str, name: str, above: tuple[tuple[str, str], ...]) -> None:
        assert (package, name) not in above
        for spec in _messages(package)[name].values():
            outer, _, inner = spec.type.rpartition(".")
            group = {"core": "v1", "": package}.get(outer, outer)
            if inner in _messages(group):
                visit(group, inner, (*above, (package, name)))

    for package in _TABLES:
        for name in _messages(package):
            visit(package, name, ())
