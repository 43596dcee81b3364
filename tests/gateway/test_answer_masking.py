"""Answers masked on real sockets: the client and the record get the same masked bytes, whatever the encoding."""

import base64
import json
from pathlib import Path

import pytest
import trio

from storage.records import Masked, ResponseBody, SubRequest
from tests.kit.gateway_rig import Exchange
from tests.kit.orc import CHUNKED, LAST_CHUNK, OrcConnection, SeenRequest, answer, chunk, says
from tests.kit.policed_rig import HEAD, open_policed, the_call

SECRET = b"/api/v1/namespaces/default/secrets/s"
SECRETS = b"/api/v1/namespaces/default/secrets"
LOG = b"/api/v1/namespaces/default/pods/web/log"
CANARY = b"hunter2"
CANARY64 = base64.b64encode(CANARY)
PLACEHOLDER64 = base64.b64encode(b"[masked by p/hide]").decode()
POLICY = (
    HEAD
    + """
detectors: [{name: staff-id, re2: "EMP-[0-9]{6}"}]
rules:
- {name: all, action: allow}
- {name: hide, match: {resources: [secrets]}, action: {mask: {paths: ["data.*", "stringData.*"], columns: [Note]}}}
- {name: staff, match: {resources: [pods/log, pods]}, action: {mask: {detectors: [staff-id]}}}
"""
)
STORED = {
    "kind": "Secret",
    "apiVersion": "v1",
    "metadata": {
        "name": "s",
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps({"stringData": {"p": "hunter2"}})
        },
    },
    "data": {"p": CANARY64.decode()},
}


def clean(exchange: Exchange, *extra: bytes) -> None:
    """Nothing of the secret is in the record or in what came."""
    seen = b"".join([exchange.response_body, exchange.request_body, *extra])
    assert CANARY not in seen
    assert CANARY64 not in seen


async def test_an_object_is_masked_down_to_what_apply_remembers(tmp_path: Path) -> None:
    async with open_policed(tmp_path, POLICY, says(answer(200, json.dumps(STORED).encode()))) as rig:
        got = await rig.ask(b"GET", SECRET)
        shown = json.loads(got.body)
        assert shown["data"] == {"p": PLACEHOLDER64}
        exchange = await the_call(rig)
        assert exchange.response_body == got.body
        clean(exchange, got.body)


async def test_what_was_hidden_is_counted_by_rule(tmp_path: Path) -> None:
    async with open_policed(tmp_path, POLICY, says(answer(200, json.dumps(STORED).encode()))) as rig:
        await rig.ask(b"GET", SECRET)
        (masked,) = (await the_call(rig)).all(Masked)
        assert masked.where == "answer"
        assert dict(masked.counts) == {"p/hide": 2}


async def test_every_item_of_a_list_is_masked(tmp_path: Path) -> None:
    found = {"kind": "SecretList", "items": [STORED, STORED]}
    async with open_policed(tmp_path, POLICY, says(answer(200, json.dumps(found).encode()))) as rig:
        got = await rig.ask(b"GET", SECRETS)
        assert [item["data"]["p"] for item in json.loads(got.body)["items"]] == [PLACEHOLDER64] * 2
        clean(await the_call(rig), got.body)


async def test_a_table_is_masked_in_its_cells_and_objects(tmp_path: Path) -> None:
    table = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [{"name": "Name", "type": "string"}, {"name": "Note", "type": "string"}],
        "rows": [{"cells": ["s", "hunter2"], "object": STORED}],
    }
    async with open_policed(tmp_path, POLICY, says(answer(200, json.dumps(table).encode()))) as rig:
        as_table = b"Accept: application/json;as=Table;v=v1;g=meta.k8s.io"
        got = await rig.ask(b"GET", SECRETS, as_table)
        (row,) = json.loads(got.body)["rows"]
        assert row["cells"][0] == "s"
        clean(await the_call(rig), got.body)


async def test_a_watch_is_masked_event_by_event_and_bookmarks_pass_untouched(tmp_path: Path) -> None:
    go_on = trio.Event()
    bookmark = b'{"type":"BOOKMARK","object":{"kind":"Secret","metadata":{"resourceVersion":"7"}}}\n'

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        event = json.dumps({"type": "ADDED", "object": STORED}).encode() + b"\n"
        await connection.send(CHUNKED + chunk(event[:100]) + chunk(event[100:] + bookmark))
        await go_on.wait()
        await connection.send(chunk(event) + LAST_CHUNK)

    async with open_policed(tmp_path, POLICY, script) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", SECRETS + b"?watch=true"))
        await client.head()
        got = b""
        while bookmark not in got:
            got += await client.chunk()
        assert json.loads(got.splitlines()[0])["object"]["data"]["p"] == PLACEHOLDER64
        go_on.set()
        while part := await client.chunk():
            got += part
        exchange = await the_call(rig)
        assert exchange.response_body == got
        clean(exchange, got)


