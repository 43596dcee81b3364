"""One attempt to hand a notice to one webhook, signed. Blocking; one thread at a time."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gateway.notify.deliveries import Parcel
from gateway.notify.settings import WebhookSettings
from gateway.notify.signature import MIN_SECRET_BYTES, sign
from gateway.outlets.webhook_door import Answer, NotSent, WebhookDoor

MAX_SECRET_BYTES: Final = 4096


class WebhookPosts:
    """clock_s: POSIX seconds, what the receiver compares its own clock with."""

    def __init__(self, settings: WebhookSettings, clock_s: Callable[[], float] = time.time) -> None:
        self._secret_file, self._clock_s = Path(settings.secret_file), clock_s
        self._door = WebhookDoor(settings.url, settings.ca_file, self._headers)
        self._parcel: Parcel | None = None

    def post(self, parcel: Parcel) -> Answer:
        """Never raises."""
        self._parcel = parcel
        return self._door.post(parcel.body)

    def close(self) -> None:
        self._door.close()

    def _headers(self, body: bytes) -> Mapping[str, str]:
        if self._parcel is None:
            raise AssertionError("headers are those of a parcel")
        timestamp_s = int(self._clock_s())
        return {
            "kubetape-delivery": self._parcel.id,
            "kubetape-event": self._parcel.event,
            "kubetape-timestamp": str(timestamp_s),
            "kubetape-signature": sign(read_secret(self._secret_file), timestamp_s, body),
        }


def read_secret(path: Path) -> bytes:
    """The secret, read anew each time: it may be rotated. Never in an error. Raises NotSent."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise NotSent(f"secret file {path}: {error.strerror}") from None
    secret = content.strip()
    if not MIN_SECRET_BYTES <= len(secret) <= MAX_SECRET_BYTES:
        raise NotSent(f"secret file {path}: a secret has {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes")
    return secret
