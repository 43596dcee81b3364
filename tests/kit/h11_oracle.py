"""h11 as an oracle: what another parser of HTTP/1.1 makes of the same bytes."""

from typing import Final, NamedTuple

import h11

_MAX_EVENT_BYTES: Final = 4 << 20

CONNECTION_FIELDS: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
        b"content-length",
    }
)  # fmt: skip


class OracleRequest(NamedTuple):
    method: bytes
    target: bytes
    host: bytes
    headers: tuple[tuple[bytes, bytes], ...]  # end-to-end fields alone
    body: bytes


class OracleResponse(NamedTuple):
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    complete: bool


def read_request(wire: bytes) -> OracleRequest | None:
    """The first request of these bytes, None if h11 refuses it or waits for more."""
    connection = h11.Connection(h11.SERVER, _MAX_EVENT_BYTES)
    connection.receive_data(wire)
    head: h11.Request | None = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                fields = tuple(
                    (name, value) for name, value in head.headers if name not in (b"host", b"expect")
                )
                kept = tuple(field for field in fields if field[0] not in CONNECTION_FIELDS)
                host = b"".join(value for name, value in head.headers if name == b"host")
                return OracleRequest(bytes(head.method), bytes(head.target), host, kept, body)
            else:
                return None
    except h11.RemoteProtocolError:
        return None


def read_response(wire: bytes, method: bytes, *, ended: bool) -> OracleResponse | None:
    """The final response to `method`, None if h11 refuses it or has no head yet."""
    connection = h11.Connection(h11.CLIENT, _MAX_EVENT_BYTES)
    connection.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    if ended:
        connection.receive_data(b"")
    head: h11.Response | None = None
    body, complete = b"", False
    try:
        while not complete:
            event = connection.next_event()
            if isinstance(event, h11.InformationalResponse):
                continue
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                complete = True
            else:
                break
    except h11.RemoteProtocolError:
        return None
    if head is None:
        return None
    fields = tuple((name, value) for name, value in head.headers if name not in CONNECTION_FIELDS)
    return OracleResponse(head.status_code, fields, body, complete)
