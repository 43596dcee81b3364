"""What of the API server's answer may go to the client. Pure.

A redirect that reached a client would take its token, and its session, to another host (client-go sends
the token along): it passes only where it stays on our own origin, on the paths where the API server uses it.
"""

from typing import Final

from gateway.errors import CredentialRejected, UpstreamLost
from protocol.apicall import Call
from protocol.events import Headers, ResponseHead

HOP_BY_HOP: Final = frozenset(
    {
        b"alt-svc",
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"set-cookie",  # cookies are never accepted on this plane, so none are handed out
        b"strict-transport-security",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",  # speaks of our credential, not of the client's
    }
)


def client_head(head: ResponseHead, call: Call) -> ResponseHead:
    """The head to send down.

    Raises UpstreamLost for a redirect that would leave the gateway, CredentialRejected for a 401: it speaks of
    our credential, and a client that took it for its own would log in again and again.
    """
    if head.status == 401 and call.subresource != "proxy":  # behind proxy an application answers for itself
        raise CredentialRejected(
            "the API server does not accept kubetape's own credential; its operator must renew it"
        )
    if 300 <= head.status < 400 and head.status != 304:
        _check_redirect(head, call)
    if HOP_BY_HOP.isdisjoint(dict(head.headers)):
        return head
    headers: Headers = tuple([pair for pair in head.headers if pair[0] not in HOP_BY_HOP])
    return ResponseHead(head.status, headers, content_length=head.content_length)


def _check_redirect(head: ResponseHead, call: Call) -> None:
    redirects_here = call.subresource == "proxy" or call.path.startswith("/openapi/")
    for name, value in head.headers:
        if name == b"location" and not (redirects_here and _stays_here(value)):
            raise UpstreamLost(
                "the API server answered with a redirect, which kubetape does not follow or forward"
            )


def _stays_here(location: bytes) -> bool:
    """Whether a Location is a path on the origin that served it (`//host` and `/\\host` are not)."""
    return location.startswith(b"/") and location[1:2] not in (b"/", b"\\")
