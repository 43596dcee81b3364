"""Objects and the copies of themselves they carry."""

import json
from collections import Counter

import pytest

from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.field_sets import mask_managed_fields
from gateway.policy.masking.hiding import encoded_placeholder, placeholder
from gateway.policy.masking.objects import LAST_APPLIED, MAX_EMBEDDED, ObjectMask
from gateway.policy.masking.paths import Node, compile_paths, expand, parse_path
from gateway.policy.masking.texts import TextMask

HIDDEN = placeholder("p/r")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def tree(*paths: str) -> Node:
    return compile_paths((twin, "p/r") for path in paths for twin in expand(parse_path(path)))


def masked(
    value: dict[str, object], *paths: str, kind: str = "", detectors: bool = False
) -> tuple[dict[str, object], int]:
    counts: Counter[str] = Counter()
    texts = TextMask(DetectorSet(["aws-key"]), {"aws-key": "p/r"}) if detectors else None
    ObjectMask(tree(*paths), texts, "p/r").mask(value, kind, counts)
    return value, counts["p/r"]


def test_only_a_secrets_data_is_base64() -> None:
    value = {"data": {"a": "eA=="}, "stringData": {"b": "x"}, "binaryData": {"c": "eA=="}}
    shown, count = masked({"kind": "ConfigMap", **json.loads(json.dumps(value))}, "data.*", kind="Secret")
    assert shown["data"] == {"a": HIDDEN}
    assert shown["binaryData"] == {"c": encoded_placeholder("p/r")}
    assert count == 3
    shown, _ = masked(value, "data.*", kind="Secret")
    assert shown["data"] == {"a": encoded_placeholder("p/r")}
    assert shown["stringData"] == {"b": HIDDEN}


@pytest.mark.parametrize("path", ["*", "kind", "**.kind", "**.*"])
def test_what_an_object_is_stays_readable(path: str) -> None:
    shown, _ = masked({"apiVersion": "v1", "kind": "Pod", "spec": {"kind": "x"}}, path)
    assert (shown["apiVersion"], shown["kind"]) == ("v1", "Pod")
    assert shown["spec"] == {"kind": "x" if path == "kind" else HIDDEN}


def test_lists_are_walked_whether_or_not_the_path_says_so() -> None:
    for path in ("spec.containers[*].env[*].value", "spec.containers.env.value"):
        value = {"spec": {"containers": [{"env": [{"name": "a", "value": "s"}]}, 7]}}
        assert masked(value, path)[0] == {
            "spec": {"containers": [{"env": [{"name": "a", "value": HIDDEN}]}, 7]}
        }


def test_any_depth_reaches_every_map_and_list() -> None:
    value = {"password": "a", "x": [{"y": {"password": {"z": "b"}}}], "items": [["c"]]}
    shown, count = masked(value, "**.password", "**.items[*]")
    assert shown == {"password": HIDDEN, "x": [{"y": {"password": {"z": HIDDEN}}}], "items": [[HIDDEN]]}
    assert count == 3
    assert masked({"a": {"b": {"c": {"d": "x"}}}}, "**.b.**.d")[0] == {"a": {"b": {"c": {"d": HIDDEN}}}}


def annotations(**more: str) -> dict[str, object]:
    return {"metadata": {"annotations": dict(more)}, "data": {"a": "b"}}


