"""Answers: which encodings are read, which refused, and what of the head goes on."""

import pytest

from gateway.policy.masking import answer as answers
from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.masker import Masker, Unmaskable
from gateway.policy.model import Mask
from protocol.apicall import parse_call
from protocol.events import Headers, ResponseHead

HIDDEN = placeholder("p/r").encode()
KEY_ID = b"AKIAIOSFODNN7EXAMPLE"
BOTH = Masker((Mask("p/r", ("spec.token",), ("aws-key",)),))
PATHS = Masker((Mask("p/r", ("spec.token",)),))
POD = parse_call(b"GET", b"/api/v1/namespaces/n/pods/p")
LOG = parse_call(b"GET", b"/api/v1/namespaces/n/pods/p/log")
PROXY = parse_call(b"GET", b"/api/v1/namespaces/n/services/s/proxy/x")
JSON: Headers = ((b"content-type", b"application/json; charset=utf-8"),)
TEXT: Headers = ((b"content-type", b"text/plain"),)


def test_headers_about_other_bytes_go_and_values_are_masked() -> None:
    headers = (*JSON, (b"etag", b"x"), (b"content-length", b"9"), (b"warning", b'299 - "' + KEY_ID + b'"'))
    found = BOTH.answer(POD, ResponseHead(200, headers, stream_id=3, content_length=9))
    assert found is not None
    head = ResponseHead(200, (*JSON, (b"warning", b'299 - "' + HIDDEN + b'"')), stream_id=3)
    assert found.head() == head
    assert not found.is_immediate
    assert found.stream is None


def test_a_text_is_masked_as_it_comes() -> None:
    for call in (LOG, PROXY):
        found = BOTH.answer(call, ResponseHead(200, (*TEXT, (b"warning", KEY_ID))))
        assert found is not None
        assert found.is_immediate
        shown = found.feed(b"a " + KEY_ID[:9]) + found.feed(KEY_ID[9:] + b" b\n") + found.finish()
        assert shown == b"a " + HIDDEN + b" b\n"
        assert found.counts == {"p/r": 2}  # one in the head, one in the text
        assert found.stream is not None


def test_a_text_passes_where_only_paths_mask() -> None:
    found = PATHS.answer(LOG, ResponseHead(200, TEXT))
    assert found is not None
    assert found.feed(KEY_ID) + found.finish() == KEY_ID


def test_a_log_of_json_lines_is_text() -> None:
    found = BOTH.answer(LOG, ResponseHead(200, JSON))
    assert found is not None
    assert found.feed(b'{"spec":{"token":"x"}}\n') == b'{"spec":{"token":"x"}}\n'
    error = BOTH.answer(LOG, ResponseHead(400, JSON))
    assert error is not None
    assert error.feed(b"{}") == b""


def test_what_an_application_sends_as_json_is_masked_as_such() -> None:
    for media in (b"application/json", b"application/problem+json"):
        found = BOTH.answer(PROXY, ResponseHead(200, ((b"content-type", media),)))
        assert found is not None
        assert not found.is_immediate
        assert found.feed(b'{"spec":{"token":"x"}}') == b""
        assert HIDDEN in found.finish()


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [(b"GET", 304, ()), (b"GET", 204, ()), (b"HEAD", 200, ((b"content-type", b"application/yaml"),))],
)
def test_an_answer_without_a_body_passes(method: bytes, status: int, headers: Headers) -> None:
    found = BOTH.answer(parse_call(method, b"/api/v1/namespaces/n/pods/p"), ResponseHead(status, headers))
    assert found is not None
    assert found.finish() == b""


def test_an_empty_answer_of_any_type_passes_and_no_byte_of_it() -> None:
    for headers in ((), ((b"content-type", b"application/yaml"),)):
        found = BOTH.answer(POD, ResponseHead(200, headers, content_length=0))
        assert found is not None
        assert found.finish() == b""
        with pytest.raises(Unmaskable):
            found.feed(b"x")


def test_a_document_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_DOCUMENT_BYTES", 10)
    found = BOTH.answer(POD, ResponseHead(200, JSON))
    assert found is not None
    found.feed(b"x" * 10)
    with pytest.raises(Unmaskable, match="too large") as refused:
        found.feed(b"x")
    assert refused.value.code == 502


def test_an_identity_coding_is_none() -> None:
    assert BOTH.answer(POD, ResponseHead(200, (*JSON, (b"content-encoding", b"Identity")))) is not None
    with pytest.raises(Unmaskable) as refused:
        BOTH.answer(POD, ResponseHead(200, (*JSON, (b"content-encoding", b"br"))))
    assert refused.value.code == 406
