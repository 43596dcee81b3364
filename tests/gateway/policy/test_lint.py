"""Which ways out a policy opens without a word."""

from gateway.policy.lint import DEFAULT_ALLOW, WAYS, Opening, find_openings
from tests.kit.policies import policy, rules

NODES = "the kubelet, through nodes/proxy"
TOKENS = "tokens of service accounts"
EVERYTHING = [way.what for way in WAYS if "/proxy" not in way.what]
"""What lies behind `proxy` is allowed only by a rule that names it."""


def found(*lines: str) -> list[str]:
    return [opening.what for opening in find_openings(rules(*lines))]


def test_a_rule_that_allows_everything_to_somebody_opens_all_ways() -> None:
    assert found("{name: a, match: {groups: [admins]}, action: allow}") == EVERYTHING
    assert (
        found("{name: a, match: {users: [x], claims: {mfa: [y]}, namespaces: [z]}, action: allow}")
        == EVERYTHING
    )


def test_the_default_opens_them_too() -> None:
    assert find_openings(policy("default: allow"))[0] == Opening(NODES, (DEFAULT_ALLOW,))
    assert find_openings(policy("")) == ()


def test_what_is_denied_or_held_for_everybody_is_closed() -> None:
    allow = "{name: a, action: allow}"
    deny = "{name: d, match: {resources: [serviceaccounts/token]}, action: deny}"
    hold = deny.replace("action: deny", "action: {hold: {approvers: {users: [b]}}}")
    assert TOKENS not in found(allow, deny)
    assert TOKENS not in found(allow, hold)
    assert TOKENS in found(allow, deny.replace("resources", "groups: [dev], resources"))
    assert TOKENS in found(allow, deny.replace("action: deny", "action: deny, mode: shadow"))
    assert TOKENS in found(allow, deny.replace("accounts/token", "accounts/token], names: [other"))


def test_a_proxy_is_opened_only_by_its_name() -> None:
    assert NODES not in found("{name: a, action: allow}")
    assert found("{name: a, match: {resources: [nodes/proxy]}, action: allow}") == [NODES]


def test_a_rule_about_something_else_opens_nothing() -> None:
    assert found("{name: a, match: {verbs: [get, list], resources: [pods]}, action: allow}") == []
    assert found("{name: a, match: {resources: [pods/exec], argv: [[ls, ...]]}, action: allow}") == []
    assert found("{name: a, when: call.dryRun, action: allow}") == []
    assert TOKENS in found("{name: a, when: '!call.dryRun', action: allow}")


def test_a_grant_is_asked_for_and_so_is_no_silence() -> None:
    text = "grants: [{name: g, approvers: {users: [b]}, maxDuration: 1h, rules: [{name: a, action: allow}]}]"
    assert find_openings(policy(text)) == ()