def shown_annotation(
    text: str, *, name: str = LAST_APPLIED, detectors: bool = False, path: str = "data.*"
) -> str:
    value: dict[str, object] = {"metadata": {"annotations": {name: text, "other": "{", "n": 1}}}
    masked(value, *([path] if path else []), detectors=detectors)
    metadata = value["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["annotations"]["other"] == "{"
    return str(metadata["annotations"][name])


def test_the_copy_that_kubectl_keeps_is_masked_inside() -> None:
    assert shown_annotation('{"data":{"a":"s"},"n":1.0}\n') == f'{{"data":{{"a":"{HIDDEN}"}},"n":1.0}}\n'
    assert (
        shown_annotation(' {"kind":"X","data":{"a":"s"}}', name="tool")
        == f'{{"kind":"X","data":{{"a":"{HIDDEN}"}}}}'
    )


def test_a_copy_with_nothing_to_hide_keeps_its_bytes() -> None:
    for text in ('{ "spec": 1e3 }', HIDDEN):
        assert shown_annotation(text) == text
    assert shown_annotation('{"data": {"a": "s"}}', name="tool") == '{"data": {"a": "s"}}'


def test_a_copy_that_cannot_be_read_is_hidden_whole() -> None:
    for text in ("{", "[]", '"x"', "\ud800"[:0] + "plain"):
        assert shown_annotation(text) == HIDDEN
        assert shown_annotation(text, path="") == text
    assert shown_annotation("H4sIAAAA", name="tool") == HIDDEN
    assert shown_annotation("H4sIAAAA", name="tool", path="") == "H4sIAAAA"


def test_copies_in_copies_are_looked_into_up_to_a_limit() -> None:
    text = '{"data":{"a":"s"}}'
    for _ in range(MAX_EMBEDDED + 2):
        text = json.dumps({"metadata": {"annotations": {LAST_APPLIED: text}}, "data": {"a": "s"}})
    assert '"s"' not in shown_annotation(text).replace("\\", "")


def test_detectors_see_texts_names_and_what_is_base64() -> None:
    value = {"kind": "Secret", "data": {"a": "QUtJQUlPU0ZPRE5ON0VYQU1QTEU="}, KEY_ID: [KEY_ID, 5]}
    shown, count = masked(value, detectors=True)
    assert shown == {"kind": "Secret", "data": {"a": encoded_placeholder("p/r")}, HIDDEN: [HIDDEN, 5]}
    assert count == 3
    assert shown_annotation(f'{{"a":"{KEY_ID}"}}', detectors=True, path="") == f'{{"a":"{HIDDEN}"}}'


def test_annotations_and_metadata_of_another_type_do_no_harm() -> None:
    for value in ({"metadata": 1}, {"metadata": {"annotations": []}}, {"metadata": {"managedFields": {}}}):
        assert masked(dict(value), "data.*") == (value, 0)


def managed(fields: dict[str, object], *paths: str) -> dict[str, object]:
    entries: list[object] = [{"fieldsV1": fields}, {"fieldsV1": None}, None]
    mask_managed_fields(entries, tree(*paths), Counter())
    entry = entries[0]
    assert isinstance(entry, dict)
    found = entry["fieldsV1"]
    assert isinstance(found, dict)
    return found


def test_managed_fields_keep_names_and_lose_values() -> None:
    fields = {
        "f:metadata": {"f:finalizers": {".": {}, 'v:"s"': {}}, "f:labels": {"f:a": {}}},
        "f:spec": {"f:ports": {'k:{"name":"s","port":80}': {".": {}, "f:port": {}}}, "f:other": {"f:x": {}}},
    }
    shown = managed(fields, "metadata.finalizers[*]", "spec.ports[*].name")
    assert shown == {
        "f:metadata": {"f:finalizers": {".": {}, f'v:"{HIDDEN}"': {}}, "f:labels": {"f:a": {}}},
        "f:spec": {
            "f:ports": {f'k:{{"name":"{HIDDEN}","port":80}}': {".": {}, "f:port": {}}},
            "f:other": {"f:x": {}},
        },
    }


def test_keys_below_a_hidden_field_are_hidden_too() -> None:
    fields = {"f:spec": {"f:ports": {'k:{"port":80}': {}}, "f:set": {"v:1": {}}, "f:a": 7}}
    assert managed(fields, "spec") == {
        "f:spec": {"f:ports": {'k:{"port":0}': {}}, "f:set": {"v:0": {}}, "f:a": 7}
    }
    assert managed({"f:x": {'v:"s"': {}}}, "*") == {"f:x": {f'v:"{HIDDEN}"': {}}}


def test_paths_of_any_depth_hold_in_managed_fields() -> None:
    fields = {"f:a": {"f:b": {'k:{"password":"s"}': {'k:{"x":1}': {}}}}}
    assert managed(fields, "**.password") == {
        "f:a": {"f:b": {f'k:{{"password":"{HIDDEN}"}}': {'k:{"x":1}': {}}}}
    }


@pytest.mark.parametrize("path", ["a[*].password", "a[*][*].password", "a[*].*", "**.b.password"])
def test_a_key_that_is_not_json_is_hidden_whole(path: str) -> None:
    shown = managed({"f:a": {'k:{"password":"s\\': {}, "k:{": {}}}, path)
    assert '"s' not in json.dumps(shown).replace("\\", "")
