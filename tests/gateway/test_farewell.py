"""The last event of a watch: only where it cannot garble what was sent before."""

import json

import pytest

from gateway.farewell import WatchBorder
from protocol.apicall import parse_call
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead

JSON_HEAD = ResponseHead(200, ((b"content-type", b"Application/JSON; charset=utf-8"),))
EVENT = BodyChunk(b'{"type":"ADDED","object":{}}\n')


def border_after(*batches: list[Event], target: bytes = b"/api/v1/pods?watch=true") -> WatchBorder:
    border = WatchBorder(parse_call(b"GET", target))
    for batch in batches:
        border.sending(batch)
        border.sent(batch)
    return border


@pytest.mark.parametrize("batches", [([JSON_HEAD],), ([JSON_HEAD, EVENT],), ([JSON_HEAD], [EVENT], [EVENT])])
def test_between_two_events_a_json_watch_is_told_why_it_ends(batches: tuple[list[Event], ...]) -> None:
    farewell = border_after(*batches).farewell("kubetape is shutting down")
    assert farewell.endswith(b"\n")
    assert farewell.count(b"\n") == 1
    event = json.loads(farewell)
    assert event["type"] == "ERROR"
    assert event["object"]["kind"] == "Status"
    assert (event["object"]["code"], event["object"]["message"]) == (503, "kubetape is shutting down")


@pytest.mark.parametrize(
    "batches",
    [
        (),
        ([JSON_HEAD, BodyChunk(b'{"type":"ADD')],),
        ([JSON_HEAD, EVENT, EndOfBody()],),
        (
            [
                ResponseHead(200, ((b"content-type", b"application/vnd.kubernetes.protobuf;stream=watch"),)),
                EVENT,
            ],
        ),
        ([ResponseHead(200), EVENT],),
        ([ResponseHead(410, JSON_HEAD.headers), EVENT],),
    ],
)
def test_where_an_event_would_garble_the_answer_there_is_none(batches: tuple[list[Event], ...]) -> None:
    assert border_after(*batches).farewell("why") == b""


def test_a_pod_log_never_gets_words_of_ours() -> None:
    target = b"/api/v1/namespaces/a/pods/b/log?follow=true"
    assert border_after([JSON_HEAD, BodyChunk(b"line\n")], target=target).farewell("why") == b""


def test_while_bytes_are_on_their_way_nothing_may_follow_them() -> None:
    border = border_after([JSON_HEAD, EVENT])
    border.sending([EVENT])
    assert border.farewell("why") == b""
