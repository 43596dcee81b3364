"""JSON documents: what is hidden, what keeps its bytes, what numbers become."""

import json

import pytest

from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.masker import Masker, Unmaskable
from gateway.policy.model import Mask
from protocol.apicall import parse_call
from protocol.events import ResponseHead

HIDDEN = placeholder("p/r")
HEAD = ResponseHead(200, ((b"content-type", b"application/json"),))
PODS = parse_call(b"GET", b"/api/v1/pods")
TOKEN = Masker((Mask("p/r", ("spec.token",)),))
KEYS = Masker((Mask("p/r", detectors=("aws-key",)),))
COLUMNS = Masker((Mask("p/r", columns=("token",)),))
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def shown(masker: Masker, body: bytes) -> tuple[bytes, int]:
    answer = masker.answer(PODS, HEAD)
    assert answer is not None
    assert answer.feed(body) == b""
    return answer.finish(), answer.counts.total()


def test_a_document_that_cannot_hold_anything_keeps_its_bytes() -> None:
    body = b'{ "spec" : 1e3, "x": 1.0, "y": 123456789012345678901 }\n'
    assert shown(TOKEN, body) == (body, 0)
    assert shown(KEYS, body) == (body, 0)
    assert shown(COLUMNS, body) == (body, 0)


def test_numbers_mean_the_same_to_a_go_client() -> None:
    numbers = b"[1.0,1e3,-0.0,0.1234567890123456789,12345678901234567,18446744073709551616,1E2,5e-324]"
    body, count = shown(TOKEN, b'{"spec":{"token":"s"},"n":' + numbers + b"}\n")
    assert count == 1
    after = body[body.index(b"[1") : body.rindex(b"]") + 1]
    as_go = [json.loads(text, parse_int=int, parse_float=float) for text in (numbers, after)]
    assert as_go[0] == as_go[1]
    assert [type(number) for number in as_go[0]] == [type(number) for number in as_go[1]]
    assert body.endswith(b"\n")


def test_items_without_a_hit_keep_their_bytes() -> None:
    body = (
        b'{"kind":"PodList","items":[{ "spec":{"x":1e3}},{"spec":{"token":"s"}}],"metadata":{"continue":"c"}}'
    )
    found, count = shown(TOKEN, body)
    assert b'{ "spec":{"x":1e3}}' in found
    assert json.loads(found)["items"][1] == {"spec": {"token": HIDDEN}}
    assert json.loads(found)["metadata"] == {"continue": "c"}
    assert count == 1


def test_what_is_around_a_list_is_masked_too() -> None:
    body = f'{{"items":[],"metadata":{{"continue":"{KEY_ID}"}}}}'.encode()
    assert json.loads(shown(KEYS, body)[0])["metadata"] == {"continue": HIDDEN}
    odd = json.dumps({"items": [{"a": KEY_ID}, KEY_ID, 5], "kind": "List"}).encode()
    assert json.loads(shown(KEYS, odd)[0])["items"] == [{"a": HIDDEN}, HIDDEN, 5]
    assert json.loads(shown(TOKEN, b'{"items":[{},"\\u0061"],"kind":"X"}')[0])["items"] == [{}, "a"]


def test_a_member_called_items_that_holds_no_objects_is_one_like_any_other() -> None:
    masker = Masker((Mask("p/r", ("items[*]",)),))
    assert json.loads(shown(masker, b'{"items":["a"],"x":"b"}')[0]) == {"items": [HIDDEN], "x": HIDDEN}
    assert json.loads(shown(masker, b'{"items":[{"a":"b"}]}')[0]) == {"items": [{"a": HIDDEN}]}


def test_a_member_that_stands_twice_shows_neither_value() -> None:
    body = b'{"spec":{"token":"first"},"spec":{"token":"second"}}'
    assert json.loads(shown(TOKEN, body)[0]) == {"spec": {"token": HIDDEN}}
    assert b"first" not in shown(TOKEN, b'{"spec":{"token":"first"},"spec":{}}')[0]


def test_a_table_is_masked_by_row() -> None:
    table = {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": [{"name": "Name"}, {"name": "Token"}],
        "rows": [{"cells": ["a", "s"], "object": None}, {"cells": ["b", "t"]}],
    }
    found, count = shown(COLUMNS, json.dumps(table).encode())
    assert json.loads(found)["rows"] == [{"cells": ["a", HIDDEN], "object": None}, {"cells": ["b", HIDDEN]}]
    assert count == 2
    keys = {**table, "rows": [{"cells": ["a", KEY_ID]}, {"cells": [1.0]}]}
    assert json.loads(shown(KEYS, json.dumps(keys).encode())[0])["rows"][0]["cells"] == ["a", HIDDEN]
    assert json.loads(shown(COLUMNS, json.dumps({**table, "rows": None}).encode())[0])["rows"] is None


def test_a_row_without_a_hit_keeps_its_bytes_in_a_table_that_is_decoded() -> None:
    rows = rb'[{"cells":["say \"%s\""]},{ "cells":[1e3]}]' % KEY_ID.encode()
    found, count = shown(KEYS, b'{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":' + rows + b"}")
    assert json.loads(found)["rows"][0]["cells"] == [f'say "{HIDDEN}"']
    assert b'{ "cells":[1e3]}' in found
    assert count == 1


def test_a_kind_called_table_of_another_group_is_an_object() -> None:
    body = b'{"kind":"Table","apiVersion":"example.com/v1","spec":{"token":"s"},"rows":[]}'
    assert json.loads(shown(TOKEN, body)[0])["spec"] == {"token": HIDDEN}
    assert json.loads(shown(COLUMNS, body)[0])["spec"] == {"token": "s"}


def test_answers_that_are_no_objects_are_masked_by_detectors() -> None:
    assert json.loads(shown(KEYS, f'["{KEY_ID}",1]'.encode())[0]) == [HIDDEN, 1]
    assert json.loads(shown(KEYS, f'"{KEY_ID}"'.encode())[0]) == HIDDEN
    assert json.loads(shown(TOKEN, b'[{"spec":{"token":"s"}},5]')[0]) == [{"spec": {"token": HIDDEN}}, 5]


def test_an_empty_body_stays_empty() -> None:
    assert shown(TOKEN, b"") == (b"", 0)


def test_absurd_depth_is_refused() -> None:
    with pytest.raises(Unmaskable):
        shown(TOKEN, b'{"spec":{"token":' + b"[" * 100_000)
