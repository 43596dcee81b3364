"""S24: secrets in the query string of an exec (kubernetes#97795): in the record, for that is what was done, and in
no answer, log line or metric. (What a mask hides of it in the record is a matter of policy.)"""

import contextlib
import io
from pathlib import Path

import trio

from storage.records import encode_record
from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.shells import POD, V5
from tests.kit.gateway_rig import Rig
from tests.kit.orc import Script, says
from tests.kit.tunnel_ends import websocket_fields

SECRET = b"hunter2canary"
TARGETS = [
    POD + b"/exec?command=mysql&command=-p" + SECRET + b"&stdout=1",
    POD + b"/exec?command=mysql&command=-p" + SECRET + b"&stdout=1&stdout=1",
    POD + b"/exec%zz?command=" + SECRET,
    b"/api/v1/namespaces/default/services/s/proxy/login?password=" + SECRET,
    b"/api/v1/secrets?fieldSelector=metadata.name%3D" + SECRET + b";",
]


def answers_nonsense() -> Script:
    return says(b"HTTP/1.1 999 no\r\n\r\n", then_close=True)


@attack(script=answers_nonsense)
async def put_a_secret_in_the_query(rig: Rig) -> None:
    heard, journal = b"", io.StringIO()
    with contextlib.redirect_stderr(journal):
        for target in TARGETS:
            for fields in (websocket_fields(V5), ()):
                response = await answer_to(rig, rig.request(b"GET", target, *fields))
                assert response is not None
                assert response.status >= 400
                heard += response.wire + response.body
    exchanges = await recorded(rig)
    assert [SECRET in e.intent.target for e in exchanges] == [True] * (2 * len(TARGETS)), "not recorded"
    assert SECRET not in heard, "an answer repeats the secret"
    assert '"error"' in journal.getvalue()
    assert SECRET.decode() not in journal.getvalue(), "a log line repeats the secret"
    stream = await trio.open_tcp_stream("127.0.0.1", rig.gateway.management_port)
    async with stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        figures = b""
        while data := await stream.receive_some(65536):
            figures += data
    assert b"kubetape_" in figures
    assert SECRET not in figures, "a metric repeats the secret"


@attack()
async def put_a_token_in_a_proxied_query(rig: Rig) -> None:
    """What is behind a proxy may want it: it goes there, and nowhere else."""
    target = b"/api/v1/namespaces/default/services/s/proxy/x?a=1&access_token=" + SECRET
    assert (await rig.ask(b"GET", target)).status == 200
    assert rig.orc.requests[0].target == target
    exchange = await rig.exchange()
    assert SECRET not in b"".join(encode_record(record) for record in exchange.records), (
        "the token is recorded"
    )
    assert exchange.intent.upstream_target.endswith(b"?a=1&access_token=REDACTED")


async def test_S24_a_token_in_a_proxied_query_is_in_no_record(tmp_path: Path) -> None:
    await put_a_token_in_a_proxied_query.against(tmp_path)


async def test_S24_a_secret_of_a_command_line_is_in_the_record_and_nowhere_else(tmp_path: Path) -> None:
    await put_a_secret_in_the_query.against(tmp_path)
