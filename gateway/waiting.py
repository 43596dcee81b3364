"""One call that waits for people, and what an approval of it is bound to."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

from gateway.admission import Admitted
from gateway.live import LiveExchange
from gateway.policy.digest import command_key, request_digest
from gateway.policy.model import HoldTerms
from gateway.services import Services
from gateway.tape import Tape
from protocol.events import RequestHead


@dataclass(frozen=True)
class Waiting:
    """One held call. terms: who decides; body: as it would go upstream; left: returns when the client is gone.

    patience_s: how long it is kept open before its client is told to come back, which kubectl does ten times; inf: as
    long as people have, for streams, which are asked for only once.
    """

    head: RequestHead
    left: Callable[[], Awaitable[None]]
    tape: Tape
    services: Services
    live: LiveExchange
    admitted: Admitted
    terms: HoldTerms
    body: bytes = b""
    patience_s: float = math.inf

    @cached_property
    def digest(self) -> str:
        content_type = dict(self.head.headers).get(b"content-type", b"")
        admitted = self.admitted
        return request_digest(admitted.principal, admitted.call, content_type, self.body, self.terms.rule)

    @cached_property
    def command(self) -> str:
        """The key of its kubectl run, "" where only this very request may be approved."""
        if self.terms.scope != "command":
            return ""
        session = dict(self.head.headers).get(b"kubectl-session", b"").decode("latin-1")
        return command_key(self.admitted.principal, self.admitted.call, session, self.terms.rule)
