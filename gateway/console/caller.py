"""Who calls the API: one credential, verified like on the data port. Conduct.

Never a cookie, so no page of another origin can act for anybody; but a browser sends a client certificate by itself.
Therefore an Origin that is not our own is refused before anything else is looked at.
"""

from gateway.console.context import ApiCall, ConsoleServices
from gateway.console.rights import Person, is_admin
from gateway.errors import (
    FORBIDDEN,
    IDENTITY_UNAVAILABLE,
    MISDIRECTED,
    UNAUTHORIZED,
    Refusal,
)
from gateway.identity.authenticate import Unauthenticated
from gateway.server.request import ClientRequest
from gateway.state.follower import SharedState
from protocol.events import RequestHead
from protocol.status import unauthorized_message


def check_origin(head: RequestHead, services: ConsoleServices) -> None:
    """Whether this was meant for us, and comes from no page but ours. Raises Refusal."""
    if not services.host_names.accept(head.authority):
        raise Refusal(MISDIRECTED, "this gateway does not answer for that host")
    own = b"https://" + head.authority
    for name, value in head.headers:
        if name == b"origin" and value != own:
            raise Refusal(FORBIDDEN, "a page of another origin may not use this API")
        if name == b"sec-fetch-site" and value not in (b"same-origin", b"none"):
            raise Refusal(FORBIDDEN, "a page of another origin may not use this API")


async def identify(request: ClientRequest, services: ConsoleServices) -> Person:
    """Raises Refusal: 401 without a good credential, 403 for one whose access is revoked."""
    try:
        principal = await services.authenticator.authenticate(
            request.head, peer_certificate_der=request.facts.peer_certificate_der, subprotocol_token=None
        )
    except Unauthenticated as error:
        if error.unavailable:
            raise Refusal(IDENTITY_UNAVAILABLE, error.reason) from error
        raise Refusal(UNAUTHORIZED, unauthorized_message(error.reason)) from error
    person = Person(principal, services.session_of(principal), is_admin(principal, services.admins))
    _check_revoked(services.state, person)
    return person


def still_welcome(call: ApiCall) -> None:
    """Ask again during a long answer. Raises Refusal."""
    expires_ns = call.person.principal.expires_ns
    if expires_ns is not None and expires_ns <= call.now_ns:
        raise Refusal(UNAUTHORIZED, unauthorized_message("your credential expired: log in again"))
    _check_revoked(call.state, call.person)


def _check_revoked(state: SharedState, person: Person) -> None:
    who = person.principal
    revoked = state.revocation_of(who.user, who.issuer, who.credential_id, person.session)
    if revoked is not None:
        raise Refusal(FORBIDDEN, f"access revoked by {revoked.by}: {revoked.reason}")
