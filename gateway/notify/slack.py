"""Slack in socket mode: messages out, votes in. Conduct; the one module that knows slack_sdk.

The library blocks and brings its own threads: messages are posted from the thread of their queue, what people press
arrives in threads of the library, and a vote is handed from there to the loop, where the same rules decide as for
everybody else (`gateway.deciding`). Who presses is who `slack.users` says; a Slack user nobody named decides nothing.

The trap: Slack wants every envelope acknowledged within 3 s, and sends it again otherwise. A vote that takes longer is
answered with "look again", never twice: the store takes one vote a person.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from gateway import journal
from gateway.errors import GatewayError
from gateway.notify.deliveries import Deliveries, Parcel
from gateway.notify.notice_body import NoticeDocument, encode_notice
from gateway.notify.notices import Notice
from gateway.notify.settings import SlackPerson, SlackSettings
from gateway.notify.slack_messages import message, note_form, refused, sorry_form
from gateway.notify.slack_replies import Pressed, Submitted, read_interaction
from gateway.outlets.webhook_door import Answer, NotSent, read_token

if TYPE_CHECKING:
    from slack_sdk.socket_mode.builtin.client import SocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest
    from slack_sdk.web import WebClient

SLACK: Final = "https://slack.com/api/"
CALL_S: Final = 10
VOTE_S: Final = 2.5
CLOSE_S: Final = 0.2
"""The library takes seconds to close; its threads end by themselves, and nobody's shutdown waits for them."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
MAX_REMEMBERED: Final = 10_000
"""Messages that can still be changed when their request is decided."""

Vote = Callable[[Submitted, SlackPerson], Awaitable[str]]
"""Have a vote decided and written; "" when it counts, else why not, in one line."""


class SlackMissing(GatewayError):
    """The configuration wants Slack, and its library is not installed."""


