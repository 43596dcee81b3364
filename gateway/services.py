"""What an exchange needs; one set per worker, made by gateway.app."""

from dataclasses import dataclass, field

import msgspec

from gateway.budgets.budgets import Budgets
from gateway.decision_counts import DecisionCounts
from gateway.durability import Durability
from gateway.errors import UpstreamUnreachable
from gateway.identity.authenticate import Authenticator
from gateway.keyed_locks import KeyedLocks
from gateway.live import Live
from gateway.policy_in_force import PolicyInForce
from gateway.recorder import Recorder
from gateway.request_headers import KnownHeaders
from gateway.revocations import Revocations
from gateway.server.names import HostNames
from gateway.sessions import Sessions
from gateway.state.follower import SharedState
from gateway.upstream.credentials import CredentialUnavailable
from gateway.upstream.pool import Pool
from gateway.upstream.request import IdentityMode
from protocol.events import Headers, RequestHead
from protocol.known_calls import KnownCalls


@dataclass(frozen=True)
class Services:
    """The long-lived objects an exchange meets."""

    authenticator: Authenticator
    recorder: Recorder
    sessions: Sessions
    live: Live
    pool: Pool
    identity_mode: IdentityMode
    durability: Durability
    host_names: HostNames
    policy: PolicyInForce
    state: SharedState
    revocations: Revocations
    budgets: Budgets
    counts: DecisionCounts
    patience_s: float  # how long a held call is kept open before its client is told to come back
    opening_holds: KeyedLocks = field(default_factory=KeyedLocks)
    known_calls: KnownCalls = field(default_factory=KnownCalls)
    known_headers: KnownHeaders = field(default_factory=KnownHeaders)

    def heard_status(self, status: int) -> None:
        """The API server answered so. 401 speaks of our credential: have it renewed."""
        if status == 401:
            self.pool.cluster.credential.rejected()

    def with_credential(self, head: RequestHead, *, content_length: int | None = 0) -> RequestHead:
        """The head as it goes on the wire: with our Authorization, which is in no record.

        content_length: bytes, or None for a body of unknown length. Raises UpstreamUnreachable.
        """
        try:
            authorization = self.pool.cluster.credential.authorization()
        except CredentialUnavailable as error:
            raise UpstreamUnreachable(
                f"kubetape has no valid credential for the API server: {error}"
            ) from error
        headers: Headers = head.headers
        if authorization is not None:
            headers += ((b"authorization", authorization),)
        return msgspec.structs.replace(head, headers=headers, content_length=content_length)
