"""S22: terminal output that attacks whoever replays it (CVE-2021-25743, CVE-2026-54686): what was recorded is kept
as it was, what a replay writes is harmless, and so are names and agents in listings."""

from functools import partial
from pathlib import Path

from storage.ansi import printable
from storage.cast import terminal_events
from tests.bypass.attack import attack, recorded
from tests.bypass.shells import EXEC, V5, Cluster, talk
from tests.kit.gateway_rig import Rig
from tests.kit.hostile_terminal import SEQUENCES
from tests.kit.tunnel_ends import websocket_fields
from tests.storage.test_ansi import CONTROL, HARMLESS

HOSTILE = b" text ".join(SEQUENCES)
AGENT = b"kubectl \xe2\x80\xaednaloop\xe2\x80\xac \xc2\x9b31m \xe2\x80\x8bzero"


@attack(script=partial(Cluster, output=HOSTILE))
async def attack_the_auditor(rig: Rig) -> None:
    async with rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5), b"User-Agent: " + AGENT))
        assert (await client.head()).status == 101
        assert (await talk(client))[1] == HOSTILE, "the live session is the user's own, byte for byte"
    (exchange,) = await recorded(rig)
    assert exchange.channel(1, from_client=False) == HOSTILE, "the record is not what was shown"
    events = list(terminal_events(exchange.records))  # type: ignore[arg-type]
    shown = "".join(event.data for event in events if event.code == "o")
    assert CONTROL.search(HARMLESS.sub("", shown)) is None, "a replay attacks who watches it"
    assert " text " in shown
    agent = printable(exchange.intent.user_agent)
    assert all(character.isprintable() for character in agent), "a listing shows what it does not say"
    assert "\u202e" not in agent, "a listing shows what it does not say"


async def test_S22_a_replay_is_harmless(tmp_path: Path) -> None:
    await attack_the_auditor.against(tmp_path)
