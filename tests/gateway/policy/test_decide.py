"""The policy seam: observe mode is a decision of its own."""

from gateway.policy.decide import decide
from gateway.policy.model import Action, Facts, Mode
from gateway.principal import Principal
from protocol.apicall import parse_call


def test_without_policy_everything_is_allowed_and_the_mode_says_so() -> None:
    principal = Principal("alice", (), "token", "0" * 32)
    verdict = decide(Facts(principal, parse_call(b"DELETE", b"/api/v1/namespaces/prod"), "127.0.0.1"))
    assert (verdict.action, verdict.mode, verdict.rules) == (Action.ALLOW, Mode.OBSERVE, ())
