"""Matches that cannot be meant."""

import pytest

from tests.kit.policies import problems


def of_match(match: str, action: str = "deny") -> list[str]:
    """Messages about one match, without their places."""
    return [
        text.split(": ", 1)[1]
        for text in problems(f"rules:\n- {{name: a, match: {match}, action: {action}}}")
    ]


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ("{users: ['!']}", "a `!` excludes nothing"),
        ("{labels: {a: [b, b]}}", "'b' stands here twice"),
        ("{claims: {}}", "`claims` names none"),
        ("{labels: {}}", "`labels` names none"),
        ("{names: ['!*']}", "this never matches"),
        ("{verbs: [exec]}", "exec is no verb; write resources: [pods/exec]"),
        ("{verbs: [dlete]}", "'dlete' is no verb; did you mean 'delete'?"),
        ("{verbs: ['x*']}", "'x*' is no verb"),
        ("{resources: [pod]}", "'pod' is no resource; did you mean 'pods'?"),
        ("{resources: ['!Pods']}", "they are lower-case plurals"),
        ("{argv: [['...', a]]}", "it can only be the last"),
        ("{argv: [['...']]}", "this matches every command: leave `argv` out"),
        ("{sources: [10.0.0.1/8]}", "clear the bits behind the prefix"),
        ("{time: {}}", "an empty `time` is always"),
        ("{time: {from: 9}}", "Expected `str`, got `int` (put it in quotes)"),
        ("{time: {from: '9'}}", "'9' is no time of day"),
        ("{time: {from: 10:00, to: 10:00}}", "from and to are the same"),
        ("{time: {zone: Mars}}", "'Mars' is no time zone here"),
        ("{paths: [/a], resources: [pods]}", "a call has a path or is about resources, never both"),
        ("{paths: [/a], verbs: [list]}", "the verbs of paths are methods"),
        ("{resources: [pods], verbs: [head]}", "no call on resources has such a verb"),
        ("{resources: [pods], argv: ['rm *']}", "only pods/exec has `argv`"),
        ("{resources: [pods/exec, pods/attach], verbs: [get]}", "opening a stream is create"),
        ("{resources: [pods], tty: true}", "only pods/exec or pods/attach has `tty`"),
        ("{resources: [pods/exec], ports: [80]}", "only pods/portforward has `ports`"),
        ("{groups: []}", "this list is empty: fill it, or leave it out"),
        ("{ports: [0]}", "Expected `int` >= 1"),
    ],
)
def test_a_match_that_cannot_be_meant_is_named(match: str, message: str) -> None:
    (found,) = of_match(match)
    assert message in found


@pytest.mark.parametrize(
    "match",
    [
        "{verbs: ['delete*', '!deletecollection']}",
        "{verbs: [head, get], paths: [/healthz]}",
        "{labels: {tier: ['!*']}, claims: {mfa: ['!*']}}",
        "{argv: [[ls], 'rm *'], tty: false}",
        "{resources: ['pods/*'], argv: [[ls]], stdin: false}",
        "{resources: [pods/exec], verbs: [create]}",
        "{time: {days: [sat], from: 10:00, zone: '+01:00'}, sources: ['10.0.0.0/8', '!10.1.0.0/16']}",
    ],
)
def test_other_matches_are_good(match: str) -> None:
    assert of_match(match) == []


def test_a_rule_that_allows_takes_no_line_of_a_command() -> None:
    (found,) = of_match("{argv: ['cat /etc/*']}", "allow")
    assert found == "in a rule that allows, write the arguments one by one: [cat, /etc/*]"
    assert of_match("{argv: [[ls, '...'], '!*secret*']}", "allow") == []
