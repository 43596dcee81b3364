"""Which ports of a pod a port-forward may open.

Ports come with each forwarded connection (`ChannelOpened.port`), or in the query of the legacy WebSocket protocol
(`Call.ports`): the same judgement for both. It sees numbers, not what listens there.
"""

from collections.abc import Iterable

import msgspec

from gateway.policy.model import StreamRules


class PortRefusal(msgspec.Struct, frozen=True):
    """A port that may not be opened. reason: one line for the person."""

    port: int
    reason: str


def judge_ports(rules: StreamRules, ports: Iterable[int]) -> PortRefusal | None:
    """The first of `ports` that is not allowed; None: all are."""
    allowed = rules.ports
    if allowed is None:
        return None
    refused = next((port for port in ports if port not in allowed), None)
    if refused is None:
        return None
    listed = ", ".join(map(str, allowed)) or "none"
    return PortRefusal(refused, f"port {refused} may not be forwarded; allowed here: {listed}")
