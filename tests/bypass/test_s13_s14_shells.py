"""S13: subprotocols that hide bytes (text frames of base64.channel.k8s.io were recorded by nobody), or that nobody
here reads. S14: shells without a terminal, without output, in fragments (kubectl-rexec #180, #182). Whatever the
form, the bytes of every channel in the record are those both ends had."""

from functools import partial
from pathlib import Path

from tests.bypass.attack import attack, recorded
from tests.bypass.shells import EXEC, POD, V5, Cluster, carries_all, first_offer, message, talk
from tests.kit.gateway_rig import Rig
from tests.kit.orc import Script
from tests.kit.tunnel_ends import websocket_fields
from tests.kit.websocket_bytes import frame

TYPED = b"cat /etc/shadow\n"
PROTOCOLS = (
    b"v5.channel.k8s.io",
    b"v4.channel.k8s.io",
    b"channel.k8s.io",
    b"v4.base64.channel.k8s.io",
    b"base64.channel.k8s.io",
    b"",
)


def listens(**given: object) -> Script:
    return Cluster(wanted=len(TYPED), **given)  # type: ignore[arg-type]


async def assert_all_is_recorded(rig: Rig, shells: int) -> None:
    cluster = rig.orc.script
    assert isinstance(cluster, Cluster)
    assert bytes(cluster.typed) == TYPED, "what was typed did not arrive as it was typed"
    exchanges = await recorded(rig)
    assert len(exchanges) == shells
    last = exchanges[-1]
    assert last.channel(0, from_client=True) == TYPED, "what was typed is in no record"
    assert last.channel(1, from_client=False) == b"from the shell", "what was shown is in no record"


@attack(script=listens)
async def speak_every_subprotocol(rig: Rig) -> None:
    cluster = rig.orc.script
    assert isinstance(cluster, Cluster)
    for number, protocol in enumerate(PROTOCOLS, 1):
        cluster.typed.clear()
        base64 = b"base64" in protocol
        fields = [f for f in websocket_fields(protocol) if protocol or b"Protocol" not in f]
        async with rig.client() as client:
            await client.send(rig.request(b"GET", EXEC, *fields))
            head = await client.head()
            assert (head.status, head.header(b"sec-websocket-protocol") or b"") == (101, protocol)
            channels = await talk(client, message(0, TYPED, base64=base64), base64=base64)
        assert channels[1] == b"from the shell"
        await assert_all_is_recorded(rig, number)


OFFERS = (b"v6.channel.k8s.io", b"evil", b"portforward.k8s.io", V5, b"v4.channel.k8s.io", V5)


@attack(script=partial(Cluster, choose=lambda request: first_offer(request)))
async def offer_what_nobody_reads(rig: Rig) -> None:
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(*OFFERS)))
        status = (await client.head()).status
        (seen,) = rig.orc.requests
        offered = (seen.header(b"sec-websocket-protocol") or b"").split(b", ")
        assert offered == [V5, b"v4.channel.k8s.io"], "the cluster was offered what nobody here reads"
        assert status == 101
        await talk(client)
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(b"v6.channel.k8s.io", b"evil")))
        assert (await client.response()).status == 403
    assert len(rig.orc.requests) == 1
    await recorded(rig)


@attack(script=partial(Cluster, choose=lambda request: b"v4.base64.channel.k8s.io"))
async def choose_what_was_not_offered(rig: Rig) -> None:
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
        assert (await client.head()).status == 502, "a protocol was spoken that had not been offered"
    await recorded(rig)


@attack(script=partial(Cluster, extra=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"))
async def compress_the_frames(rig: Rig) -> None:
    async with rig.client() as client:
        deflate = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5), deflate))
        status = (await client.head()).status
    (seen,) = rig.orc.requests
    assert b"sec-websocket-extensions" not in seen.names(), "compression was offered to the cluster"
    assert status == 502, "frames that nobody here can read were let in"
    await recorded(rig)


@attack(script=carries_all)
async def set_reserved_bits(rig: Rig) -> None:
    for piece in (
        frame(2, b"\0x", reserved=4),
        frame(2, b"\0x", reserved=1),
        frame(3, b"\0x"),
        frame(2, b"\0x", masked=False),
    ):
        async with rig.client() as client:
            await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
            assert (await client.head()).status == 101
            await talk(client, piece)
    await recorded(rig)
    for exchange in await recorded(rig):
        assert exchange.channel(0, from_client=True) == b"", "a frame with two readings was carried"


FLAGS = (
    b"stdin=1",
    b"stdin=1&tty=1&stdout=1",
    b"stdin=1&stdout=1",
    b"stdin=1&stdout=1&stderr=1",
    b"stdin=true&tty=true",
)


@attack(script=listens)
async def type_without_a_terminal(rig: Rig) -> None:
    cluster = rig.orc.script
    assert isinstance(cluster, Cluster)
    for number, flags in enumerate(FLAGS, 1):
        cluster.typed.clear()
        async with rig.client() as client:
            target = POD + (b"/attach?" if number % 2 else b"/exec?command=sh&") + flags
            await client.send(rig.request(b"GET", target, *websocket_fields(V5)))
            assert (await client.head()).status == 101
            await talk(client, message(0, TYPED))
        await assert_all_is_recorded(rig, number)


def fragments(protocol_byte: bytes) -> bytes:
    """One message, a frame a byte, with pings and empty fragments in between."""
    payload = protocol_byte + TYPED
    pieces = [frame(2, payload[:1], fin=False)]
    for position in range(1, len(payload)):
        pieces += [frame(9, b"ping"), frame(0, b"", fin=False)]
        pieces.append(frame(0, payload[position : position + 1], fin=position == len(payload) - 1))
    return b"".join(pieces)


@attack(script=listens)
async def type_in_fragments(rig: Rig) -> None:
    cluster = rig.orc.script
    assert isinstance(cluster, Cluster)
    wire = fragments(b"\0")
    for number, pieces in enumerate(([wire], [wire[i : i + 1] for i in range(len(wire))]), 1):
        cluster.typed.clear()
        async with rig.client() as client:
            await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
            assert (await client.head()).status == 101
            await talk(client, *pieces)
        await assert_all_is_recorded(rig, number)


async def test_S13_every_subprotocol_is_recorded_decoded(tmp_path: Path) -> None:
    await speak_every_subprotocol.against(tmp_path)


async def test_S13_only_what_we_read_is_offered(tmp_path: Path) -> None:
    await offer_what_nobody_reads.against(tmp_path)


async def test_S13_a_choice_that_was_not_offered_is_refused(tmp_path: Path) -> None:
    await choose_what_was_not_offered.against(tmp_path)


async def test_S13_compression_is_neither_offered_nor_let_in(tmp_path: Path) -> None:
    await compress_the_frames.against(tmp_path)


async def test_S13_frames_with_two_readings_are_not_carried(tmp_path: Path) -> None:
    await set_reserved_bits.against(tmp_path)


async def test_S14_a_shell_without_a_terminal_is_recorded(tmp_path: Path) -> None:
    await type_without_a_terminal.against(tmp_path)


async def test_S14_so_is_one_typed_in_fragments(tmp_path: Path) -> None:
    await type_in_fragments.against(tmp_path)
