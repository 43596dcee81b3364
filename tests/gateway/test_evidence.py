"""What an Intent holds, and the secrets it must not hold."""

from gateway.evidence import build_intent
from gateway.policy.decide import OBSERVED
from gateway.principal import Principal
from gateway.server.request import ConnectionFacts
from protocol.apicall import parse_call
from protocol.events import RequestHead
from storage.records import decode_record, encode_record

FACTS = ConnectionFacts("c1", "127.0.0.1:4711", "127.0.0.1", "TLSv1.3")


def test_an_intent_carries_call_person_and_kubectls_own_words() -> None:
    head = RequestHead(
        method=b"GET",
        target=b"/api/v1/namespaces/prod/pods/web-0/exec?command=sh",
        authority=b"gw",
        headers=(
            (b"user-agent", b"kubectl/v1.33"),
            (b"kubectl-command", b"kubectl exec"),
            (b"kubectl-session", b"s1"),
        ),
    )
    principal = Principal("alice", ("sre",), "oidc", "ab" * 16, issuer="https://idp")
    call = parse_call(head.method, head.target)
    intent = build_intent(
        head,
        FACTS,
        exchange=b"x" * 16,
        at_ns=5,
        verdict=OBSERVED,
        durability=1,
        principal=principal,
        call=call,
    )
    assert decode_record(encode_record(intent)) == intent
    assert intent.principal is not None
    assert intent.call is not None
    assert (intent.principal.user, intent.principal.groups, intent.principal.issuer) == (
        "alice",
        ("sre",),
        "https://idp",
    )
    assert (intent.call.resource, intent.call.subresource, intent.call.argv) == ("pods", "exec", ("sh",))
    assert (intent.kubectl_command, intent.kubectl_session, intent.user_agent) == (
        "kubectl exec",
        "s1",
        "kubectl/v1.33",
    )
    assert intent.verdict.mode == "observe"
