"""One call judged on real sockets: allowed, denied, not understood, and what rules have to see before they decide."""

import base64
import json
import uuid
from pathlib import Path

import pytest

from gateway.identity.tokens import append_token
from storage.records import SubRequest
from tests.kit.gateway_rig import open_rig
from tests.kit.orc import Orc, OrcConnection, SeenRequest, answer
from tests.kit.policed_rig import HEAD, open_policed, revoke, rules, the_call, user_of
from tests.kit.tunnel_ends import websocket_fields

POD = b"/api/v1/namespaces/prod/pods/web"
MAPS = b"/api/v1/namespaces/default/configmaps"
JSON = b"Content-Type: application/json"
NO_DELETES = "{name: no-deletes, match: {verbs: [delete], namespaces: [prod]}, action: {deny: look only}}"
NO_CARDS = (
    "{name: no-cards, match: {verbs: [create, update, patch], resources: [configmaps]}, "
    "when: \"has(object.data) && 'card' in object.data\", action: {deny: no cards here}}"
)
BY_OWNER = "{name: owners, match: {verbs: [delete], resources: [pods], labels: {owner: [ops]}}, action: {deny: of ops}}"


async def test_a_denied_call_gets_a_status_for_people_and_programs_and_reaches_nobody(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(NO_DELETES)) as rig:
        got = await rig.ask(b"DELETE", POD)
        status = json.loads(got.body)
        assert (got.status, status["reason"], status["details"]["kind"]) == (403, "Forbidden", "pods")
        causes = {cause["reason"]: cause["message"] for cause in status["details"]["causes"]}
        assert (causes["PolicyRule"], causes["Why"]) == ("p/no-deletes", "look only")
        exchange = await the_call(rig)
        assert causes["RequestID"] == str(uuid.UUID(bytes=exchange.intent.exchange))
        assert rig.orc.requests == []


async def test_the_record_of_a_denial_has_verdict_rules_and_the_hash_of_the_policy(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(NO_DELETES)) as rig:
        await rig.ask(b"DELETE", POD)
        exchange = await the_call(rig)
        verdict = exchange.intent.verdict
        assert (verdict.action, verdict.mode, verdict.reason) == ("deny", "enforce", "look only")
        assert verdict.rules[0] == "p/no-deletes"
        assert verdict.policy_sha256 == rig.gateway.services.policy.sha256 != ""
        assert exchange.intent.upstream_target == b""
        assert (exchange.outcome.result, exchange.outcome.status) == ("denied", 403)


async def test_with_a_policy_what_nothing_allows_is_denied(tmp_path: Path) -> None:
    only = HEAD + "rules:\n- {name: read, match: {verbs: [get]}, action: allow}\n"
    async with open_policed(tmp_path, only) as rig:
        assert (await rig.ask(b"GET", POD)).status == 200
        got = await rig.ask(b"DELETE", POD)
        assert got.status == 403
        assert b"no rule allows this" in got.body
        assert len(rig.orc.requests) == 1


