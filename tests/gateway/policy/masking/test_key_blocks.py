"""Private keys over several lines: begin, body, end."""

import pytest

from gateway.policy.masking.key_blocks import KeyBegins, belongs, find_begin, find_end, may_begin

BEGIN = b"-----BEGIN RSA PRIVATE KEY-----"
END = b"-----END RSA PRIVATE KEY-----"
PEM = KeyBegins(0)
LOGGED = KeyBegins(10, words_before=2)
BASE64 = KeyBegins(0, base64_width=76)
FIRST_BASE64 = b"LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUU" + b"a" * 33


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (BEGIN, KeyBegins(0)),
        (b"  " + BEGIN + b" MIIE\\nabc", KeyBegins(2)),
        (b"12:00 out " + BEGIN, KeyBegins(10, words_before=2)),
        (BEGIN + b"MIIE" + END, None),
        (BEGIN + b"MIIE" + END + BEGIN, KeyBegins(len(BEGIN + b"MIIE" + END), words_before=7)),
        (BEGIN + b" (is missing)", None),
        (BEGIN + b". " + BEGIN, KeyBegins(len(BEGIN) + 2, words_before=4)),
        (b"-----BEGIN CERTIFICATE-----", None),
        (FIRST_BASE64, BASE64),
        (FIRST_BASE64 + b"\r", BASE64),
        (b"k: " + FIRST_BASE64[3:], None),
        (b"no key", None),
    ],
)
def test_a_key_begins_where_its_line_does_not_end_it(line: bytes, expected: KeyBegins | None) -> None:
    assert find_begin(line) == expected


@pytest.mark.parametrize("line", [b"MIIEowIBAAKCAQEA", b'"abcd=="', b"", b"Proc-Type: 4,ENCRYPTED"])
def test_lines_of_a_body_belong_to_the_key(line: bytes) -> None:
    assert belongs(line, PEM)


@pytest.mark.parametrize("line", [b"root@pod:/# ", b"two words", b"kind: Secret"])
def test_other_lines_do_not(line: bytes) -> None:
    assert not belongs(line, PEM)


def test_lines_with_a_prefix_belong_when_it_has_as_many_words_as_the_first() -> None:
    assert belongs(b"12:00 out MIIE", LOGGED)
    assert belongs(b"12:00 out ", LOGGED)
    assert belongs(b"12:00 out [x] " + b"M" * 64, LOGGED)
    assert not belongs(b"12:00", LOGGED)
    assert not belongs(b"12:00 out ready to serve", LOGGED)


def test_a_part_of_a_line_may_become_one_that_belongs() -> None:
    assert belongs(b"12:00", LOGGED, is_partial=True)
    assert belongs(b"-----EN", PEM, is_partial=True)
    assert not belongs(b"$ ", PEM, is_partial=True)


def test_base64_goes_on_as_wide_as_it_began() -> None:
    assert belongs(b"b" * 76, BASE64)
    assert belongs(b"abc==", BASE64)
    assert not belongs(b"b" * 77, BASE64)
    assert not belongs(b"root@pod:/#", BASE64)
    assert not belongs(b"a b", BASE64)


def test_a_key_ends_behind_its_end_mark() -> None:
    assert find_end(b"x" + END + b"y") == 1 + len(END)
    assert find_end(b"MIIE") is None


def test_only_texts_with_a_mark_need_a_closer_look() -> None:
    assert may_begin(BEGIN)
    assert may_begin(FIRST_BASE64)
    assert not may_begin(b"MIIE")
