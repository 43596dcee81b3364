"""Names of fields that HTTP/1.1 heads treat apart, for who reads them and who writes them."""

from typing import Final

from protocol.headers import CONNECTION_FIELDS

TAKEN_FROM_REQUEST: Final = CONNECTION_FIELDS | {b"host", b"content-length", b"expect"}
TAKEN_FROM_RESPONSE: Final = CONNECTION_FIELDS | {b"content-length"}
"""Fields that are expressed in an event itself: taken out of what is read, not accepted in what is to be written."""

USUAL_NAMES: Final = {
    spelling: name
    for name in (
        b"host", b"user-agent", b"accept", b"accept-encoding", b"authorization", b"content-length", b"content-type",
        b"transfer-encoding", b"connection", b"upgrade", b"kubectl-command", b"kubectl-session", b"x-stream-protocol-version",
        b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-protocol", b"audit-id", b"cache-control", b"date",
        b"warning", b"x-kubernetes-pf-flowschema-uid", b"x-kubernetes-pf-prioritylevel-uid", b"content-encoding", b"vary",
        b"x-forwarded-for",
    )
    for spelling in (name, name.title())
}  # fmt: skip
"""Names as Go writes them, known to be good: no need to check them again in each request."""
