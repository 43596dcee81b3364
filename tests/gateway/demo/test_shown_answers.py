"""What came over HTTP, in words."""

import base64

from gateway.demo.shown_answers import shown_answer, shown_refusal
from protocol.status import encode_status


def test_a_list_is_its_names() -> None:
    assert (
        shown_answer(b'{"kind":"PodList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]}')
        == "PodList: a, b"
    )


def test_events_of_a_watch_are_a_line_each() -> None:
    status = encode_status(403, "Forbidden", "revoked").strip()
    lines = b'{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a"}}}\n'
    lines += b'{"type":"ERROR","object":' + status + b"}\n"
    assert shown_answer(lines) == "ADDED Pod a\nERROR Status Failure revoked"


def test_the_values_of_a_secret_are_decoded() -> None:
    value = base64.b64encode(b"[masked by a/b]")
    answer = b'{"kind":"Secret","metadata":{"name":"s"},"data":{"k":"' + value + b'"}}'
    assert shown_answer(answer) == "Secret s {'k': '[masked by a/b]'}"


def test_a_configmap_is_shown_with_its_data_and_a_pod_without_its_status() -> None:
    assert shown_answer(b'{"kind":"ConfigMap","data":{"k":"v"}}') == "ConfigMap {'k': 'v'}"
    assert shown_answer(b'{"kind":"Pod","status":{"phase":"Running"}}') == "Pod"


def test_plain_text_and_what_only_looks_like_json_stay_as_they_are() -> None:
    assert shown_answer(b"line 1\nline 2\n") == "line 1\nline 2\n"
    assert shown_answer(b'{"cut') == '{"cut'


def test_a_refusal_reads_as_kubectl_prints_it() -> None:
    body = encode_status(403, "Forbidden", "not yours")
    assert shown_refusal(403, body) == "Error from server (Forbidden): not yours"
    assert shown_refusal(502, b"<html>") == "error: answered with 502"
