"""REST through the real server: what clients rely on, one behaviour a test."""

import json

import pytest
import trio

from gateway.demo.standin.server import Standin
from tests.kit.standin_client import ask, connect

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


async def test_a_list_is_cut_and_continued_without_gap_or_repeat(standin: Standin) -> None:
    whole = (await ask(standin, "GET", "/api/v1/pods")).json
    names, token = [], ""
    while True:
        page = (await ask(standin, "GET", f"/api/v1/pods?limit=2&continue={token}")).json
        names += [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in whole["items"]]
    assert len(names) >= 5


async def test_items_of_a_list_carry_no_kind(standin: Standin) -> None:
    pods = (await ask(standin, "GET", "/api/v1/pods")).json
    assert (pods["kind"], pods["apiVersion"]) == ("PodList", "v1")
    assert all("kind" not in one for one in pods["items"])


async def test_a_table_has_a_cell_for_every_column(standin: Standin) -> None:
    for path in (
        "/api/v1/pods",
        "/api/v1/nodes",
        "/api/v1/secrets",
        "/api/v1/events",
        "/apis/apps/v1/deployments",
        "/api/v1/services",
    ):
        table = (await ask(standin, "GET", path, headers={"accept": TABLE})).json
        assert table["kind"] == "Table"
        assert table["rows"]
        assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])
        assert all(row["object"]["kind"] == "PartialObjectMetadata" for row in table["rows"])


async def test_dry_run_says_what_would_be_and_keeps_nothing(standin: Standin) -> None:
    made = await ask(standin, "POST", f"{MAPS}?dryRun=All", body={"metadata": {"name": "ghost"}})
    assert (made.status, made.json["metadata"]["name"]) == (201, "ghost")
    assert (await ask(standin, "GET", f"{MAPS}/ghost")).status == 404
    assert (
        await ask(standin, "POST", f"{MAPS}?dryRun=Some", body={"metadata": {"name": "ghost"}})
    ).status == 422


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 400),
        (b"[]", 400),
        ({"metadata": {"name": "UPPER"}}, 422),
        ({"metadata": {}}, 422),
        ({"metadata": {"name": "x", "namespace": "other"}}, 400),
    ],
)
async def test_what_is_no_object_is_refused(standin: Standin, body: object, code: int) -> None:
    answer = await ask(standin, "POST", MAPS, body=body)
    assert (answer.status, answer.json["code"]) == (code, code)


async def test_an_unknown_namespace_or_media_type_is_refused(standin: Standin) -> None:
    assert (
        await ask(standin, "POST", "/api/v1/namespaces/nope/configmaps", body={"metadata": {"name": "x"}})
    ).status == 404
    assert (await ask(standin, "POST", MAPS, body=b"x", headers={"content-type": "text/csv"})).status == 415
    assert (
        await ask(
            standin, "PATCH", f"{MAPS}/kube-root-ca.crt", body=b"{}", headers={"content-type": "text/csv"}
        )
    ).status == 415
    assert (await ask(standin, "GET", MAPS, headers={"accept": "application/cbor"})).status == 406


async def test_server_side_apply_creates_then_merges_and_names_its_manager(standin: Standin) -> None:
    patch = {"content-type": "application/apply-patch+yaml"}
    for colour, status in (("red", 201), ("blue", 200)):
        body = json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"colour": colour}}
        ).encode()
        answer = await ask(standin, "PATCH", f"{MAPS}/x?fieldManager=me", body=body, headers=patch)
        assert answer.status == status
    assert answer.json["data"] == {"colour": "blue"}
    assert [(one["manager"], one["operation"]) for one in answer.json["metadata"]["managedFields"]] == [
        ("me", "Apply")
    ]
    assert (await ask(standin, "PATCH", f"{MAPS}/x", body=b"{}", headers=patch)).status == 422


async def test_deleting_a_namespace_takes_its_objects_along(standin: Standin) -> None:
    answer = await ask(standin, "DELETE", "/api/v1/namespaces/payments")
    assert (answer.json["kind"], answer.json["status"]) == ("Status", "Success")
    assert (await ask(standin, "GET", "/api/v1/namespaces/payments/pods/api")).status == 404


