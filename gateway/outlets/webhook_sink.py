"""Events -> POST of an EventList, as kube-apiserver's audit webhook does it. Conduct; blocks.

2xx: delivered. 413: the batch is too large, halves of it are tried. 400, 422: something in it is not
acceptable; halves are tried until the one event is found that never will be, so that it cannot block the
others. Everything else (401 and 404 too: somebody will mend the configuration) is tried again later.

How one body is posted, and what is not believed of the answer: `webhook_door`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from gateway.outlets.audit_event import encode_event_list
from gateway.outlets.delivery import Delivery
from gateway.outlets.settings import OutletSettings
from gateway.outlets.webhook_door import Answer, WebhookDoor, read_token

MAX_REFUSED_IN_A_ROW: Final = 16
"""Then it is the receiver that is wrong, not the events: they are still set aside, but slowly and loudly."""

_REFUSED_CONTENT: Final = frozenset((400, 422))
_TOO_LARGE: Final = 413

Post: TypeAlias = Callable[[bytes], Answer]
"""Send one body; whatever goes wrong is an Answer with status 0."""


class WebhookSink:
    """Delivers to one webhook. post: how a body is sent; default: over the network, by the settings."""

    def __init__(self, settings: OutletSettings, *, post: Post | None = None) -> None:
        self._door = None if post else _door(settings)
        self._post = post or _post_through(self._door)
        self._ceiling = settings.batch.max_events  # as many as the receiver took lately

    def deliver(self, events: Sequence[bytes]) -> Delivery:
        """Hand over a batch, in halves where it must be. Stops at the first problem."""
        rejected: list[int] = []
        refused_in_a_row = 0
        for_later = self._portions(len(events))
        while for_later:
            start, end = for_later.pop()
            size = end - start
            answer = self._post(encode_event_list(events[start:end]))
            if 200 <= answer.status < 300:
                refused_in_a_row = 0
                self._ceiling += size // 8 + 1 if size == self._ceiling else 0
            elif answer.status not in (_TOO_LARGE, *_REFUSED_CONTENT):
                return Delivery(start, tuple(rejected), _problem(answer), answer.retry_after_s)
            elif size > 1:
                middle = start + size // 2
                for_later += [(middle, end), (start, middle)]
                if answer.status == _TOO_LARGE:
                    self._ceiling = min(self._ceiling, size // 2)
            else:
                rejected.append(start)
                refused_in_a_row += 1
                if refused_in_a_row == MAX_REFUSED_IN_A_ROW:
                    return Delivery(end, tuple(rejected), f"it refuses everything: {_problem(answer)}")
        return Delivery(len(events), tuple(rejected))

    def _portions(self, count: int) -> list[tuple[int, int]]:
        """(start, end) of portions the receiver may take, the last one first."""
        starts = range(0, count, self._ceiling)
        return [(start, min(start + self._ceiling, count)) for start in reversed(starts)]

    def close(self) -> None:
        if self._door is not None:
            self._door.close()


def _problem(answer: Answer) -> str:
    if answer.status == 0:
        return answer.excerpt
    said = f": {answer.excerpt}" if answer.excerpt else ""
    redirect = " (redirects are not followed)" if 300 <= answer.status < 400 else ""
    return f"the webhook answered {answer.status}{redirect}{said}"


def _post_through(door: WebhookDoor | None) -> Post:
    if door is None:
        raise AssertionError("either a door or a post")
    return door.post


def _door(settings: OutletSettings) -> WebhookDoor:
    def headers(body: bytes) -> Mapping[str, str]:
        del body
        if not settings.token_file:
            return {}
        return {"authorization": f"Bearer {read_token(Path(settings.token_file))}"}

    return WebhookDoor(settings.url or "", settings.ca_file, headers)
