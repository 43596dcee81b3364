"""The record of what the stand-in saw: one JSON line a request, written when the request is over.

So that a test can compare byte for byte with another record of the same traffic. Bodies and channel
data are kept as length and SHA-256, never as bytes. Headers are kept whole, credentials included, for
what a proxy did with them is the question: the file is the owner's alone, and a toy's. Lines appear in
the order in which requests ended.
"""

import hashlib
import json
import time
from pathlib import Path

from gateway.demo.standin.replies import JsonObject
from protocol.events import Channel


class Digest:
    """Length and SHA-256 of bytes that pass by."""

    def __init__(self) -> None:
        self._hash, self._bytes = hashlib.sha256(), 0

    def add(self, data: bytes) -> None:
        self._hash.update(data)
        self._bytes += len(data)

    def as_json(self) -> JsonObject:
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}


class SeenChannel:
    """Both directions of one channel: `received` came from the client, `sent` went to it."""

    def __init__(self, channel: Channel, connection: int, port: int) -> None:
        self.channel, self.connection, self.port = channel, connection, port
        self.received, self.sent = Digest(), Digest()

    def as_json(self) -> JsonObject:
        return {
            "channel": self.channel.name.lower(),
            "connection": self.connection,
            "port": self.port,
            "received": self.received.as_json(),
            "sent": self.sent.as_json(),
        }


class SeenRequest:
    """What came and went for one request. `complete` turns true when the answer went out whole."""

    def __init__(self, method: str, target: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.method, self.target, self.headers = method, target, headers
        self.arrived_ns = time.time_ns()  # UTC, when the head was complete
        self.user = ""
        self.impersonating: str | None = None
        self.request_body, self.response_body = Digest(), Digest()
        self.status = 0
        self.protocol = ""  # of an upgraded connection: what was negotiated
        self.complete = False
        self._channels: dict[tuple[Channel, int], SeenChannel] = {}

    def channel(self, channel: Channel, connection: int = 0, port: int = 0) -> SeenChannel:
        """The entry of one channel, made when first asked for."""
        key = (channel, connection)
        if key not in self._channels:
            self._channels[key] = SeenChannel(channel, connection, port)
        return self._channels[key]

    def as_json(self) -> JsonObject:
        return {
            "arrived_ns": self.arrived_ns,
            "method": self.method,
            "target": self.target.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "user": self.user,
            "impersonating": self.impersonating,
            "request_body": self.request_body.as_json(),
            "status": self.status,
            "response_body": self.response_body.as_json(),
            "protocol": self.protocol,
            "channels": [channel.as_json() for channel in self._channels.values()],
            "complete": self.complete,
        }


class SeenLog:
    """Appends requests to a file. Each line reaches the file before the next request of the same
    connection is read, so a client that got its answer and asks again finds the first one recorded."""

    def __init__(self, path: Path | None) -> None:
        if path:
            path.touch(mode=0o600)
        self._file = path.open("ab", buffering=0) if path else None

    def append(self, seen: SeenRequest) -> None:
        if self._file:
            self._file.write(json.dumps(seen.as_json(), separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        if self._file:
            self._file.close()