async def test_deleting_a_collection_honours_its_selector(standin: Standin) -> None:
    await ask(standin, "DELETE", "/api/v1/namespaces/payments/pods?labelSelector=app%3Dapi")
    left = (await ask(standin, "GET", "/api/v1/namespaces/payments/pods")).json["items"]
    assert [one["metadata"]["name"] for one in left] == ["worker"]


async def test_a_watch_tells_what_enters_and_leaves_its_selector(standin: Standin) -> None:
    async with await connect(standin) as stream:
        target = f"{MAPS}?watch=true&labelSelector=colour%3Dred&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        head = f"GET {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {standin.credentials.admin_token}\r\n\r\n"
        await stream.send_all(head.encode())
        received = await _receive_until(stream, b"", b"k8s.io/initial-events-end")
        await ask(standin, "POST", MAPS, body={"metadata": {"name": "x", "labels": {"colour": "blue"}}})
        for colour in ("red", "green"):
            body = {"metadata": {"labels": {"colour": colour}}}
            await ask(
                standin,
                "PATCH",
                f"{MAPS}/x",
                body=body,
                headers={"content-type": "application/merge-patch+json"},
            )
        received = await _receive_until(stream, received, b'"DELETED"')
    types = [line.split(b'"')[3] for line in received.splitlines() if line.startswith(b'{"type"')]
    assert types == [b"BOOKMARK", b"ADDED", b"DELETED"]


async def _receive_until(stream: trio.abc.Stream, received: bytes, wanted: bytes) -> bytes:
    with trio.fail_after(10):
        while wanted not in received:
            received += await stream.receive_some()
    return received


async def test_a_watch_ends_after_the_seconds_it_asked_for(standin: Standin) -> None:
    answer = await ask(standin, "GET", f"{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=1000000")
    assert (answer.status, answer.body) == (200, b"")


async def test_a_log_has_as_many_lines_as_asked_for(standin: Standin) -> None:
    target = "/api/v1/namespaces/payments/pods/api/log?tailLines=9"
    lines = (await ask(standin, "GET", target)).body.splitlines()
    assert len(lines) == 9
    assert any(b"card=" in line for line in lines)
    assert (await ask(standin, "GET", target + "&container=nope")).status == 400
    assert len((await ask(standin, "GET", target + "&limitBytes=10")).body) == 10


async def test_discovery_comes_in_the_form_that_was_asked_for(standin: Standin, old_standin: Standin) -> None:
    wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    modern = await ask(standin, "GET", "/apis", headers={"accept": wanted})
    assert (
        modern.headers[b"content-type"]
        == b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
    assert modern.json["kind"] == "APIGroupDiscoveryList"
    for answer in (
        await ask(old_standin, "GET", "/apis", headers={"accept": wanted}),
        await ask(standin, "GET", "/apis"),
    ):
        assert (answer.headers[b"content-type"], answer.json["kind"]) == (b"application/json", "APIGroupList")


async def test_every_listed_resource_can_be_listed(standin: Standin) -> None:
    groups = [
        f"/apis/{one['preferredVersion']['groupVersion']}"
        for one in (await ask(standin, "GET", "/apis")).json["groups"]
    ]
    for group in ["/api/v1", *groups]:
        for resource in (await ask(standin, "GET", group)).json["resources"]:
            if "list" in resource["verbs"]:
                assert (await ask(standin, "GET", f"{group}/{resource['name']}")).status == 200


async def test_openapi_index_leads_to_documents(standin: Standin) -> None:
    index = (await ask(standin, "GET", "/openapi/v3")).json["paths"]
    for entry in index.values():
        document = await ask(standin, "GET", entry["serverRelativeURL"])
        assert document.json["openapi"] == "3.0.0"
    swagger = await ask(standin, "GET", "/openapi/v2")
    assert swagger.body.startswith(b"\x0a\x032.0")  # field 1, "2.0"
    assert b"x-kubernetes-group-version-kind" in swagger.body
