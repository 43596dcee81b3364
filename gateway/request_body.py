"""Reading a request body: its beginning, or all of it. How large it may be is kube-apiserver's own limit."""

from typing import Final

from gateway.errors import TOO_LARGE, Refusal
from gateway.server.request import ClientRequest
from protocol.apicall import Call
from protocol.events import RequestHead

SMALL_BODY_BYTES: Final = 64 * 1024
"""A request body up to this size is recorded with its Intent, in one commit, and forwarded in one write."""
MAX_BODY_BYTES: Final = 3 * 1024 * 1024 + 64 * 1024
"""kube-apiserver refuses bodies over 3 MiB; the slack lets it say so itself where it would."""


def content_type(head: RequestHead) -> bytes:
    """What the body is said to be; b"" where nothing is said."""
    return dict(head.headers).get(b"content-type", b"")


async def read_small_body(request: ClientRequest, call: Call) -> tuple[bytes, bool]:
    """The body, if it is small; else its beginning. Returns whether that is all of it."""
    return await _read(request, call, SMALL_BODY_BYTES)


async def read_whole_body(request: ClientRequest, call: Call) -> bytes:
    """All of it, at most MAX_BODY_BYTES. Not for what lies below `proxy`, which has no limit."""
    return (await _read(request, call, MAX_BODY_BYTES + 1))[0]


async def _read(request: ClientRequest, call: Call, enough_bytes: int) -> tuple[bytes, bool]:
    if request.head.content_length == 0:
        return b"", True
    check_body_size(request.head.content_length or 0, call)
    body = bytearray()
    while len(body) < enough_bytes:
        chunk = await request.receive_body()
        if not chunk:
            return bytes(body), True
        body += chunk
        check_body_size(len(body), call)
    return bytes(body), False


def check_body_size(size: int, call: Call) -> None:
    """Raise Refusal (413) for a body that Kubernetes would not accept either."""
    if size > MAX_BODY_BYTES and call.subresource != "proxy":
        raise Refusal(
            TOO_LARGE, f"request body is larger than {MAX_BODY_BYTES} bytes, which Kubernetes does not accept"
        )
