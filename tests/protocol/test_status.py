import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.status import (
    MAX_CAUSES,
    MAX_MESSAGE_CHARACTERS,
    MAX_STATUS_BYTES,
    MAX_WARNING_BYTES,
    REASONS,
    Cause,
    Details,
    Status,
    cannot,
    encode_status,
    encode_warning,
    exit_code,
    forbidden_message,
    make_visible,
    parse_status,
    status_headers,
    unauthorized_message,
)


def test_a_denial_has_the_bytes_kube_apiserver_would_write() -> None:
    why = cannot("ann", "get", resource="pods", subresource="exec", namespace="prod")
    message = forbidden_message(why, resource="pods", name="web-0")
    assert encode_status(403, "Forbidden", message, name="web-0", kind="pods") == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
        b'"message":"pods \\"web-0\\" is forbidden: User \\"ann\\" cannot get resource \\"pods/exec\\" in API group '
        b'\\"\\" in the namespace \\"prod\\"","reason":"Forbidden",'
        b'"details":{"name":"web-0","kind":"pods"},"code":403}\n'
    )


def test_empty_fields_are_omitted() -> None:
    assert encode_status(401, "", unauthorized_message()) == (
        b'{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized",'
        b'"reason":"Unauthorized","code":401}\n'
    )


def test_every_detail_reaches_a_program() -> None:
    body = encode_status(
        429,
        "",
        "wait",
        name="n",
        group="apps",
        kind="deployments",
        uid="u",
        causes=[Cause("PolicyDenied", "m", "f")],
        retry_after_s=3,
    )
    assert json.loads(body)["details"] == {
        "name": "n",
        "group": "apps",
        "kind": "deployments",
        "uid": "u",
        "causes": [{"reason": "PolicyDenied", "message": "m", "field": "f"}],
        "retryAfterSeconds": 3,
    }


def test_a_code_below_400_is_a_success_without_a_reason() -> None:
    body = json.loads(encode_status(200, "", "deleted"))
    assert body["status"] == "Success"
    assert "reason" not in body


def test_an_unknown_code_has_no_reason_of_its_own() -> None:
    assert "reason" not in json.loads(encode_status(599, "", "odd"))


@pytest.mark.parametrize(("code", "reason"), REASONS.items())
def test_each_code_takes_its_usual_reason(code: int, reason: str) -> None:
    assert json.loads(encode_status(code, "", "m"))["reason"] == reason


def test_markup_in_a_message_is_escaped_as_go_does() -> None:
    body = encode_status(400, "", "<script>&")
    assert b"\\u003cscript\\u003e\\u0026" in body
    assert json.loads(body)["message"] == "<script>&"


