"""YAML with places: what stands where, and what is refused."""

import pytest

from gateway.strict_yaml import YamlMistake, nearest, read_document

TEXT = b"""a:
- b: one
  c: |
    first
      second
  d: >
    folded
    text
  e: 'it''s'
  f: "x"
"""


def test_values_and_keys_have_places() -> None:
    document = read_document(TEXT)
    assert document.position(("a", 0, "b")) == (2, 6)
    assert document.position(("a", 0, "b"), of_key=True) == (2, 3)
    assert document.position(("a", 0), of_key=True) == (2, 3)
    assert document.position(()) == (1, 1)


def test_where_a_path_leads_nowhere_the_nearest_place_is_given() -> None:
    document = read_document(TEXT)
    for path in (("a", 7), ("a", "x"), ("a", 0, "b", "c"), ("a", 0, "z")):
        assert document.position(path)[0] == 2
    assert read_document(b"").position(("a",)) == (1, 1)


@pytest.mark.parametrize(
    ("key", "line", "column", "place", "is_exact"),
    [
        ("b", 1, 2, (2, 7), True),
        ("c", 1, 1, (4, 5), True),
        ("c", 2, 3, (5, 7), True),
        ("d", 1, 8, (6, 6), False),
        ("e", 1, 4, (9, 6), False),
        ("f", 1, 1, (10, 7), True),
    ],
)
def test_places_inside_texts_are_exact_where_the_text_is_written_as_it_is(
    key: str, line: int, column: int, place: tuple[int, int], is_exact: bool
) -> None:
    assert read_document(TEXT).place_in_text(("a", 0, key), line, column) == (place, is_exact)


def test_what_is_no_text_has_no_places_inside() -> None:
    assert read_document(TEXT).place_in_text(("a", "x"), 1, 1) == ((2, 1), False)
    assert read_document(b"").place_in_text(("a", "b"), 1, 1) == ((1, 1), False)


def test_dates_stay_text() -> None:
    assert read_document(b"{a: 2026-01-05, b: 2026-01-05T10:00:00Z}").value == {
        "a": "2026-01-05",
        "b": "2026-01-05T10:00:00Z",
    }


def test_numbers_with_a_colon_stay_text() -> None:
    assert read_document(b"{a: 10:30, b: 09:00, c: 7, d: 1.5, e: 1:30.5}").value == {
        "a": "10:30",
        "b": "09:00",
        "c": 7,
        "d": 1.5,
        "e": "1:30.5",
    }


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a: [", 2, "not valid YAML"),
        (b"a: &x []\nb: *x", 1, "YAML aliases are not accepted"),
        (b"? [a]\n: b", 1, "a key is not text"),
        (b"a: 1\na: 2", 2, "key 'a' appears twice"),
        (b"a: !!set {x}", 1, "tags are not accepted"),
        (b"a\n---\nb", 2, "not valid YAML"),
        (b"\x80", 0, "not valid YAML"),
        (b"{" * 100, 0, "not valid YAML"),
    ],
)
def test_what_is_refused_has_a_line(content: bytes, line: int, message: str) -> None:
    with pytest.raises(YamlMistake) as raised:
        read_document(content)
    assert raised.value.line == line
    assert message in raised.value.message


def test_the_nearest_word_is_offered_only_when_it_is_near() -> None:
    assert nearest("verb", ["verbs", "names"]) == "; did you mean 'verbs'?"
    assert nearest("xyz", ["verbs"]) == ""
