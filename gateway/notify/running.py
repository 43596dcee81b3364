"""Everything that tells people, started together: one queue a receiver, one that follows the state. Conduct."""

import trio

from gateway.config import Settings
from gateway.deciding import vote_on_grant, vote_on_hold
from gateway.errors import Refusal
from gateway.notify.notifier import Notifier, Receiver
from gateway.notify.receivers import WebhookReceiver
from gateway.notify.settings import SlackPerson
from gateway.notify.slack import SlackReceiver
from gateway.notify.slack_replies import Submitted
from gateway.state.entries import Voter
from gateway.state.follower import SharedState


async def notify_people(
    settings: Settings, state: SharedState, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Tell webhooks and Slack what `approvals:` of the configuration says, until cancelled. Raises SlackMissing.

    Started at once: no receiver is waited for. One process of a data directory runs it; of several replicas each does,
    and receivers tell repetitions by the delivery's id.
    """
    wanted, cluster = settings.approvals, settings.cluster.name
    console_url = settings.console.url.rstrip("/")
    webhooks = [
        WebhookReceiver(webhook, state.now_ns, cluster=cluster, console_url=console_url)
        for webhook in wanted.webhooks
    ]
    receivers: list[Receiver] = [*webhooks]
    try:
        async with trio.open_nursery() as nursery:
            for webhook in webhooks:
                nursery.start_soon(webhook.deliveries.run)
            if wanted.slack is not None:
                slack = SlackReceiver(
                    wanted.slack,
                    SlackVotes(state).vote,
                    state.now_ns,
                    cluster=cluster,
                    console_url=console_url,
                )
                receivers.append(slack)
                nursery.start_soon(slack.run)
                nursery.start_soon(slack.deliveries.run)
            if receivers:
                nursery.start_soon(Notifier(state, receivers).run)
            task_status.started()
    finally:
        for webhook in webhooks:
            webhook.close()


class SlackVotes:
    """Turns what was sent from Slack into a vote, under the same rules as any other."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    async def vote(self, submitted: Submitted, person: SlackPerson) -> str:
        """ "" when it counts, else why not."""
        kind, _, about = submitted.subject.partition(":")
        voter = Voter(person.user, person.groups, person.issuer)
        hold = self._state.view.hold(about) if kind == "hold" else None
        grant = self._state.view.grant(about) if kind == "grant" else None
        try:
            if hold is not None:
                await vote_on_hold(self._state, hold, voter, approve=submitted.approve, note=submitted.note)
            elif grant is not None:
                await vote_on_grant(self._state, grant, voter, approve=submitted.approve, note=submitted.note)
            else:
                return "it is over: there is nothing left to decide"
        except Refusal as refusal:
            return refusal.message
        return ""
