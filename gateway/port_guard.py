"""Ports of a port-forward that a rule leaves closed: the connection is answered with an error, the others live on.

Over SPDY each forwarded connection opens an error channel, then a data channel. Both are accepted, the error is said
where kubectl looks for it, and nothing of them reaches the cluster. The legacy WebSocket names its ports in the request
only: it is refused there (`tunnel`).
"""

from gateway.policy.model import StreamRules
from gateway.policy.ports import judge_ports
from gateway.tunnel_steps import Step, ToClient, ToCluster
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
)


class PortGuard:
    """rules: with the ports that may be opened."""

    def __init__(self, rules: StreamRules) -> None:
        self._rules = rules
        self._refused: set[int] = set()

    def screen(self, event: Event) -> list[Step] | None:
        """What becomes of an event of the client; None: nothing of it is ours to decide."""
        if isinstance(event, ChannelOpened) and (refusal := judge_ports(self._rules, (event.port,))):
            return self._refuse(event, refusal.reason)
        if isinstance(event, ChannelData | ChannelEnded | ChannelReset) and event.connection in self._refused:
            if event.channel in (Channel.DATA, Channel.FORWARD_ERROR):
                return [ToCluster(None, event)]
        return None

    def _refuse(self, event: ChannelOpened, reason: str) -> list[Step]:
        self._refused.add(event.connection)
        steps: list[Step] = [
            ToCluster(None, event),
            ToClient(ChannelAccepted(event.channel, event.connection)),
        ]
        if event.channel is Channel.DATA:
            why = f"kubetape policy: {reason}"
            error = Channel.FORWARD_ERROR
            steps += [
                ToClient(ChannelData(error, why.encode(), event.connection)),
                ToClient(ChannelEnded(error, event.connection)),
                ToClient(ChannelEnded(Channel.DATA, event.connection)),
            ]
        return steps
