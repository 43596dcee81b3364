import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RefusedTarget
from protocol.query import (
    canonical_query,
    encode_query,
    first_values,
    is_true,
    parse_foreign_query,
    parse_query,
    redact_target,
)


@pytest.mark.parametrize(
    ("raw", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a", [("a", "")]),
        (b"a=&=b&=", [("a", ""), ("", "b"), ("", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a+b=c%2Bd", [("a b", "c+d")]),
        (b"%C3%A9=%0a", [("é", "\n")]),
        (b"a=%2500", [("a", "%00")]),
        (b"b=1&a=2&b=3", [("b", "1"), ("a", "2"), ("b", "3")]),
    ],
)
def test_pairs_keep_their_order_and_decode_once(raw: bytes, pairs: list[tuple[str, str]]) -> None:
    assert parse_query(raw) == pairs


@pytest.mark.parametrize(
    "raw",
    [
        b"watch=1;x",
        b";",
        b"a=%zz",
        b"%",
        b"a=%4",
        b"a=%ff",
        b"%c0%af=1",
        b"a=%00",
        b"%00",
        b"access_token=x",
        b"access%5ftoken=x",
    ],
)
def test_a_query_with_two_readings_or_a_credential_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedTarget) as refused:
        parse_query(raw)
    assert refused.value.status == 400


@given(st.text("ab=&+%2.~-_", max_size=12).map(str.encode))
def test_a_query_that_nobody_writes_in_another_way_stands_as_it_is(raw: bytes) -> None:
    try:
        pairs = parse_query(raw)
    except RefusedTarget:
        return
    assert canonical_query(raw, pairs) == encode_query(pairs)
    assert parse_query(encode_query(pairs)) == pairs


def test_a_command_is_read_and_written_as_it_came() -> None:
    raw = b"command=ls&command=-l&stdin=&tty=true"
    pairs = [("command", "ls"), ("command", "-l"), ("stdin", ""), ("tty", "true")]
    assert parse_query(raw) == pairs
    assert canonical_query(raw, pairs) == raw == encode_query(pairs)


def test_a_backend_query_is_read_as_go_reads_it() -> None:
    assert parse_foreign_query(b"a=1;b=2&c=%zz&d=%ff+x&&e") == [("d", "\\xff x"), ("e", "")]


def test_only_lists_may_repeat() -> None:
    pairs = [
        ("command", "a"),
        ("command", "b"),
        ("ports", "1"),
        ("ports", "2"),
        ("dryRun", "All"),
        ("dryRun", "All"),
    ]
    assert first_values(pairs) == {"command": "a", "ports": "1", "dryRun": "All"}
    with pytest.raises(RefusedTarget, match="repeated"):
        first_values([("a", "1"), ("a", "1")])


def test_absent_zero_and_false_are_false_and_all_else_is_true() -> None:
    assert [value for value in (None, "0", "false", "FALSE", "", "1", "no", "f") if is_true(value)] == [
        "",
        "1",
        "no",
        "f",
    ]
    with pytest.raises(RefusedTarget):
        is_true("fal\u017fe")


@given(st.lists(st.tuples(st.text(), st.text())))
def test_form_encoding_round_trips_and_is_plain_ascii(pairs: list[tuple[str, str]]) -> None:
    encoded = encode_query(pairs)
    assert not encoded.translate(
        None, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%+&="
    )
    if not any("\0" in key + value or key == "access_token" for key, value in pairs):
        assert parse_query(encoded) == pairs


def test_form_encoding_is_that_of_go() -> None:
    assert encode_query([("a b", "~!*'()\"/:;é-_.")]) == b"a+b=~%21%2A%27%28%29%22%2F%3A%3B%C3%A9-_."


@pytest.mark.parametrize(
    ("target", "redacted"),
    [
        (b"/a", b"/a"),
        (b"/a?b=c", b"/a?b=c"),
        (b"/a?access_token=SECRET&b=c", b"/a?access_token=REDACTED&b=c"),
        (b"/a?b=c&Access%5FToken=SECRET", b"/a?b=c&Access%5FToken=REDACTED"),
        (b"/a?b;access_token=SECRET;x", b"/a?b;access_token=REDACTED;x"),
        (b"/a?b#access_token=SECRET", b"/a?b#access_token=REDACTED"),
        (b"/a??access_token=SECRET=SECRET", b"/a??access_token=REDACTED"),
        (b"/a?access_token", b"/a?access_token"),
    ],
)
def test_a_credential_in_a_target_does_not_reach_a_record(target: bytes, redacted: bytes) -> None:
    assert redact_target(target) == redacted