class SlackReceiver:
    """base_url: of Slack's API, for tests. `run` and `deliveries.run` have to run. Raises SlackMissing."""

    def __init__(
        self,
        settings: SlackSettings,
        vote: Vote,
        now_ns: Callable[[], int],
        *,
        cluster: str,
        console_url: str = "",
        base_url: str = SLACK,
    ) -> None:
        try:
            import slack_sdk  # noqa: F401 - an extra, and 100 ms: only who uses it pays
        except ImportError:
            raise SlackMissing("approvals.slack needs Slack's library: install kubetape[slack]") from None
        self._settings, self._vote, self._base_url = settings, vote, base_url
        self._cluster, self._console_url = cluster, console_url
        self._token: trio.lowlevel.TrioToken | None = None
        self._posted: OrderedDict[str, tuple[str, str]] = OrderedDict()  # about -> (channel, ts)
        self.deliveries = Deliveries("Slack", self._post, now_ns)

    def tell(self, notice: Notice, now_ns: int) -> None:
        body = encode_notice(notice, now_ns, cluster=self._cluster, console_url=self._console_url)
        self.deliveries.offer(Parcel(notice.id, notice.event, notice.until_ns, body))

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen for what people press, until cancelled; reconnects by itself. Started when it listens."""
        self._token = trio.lowlevel.current_trio_token()
        pause_s = FIRST_PAUSE_S
        while True:
            client = await self._connect()
            if client is not None:
                break
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                await trio.to_thread.run_sync(client.close, abandon_on_cancel=True)

    async def _connect(self) -> "SocketModeClient | None":
        try:
            return await trio.to_thread.run_sync(self._open)
        except Exception as error:  # whatever the library raises for a network that is not there
            journal.problem("slack", f"cannot listen to Slack, trying again: {_why(error)}")
            return None

    # --- in threads -------------------------------------------------------------------------------

    def _open(self) -> "SocketModeClient":
        from slack_sdk.socket_mode.builtin.client import SocketModeClient

        client = SocketModeClient(
            app_token=read_token(Path(self._settings.app_token_file)),
            web_client=self._web(),
            logger=_silent_logger(),
        )
        client.socket_mode_request_listeners.append(self._heard)  # type: ignore[arg-type]
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return client

    def _web(self) -> "WebClient":
        from slack_sdk.web import WebClient

        token = read_token(Path(self._settings.bot_token_file))
        return WebClient(token=token, base_url=self._base_url, timeout=CALL_S, logger=_silent_logger())

    def _post(self, parcel: Parcel) -> Answer:
        """One message, or a change of one. Never raises."""
        document = msgspec.json.decode(parcel.body, type=NoticeDocument)
        about = parcel.id.partition("/")[2]
        shown = message(document)
        try:
            web, earlier = self._web(), self._posted.get(about)
            if earlier is None:
                made = web.chat_postMessage(channel=self._settings.channel, unfurl_links=False, **shown)
                self._remember(about, str(made["channel"]), str(made["ts"]))
            else:
                web.chat_update(channel=earlier[0], ts=earlier[1], **shown)
        except NotSent as error:
            return Answer(0, str(error))
        except Exception as error:  # the library's own, urllib's, sockets': none may end the queue
            return Answer(0, _why(error), _retry_after_s(error))
        return Answer(200)

    def _remember(self, about: str, channel: str, ts: str) -> None:
        self._posted[about] = (channel, ts)
        if len(self._posted) > MAX_REMEMBERED:
            self._posted.popitem(last=False)

    def _heard(self, client: "SocketModeClient", request: "SocketModeRequest") -> None:
        """In a thread of the library: something was pressed or sent."""
        from slack_sdk.socket_mode.response import SocketModeResponse

        found = read_interaction(request.payload) if request.type == "interactive" else None
        answer = self._decided(found) if isinstance(found, Submitted) else None
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id, answer))
        if isinstance(found, Pressed):
            self._show_form(found)

    def _show_form(self, pressed: Pressed) -> None:
        known = pressed.user in self._settings.users
        form = note_form(pressed) if known else sorry_form(_STRANGER)
        try:
            self._web().views_open(trigger_id=pressed.trigger, view=form)
        except Exception as error:  # the person sees that nothing opened, and presses again
            journal.problem("slack", f"a form could not be opened: {_why(error)}")

    def _decided(self, submitted: Submitted) -> dict[str, Any] | None:
        """None closes the form."""
        person = self._settings.users.get(submitted.user)
        if person is None:
            return refused(_STRANGER)
        try:
            why = trio.from_thread.run(self._vote_in_time, submitted, person, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            why = "kubetape is shutting down"
        return refused(why) if why else None

    # --- in the loop ------------------------------------------------------------------------------

    async def _vote_in_time(self, submitted: Submitted, person: SlackPerson) -> str:
        with trio.move_on_after(VOTE_S):
            try:
                return await self._vote(submitted, person)
            except Exception as error:  # a bug must not look like a vote
                journal.problem("slack", "a vote was ended by an unexpected error", error)
                return "kubetape failed to record this; the operator's log says why"
        return "it is not known whether this counted: look at the message again"


_STRANGER: Final = "kubetape does not know who you are: ask its operator to add you to approvals.slack.users"


def _silent_logger() -> logging.Logger:
    """The library logs addresses that hold tickets, and people's messages: none of it may reach our log."""
    logger = logging.Logger("kubetape-slack")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _why(error: Exception) -> str:
    """Slack's own word for it, or the kind of error; never its text, which may quote what was sent."""
    response = getattr(error, "response", None)
    said = response.get("error") if response is not None and hasattr(response, "get") else None
    if isinstance(error, NotSent):
        return str(error)
    return f"Slack says {said}" if isinstance(said, str) and said.isidentifier() else type(error).__name__


def _retry_after_s(error: Exception) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("Retry-After", ""))
    return min(float(value), 300.0) if value.isascii() and value.isdigit() and len(value) < 6 else 0.0
