"""No secret leaves in a body, wherever in it the secret is."""

import json

import pytest

from gateway.outlets.masking import MAX_DEPTH, REMOVED, mask, may_hold_secrets, may_show_bodies
from storage.records import CallRecord

CANARY = "Y2FuYXJ5"
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": CANARY}}
IN_JSON = json.dumps(SECRET)
IN_YAML = f"apiVersion: v1\nkind: Secret\ndata:\n  password: {CANARY}\n"


def nested(value: object, levels: int) -> object:
    for _ in range(levels):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        {**SECRET, "data": None, "stringData": {"password": CANARY}},
        {**SECRET, "data": CANARY},
        {"kind": "List", "items": [{"kind": "Pod"}, SECRET]},
        {"kind": "SecretList", "items": [{"metadata": {}, "data": {"password": CANARY}}]},
        {"kind": "SecretList", "items": [CANARY]},
        {"type": "ADDED", "object": SECRET},
        [{"op": "add", "path": "/spec/manifests/-", "value": SECRET}],
        {"kind": "Table", "rows": [{"cells": ["db"], "object": SECRET}]},
        {"type": "Opaque", "data": {"password": CANARY}},
        {"type": "kubernetes.io/service-account-token", "data": {"token": CANARY}},
        {"type": "helm.sh/release.v1", "stringData": {"release": CANARY}},
        {"kind": "TokenRequest", "status": {"token": CANARY, "expirationTimestamp": "x"}},
        {"kind": "TokenReview", "spec": {"token": CANARY}, "status": {"authenticated": True}},
        {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": IN_JSON}}},
        {"metadata": {"annotations": {"a": json.dumps({"x": IN_JSON})}}},
        {"kind": "ConfigMap", "data": {"all.yaml": f"---\n{IN_YAML}"}},
        {"kind": "ConfigMap", "data": {"all.yaml": f'kind: "Secret"\ndata: {{p: {CANARY}}}'}},
        {"kind": "ConfigMap", "data": {"broken": f'{{"kind":"Secret","data":"{CANARY}"'}},
        {"kind": "ConfigMap", "data": {"list": f"kind: SecretList\nitems: [{CANARY}]"}},
        nested(SECRET, 50),
        nested({"x": [CANARY]}, MAX_DEPTH),
    ],
)
def test_a_secret_is_removed_wherever_it_is(value: object) -> None:
    before = json.dumps(value)
    masked, removed = mask(value)
    assert CANARY not in json.dumps(masked)
    assert REMOVED in json.dumps(masked)
    assert removed >= 1
    assert json.dumps(value) == before, "the value itself is not changed"


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "Pod", "spec": {"containers": [{"image": "busybox"}]}},
        {"kind": "SecretProviderClass", "data": {"a": "b"}},
        {"kind": "ConfigMap", "data": {"text": "this kind: of Secret thing is a sentence", "n": "1"}},
        {"kind": "Secret", "metadata": {"name": "db"}},
        {"kind": ["Secret"], "data": 1},
        {"type": "ClusterIP", "data": {"a": "b"}},
        {"kind": "TokenReview", "spec": "no object"},
        {"kind": "SecretList", "items": None},
        [1, 1.5, None, True, "text"],
    ],
)
def test_what_is_no_secret_stays_as_it_is(value: object) -> None:
    assert mask(value) == (value, 0)


def test_the_rest_of_a_manifest_in_an_annotation_stays() -> None:
    masked, removed = mask({"annotations": {"last": IN_JSON}})
    assert removed == 1
    inner = json.loads(masked["annotations"]["last"])  # type: ignore[index]
    assert inner == {**SECRET, "data": REMOVED}


def test_texts_in_texts_are_followed_for_a_while_then_removed() -> None:
    text = IN_JSON
    for _ in range(8):
        text = json.dumps({"kind: Secret": text})
    masked, removed = mask({"text": text})
    assert removed == 1
    assert CANARY not in json.dumps(masked)


@pytest.mark.parametrize(
    ("call", "withheld"),
    [
        (CallRecord("get", "", "v1", "secrets", "", "prod", "db"), True),
        (CallRecord("patch", "", "v1", "secrets", "status", "prod", "db"), True),
        (CallRecord("create", "", "v1", "serviceaccounts", "token", "prod", "ci"), True),
        (CallRecord("get", "", "v1", "serviceaccounts", "", "prod", "ci"), False),
        (CallRecord("create", "authentication.k8s.io", "v1", "tokenreviews"), True),
        (CallRecord("get", "example.com", "v1", "secrets", "", "prod", "db"), False),
        (CallRecord("get", "", "v1", "configmaps", "", "prod", "c"), False),
    ],
)
def test_calls_whose_answer_is_a_secret_show_no_body(call: CallRecord, withheld: bool) -> None:
    assert may_hold_secrets(call) is withheld
    assert may_show_bodies(call) is not withheld


def test_the_settings_name_further_resources() -> None:
    named = ("configmaps", "leases.coordination.k8s.io", "deployments/scale.apps")
    assert may_hold_secrets(CallRecord("get", "", "v1", "configmaps"), named)
    assert may_hold_secrets(CallRecord("get", "coordination.k8s.io", "v1", "leases"), named)
    assert may_hold_secrets(CallRecord("get", "apps", "v1", "deployments", "scale"), named)
    assert not may_hold_secrets(CallRecord("get", "apps", "v1", "deployments"), named)


def test_streams_applications_and_refused_targets_have_no_bodies_to_show() -> None:
    assert not may_show_bodies(None)
    assert not may_show_bodies(CallRecord("get", path="/version"))
    assert not may_show_bodies(CallRecord("watch", "", "v1", "pods"))
    assert not may_show_bodies(CallRecord("get", "", "v1", "services", "proxy", "prod", "web"))
