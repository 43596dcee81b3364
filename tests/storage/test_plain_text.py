"""Lines as a person saw them, and, for search, everything that was on them at any time."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.plain_text import MAX_LINE_CHARS, PlainText
from tests.kit.hostile_terminal import SEQUENCES


def seen(data: bytes, *, typed: bool = False) -> str:
    text = PlainText(everything=False, typed=typed)
    return text.feed(data) + text.finish()


def found(data: bytes) -> str:
    text = PlainText(everything=True)
    return text.feed(data) + text.finish()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain\nlines\n", "plain\nlines\n"),
        (b"\x1b[1;32mgreen\x1b[0m\r\n", "green\n"),
        (b"kubctl\b\b\b\b    \b\b\b\b", "ku"),
        (b"kubctl\b \b\b \b\b \bectl get\r\n", "kubectl get\n"),
        (b"10%\r20%\r100%\n", "100%\n"),
        (b"secret\rvisib\n", "visibt\n"),
        (b"abc\x1b[2D\x1b[Kxyz\n", "axyz\n"),
        (b"abc\x1b[1Gx\x1b[1Kd\n", " dc\n"),
        (b"abcd\x1b[3D\x1b[2Xz\n", "az d\n"),
        (b"abcdef\r\x1b[2P\n", "cdef\n"),
        (b"abc\r\x1b[2@\n", "  abc\n"),
        (b"a\x1b[3Cb\n", "a   b\n"),
        (b"one\x1b[5;5Htwo\x1bDthree\x0bfour", "one\ntwo\nthree\nfour"),
        (b"abc\x1b[2Kdef\n", "def\n"),
        (b"a\x1b]0;title\x07b\n", "ab\n"),
        (b"no sequence \x1b[31", "no sequence "),
        (b"digits of other scripts \x1b[\xd9\xa3Cx\n", "digits of other scripts \u0663Cx\n"),
        (b"\x1bcreset\n", "reset\n"),
    ],
)  # fmt: skip
def test_a_transcript_reads_as_the_screen_did(data: bytes, expected: str) -> None:
    assert seen(data).rstrip(" ") == expected.rstrip(" ")


def test_enter_ends_a_typed_line_and_delete_takes_back() -> None:
    assert seen(b"lss\x7f -l\rexit\r", typed=True) == "ls -l\nexit\n"


@pytest.mark.parametrize(
    "trick",
    [
        b"secret\rXXXXXX\n",
        b"secret\b\b\b\b\b\b      \n",
        b"secret\x1b[2K\n",
        b"secret\x1b[6D\x1b[6P\n",
        b"secret\x1b[6D\x1b[6Xharmless\n",
        b"\x1b]0;secret\x07",
        b"\x1b_secret\x1b\\\n",
        b"\x1bPsecret",
        b"secret\x1b[H\x1b[2Jcleared\n",
        b"\x1b[8msecret\x1b[0m\n",
        b"secret",
    ],
)
def test_nothing_on_a_line_can_be_hidden_from_search(trick: bytes) -> None:
    assert "secret" in found(b"prompt$ \n" + trick)


def test_search_finds_the_command_as_corrected_and_as_typed() -> None:
    assert found(b"kubctl\b\b\b\b\x1b[Kbectl\n") == "kubctl\nkubectl\n"


def test_a_word_is_never_cut_by_chunks() -> None:
    text = PlainText(everything=True)
    assert text.feed(b"pass") == ""
    assert text.holds_text
    assert text.feed(b"word\nnext") == "password\n"


def test_a_line_without_end_comes_out_in_pieces_between_words() -> None:
    text = PlainText(everything=True)
    out = text.feed(b"word-1.x " * 2000) + "|" + text.finish()
    assert out.replace("|", "") == "word-1.x " * 2000
    assert out.index("|") % len("word-1.x ") == 0
    assert len(PlainText(everything=True).feed(b"x" * 100_000)) >= 100_000 - MAX_LINE_CHARS


def test_moves_cannot_make_a_line_longer_than_the_limit() -> None:
    text = PlainText(everything=False)
    for _ in range(50):
        text.feed(b"\x1b[9999C\x1b[9999@")
    assert len(text.state().line) <= MAX_LINE_CHARS


def test_what_is_written_over_comes_out_once_however_it_was_cut() -> None:
    for size in (1, 2, 7):
        text, data, out = PlainText(everything=True), b"abc\rxyz\n", ""
        for at in range(0, len(data), size):
            out += text.feed(data[at : at + size])
        assert out == "abc\nxyz\n"


@settings(max_examples=100, deadline=None)
@example([b"  ", b"!\r ! "], True, 1)
@given(
    st.lists(st.sampled_from(SEQUENCES) | st.binary(max_size=6), max_size=10),
    st.booleans(),
    st.integers(1, 5),
)
def test_cut_anywhere_and_stored_in_between_the_text_is_the_same(
    parts: list[bytes], everything: bool, size: int
) -> None:
    data = b"".join(parts)
    whole = PlainText(everything=everything)
    expected = whole.feed(data) + whole.finish()
    text, out = PlainText(everything=everything), ""
    for at in range(0, len(data), size):
        out += text.feed(data[at : at + size])
        text = PlainText(everything=everything, state=text.state())
    assert out + text.finish() == expected
