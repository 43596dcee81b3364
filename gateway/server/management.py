"""livez, readyz and metrics on a port of their own: on the data port those paths are the cluster's.

Plain HTTP/1.1 by h11: no identity, no secrets, meant for a probe on the same host or network.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl

import h11
import trio

from gateway import journal
from gateway.server.listening import open_listeners

Check = tuple[str, Callable[[], str]]
"""A name and a function that returns "" when all is well, else one line saying what is wrong."""

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_TIMEOUT_S: Final = 5.0
MAX_REQUEST_BYTES: Final = 16 * 1024


async def serve_management(
    host: str,
    port: int,
    *,
    live: list[Check],
    ready: list[Check],
    metrics: Callable[[], bytes] | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer GET /livez and /readyz as kube-apiserver does, and /metrics.

    ?verbose: a line per check; ?exclude=NAME: a check that does not count, for a probe that must not take every
    replica out of service at once when something fails that they share.
    metrics: Prometheus' text.
    """

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                with trio.move_on_after(REQUEST_TIMEOUT_S):
                    await _answer(stream, {"/livez": live, "/readyz": ready}, metrics)
            except Exception as error:
                # A probe must never end what it probes.
                journal.problem("management", "a probe was ended by an unexpected error", error)

    listeners = await open_listeners(host, port, option="--mgmt-listen")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def _answer(
    stream: trio.SocketStream, probes: dict[str, list[Check]], metrics: Callable[[], bytes] | None
) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(4096))
            elif isinstance(event, h11.Request):
                break
            else:
                return
        status, body, content_type = _reply(event, probes, metrics)
        headers = [
            ("content-type", content_type),
            ("content-length", str(len(body))),
            ("connection", "close"),
        ]
        answer = connection.send(h11.Response(status_code=status, headers=headers)) or b""
        if event.method != b"HEAD":
            answer += connection.send(h11.Data(data=body)) or b""
        await stream.send_all(answer)
    except (h11.RemoteProtocolError, trio.BrokenResourceError):
        return  # a probe that does not speak HTTP gets no answer


def _reply(
    request: h11.Request, probes: dict[str, list[Check]], metrics: Callable[[], bytes] | None
) -> tuple[int, bytes, str]:
    """Status, body and content type."""
    if metrics is not None and request.method == b"GET" and request.target.partition(b"?")[0] == b"/metrics":
        return 200, metrics(), METRICS_TYPE
    status, text = _report(request, probes)
    return status, text.encode(), "text/plain; charset=utf-8"


def _report(request: h11.Request, probes: dict[str, list[Check]]) -> tuple[int, str]:
    path, _, query = request.target.decode("ascii", "replace").partition("?")
    checks = probes.get(path)
    if request.method != b"GET" or checks is None:
        return 404, "only GET /livez, GET /readyz and GET /metrics are served here\n"
    wishes = parse_qsl(query, keep_blank_values=True)
    excluded = {value for key, value in wishes if key == "exclude"}
    results = [(name, check()) for name, check in checks if name not in excluded]
    failed = any(why for _, why in results)
    lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in results]
    lines += [f"[+]{name} excluded: ok" for name, _ in checks if name in excluded]
    name = path.strip("/")
    if failed:
        return 503, "\n".join([*lines, f"{name} check failed"]) + "\n"
    if any(key == "verbose" for key, _ in wishes):
        return 200, "\n".join([*lines, f"{name} check passed"]) + "\n"
    return 200, "ok"
