"""Which ways out a policy opens without a word."""

from gateway.policy.lint import DEFAULT_ALLOW, WAYS, Opening, find_openings
from tests.kit.policies import policy, rules

NODES = "the kubelet, through nodes/proxy"
EVERYTHING = [way.what for way in WAYS]
TOKENS = "tokens of service accounts"


def found(*lines: str) -> list[str]:
    return [opening.what for opening in find_openings(rules(*lines))]


def test_a_rule_that_allows_everything_to_somebody_opens_all_ways_but_proxies() -> None:
    but_proxies = [what for what in EVERYTHING if "proxy" not in what]
    assert found("{name: a, match: {groups: [admins]}, action: allow}") == but_proxies
    narrow = "{name: a, match: {users: [x], claims: {mfa: [y]}, namespaces: [z]}, action: allow}"
    assert found(narrow) == but_proxies
    assert found("{name: a, match: {resources: ['*', '*/proxy']}, action: allow}") == EVERYTHING


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
    assert TOKENS in found(
        allow, deny.replace("serviceaccounts/token", "serviceaccounts/token], names: [other")
    )


def test_a_rule_about_something_else_opens_nothing() -> None:
    assert found("{name: a, match: {verbs: [get, list], resources: [pods]}, action: allow}") == []
    assert found("{name: a, match: {resources: [pods/exec], argv: [[ls, ...]]}, action: allow}") == []
    assert found("{name: a, when: call.dryRun, action: allow}") == []
    assert TOKENS in found("{name: a, when: '!call.dryRun', action: allow}")


def test_a_grant_is_asked_for_and_so_is_no_silence() -> None:
    text = "grants: [{name: g, approvers: {users: [b]}, maxDuration: 1h, rules: [{name: a, action: allow}]}]"
    assert find_openings(policy(text)) == ()