async def test_without_a_policy_everything_is_allowed_and_says_observe(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig:
        assert (await rig.ask(b"DELETE", POD)).status == 200
        verdict = (await the_call(rig)).intent.verdict
        assert (verdict.action, verdict.mode, verdict.rules, verdict.policy_sha256) == (
            "allow",
            "observe",
            (),
            "",
        )


async def test_an_allowed_call_names_the_rules_that_matched(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(NO_DELETES)) as rig:
        assert (await rig.ask(b"GET", POD)).status == 200
        verdict = (await the_call(rig)).intent.verdict
        assert (verdict.action, verdict.mode, verdict.rules) == ("allow", "enforce", ("p/all",))


async def test_a_condition_sees_the_body_and_the_cluster_gets_the_same_bytes(tmp_path: Path) -> None:
    body = b'{"kind":"ConfigMap",  "data":{"a":"b"}}'
    async with open_policed(tmp_path, rules(NO_CARDS)) as rig:
        assert (await rig.ask(b"POST", MAPS, JSON, body=body)).status == 200
        (request,) = rig.orc.requests
        assert request.body == body
        assert (await the_call(rig)).request_body == body


async def test_a_condition_on_the_body_denies(tmp_path: Path) -> None:
    async with open_policed(tmp_path, rules(NO_CARDS)) as rig:
        got = await rig.ask(b"POST", MAPS, JSON, body=b'{"data":{"card":"4111"}}')
        assert got.status == 403
        assert b"p/no-cards" in got.body
        assert rig.orc.requests == []


async def test_a_large_body_is_judged_whole(tmp_path: Path) -> None:
    body = json.dumps({"data": {"filler": "x" * 300_000, "card": "4111"}}).encode()
    async with open_policed(tmp_path, rules(NO_CARDS)) as rig:
        assert (await rig.ask(b"POST", MAPS, JSON, body=body)).status == 403
        assert rig.orc.requests == []


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (b"application/x-unknown", b"{}", 415),
        (b"application/cbor", b"\xa0", 415),
        (b"application/json", b"{", 400),
        (b"application/vnd.kubernetes.protobuf", b"k8s\x00\xff\xff", 400),
    ],
)
async def test_a_body_that_a_rule_needs_and_nobody_can_read_is_refused(
    tmp_path: Path, content_type: bytes, body: bytes, status: int
) -> None:
    async with open_policed(tmp_path, rules(NO_CARDS)) as rig:
        got = await rig.ask(b"POST", MAPS, b"Content-Type: " + content_type, body=body)
        assert got.status == status
        assert rig.orc.requests == []
        assert (await the_call(rig)).intent.verdict.mode == "enforce"


def _protobuf_map(key: bytes, value: bytes) -> bytes:
    """A ConfigMap as kubectl sends it: runtime.Unknown around the message."""

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    entry = field(2, field(1, key) + field(2, value))
    message = field(1, field(1, b"name")) + entry
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, message)


@pytest.mark.parametrize(("key", "status"), [(b"card", 403), (b"other", 200)])
async def test_a_protobuf_body_is_judged_by_what_it_says(tmp_path: Path, key: bytes, status: int) -> None:
    proto = b"Content-Type: application/vnd.kubernetes.protobuf"
    async with open_policed(tmp_path, rules(NO_CARDS)) as rig:
        got = await rig.ask(b"POST", MAPS, proto, body=_protobuf_map(key, b"4111"))
        assert got.status == status


@pytest.mark.parametrize(
    "written",
    [
        b"[masked by p/hide]",
        base64.b64encode(b"[masked by p/hide]"),
        b"\\u005bmasked by p/hide]",
    ],
)
async def test_a_masked_value_is_not_written_back(tmp_path: Path, written: bytes) -> None:
    async with open_policed(tmp_path, rules()) as rig:
        got = await rig.ask(b"PUT", MAPS + b"/m", JSON, body=b'{"data":{"a":"' + written + b'"}}')
        assert got.status == 422
        status = json.loads(got.body)
        (cause,) = status["details"]["causes"]
        assert (status["reason"], cause["reason"]) == ("Invalid", "MaskedValue")
        assert rig.orc.requests == []


async def _labelled(connection: OrcConnection, request: SeenRequest) -> None:
    owner = "ops" if request.target.endswith(b"/theirs") else "dev"
    found = {"kind": "Pod", "metadata": {"labels": {"owner": owner}}}
    await connection.send(answer(200, json.dumps(found).encode()))


@pytest.mark.parametrize(("name", "status"), [(b"theirs", 403), (b"ours", 200)])
async def test_a_rule_about_labels_looks_at_the_object_first(
    tmp_path: Path, name: bytes, status: int
) -> None:
    pod = b"/api/v1/namespaces/default/pods/" + name
    async with open_policed(tmp_path, rules(BY_OWNER), _labelled) as rig:
        assert (await rig.ask(b"DELETE", pod)).status == status
        asked = _asked(rig.orc)
        assert asked == [(b"GET", pod)] if status == 403 else [(b"GET", pod), (b"DELETE", pod)]


