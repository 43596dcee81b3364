"""Command rules for typed lines."""

import pytest

from gateway.policy.command import CommandJudge
from gateway.policy.model import CommandRule

ALERT = CommandRule("p/any-rm", r"\brm\b", "alert")
HOLD = CommandRule("p/rm-r", r"\brm\b.*-\w*r", "hold")
DENY = CommandRule("p/rm-root", r"\brm\b.* /(\s|$)", "deny")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("ls", None),
        ("", None),
        ("rm x", ALERT),
        ("rm -r x", HOLD),
        ("rm -rf /", DENY),
        ("r''m -r\\f /", DENY),
        ("rm${IFS}-rf$IFS/", DENY),
        ("r\u00e9m", None),
    ],
)
def test_the_strongest_rule_that_a_line_breaks_counts(line: str, rule: CommandRule | None) -> None:
    assert CommandJudge((ALERT, HOLD, DENY)).judge(line) == rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (CommandRule("p/r", "(", "deny"), "rule p/r: pattern is not RE2: missing"),
        (CommandRule("p/r", "a*", "deny"), "matches the empty line"),
        (CommandRule("p/r", "a" * 1025, "deny"), "longer than 1024 bytes"),
        (CommandRule("p/r", "a", "allow"), "can alert, hold or deny, not 'allow'"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(rule: CommandRule, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CommandJudge((rule,))
