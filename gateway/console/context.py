"""What the handlers of the API meet: the long-lived objects, and one call with everything about it understood."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from gateway.console.answers import Reply
from gateway.console.rights import Person
from gateway.console.settings import Admins
from gateway.identity.authenticate import Authenticator
from gateway.policy.decide import Policy
from gateway.principal import Principal
from gateway.server.names import HostNames
from gateway.state.follower import SharedState

B = TypeVar("B")


@dataclass(frozen=True)
class ConsoleServices:
    """Made by gateway.app. policy: that in force, None in observe mode. session_of: the open session of a credential on
    the data port, "" if there is none."""

    authenticator: Authenticator
    state: SharedState
    host_names: HostNames
    policy: Callable[[], Policy | None] = lambda: None
    session_of: Callable[[Principal], str] = lambda principal: ""
    admins: Admins = field(default_factory=Admins)


@dataclass(frozen=True)
class ApiCall:
    """One call of an identified person. path_id: of the path, "" where it has none. body: decoded, of the route's type."""

    services: ConsoleServices
    person: Person
    path_id: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: msgspec.Struct | None = None
    source: str = ""

    @property
    def state(self) -> SharedState:
        return self.services.state

    @property
    def now_ns(self) -> int:
        return self.services.state.now_ns()

    def body_as(self, kind: type[B]) -> B:
        """The body, which the route declares to be of this type."""
        if not isinstance(self.body, kind):
            raise AssertionError(f"the route does not declare {kind.__name__}")
        return self.body


SendLine = Callable[[object], Awaitable[None]]
"""Send one document of an answer that goes on; None: a blank line, to see whether somebody is there."""


@dataclass(frozen=True)
class Lines:
    """An answer of JSON lines: `produce` runs until nobody listens any more."""

    produce: Callable[[SendLine], Awaitable[None]]


Handler = Callable[[ApiCall], Awaitable[Reply | Lines]]
