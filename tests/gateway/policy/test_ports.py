"""Ports of a port-forward."""

from gateway.policy.model import StreamRules
from gateway.policy.ports import PortRefusal, judge_ports


def test_without_a_rule_every_port_is_open() -> None:
    assert judge_ports(StreamRules(), (1, 65535)) is None


def test_only_the_ports_of_the_rule_are_open() -> None:
    rules = StreamRules(ports=(5432, 8080))
    assert judge_ports(rules, (8080, 5432)) is None
    assert judge_ports(rules, ()) is None
    assert judge_ports(rules, (8080, 22)) == PortRefusal(
        22, "port 22 may not be forwarded; allowed here: 5432, 8080"
    )


def test_a_rule_without_ports_opens_none() -> None:
    refused = judge_ports(StreamRules(ports=()), (80,))
    assert refused is not None
    assert refused.reason.endswith("allowed here: none")
