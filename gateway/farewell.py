"""The last event of a watch that we cut: an ERROR with a Status, as the API server ends a watch it cannot go on with.

Pure. Only between two events, and only in JSON: words in the middle of an event, or in another encoding,
would garble what was sent before. Pod logs get none: our words must not look like the container's.
Source: k8s.io/apiserver endpoints/handlers/watch.go; client-go tools/cache hands the Status to its user.
"""

from typing import Final

from protocol.apicall import Call
from protocol.events import BodyChunk, Event, ResponseHead
from protocol.status import encode_status

JSON: Final = b"application/json"


class WatchBorder:
    """Follows the answer to one call and knows whether an event of ours would fit now."""

    def __init__(self, call: Call) -> None:
        self._is_watch = call.watch
        self._is_json = False
        self._fits = False

    def sending(self, events: list[Event]) -> None:
        """These go down now; until `sent` nothing may be put behind them."""
        self._fits = False
        for event in events:
            if isinstance(event, ResponseHead):
                types = [value for name, value in event.headers if name == b"content-type"]
                media_type = types[0].partition(b";")[0].strip().lower() if len(types) == 1 else b""
                self._is_json = self._is_watch and event.status == 200 and media_type == JSON

    def sent(self, events: list[Event]) -> None:
        """They are down."""
        last = events[-1]
        self._fits = isinstance(last, ResponseHead) or (
            isinstance(last, BodyChunk) and last.data.endswith(b"\n")
        )

    def farewell(self, message: str, code: int = 503) -> bytes:
        """The event to end with, b"" where none fits. message: one line for a person; code: of its Status."""
        if not (self._is_json and self._fits):
            return b""
        status = encode_status(code, "", message).strip()
        return b'{"type":"ERROR","object":' + status + b"}\n"
