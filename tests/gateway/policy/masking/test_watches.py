"""JSON watches, event by event."""

import json

import pytest

from gateway.policy.masking import watches
from gateway.policy.masking.answer import AnswerMask
from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.masker import Masker, Unmaskable
from gateway.policy.model import Mask
from protocol.apicall import parse_call
from protocol.events import ResponseHead

HIDDEN = placeholder("p/r")
MASKER = Masker((Mask("p/r", ("spec.token", 'metadata.annotations["x"]'), ("aws-key",)),))
WATCH = parse_call(b"GET", b"/api/v1/pods?watch=1")
BOOKMARK = b'{ "type":"BOOKMARK", "object":{"spec":{},"metadata":{"annotations":{"token":""}}}}'


def watch() -> AnswerMask:
    answer = MASKER.answer(WATCH, ResponseHead(200, ((b"content-type", b"application/json"),)))
    assert answer is not None
    assert answer.is_immediate
    return answer


def test_an_event_goes_on_as_soon_as_it_is_whole() -> None:
    answer = watch()
    assert answer.feed(b'{"type":"ADDED","object":{"spec":{"token":"s"') == b""
    shown = answer.feed(b'}}}{"type"')
    assert json.loads(shown) == {"type": "ADDED", "object": {"spec": {"token": HIDDEN}}}
    assert answer.counts == {"p/r": 1}


def test_an_event_without_a_hit_keeps_its_bytes() -> None:
    event = b'{ "type":"ADDED","object":{"spec":1e3}}'
    assert watch().feed(event + b"\n") == event + b"\n"


def test_a_bookmark_goes_through_byte_for_byte_unless_it_holds_something() -> None:
    assert watch().feed(BOOKMARK + b"\n") == BOOKMARK + b"\n"
    shown = watch().feed(BOOKMARK.replace(b'"spec":{}', b'"spec":{"token":"s"}'))
    assert b'"s"' not in shown


def test_a_value_that_is_no_event_is_masked_as_an_object() -> None:
    assert json.loads(watch().feed(b'{"spec":{"token":"s"}}')) == {"spec": {"token": HIDDEN}}


@pytest.mark.parametrize(
    "body", [b"[]", b"oops", b'{"type" 1}', b'{"type":"A","object":{"spec":{"token":}}}\n']
)
def test_what_is_no_watch_ends_it(body: bytes) -> None:
    with pytest.raises(Unmaskable):
        watch().feed(body)


def test_a_watch_that_ends_within_an_event_does_not_show_the_part() -> None:
    answer = watch()
    answer.feed(b'{"type":')
    with pytest.raises(Unmaskable, match="within an event"):
        answer.finish()
    clean = watch()
    clean.feed(BOOKMARK + b"\n")
    assert clean.finish() == b""


def test_an_event_beyond_the_limit_ends_the_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "MAX_EVENT_BYTES", 100)
    with pytest.raises(Unmaskable, match="larger"):
        watch().feed(b'{"type":"' + b"x" * 200)


def test_an_error_of_a_watch_is_one_document() -> None:
    answer = MASKER.answer(WATCH, ResponseHead(410, ((b"content-type", b"application/json"),)))
    assert answer is not None
    assert answer.feed(b'{"kind":"Status","reason":"Expired","message":"AKIAIOSFODNN7EXAMPLE"}') == b""
    assert json.loads(answer.finish())["message"] == HIDDEN
