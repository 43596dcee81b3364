"""The management port: two probes, and nothing that could end the program they probe."""

import pytest
import trio

from gateway.server.management import Check, serve_management


async def ask(wire: bytes, *, ready: list[Check], half_close: bool = True) -> bytes:
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[int]) -> None:
            await serve_management(
                "127.0.0.1", 0, live=[("loop", lambda: "")], ready=ready, task_status=task_status
            )

        port = await nursery.start(serve)
        answer = b""
        with trio.fail_after(5):
            for request in (wire, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"):  # it survives the first
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    await stream.send_all(request)
                    if half_close:
                        await stream.send_eof()
                    got = b""
                    while data := await stream.receive_some(4096):
                        got += data
                    answer = answer or got or b"nothing"
        assert got.endswith(b"ok")
        nursery.cancel_scope.cancel()
    return answer


FINE: list[Check] = [("recorder", lambda: "")]
ILL: list[Check] = [("recorder", lambda: ""), ("upstream", lambda: "cannot be reached")]


def _raises() -> str:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("wire", "ready", "status", "text"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", ILL, b"200", b"ok"),
        (b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", FINE, b"200", b"ok"),
        (b"GET /readyz HTTP/1.0\r\n\r\n", FINE, b"200", b"ok"),
        (
            b"GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n",
            FINE,
            b"200",
            b"[+]recorder ok\nreadyz check passed\n",
        ),
        (
            b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n",
            ILL,
            b"503",
            b"[-]upstream failed: cannot be reached\nreadyz check failed\n",
        ),
        (b"GET /readyz?exclude=upstream HTTP/1.1\r\nHost: a\r\n\r\n", ILL, b"200", b"ok"),
        (
            b"GET /readyz?verbose&exclude=upstream HTTP/1.1\r\nHost: a\r\n\r\n",
            ILL,
            b"200",
            b"[+]recorder ok\n[+]upstream excluded: ok\nreadyz check passed\n",
        ),
        (
            b"GET /readyz?exclude=recorder HTTP/1.1\r\nHost: a\r\n\r\n",
            ILL,
            b"503",
            b"[-]upstream failed: cannot be reached\n[+]recorder excluded: ok\nreadyz check failed\n",
        ),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", FINE, b"404", b"served here\n"),
        (b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", FINE, b"404", b"served here\n"),
    ],
)
async def test_a_probe_hears_how_things_are(
    wire: bytes, ready: list[Check], status: bytes, text: bytes
) -> None:
    answer = await ask(wire, ready=ready)
    assert answer.split(b" ")[1] == status
    assert answer.endswith(text)


@pytest.mark.parametrize(
    "wire",
    [
        b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x00",
        b"",
        b"GET /livez HTTP/1.1\r\n",
        b"GET /livez HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ],
)
async def test_no_request_whatever_ends_the_program(wire: bytes) -> None:
    assert b"500" not in await ask(wire, ready=FINE)


async def test_a_check_that_fails_by_itself_ends_one_probe_only(capfd: pytest.CaptureFixture[str]) -> None:
    assert await ask(b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", ready=[("x", _raises)]) == b"nothing"
    assert "RuntimeError" in capfd.readouterr().err


async def test_a_probe_that_says_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.management.REQUEST_TIMEOUT_S", 0.1)
    assert await ask(b"GET /li", ready=FINE, half_close=False) == b"nothing"


async def test_metrics_are_served_as_prometheus_text() -> None:
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[int]) -> None:
            await serve_management(
                "127.0.0.1",
                0,
                live=[],
                ready=[],
                metrics=lambda: b"kubetape_calls_active 2.0\n",
                task_status=task_status,
            )

        port = await nursery.start(serve)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = b""
            while data := await stream.receive_some(4096):
                answer += data
        nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"text/plain; version=0.0.4" in answer
    assert answer.endswith(b"\r\n\r\nkubetape_calls_active 2.0\n")