async def test_a_look_at_the_object_is_recorded_before_and_after_with_an_audit_id_of_its_own(
    tmp_path: Path,
) -> None:
    pod = b"/api/v1/namespaces/default/pods/ours"
    async with open_policed(tmp_path, rules(BY_OWNER), _labelled) as rig:
        await rig.ask(b"DELETE", pod, b"Accept: application/vnd.kubernetes.protobuf")
        exchange = await the_call(rig)
        before, after = exchange.all(SubRequest)
        assert (before.purpose, before.method, before.target, before.status) == ("old-object", "GET", pod, 0)
        assert (after.status, after.audit_id) == (200, before.audit_id)
        look, call = rig.orc.requests
        assert look.header(b"audit-id") == str(uuid.UUID(bytes=after.audit_id)).encode()
        assert call.header(b"audit-id") == str(uuid.UUID(bytes=exchange.intent.exchange)).encode()
        assert look.header(b"accept") == b"application/json"


async def test_an_object_that_cannot_be_seen_counts_against_the_call(tmp_path: Path) -> None:
    async def broken(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(500, b"{}"))

    async with open_policed(tmp_path, rules(BY_OWNER), broken) as rig:
        got = await rig.ask(b"DELETE", POD)
        assert got.status == 403
        assert b"has to see the object before it can decide" in got.body
        assert [request.method for request in rig.orc.requests] == [b"GET"]


async def test_an_object_that_is_not_there_is_no_reason_to_refuse(tmp_path: Path) -> None:
    async def gone(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(404, b"{}"))

    condition = (
        "{name: running, match: {verbs: [delete], resources: [pods]}, "
        "when: \"oldObject != null && oldObject.status.phase == 'Running'\", action: {deny: it runs}}"
    )
    async with open_policed(tmp_path, rules(condition), gone) as rig:
        assert (await rig.ask(b"DELETE", POD)).status == 404
        assert [request.method for request in rig.orc.requests] == [b"GET", b"DELETE"]


async def test_of_a_subresource_the_object_it_belongs_to_is_looked_at(tmp_path: Path) -> None:
    rule = BY_OWNER.replace("resources: [pods]", "resources: [pods/status]").replace("[delete]", "[patch]")
    pod = b"/api/v1/namespaces/default/pods/ours"
    async with open_policed(tmp_path, rules(rule), _labelled) as rig:
        merge = b"Content-Type: application/merge-patch+json"
        assert (await rig.ask(b"PATCH", pod + b"/status", merge, body=b"{}")).status == 200
        assert _asked(rig.orc) == [(b"GET", pod), (b"PATCH", pod + b"/status")]


def _asked(orc: Orc) -> list[tuple[bytes, bytes]]:
    return [(request.method, request.target) for request in orc.requests]


async def test_the_pod_of_a_shell_is_looked_at_before_the_shell_is_asked_for(tmp_path: Path) -> None:
    rule = "{name: host, match: {resources: [pods/exec], labels: {owner: [ops]}}, action: {deny: of ops}}"

    async def pod(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(200, b'{"metadata":{"labels":{"owner":"ops"}}}'))

    async with open_policed(tmp_path, rules(rule), pod) as rig, rig.client() as client:
        await client.send(
            rig.request(b"GET", POD + b"/exec?command=sh", *websocket_fields(b"v5.channel.k8s.io"))
        )
        assert (await client.response()).status == 403
        (looked,) = rig.orc.requests
        assert (looked.method, looked.target, looked.header(b"upgrade")) == (b"GET", POD, None)


async def test_what_is_remembered_of_one_person_serves_no_other_nor_one_whose_access_ended(
    tmp_path: Path,
) -> None:
    no_eve = "{name: no-eve, match: {users: [eve]}, action: {deny: not eve}}"
    async with open_policed(tmp_path, rules(no_eve)) as rig, rig.client() as client:
        eve = append_token(rig.gateway.data_dir / "tokens.csv", "eve").encode()
        first = user_of(rig)
        for _ in range(3):
            assert (await client.ask(rig.request(b"GET", POD))).status == 200
            assert (await client.ask(rig.request(b"GET", POD, token=eve))).status == 403
        await revoke(rig, "user", first)
        assert (await client.ask(rig.request(b"GET", POD))).status == 403
        assert (await client.ask(rig.request(b"GET", POD, token=eve))).status == 403
        assert len(rig.orc.requests) == 3
        people = [one.intent.principal for one in await rig.exchanges()]
        assert [one and one.user for one in people] == [first, "eve"] * 4
