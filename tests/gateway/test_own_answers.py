"""`auth can-i` and `auth whoami` through a whole gateway: about the person, never about the gateway's own credential."""

import json
from pathlib import Path
from typing import Any

import pytest

from storage.records import SubRequest
from tests.kit.gateway_rig import Rig, open_rig
from tests.kit.policed_rig import HEAD, HOLD, open_policed_cluster, the_call, user_of

CAN_I = b"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
WHO_AM_I = b"/apis/authentication.k8s.io/v1/selfsubjectreviews"
JSON = b"Content-Type: application/json"
POLICY = (
    HEAD
    + "rules:\n- {name: read, match: {verbs: [get], resources: [pods]}, action: allow}\n"
    + "- {name: never, match: {verbs: [delete], resources: [pods]}, action: {deny: no deletes}}\n"
    + f"- {{name: ask, match: {{verbs: [create], resources: [pods]}}, action: {HOLD}}}\n"
)


async def can_i(rig: Rig, verb: str) -> dict[str, Any]:
    attributes = {"verb": verb, "resource": "pods", "namespace": "default", "name": "web"}
    body = {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": attributes},
    }
    got = await rig.ask(b"POST", CAN_I, JSON, body=json.dumps(body).encode())
    assert got.status == 201
    return dict(json.loads(got.body)["status"])


async def test_what_the_policy_denies_is_no_with_its_reason_and_the_cluster_is_not_asked(
    tmp_path: Path,
) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        status = await can_i(rig, "delete")
        assert status["allowed"] is False
        assert "p/never: no deletes" in status["reason"]
        exchange = await the_call(rig)
        assert exchange.outcome.timings.upstream_sent_us is None
        assert exchange.outcome.result == "completed"
        assert b"no deletes" in exchange.response_body


@pytest.mark.parametrize("verb", ["get", "create"])
async def test_what_may_happen_is_yes_when_the_cluster_agrees(tmp_path: Path, verb: str) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        assert (await can_i(rig, verb))["allowed"] is True


async def test_what_people_must_agree_to_says_so(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        status = await can_i(rig, "create")
        assert "approv" in status["reason"]
        purposes = [one.purpose for one in (await the_call(rig)).all(SubRequest)]
        assert purposes == ["access-review", "access-review"]


async def test_whoami_is_the_person(tmp_path: Path) -> None:
    body = b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        got = await rig.ask(b"POST", WHO_AM_I, JSON, body=body)
        info = json.loads(got.body)["status"]["userInfo"]
        assert (info["username"], info["groups"]) == (user_of(rig), ["kubetape:first-user"])


async def test_whoami_is_the_person_in_observe_mode_too(tmp_path: Path) -> None:
    body = b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
    async with open_rig(tmp_path) as rig:
        got = await rig.ask(b"POST", WHO_AM_I, JSON, body=body)
        assert json.loads(got.body)["status"]["userInfo"]["username"] == user_of(rig)
        assert rig.orc.requests == []
