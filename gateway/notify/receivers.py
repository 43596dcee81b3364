"""A webhook as a receiver of notices: chooses, encodes, queues."""

from collections.abc import Callable

from gateway.notify.deliveries import Deliveries, Parcel
from gateway.notify.notice_body import encode_notice
from gateway.notify.notices import Notice
from gateway.notify.settings import WebhookSettings
from gateway.notify.webhook_posts import WebhookPosts
from gateway.outlets.settings import parse_webhook_url


class WebhookReceiver:
    """cluster, console_url: see `encode_notice`. `deliveries.run` has to run."""

    def __init__(
        self, settings: WebhookSettings, now_ns: Callable[[], int], *, cluster: str, console_url: str = ""
    ) -> None:
        self._events = frozenset(settings.events)
        self._cluster, self._console_url = cluster, console_url
        self._posts = WebhookPosts(settings)
        where = parse_webhook_url(settings.url)
        self.deliveries = Deliveries(f"the webhook at {where.host}:{where.port}", self._posts.post, now_ns)

    def tell(self, notice: Notice, now_ns: int) -> None:
        if notice.event not in self._events:
            return
        body = encode_notice(notice, now_ns, cluster=self._cluster, console_url=self._console_url)
        self.deliveries.offer(Parcel(notice.id, notice.event, notice.until_ns, body))

    def close(self) -> None:
        self._posts.close()
