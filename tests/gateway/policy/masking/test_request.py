"""Request bodies as they are recorded."""

import json
from collections import Counter

import pytest

from gateway.policy.masking.hiding import encoded_placeholder, placeholder
from gateway.policy.masking.masker import Masker
from gateway.policy.masking.request import NOTE
from gateway.policy.model import Mask
from protocol.apicall import Call, parse_call

HIDDEN = placeholder("p/r")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
PATHS = Masker((Mask("p/r", ("data.*", "spec.items[*].x", "metadata.finalizers[*]")),))
KEYS = Masker((Mask("p/k", detectors=("aws-key",)),))
SECRET = parse_call(b"PATCH", b"/api/v1/namespaces/n/secrets/s")
POD = parse_call(b"PATCH", b"/api/v1/namespaces/n/pods/p")
PROXY = parse_call(b"POST", b"/api/v1/namespaces/n/services/s/proxy/x")


def patched(
    *operations: dict[str, object], call: Call = POD, masker: Masker = PATHS
) -> list[dict[str, object]]:
    body = json.dumps(operations).encode()
    found = json.loads(masker.request(call, b"application/json-patch+json", body)[0])
    assert isinstance(found, list)
    return found


def test_a_body_that_holds_nothing_is_recorded_as_it_came() -> None:
    for body in (b"", b' {"x": 1e3}'):
        assert PATHS.request(POD, b"application/json", body) == (body, Counter())


def test_json_stays_json_and_lists_are_masked_item_by_item() -> None:
    body = b'{"data":{"a":"s"},"items":[{"data":{"b":"t"}},7]}'
    found, counts = PATHS.request(SECRET, b"application/json", body)
    shown = encoded_placeholder("p/r")
    assert json.loads(found) == {"data": {"a": shown}, "items": [{"data": {"b": shown}}, 7]}
    assert counts == {"p/r": 2}


def test_yaml_is_recorded_as_json_that_says_so() -> None:
    found, _ = PATHS.request(POD, b"application/yaml", b"data: {a: s} # s")
    assert json.loads(found) == {NOTE: "application/yaml", "data": {"a": HIDDEN}}


def test_a_body_that_cannot_be_read_is_described() -> None:
    found, counts = PATHS.request(POD, b"application/cbor", b"\xd9\xd9\xf7abc")
    assert found == f"{HIDDEN} 6 bytes of a body that kubetape cannot read".encode()
    assert counts == {"p/r": 1}


def test_bodies_of_applications_are_masked_by_detectors() -> None:
    body = b"k=" + KEY_ID.encode()
    assert KEYS.request(PROXY, b"text/plain", body)[0] == b"k=" + placeholder("p/k").encode()
    assert PATHS.request(PROXY, b"text/plain", body)[0] == body


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("/data/a", "s", HIDDEN),
        ("/data/0", "s", HIDDEN),
        ("/data", {"a": "s"}, {"a": HIDDEN}),
        ("/spec/items/0", {"x": "s", "y": "t"}, {"x": HIDDEN, "y": "t"}),
        ("/spec/items/-", {"x": "s"}, {"x": HIDDEN}),
        ("/spec/items/0/x", "s", HIDDEN),
        ("/spec/items/0/y", "s", "s"),
        ("/spec", {"items": [{"x": "s"}]}, {"items": [{"x": HIDDEN}]}),
        ("", {"data": {"a": "s"}}, {"data": {"a": HIDDEN}}),
        ("", "s", "s"),
        (7, "s", "s"),
        (
            "/metadata/annotations/a~1b~0c",
            '{"kind":"X","data":{"a":"s"}}',
            f'{{"kind":"X","data":{{"a":"{HIDDEN}"}}}}',
        ),
        ("/metadata/labels/x", "s", "s"),
    ],
)
def test_the_value_of_a_json_patch_is_masked_where_it_would_stand(
    path: object, value: object, shown: object
) -> None:
    assert patched({"op": "add", "path": path, "value": value}) == [
        {"op": "add", "path": path, "value": shown}
    ]


def test_a_json_patch_of_a_secret_is_base64_and_operations_without_a_value_stay() -> None:
    found = patched(
        {"op": "add", "path": "/data/a", "value": "eA=="}, {"op": "remove", "path": "/data/b"}, call=SECRET
    )
    assert found == [
        {"op": "add", "path": "/data/a", "value": encoded_placeholder("p/r")},
        {"op": "remove", "path": "/data/b"},
    ]


def test_detectors_look_at_values_and_pointers_of_a_json_patch() -> None:
    shown = placeholder("p/k")
    found = patched({"op": "add", "path": f"/metadata/labels/{KEY_ID}", "value": KEY_ID}, masker=KEYS)
    assert found == [{"op": "add", "path": f"/metadata/labels/{shown}", "value": shown}]
    assert patched({"op": "add", "path": 5, "value": KEY_ID}, masker=KEYS) == [
        {"op": "add", "path": 5, "value": shown}
    ]


def test_directives_of_a_strategic_merge_patch_lose_the_values_they_name() -> None:
    body = {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["s"], "finalizers": ["t"]},
        "list": [{"$setElementOrder/finalizers": ["s"], "$patch": "replace"}],
    }
    media = b"application/strategic-merge-patch+json"
    found, _ = Masker((Mask("p/r", ("metadata.finalizers[*]",)),)).request(
        POD, media, json.dumps(body).encode()
    )
    assert json.loads(found) == {
        "metadata": {"$deleteFromPrimitiveList/finalizers": [HIDDEN], "finalizers": [HIDDEN]},
        "list": [{"$setElementOrder/finalizers": [HIDDEN], "$patch": "replace"}],
    }
    other = b'{"metadata":{"finalizers":[],"$setElementOrder/other":["s"]}}'
    found, _ = Masker((Mask("p/r", ("metadata.finalizers[*]",)),)).request(POD, media, other)
    assert json.loads(found)["metadata"]["$setElementOrder/other"] == ["s"]
