"""Actions that cannot be meant."""

import pytest

from tests.kit.policies import problems

SRE = "{approvers: {groups: [sre]}}"


def of_action(action: str, rest: str = "") -> list[str]:
    return [t.split(": ", 1)[1] for t in problems(f"rules:\n- {{name: a, action: {action}{rest}}}")]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ("alow", "Invalid enum value 'alow'; did you mean 'allow'?"),
        ("{}", "this does nothing: write allow, deny"),
        ("{dney: x}", "unknown key 'dney'; did you mean 'deny'?"),
        ("{deny: nope, record: metadata}", "deny and hold stand alone: write a rule of its own for record"),
        ("{hold: {approvers: {groups: [a]}, wait: 25h}}", "a call waits between 1s and 24h"),
        ("{hold: {approvers: {groups: [a]}, wait: 0s}}", "a call waits between 1s and 24h"),
        ("{hold: {approvers: {}}}", "nobody could approve: name users or groups"),
        ("{hold: {approvers: {users: [a], quorum: 2}}}", "2 people must agree, and fewer are named"),
        ("{mask: {}}", "this hides nothing: give paths, detectors or columns"),
        ("{mask: {paths: ['a b']}}", "'a b' is no path: between two names stands"),
        ("{commands: [{pattern: '(', do: deny}]}", "pattern is not RE2: missing ): ("),
        ("{commands: [{pattern: 'a*', do: deny}]}", "pattern matches the empty line"),
        ("{commands: [{pattern: a, do: hold}]}", "say who is asked: hold:"),
        (
            f"{{commands: [{{pattern: a, do: deny, hold: {SRE}}}]}}",
            "nobody is asked where the action is deny",
        ),
        ("{files: {direction: up}}", "this refuses nothing: give names or maxBytes"),
        ("{files: {names: [a, a]}}", "'a' stands here twice"),
        ("{budget: {action: freeze}}", "this limits nothing"),
        ("{budget: {deletes: 1}}", "say who is asked: hold:"),
    ],
)
def test_an_action_that_cannot_be_meant_is_named(action: str, message: str) -> None:
    (found,) = of_action(action)
    assert message in found


@pytest.mark.parametrize(
    "action",
    [
        "{mask: {paths: ['data.*', 'spec.containers[*].env[*].value', 'metadata.annotations[\"a.b/c\"]', '**.token']}}",
        "{mask: {columns: [Data], detectors: [jwt]}, record: metadata, ports: [80], files: {maxBytes: 0}}",
        f"{{commands: [{{pattern: a, do: hold, hold: {SRE}}}, {{pattern: b, do: alert}}]}}",
        f"{{budget: {{deletes: 1, hold: {SRE}}}}}",
    ],
)
def test_other_actions_are_good(action: str) -> None:
    assert of_action(action) == []


def test_a_denial_may_be_a_word() -> None:
    assert of_action("deny", ", description: why") == []


def test_only_what_denies_or_holds_can_be_tried_in_shadow() -> None:
    message = "only what denies or holds can be tried in shadow mode"
    assert of_action("allow", ", mode: shadow") == [message]
    assert of_action("{record: metadata}", ", mode: shadow") == [message]
    assert of_action(f"{{hold: {SRE}}}", ", mode: shadow") == []