def test_causes_are_counted_and_bounded() -> None:
    body = encode_status(422, "", "m", causes=(Cause(message="x" * 5000) for _ in range(100)))
    causes = json.loads(body)["details"]["causes"]
    assert len(causes) == MAX_CAUSES
    assert len(causes[0]["message"]) == MAX_MESSAGE_CHARACTERS


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("två ord", "två ord"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("\x7f", "\\x7f"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028sep", "line\\u2028sep"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_made_visible(text: str, shown: str) -> None:
    assert make_visible(text, 100) == shown
    assert json.loads(encode_status(400, "", text))["message"] == shown


@pytest.mark.parametrize(("limit", "shown"), [(0, ""), (2, ".."), (3, "..."), (5, "ab..."), (8, "abcdefgh")])
def test_a_cut_is_shown_within_the_limit(limit: int, shown: str) -> None:
    assert make_visible("abcdefgh", limit) == shown


def test_escapes_count_for_the_limit() -> None:
    assert make_visible("\x1b\x1b\x1b", 8) == "\\x1b\\..."


@given(st.text(), st.integers(0, 40))
@settings(max_examples=200)
def test_visible_text_is_printable_and_bounded(text: str, limit: int) -> None:
    shown = make_visible(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


def test_headers_of_an_answer_fit_its_body() -> None:
    body = encode_status(403, "", "no")
    assert status_headers(body) == (
        (b"content-type", b"application/json"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-cache, private"),
        (b"content-length", str(len(body)).encode()),
    )


def test_retry_after_and_warnings_are_opt_in() -> None:
    headers = status_headers(b"x", retry_after_s=1, warnings=["masked 2 fields"])
    assert headers[-2:] == ((b"retry-after", b"1"), (b"warning", b'299 - "masked 2 fields"'))


def test_a_warning_is_quoted() -> None:
    assert encode_warning('say "hi" \\ bye') == b'299 - "say \\"hi\\" \\\\ bye"'


def test_a_warning_cannot_split_a_header() -> None:
    assert encode_warning("a\r\nset-cookie: x") == b'299 - "a\\\\r\\\\nset-cookie: x"'


@given(st.text(max_size=600))
@settings(max_examples=200)
def test_a_warning_unquotes_to_at_most_256_bytes_of_visible_utf8(text: str) -> None:
    value = encode_warning(text)
    assert value.startswith(b'299 - "')
    assert value.endswith(b'"')
    inner = value[7:-1].decode()
    plain = inner.replace('\\"', '"').replace("\\\\", "\\")
    assert plain.isprintable()
    assert len(plain.encode()) <= MAX_WARNING_BYTES


def test_a_wide_warning_is_cut_between_characters() -> None:
    assert encode_warning("å" * 200).endswith(("å" * 126 + '..."').encode())


NON_ZERO = (
    b'{"metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 42",'
    b'"reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}'
)


def test_an_exit_status_is_read() -> None:
    status = parse_status(NON_ZERO)
    assert status is not None
    assert status.reason == "NonZeroExitCode"
    assert exit_code(status) == 42


@pytest.mark.parametrize(
    "body", [b'{"metadata":{},"status":"Success"}', b'{"status":"Success"}', b'{"Status":"Success"}\n']
)
def test_success_is_exit_code_zero(body: bytes) -> None:
    status = parse_status(body)
    assert status is not None
    assert exit_code(status) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"container not found",
        b"[]",
        b"3",
        b'{"status":',
        b"\xff",
        b'{"a":"\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_json_object_is_no_status(body: bytes) -> None:
    assert parse_status(body) is None


def test_an_endless_status_is_refused() -> None:
    assert parse_status(b'{"message":"' + b"x" * MAX_STATUS_BYTES + b'"}') is None


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"status":"Failure"}',
        b'{"status":"Failure","reason":"InternalError","message":"boom"}',
        b'{"status":"Failure","reason":"NonZeroExitCode"}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"Other","message":"1"}]}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"256"}]}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"+1"}]}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"1_0"}]}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"\xef\xbc\x91"}]}}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":""}]}}',
        b'{"status":1,"reason":[],"details":3,"code":"x","message":null}',
        b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[7]}}',
        b'{"status":"Failure","code":true,"details":{"causes":3,"retryAfterSeconds":true}}',
    ],
)
def test_a_failure_without_a_usable_code_has_none(body: bytes) -> None:
    status = parse_status(body)
    assert status is not None
    assert exit_code(status) is None


def test_what_was_written_is_read_back() -> None:
    body = encode_status(503, "", "log full", uid="e1", causes=[Cause("a", "b", "c")], retry_after_s=2)
    assert parse_status(body) == Status(
        "Failure",
        "log full",
        "ServiceUnavailable",
        Details(uid="e1", causes=(Cause("a", "b", "c"),), retry_after_s=2),
        503,
    )


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_no_bytes_make_the_reader_raise(data: bytes) -> None:
    status = parse_status(data)
    assert status is None or exit_code(status) in (None, *range(256))


def test_a_list_denial_has_no_name() -> None:
    assert (
        forbidden_message("no", resource="deployments", group="apps") == "deployments.apps is forbidden: no"
    )


def test_a_path_denial_has_no_resource() -> None:
    why = cannot("a<b>&", "get", path="/metrics")
    assert forbidden_message(why) == 'forbidden: User "a&lt;b&gt;&amp;" cannot get path "/metrics"'


def test_a_cluster_scope_denial_says_so() -> None:
    assert cannot("u", "list", resource="nodes") == (
        'User "u" cannot list resource "nodes" in API group "" at the cluster scope'
    )


def test_quotes_in_a_name_are_escaped() -> None:
    assert forbidden_message("no", resource="pods", name='a"b') == 'pods "a\\"b" is forbidden: no'


def test_a_401_may_say_why() -> None:
    assert unauthorized_message("token expired") == "Unauthorized: token expired"
