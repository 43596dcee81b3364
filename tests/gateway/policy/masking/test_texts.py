"""Detectors over decoded values."""

from collections import Counter

from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.texts import MAX_CLEAN, TextMask

HIDDEN = placeholder("p/k")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def texts() -> TextMask:
    return TextMask(DetectorSet(["aws-key", "card"]), {"aws-key": "p/k", "card": "p/c"})


def test_hits_are_counted_for_the_rule_that_named_the_detector() -> None:
    counts: Counter[str] = Counter()
    assert texts().text(f"a {KEY_ID} b 4111 1111 1111 1111", counts) == f"a {HIDDEN} b {placeholder('p/c')}"
    assert counts == {"p/k": 1, "p/c": 1}


def test_texts_without_hits_are_the_same_objects_however_many_there_were() -> None:
    mask, counts = texts(), Counter[str]()
    for number in range(MAX_CLEAN + 2):
        text = f"text {number}"
        assert mask.text(text, counts) is text
        assert mask.text(text, counts) is text
    long = "x" * 100
    assert mask.text(long, counts) is long
    assert counts == {}


def test_what_is_no_utf8_passes_untouched() -> None:
    text = b"\xff \xfe".decode("utf-8", "surrogateescape")
    assert texts().text(text, Counter()) == text


def test_base64_is_looked_into_and_stays_as_it_was_without_a_hit() -> None:
    assert texts().encoded("eHh4", Counter()) == "eHh4"
    assert texts().encoded(f"{KEY_ID}!", Counter()) == f"{HIDDEN}!"


def test_a_number_long_enough_may_be_a_card() -> None:
    value = {"a": 4111111111111111, "b": 4111111111111112, "c": 7, "d": True, "e": None, "f": 1e20}
    assert texts().value(value, Counter()) == {**value, "a": 0}


def test_names_with_hits_stay_apart() -> None:
    value: dict[str, object] = {KEY_ID: 1, "AKIAIOSFODNN7EXAMPLF": 2, "AKIAIOSFODNN7EXAMPLG": 3, "x": 4}
    texts().keys(value, Counter())
    assert value == {HIDDEN: 1, f"{HIDDEN}-2": 2, f"{HIDDEN}-3": 3, "x": 4}
