"""What is shown, scene by scene. Each is a few steps of the two people; `tour` puts them in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from gateway.demo.oncall import decide, next_request
from gateway.demo.people import AGENT, ONCALL
from gateway.demo.stage import Stage, TourFailed
from gateway.demo.steps import (
    DELETE_IN_PROD,
    DELETE_WORKER,
    FOLLOW_LOG,
    LIST_PODS,
    READ_CUSTOMERS,
    READ_SECRET,
    TERMINAL,
    WATCH_PODS,
    WIPE,
    Step,
)

WAIT_S: Final = 30.0
"""For what the gateway does by itself in well under a second."""
POLL_S: Final = 0.05
THINKING_S: Final = 2.0
RUNNING_S: Final = 2.0
MIN_RUNNING_S: Final = 0.5
"""A log that is followed shows a line every 100 ms."""
WRONG_POD: Final = "wrong namespace: payments is slow, not prod"
INCIDENT_OVER: Final = "the incident is over"


async def look_and_be_masked(stage: Stage) -> None:
    """Reading, with what must not be seen hidden on the way."""
    stage.screen.title("agent-7 looks: allowed, recorded, and masked before it arrives")
    await stage.act(AGENT, LIST_PODS)
    await stage.act(AGENT, READ_SECRET)
    await stage.act(AGENT, READ_CUSTOMERS)


async def be_blocked(stage: Stage) -> None:
    """A command that a rule denies; and the same, typed into a terminal."""
    stage.screen.title("blocked, with the reason where one looks for it")
    await stage.act(AGENT, WIPE)
    await stage.act(ONCALL, TERMINAL)


async def be_held(stage: Stage) -> None:
    """Two deletions that wait for a person: one is denied with a note, one approved."""
    stage.screen.title("held for a person; the command just waits, with any client")
    await _held(stage, DELETE_IN_PROD, scripted=False)
    await _held(stage, DELETE_WORKER, scripted=True)


async def be_granted_and_revoked(stage: Stage) -> None:
    """Access for a while: asked for, given, used, taken away under way."""
    stage.screen.title("access for a while")
    await stage.act(AGENT, FOLLOW_LOG)
    reason = ("--reason", "payments is slow", "--duration", "15m")
    asked = await stage.kubetape(AGENT.name, "grants", "request", "follow-payments", *reason)
    grant = asked.split()[0]
    await stage.pause(1.0)
    await stage.kubetape(ONCALL.name, "grants", "approve", grant)
    async with _under_way(stage, FOLLOW_LOG, WATCH_PODS):
        await _wait_for_streams(stage, 2)
        await trio.sleep(max(RUNNING_S * stage.pace, MIN_RUNNING_S))
        await stage.kubetape(ONCALL.name, "grants", "revoke", grant, "--reason", INCIDENT_OVER)
    stage.screen.say("# a log holds the container's words only, so it just breaks off; the record says why")


async def show_record(stage: Stage, log_key: str) -> None:
    """The record, through the same command line a person uses."""
    where, screen = ("--data-dir", str(stage.directory)), stage.screen
    screen.title("all of it is recorded, masked as it was answered")
    await stage.kubetape("", "sessions", "ls", "--limit", "12", *where)
    screen.title("what would a stricter policy have said?")
    packs = ("--pack", "protect-prod", "--pack", "no-escape")
    policies = (
        "--policy",
        str(stage.directory / "policy"),
        "--policy",
        str(stage.directory / "stricter.yaml"),
    )
    await stage.kubetape("", "policy", "replay", *policies, *packs, "--user", AGENT.name, *where)
    screen.title("the terminal, replayed (idle time cut, four times as fast)")
    listed = await stage.kubetape(
        "", "sessions", "search", f"user:{ONCALL.name} kind:exec", "-o", "name", *where, quiet=True
    )
    if not listed.split():
        raise TourFailed("the terminal is not in the index")
    speed = ("--speed", "4", "--idle-limit", "0.5")
    await stage.kubetape("", "sessions", "play", listed.split()[0], *speed, *where)
    screen.title("and nothing was changed, removed or added since (no key is needed to check that)")
    await stage.kubetape("", "verify", str(stage.directory), "--vkey", log_key)
    screen.say("log verified")


async def _held(stage: Stage, step: Step, *, scripted: bool) -> None:
    async with _under_way(stage, step):
        kubeconfig = stage.kubeconfigs[ONCALL]
        try:
            with trio.fail_after(WAIT_S):
                approval = await next_request(kubeconfig)
        except trio.TooSlowError as error:
            raise TourFailed(f"`{step.command}` was not held") from error
        await stage.kubetape(ONCALL.name, "approvals", "ls")
        thinking_s = THINKING_S * stage.pace
        said = await decide(stage.screen, approval, scripted=scripted, thinking_s=thinking_s)
        words = (
            ("approve", approval.short_id) if said else ("deny", approval.short_id, "--note", _note(scripted))
        )
        await stage.kubetape(ONCALL.name, "approvals", *words)


@asynccontextmanager
async def _under_way(stage: Stage, *steps: Step) -> AsyncIterator[None]:
    """agent-7 is busy with these steps while the block runs; what they printed is shown when all have ended."""
    printed: dict[Step, str] = {}

    async def perform(step: Step) -> None:
        printed[step] = await stage.perform(AGENT, step)

    async with trio.open_nursery() as nursery:
        for step in steps:
            stage.begin(AGENT, step)
            nursery.start_soon(perform, step)
        yield
    for step in steps:
        stage.end(AGENT, step, printed[step])
    await stage.pause(steps[0].pause_s)


def _note(scripted: bool) -> str:
    """Why not. scripted: whether the script would have approved."""
    return "not now" if scripted else WRONG_POD


async def _wait_for_streams(stage: Stage, count: int) -> None:
    with trio.move_on_after(WAIT_S):
        while True:
            if stage.gateway.services.live.long_running >= count:
                return
            await trio.sleep(POLL_S)
    raise TourFailed("the streams of the grant did not begin")