async def test_a_client_that_wants_protobuf_gets_json_where_a_mask_applies(tmp_path: Path) -> None:
    async with open_policed(tmp_path, POLICY, says(answer(200, json.dumps(STORED).encode()))) as rig:
        wants = b"Accept: application/vnd.kubernetes.protobuf,application/json"
        await rig.ask(b"GET", SECRET, wants)
        await rig.ask(b"GET", b"/api/v1/namespaces/default/configmaps/m", wants)
        masked, plain = rig.orc.requests
        assert b"protobuf" not in (masked.header(b"accept") or b"")
        assert b"json" in (masked.header(b"accept") or b"")
        assert (plain.header(b"accept") or b"").startswith(b"application/vnd.kubernetes.protobuf")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (b"application/vnd.kubernetes.protobuf", b"k8s\x00\xff\xff" + CANARY),
        (b"application/cbor", b"\xa1\x61p\x47" + CANARY),
        (b"application/json", b'{"data": {"p": "' + CANARY64),
        (b"application/octet-stream", CANARY),
    ],
)
async def test_an_answer_that_nobody_can_look_into_is_refused(
    tmp_path: Path, content_type: bytes, body: bytes
) -> None:
    head = b"HTTP/1.1 200 X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (content_type, len(body))
    async with open_policed(tmp_path, POLICY, says(head + body)) as rig:
        got = await rig.ask(b"GET", SECRET)
        assert got.status >= 400
        clean(await the_call(rig), got.body)


async def test_what_a_write_sends_is_masked_in_the_record_and_real_for_the_cluster(tmp_path: Path) -> None:
    body = json.dumps(STORED).encode()
    async with open_policed(tmp_path, POLICY, says(answer(201, body))) as rig:
        got = await rig.ask(b"POST", SECRETS, b"Content-Type: application/json", body=body)
        (request,) = rig.orc.requests
        assert json.loads(request.body) == STORED
        exchange = await the_call(rig)
        assert json.loads(exchange.request_body)["data"] == {"p": PLACEHOLDER64}
        clean(exchange, got.body)
        assert sorted(one.where for one in exchange.all(Masked)) == ["answer", "request"]


@pytest.mark.parametrize("cut", range(1, 10))
async def test_a_log_is_masked_across_every_border(tmp_path: Path, cut: int) -> None:
    line = b"by EMP-123456 in May\n"
    head = b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = (head, chunk(line[: 3 + cut]), chunk(line[3 + cut :]), LAST_CHUNK)
    async with open_policed(tmp_path, POLICY, says(*pieces)) as rig:
        got = await rig.ask(b"GET", LOG)
        assert b"EMP-" not in got.body
        assert got.body.endswith(b" in May\n")
        exchange = await the_call(rig)
        assert exchange.response_body == got.body


async def test_a_followed_log_shows_each_line_as_it_comes(tmp_path: Path) -> None:
    go_on = trio.Event()

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        head = b"HTTP/1.1 200 X\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        await connection.send(head + chunk(b"by EMP-123456\nand EMP-"))
        await go_on.wait()
        await connection.send(chunk(b"7\n") + LAST_CHUNK)

    async with open_policed(tmp_path, POLICY, script) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", LOG + b"?follow=true"))
        await client.head()
        got = b""
        while not got.endswith(b"and EMP-"):  # the beginning of a secret is let go when nothing follows
            got += await client.chunk()
        go_on.set()
        assert await client.chunk() == b"7\n"


async def test_a_narrowed_record_keeps_sizes_and_no_bodies(tmp_path: Path) -> None:
    narrow = HEAD + (
        "rules:\n- {name: all, action: allow}\n- {name: sizes, match: {resources: [configmaps]}, action: {record: metadata}}\n"
    )
    maps = b"/api/v1/namespaces/default/configmaps"
    async with open_policed(tmp_path, narrow, says(answer(201, b'{"a":1}'))) as rig:
        got = await rig.ask(b"POST", maps, b"Content-Type: application/json", body=b'{"b":2}')
        assert got.body == b'{"a":1}'
        exchange = await the_call(rig)
        assert (exchange.all(ResponseBody), exchange.request_body) == ([], b"")
        assert (exchange.outcome.request_bytes, exchange.outcome.response_bytes) == (7, 7)
        assert exchange.intent.verdict.scope == "metadata"


async def test_a_shadow_rule_warns_and_names_itself_in_the_record(tmp_path: Path) -> None:
    shadow = HEAD + (
        "rules:\n- {name: all, action: allow}\n"
        "- {name: soon, match: {verbs: [get], resources: [pods]}, mode: shadow, action: {deny: not for long}}\n"
    )
    async with open_policed(tmp_path, shadow) as rig:
        got = await rig.ask(b"GET", b"/api/v1/namespaces/default/pods/web")
        assert (
            got.status,
            got.header(b"warning"),
        ) == (200, b'299 - "kubetape: policy p/soon (shadow) would deny or hold this"')
        exchange = await the_call(rig)
        assert exchange.intent.verdict.shadow == ("p/soon",)
        assert exchange.all(SubRequest) == []
