"""What becomes of an event of the client: on to the cluster, an answer of ours, or a question to people."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from protocol.events import Event


@dataclass(frozen=True)
class ToCluster:
    """Forward it, and record it. event: None where it ends here; recorded: as the record may hold it, None when it
    waits for what may still become a secret."""

    event: Event | None
    recorded: Event | None


@dataclass(frozen=True)
class ToClient:
    """Tell the client; the cluster hears nothing of it."""

    event: Event


Left: TypeAlias = Callable[[], Awaitable[None]]
"""Returns once the client is gone."""
Tell: TypeAlias = Callable[[Event], None]
"""Gives the client, which waits, something to read; it is written at once."""


@dataclass(frozen=True)
class Question:
    """A typed line waits for people. decide: returns what to do then. Raises Refusal, ClientLeft."""

    decide: Callable[[Left, Tell], Awaitable[list[ToCluster | ToClient]]]


Step: TypeAlias = ToCluster | ToClient | Question
