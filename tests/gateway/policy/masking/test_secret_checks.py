"""Candidates: which are secrets, which only look like some."""

import pytest

from gateway.policy.masking.secret_checks import card_numbers, cluster_tokens, ibans, json_web_tokens


def cards(text: bytes, run: bytes) -> list[bytes]:
    start = text.index(run)
    return [text[begin:end] for begin, end in card_numbers(text, start, start + len(run))]


@pytest.mark.parametrize(
    "number",
    [
        b"4111111111111111",
        b"4222222222222",
        b"4111-1111-1111-1111",
        b"5555555555554444",
        b"2223003122003222",
        b"378282246310005",
        b"3782 822463 10005",
        b"30569309025904",
        b"3056 930902 5904",
        b"36227206271667",
        b"6011111111111117",
        b"6500000000000002",
        b"3530111333300000",
        b"6200000000000005",
        b"6304000000000000",
    ],
)
def test_card_numbers_of_each_issuer_are_found(number: bytes) -> None:
    assert cards(b"pay " + number + b" now", number) == [number]


@pytest.mark.parametrize(
    ("before", "run", "after"),
    [
        (b"", b"4111111111111112", b""),
        (b"", b"1764187200123456789", b""),
        (b"", b"41111111111111111111", b""),
        (b"", b"4111111111111111 0000"[:16] + b"00000000", b""),
        (b"", b"41 11 11 11 11 11 11 11", b""),
        (b"0.", b"4111111111111111", b""),
        (b"ab", b"4111111111111111", b"cd"),
        (b"", b"4111111111111111", b"e"),
        (b"", b"9999999999999995", b""),
        (b"", b"5555555555554444000", b""),
        (b"", b"37828224631000", b""),
        (b"", b"601111111111111", b""),
        (b"", b"4111 1111 1111 111111111111", b""),
    ],
)
def test_other_digits_are_not(before: bytes, run: bytes, after: bytes) -> None:
    assert cards(before + run + after, run) == []


def test_a_card_number_among_other_groups_is_found() -> None:
    run = b"2026-11-26 4111 1111 1111 1111 12 4111111111111111"
    assert cards(run, run) == [b"4111 1111 1111 1111", b"4111111111111111"]


def test_a_word_before_a_card_number_does_not_hide_it() -> None:
    assert cards(b"card4111111111111111x", b"4111111111111111") == [b"4111111111111111"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"DE89370400440532013000", [(0, 22)]),
        (b"DE89 3704 0044 0532 0130 00 AB", [(0, 27)]),
        (b"DE89370400440532013001", []),
        (b"DE8937040044053201300", []),
        (b"DE893704004405320130001", []),
        (b"ZZ89370400440532013000", []),
        (b"XX11 DE89370400440532013000 GB82 WEST 1234 5698 7654 32 X", [(5, 27), (28, 55)]),
    ],
)
def test_bank_accounts_have_the_length_of_their_country_and_a_checksum(
    text: bytes, expected: list[tuple[int, int]]
) -> None:
    assert ibans(text, 0, len(text)) == expected


@pytest.mark.parametrize(
    "text", [b"eyJub3QganNvbg.a", b"eyJhb.c", b"ewo.x", b"eyIi.a", b"W10.a", b"w0w0w0w0w.ab"]
)
def test_what_decodes_to_no_object_is_no_token(text: bytes) -> None:
    assert json_web_tokens(text, 0, len(text)) == []


def test_a_token_behind_another_word_and_a_dot_is_found() -> None:
    text = b"eyJub3QganNvbg.eyJhbGciOiJIUzI1NiJ9.e30."
    assert json_web_tokens(text, 0, len(text)) == [(15, len(text))]


def test_the_line_before_does_not_name_a_token() -> None:
    text = b"token\nabcdef.abcdefghijklmnop"
    assert cluster_tokens(text, 6, len(text)) == []
