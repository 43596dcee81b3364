"""Nothing but text, colours and cursor basics leaves the neutralizer, however the bytes were cut."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.ansi import (
    MAX_STRING_CHARS,
    RESTORE_TERMINAL,
    Neutralizer,
    Scanner,
    Token,
    TokenKind,
    printable,
)
from tests.kit.hostile_terminal import SEQUENCES

# Written from what a terminal may be asked to do, not from the code under test.
HARMLESS = re.compile(
    "\x1b\\[[0-9;:]{0,64}m"
    "|\x1b\\[[0-9]{0,4}(?:;[0-9]{0,4})?[@A-HIJKLMPSTXZ`abdefgr]"
    "|\x1b\\[[su]|\x1b\\[4[hl]"
    "|\x1b\\[\\?(?:7|25|47|1047|1048|1049)(?:;(?:7|25|47|1047|1048|1049))*[hl]"
    "|\x1b[78DEM]|\x1b[()][B0]|[\t\n\r\b]"
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def neutralised(*chunks: bytes) -> bytes:
    neutralizer = Neutralizer()
    return b"".join(map(neutralizer.feed, chunks)) + neutralizer.finish()


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def assert_harmless(output: bytes) -> None:
    assert not CONTROL.search(HARMLESS.sub("", output.decode()))


def test_the_corpus_has_more_than_200_sequences() -> None:
    assert len(set(SEQUENCES)) > 200


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: repr(sequence[:24]))
def test_a_hostile_sequence_is_harmless_whole_and_byte_by_byte(sequence: bytes) -> None:
    data = b"before " + sequence + b" after\n"
    whole = neutralised(data)
    assert_harmless(whole)
    assert neutralised(*one_by_one(data)) == whole
    assert whole.startswith(b"before ")


@pytest.mark.parametrize(
    "sequence", [s for s in SEQUENCES if len(s) < 40], ids=lambda sequence: repr(sequence)
)
def test_a_hostile_sequence_cut_anywhere_gives_the_same(sequence: bytes) -> None:
    whole = neutralised(sequence)
    for cut in range(len(sequence) + 1):
        assert neutralised(sequence[:cut], sequence[cut:]) == whole


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(SEQUENCES) | st.binary(max_size=8), max_size=12), st.integers(1, 7))
def test_any_mixture_in_any_chunks_is_harmless(parts: list[bytes], size: int) -> None:
    data = b"".join(parts)
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    output = neutralised(*chunks)
    assert_harmless(output)
    assert output == neutralised(data)


@pytest.mark.parametrize(
    "allowed",
    [
        b"\x1b[0m",
        b"\x1b[m",
        b"\x1b[1;38;2;1;2;3m",
        b"\x1b[4:3m",
        b"\x1b[H",
        b"\x1b[10;20H",
        b"\x1b[2J",
        b"\x1b[K",
        b"\x1b[3A",
        b"\x1b[?25l",
        b"\x1b[?1049h",
        b"\x1b[2;20r",
        b"\x1b[5b",
        b"\x1b7text\x1b8",
        b"\x1b(0lqk\x1b(B",
        b"\x1b[4h",
        b"\x1b[s\x1b[u",
        "grün ✓ 漢字".encode(),
        b"a\r\nb\tc\bd",
    ],
)
def test_what_a_program_needs_to_draw_passes_unchanged(allowed: bytes) -> None:
    assert neutralised(allowed) == allowed
    assert neutralised(*one_by_one(allowed)) == allowed


def test_an_eight_bit_csi_comes_out_as_seven_bit() -> None:
    assert neutralised(b"\xc2\x9b31mred") == b"\x1b[31mred"


def test_a_repeat_bomb_is_cut_to_a_thousand() -> None:
    assert neutralised(b"x\x1b[2147483647b") == b"x\x1b[1000b"


def test_huge_numbers_are_clamped() -> None:
    assert neutralised(b"\x1b[99999999999B") == b"\x1b[9999B"


def test_only_the_harmless_ones_of_several_modes_pass() -> None:
    assert neutralised(b"\x1b[?25;1003;1049h") == b"\x1b[?25;1049h"


def test_a_line_feed_inside_a_sequence_acts_at_once_as_on_a_terminal() -> None:
    assert neutralised(b"\x1b[3\n1m") == b"\n\x1b[31m"


def test_a_cancelled_sequence_does_nothing() -> None:
    assert neutralised(b"a\x1b[31\x18b\x1b\x1ac") == b"abc"


def test_an_unterminated_string_does_not_swallow_the_rest_of_a_session() -> None:
    output = neutralised(b"\x1b_", b"x" * MAX_STRING_CHARS, b"rm -rf /data\n", b"later\n")
    assert output.endswith(b"rm -rf /data\nlater\n")


def test_what_an_unfinished_string_held_comes_out_at_the_end() -> None:
    assert neutralised(b"\x1b]0;hidden\nwords") == b"0;hidden\nwords"


def test_a_flood_of_bells_in_a_string_is_not_kept() -> None:
    scanner = Scanner()
    assert list(scanner.feed(b"\x1bPx" + b"\x07" * 100_000)) == []
    assert scanner.state().held == "x"


def test_a_scanner_goes_on_from_a_stored_state() -> None:
    data = b"a\x1b[1;31mb\x1b]0;t\x07\xc3\xa9\x1b(B\x1b[" + b"9" * 80 + b"mz"
    whole = _joined(list(Scanner().feed(data)))
    for cut in range(len(data)):
        scanner = Scanner()
        tokens = list(scanner.feed(data[:cut]))
        assert _joined(tokens + list(Scanner(scanner.state()).feed(data[cut:]))) == whole


def _joined(tokens: list[Token]) -> list[Token]:
    """Text may be cut differently: glue neighbours."""
    glued: list[Token] = []
    for token in tokens:
        if glued and token.kind is TokenKind.TEXT and glued[-1].kind is TokenKind.TEXT:
            glued[-1] = Token(TokenKind.TEXT, glued[-1].body + token.body)
        else:
            glued.append(token)
    return glued


def test_restoring_a_terminal_is_itself_harmless() -> None:
    assert_harmless(RESTORE_TERMINAL)


def test_printable_shows_what_would_move_or_mislead() -> None:
    assert printable("web\x1b[2J\n\u202egpj.exe\x9b") == "web\\x1b[2J\\x0a\\u202egpj.exe\\x9b"
    assert printable("grün 漢字") == "grün 漢字"
