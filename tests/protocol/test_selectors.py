import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.selectors import InvalidSelector, is_int64, is_label_selector, required_field
from tests.kit.requestinfo import LabelParser


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ("", None),
        (",,", None),
        ("metadata.name=p", "p"),
        ("metadata.name==p", "p"),
        ("metadata.name!=p", None),
        ("metadata.name=", ""),
        ("a=b,metadata.name=p", "p"),
        ("metadata.name=q,metadata.name=p", "p"),
        ("metadata.name=z,metadata.name==p", "p"),
        ("metadata.name=a\\,b", "a,b"),
        ("metadata.name=a\\=b\\\\", "a=b\\"),
        ("metadata.name!=p,metadata.name=q", "q"),
        ("=p", None),
        ("xmetadata.name=p", None),
    ],
)
def test_a_field_selector_requires_a_value(selector: str, value: str | None) -> None:
    assert required_field(selector, "metadata.name") == value


@pytest.mark.parametrize(
    "selector", ["a", "a=b,c", "a=b\\", "a=\\x", "a=b=c", "a===b", "metadata.name=p,x=\\"]
)
def test_a_field_selector_the_server_cannot_decode_is_invalid(selector: str) -> None:
    with pytest.raises(InvalidSelector):
        required_field(selector, "metadata.name")


@pytest.mark.parametrize(
    "selector",
    [
        "", " ", "a", "!a", "! a", "a=b", "a==b", "a!=b", "a=", "a=,b=", "a in (b)", "a in(b)", "a notin ( b , c )", "a in ()", "a in (,)",
        "a in (b,)", "a in (,b)", "in in (in)", "notin", "a=in", "x/y=z", "x.y-1/Y_z.0=Z", "a>1", "a < 22", "a,!b,c=d", f"{'k' * 63}={'v' * 63}",
        f"{'p' * 253}/k",
    ],
)  # fmt: skip
def test_label_selectors_in_use_decode(selector: str) -> None:
    assert is_label_selector(selector)
    assert LabelParser(selector).accepts()


@pytest.mark.parametrize(
    "selector",
    [
        ",", "a,", "!", "!!a", "a b", "a=b c", "a=!b", "a===b", "a in", "a in b", "a in (b", "a in (b c)", "a in (=)", "a in ((b))", "a xx (b)",
        "!a=b", "a=b,,c", "-a", "a=-b", "a=é", "é", "/a", "x/y/z", "X/y", "a>b", "a>", "a<-1", "a>9223372036854775808", "(a)", "a!", "a!b",
        f"{'k' * 64}", f"a={'v' * 64}", f"{'p' * 254}/k", "a=b)", "a in (b))", "a in (é)", ".x/a",
    ],
)  # fmt: skip
def test_label_selectors_the_server_cannot_decode_are_invalid(selector: str) -> None:
    assert not is_label_selector(selector)
    assert not LabelParser(selector).accepts()


_PIECES = st.sampled_from(
    [
        "a",
        "b-c",
        "x.y/z",
        "in",
        "notin",
        "(",
        ")",
        ",",
        "=",
        "==",
        "!=",
        "!",
        "<",
        ">",
        " ",
        "1",
        "é",
        "/",
        "\t",
    ]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(_PIECES, max_size=9).map("".join))
def test_both_readers_of_label_selectors_agree(selector: str) -> None:
    assert is_label_selector(selector) == LabelParser(selector).accepts()


@pytest.mark.parametrize(
    "text", ["0", "-1", "+1", "0" * 5000 + "1", "9223372036854775807", "-9223372036854775808"]
)
def test_integers_of_64_bits_are_read(text: str) -> None:
    assert is_int64(text)


@pytest.mark.parametrize(
    "text",
    ["", "+", "-", "1.0", "1_0", "0x1", " 1", "١", "9223372036854775808", "-9223372036854775809", "9" * 5000],
)
def test_what_go_does_not_parse_is_no_integer(text: str) -> None:
    assert not is_int64(text)
