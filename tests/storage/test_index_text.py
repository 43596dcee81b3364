"""Text on its way to the index: a body that is there already is recognised, however it came."""

import pytest

from storage.index_text import MAX_KNOWN, Body, KnownTexts, Piece

LIMIT_BYTES = 64 * 1024


def words_of(known: KnownTexts, call: int, pieces: list[Piece], *parts: tuple[int, bytes]) -> list[Piece]:
    """The pieces of one more body, given in parts (time, bytes)."""
    before = len(pieces)
    body = Body(call, "response", LIMIT_BYTES)
    for at_us, data in parts:
        body.take(at_us, data, pieces)
    body.finish(parts[-1][0], pieces, known)
    return pieces[before:]


def test_a_body_that_was_there_before_names_its_pieces() -> None:
    known, pieces = KnownTexts(first_piece=7), [Piece(1, "call", 0, "get")]
    text = b'{"kind": "Pod"}\n' * 1000
    first = words_of(known, 1, pieces, (5, text))
    again = words_of(known, 2, pieces, (9, text))
    assert "".join(piece.text for piece in first) == text.decode()
    assert again == [Piece(2, "response", 9, "", number) for number in range(8, 8 + len(first))]


def test_a_body_is_recognised_however_it_was_cut() -> None:
    known, pieces = KnownTexts(1), []  # type: tuple[KnownTexts, list[Piece]]
    words_of(known, 1, pieces, (5, b"one two three\n"))
    assert words_of(known, 2, pieces, (6, b"one t"), (7, b"wo three\n")) == [Piece(2, "response", 6, "", 1)]


def test_a_body_without_words_is_recognised_too() -> None:
    known, pieces = KnownTexts(1), []  # type: tuple[KnownTexts, list[Piece]]
    assert words_of(known, 1, pieces, (5, b" \n")) == words_of(known, 2, pieces, (5, b" \n")) == []


@pytest.mark.parametrize("flushed", [True, False])
def test_what_came_in_its_own_time_is_text_of_its_own(flushed: bool) -> None:
    """An event of a watch a minute later, or text that was given out meanwhile: moments count."""
    known, pieces = KnownTexts(1), []  # type: tuple[KnownTexts, list[Piece]]
    words_of(known, 1, pieces, (0, b"one\ntwo\n"))
    pieces.clear()
    body = Body(2, "response", LIMIT_BYTES)
    body.take(0, b"one\n", pieces)
    if flushed:
        body.flush(pieces)
    body.take(60_000_000, b"two\n", pieces)
    body.finish(60_000_000, pieces, known)
    assert pieces == [Piece(2, "response", 0, "one\n"), Piece(2, "response", 60_000_000, "two\n")]


def test_a_resumed_body_is_not_taken_for_its_rest() -> None:
    known, pieces = KnownTexts(1), []  # type: tuple[KnownTexts, list[Piece]]
    words_of(known, 1, pieces, (5, b"tail\n"))
    body = Body(2, "response", LIMIT_BYTES)
    body.take(5, b"head and ", pieces)
    body.flush(pieces)
    resumed = Body(2, "response", LIMIT_BYTES, body.state())
    resumed.take(6, b"tail\n", pieces)
    resumed.finish(6, pieces, known)
    assert pieces[-1].text == "head and tail\n"


def test_beyond_their_number_the_longest_unseen_is_forgotten() -> None:
    known, pieces = KnownTexts(1), []  # type: tuple[KnownTexts, list[Piece]]
    for number in range(MAX_KNOWN):
        words_of(known, 1, pieces, (0, b"text %d\n" % number))
    assert words_of(known, 1, pieces, (0, b"text 0\n"))[0].same_as == 1
    words_of(known, 1, pieces, (0, b"one more\n"))
    assert words_of(known, 1, pieces, (0, b"text 0\n"))[0].same_as == 1
    assert words_of(known, 1, pieces, (0, b"text 1\n"))[0].text == "text 1\n"
