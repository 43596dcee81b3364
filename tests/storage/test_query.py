"""The search language: what is understood, and that what is not says where and what would do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import BadQuery
from storage.query import (
    FIELDS,
    MAX_NS,
    FieldMatch,
    Query,
    TextMatch,
    parse_duration,
    parse_field,
    parse_query,
    parse_time,
    typed_text,
)
from tests.kit.recorded import SECOND_NS, START_NS

DAY_NS = 86_400 * SECOND_NS


def parsed(expression: str) -> Query:
    return parse_query(expression, now_ns=START_NS)


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("user:ann", FieldMatch("user", ("ann",))),
        ("ns:prod,dev", FieldMatch("ns", ("prod", "dev"))),
        ("-verb:DELETE", FieldMatch("verb", ("delete",), negated=True)),
        ("namespace:prod-*", FieldMatch("ns", ("prod-*",))),
        ("STATUS:4xx", FieldMatch("code", ("4xx",))),
        ('command:"kubectl get"', FieldMatch("command", ("kubectl get",))),
        ('name:"a,b"', FieldMatch("name", ("a,b",))),
        ("kind:Exec", FieldMatch("kind", ("exec",))),
        ("exit:42", FieldMatch("exit", ("42",))),
        ("session:01KG9ZK7", FieldMatch("session", ("01KG9ZK7",))),
        ("resource:deployments.apps/scale", FieldMatch("resource", ("deployments.apps/scale",))),
        ("source:[2001:db8::1]:443", FieldMatch("source", ("[2001:db8::1]:443",))),
    ],
)
def test_a_field_is_understood(expression: str, field: FieldMatch) -> None:
    assert parsed(expression) == Query(fields=(field,))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("error", TextMatch("error")),
        ("web-1", TextMatch("web-1")),
        ("conn*", TextMatch("conn", prefix=True)),
        ('"connection refused"', TextMatch("connection refused")),
        ('"connection ref"*', TextMatch("connection ref", prefix=True)),
        ("-timeout", TextMatch("timeout", negated=True)),
        ('-"not this"', TextMatch("not this", negated=True)),
        ('"http://x user:ann"', TextMatch("http://x user:ann")),
        ("10:30", TextMatch("10:30")),
        ("漢字", TextMatch("漢字")),
    ],
)
def test_text_is_understood(expression: str, text: TextMatch) -> None:
    assert parsed(expression) == Query(texts=(text,))


def test_everything_together_and_blanks_do_not_matter() -> None:
    query = parsed("  user:a   since:1d until:2026-01-31T10:00:00+01:00\t-x y* ")
    assert query.fields == (FieldMatch("user", ("a",)),)
    assert query.texts == (TextMatch("x", negated=True), TextMatch("y", prefix=True))
    assert query.since_ns == START_NS - DAY_NS
    assert query.until_ns == START_NS - 3600 * SECOND_NS


def test_the_empty_expression_matches_everything() -> None:
    assert parsed("") == parsed("   ") == Query()


def test_two_times_narrow() -> None:
    query = parsed("since:2d since:1d until:1h until:2h")
    assert (query.since_ns, query.until_ns) == (START_NS - DAY_NS, START_NS - 7200 * SECOND_NS)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("usr:ann", "character 1: unknown field usr: (did you mean user:)"),
        ("x nginx:1.25", "character 3: unknown field nginx: (known are user, group,"),
        ("user:", "character 1: user: has no value"),
        ("user: ann", "character 1: user: has no value"),
        ('user:""', "character 1: there is nothing between"),
        ("user:a,,b", "empty value"),
        ("code:42", "code:42 is no HTTP status"),
        ("code:4*", "is no HTTP status"),
        ("exit:x", "is no exit code"),
        ("decision:denied", "did you mean decision:deny"),
        ("kind:banana", "one of call, exec"),
        ("session:../x", "takes an id"),
        ("since:yesterday", "'yesterday' is no time"),
        ("since:1d,2d", "takes one time"),
        ("-since:1d", "no '-'"),
        ("ok -", "character 4: '-' excludes"),
        ("--x", "character 1: '-' excludes"),
        ('say "half', "character 5: a quotation mark is not closed"),
        ('he"llo"', "a quotation mark inside a word"),
        ("a*b", "'*' stands at the end of a word only: a*"),
        ("...", "holds no letter or digit"),
        ("*", "holds no letter or digit"),
        ("x" * 5000, "longer than 4096"),
        ("a " * 65, "more than 64 terms"),
        ("a\x00b", "character 2: a control character"),
        ("a\x1b[2J", "character 2: a control character"),
        ("\udcff", "control character"),
    ],
)
def test_what_is_not_understood_says_where_and_what_would_do(expression: str, says: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parsed(expression)
    assert says in str(caught.value)


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=40)
    | st.lists(st.sampled_from([*FIELDS, ":", '"', "-", "*", ",", " ", "x"]), max_size=12).map("".join)
)
def test_any_text_is_a_query_or_a_bad_query(expression: str) -> None:
    said = ""
    try:
        parsed(expression)
    except BadQuery as error:
        said = str(error)
    assert "\n" not in said


def test_a_flag_says_the_same_as_the_expression() -> None:
    assert parse_field("verb", ("delete", "patch"), now_ns=START_NS) == parsed("verb:delete,patch")
    assert parse_field("since", ("1d",), now_ns=START_NS) == parsed("since:1d")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("1d12h", 129_600), ("2w", 1_209_600), ("0s", 0)]
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds * SECOND_NS


@pytest.mark.parametrize("text", ["", "5", "d", "1y", "1.5h", "1234567d", "-1d", "\u0663d"])
def test_no_durations(text: str) -> None:
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("2026-01-31", START_NS - 36_000 * SECOND_NS),
        ("2026-01-31T10:00:00Z", START_NS),
        ("2026-01-31T10:00:00.000001", START_NS + 1000),
        ("1969-12-31", 0),
        ("9999-12-31", MAX_NS),
        ("999999w", 0),
    ],
)
def test_times(text: str, at_ns: int) -> None:
    assert parse_time(text, now_ns=START_NS) == at_ns


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("hold:Approved", FieldMatch("hold", ("approved",))),
        ("typed:rm*", FieldMatch("typed", ("rm*",))),
        ('typed:"rm -rf"', FieldMatch("typed", ("rm -rf",))),
        ("file:/etc/*", FieldMatch("file", ("/etc/*",))),
        ("-masked:yes", FieldMatch("masked", ("yes",), negated=True)),
    ],
)
def test_fields_of_policy_are_understood(expression: str, field: FieldMatch) -> None:
    assert parsed(expression) == Query(fields=(field,))


def test_a_typed_line_is_looked_for_by_its_words() -> None:
    assert typed_text("rm -rf") == TextMatch("rm -rf")
    assert typed_text("rm*") == TextMatch("rm", prefix=True)
    for expression, why in (
        ("typed:--", "no letter or digit"),
        ("hold:aproved", "did you mean hold:approved"),
    ):
        with pytest.raises(BadQuery, match=why):
            parsed(expression)
