"""What the clients know: every call they made, and every byte of an answer that reached them.

A call is known by its User-Agent, which is unique: the gateway records it and forwards it, so client, record
and API server can be laid side by side whatever became of the answer.
"""

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Final

SECRET: Final = "/api/v1/namespaces/payments/secrets/customer-cards"


def body_of(agent: str, size: int) -> bytes:
    """A ConfigMap of about so many bytes, named by the call that makes it: anybody can make it again."""
    filler = hashlib.sha256(agent.encode()).hexdigest() * (size // 64 + 1)
    metadata, data = {"name": agent.replace("/", ".")}, {"x": filler[:size]}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}).encode()


@dataclass
class ClientCall:
    """One call as its client saw it. answered: the head of the answer came. finished_ns: all of it came.

    durability: the class of the call (1 or 2). sent: request body, or what was written to standard input.
    pieces: when each piece of the answer came (UTC nanoseconds) and how many bytes had come by then;
    sent_pieces: the same of standard input.
    """

    agent: str
    kind: str
    method: str
    target: str
    durability: int
    sent: bytes = b""
    began_ns: int = field(default_factory=time.time_ns)
    status: int = 0
    answered: bool = False
    received: bytearray = field(default_factory=bytearray)
    pieces: list[tuple[int, int]] = field(default_factory=list)
    sent_pieces: list[tuple[int, int]] = field(default_factory=list)
    audit_id: str = ""
    finished_ns: int = 0
    problem: str = ""

    def take(self, data: bytes) -> None:
        self.received += data
        self.pieces.append((time.time_ns(), len(self.received)))

    def give(self, data: bytes) -> None:
        self.sent += data
        self.sent_pieces.append((time.time_ns(), len(self.sent)))


def bytes_at(pieces: list[tuple[int, int]], moment_ns: int) -> int:
    """How many bytes had come, or gone, at a moment."""
    return max((size for at_ns, size in pieces if at_ns <= moment_ns), default=0)


class Ledger:
    """The calls of all clients, in the order they began."""

    def __init__(self) -> None:
        self.calls: list[ClientCall] = []
        self.kills_ns: list[int] = []
        self._lock = threading.Lock()

    def begin(self, call: ClientCall) -> ClientCall:
        with self._lock:
            self.calls.append(call)
        return call

    def by_agent(self) -> dict[str, ClientCall]:
        return {call.agent: call for call in self.calls}

    def finished(self) -> list[ClientCall]:
        return [call for call in self.calls if call.finished_ns]
