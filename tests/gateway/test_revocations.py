"""What no longer may run ends, with a reason: at once after a revocation, to the second at an end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gateway.errors import EXPIRED, REVOKED, Refusal
from gateway.live import Live, LiveExchange
from gateway.policy.model import ActiveGrant
from gateway.principal import Principal
from gateway.revocations import CREDENTIAL_EXPIRED, Revocations, revocation_reason
from gateway.state.clock import SteadyClock
from gateway.state.entries import Revoked
from tests.kit.gateway_rig import open_rig
from tests.kit.orc import OrcConnection
from tests.kit.tunnel_ends import FrameStream, exec_server, websocket_fields
from tests.kit.websocket_bytes import frame

NOW = 1_800_000_000 * 1_000_000_000
S = 1_000_000_000
ANN = Principal("ann", (), "oidc", "c1", issuer="https://issuer")


class State:
    """The part of the shared state that is asked, with lists of what was granted and revoked."""

    def __init__(self) -> None:
        self.revoked: list[Revoked] = []
        self.grants: tuple[ActiveGrant, ...] = ()
        self.clock = SteadyClock()

    def now_ns(self) -> int:
        return self.clock.now_ns()

    def revocation_of(
        self, user: str, issuer: str, credential_id: str, session: str, grants: tuple[str, ...]
    ) -> Revoked | None:
        mine = {("user", user), ("credential", credential_id), ("session", session)}
        mine |= {("grant", grant) for grant in grants}
        return next((one for one in self.revoked if (one.subject_kind, one.subject) in mine), None)

    def grants_of(self, user: str, issuer: str) -> tuple[ActiveGrant, ...]:
        return self.grants


class Clock:
    """UTC that follows Trio's (mocked) clock, and may be set back."""

    def __init__(self) -> None:
        self.step_ns = 0

    def wall_ns(self) -> int:
        return NOW + self.step_ns + int(trio.current_time() * S)

    def monotonic_ns(self) -> int:
        return int(trio.current_time() * S)


class Running:
    def __init__(self, state: State, live: Live, revocations: Revocations, clock: Clock) -> None:
        self.state, self.live, self.revocations, self.clock = state, live, revocations, clock
        self.started_s = trio.current_time()
        self.ends: list[tuple[float, str, str]] = []  # (seconds, session, reason)

    async def exchange(
        self, principal: Principal = ANN, session: str = "S1", grants: tuple[ActiveGrant, ...] = ()
    ) -> None:
        whole = trio.CancelScope()
        with self.live.exchange(whole=whole) as exchange:
            with whole:
                self.revocations.enter(exchange, principal, session)
                self.revocations.rests_on(exchange, grants)
                await trio.sleep_forever()
            self.ends.append((trio.current_time() - self.started_s, session, exchange.reason))

    def revoke(self, kind: str, subject: str) -> None:
        self.state.revoked.append(Revoked(NOW, "R1", kind, subject, "sec", "laptop stolen"))
        self.revocations.changed()


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Running, trio.Nursery]]:
    live, state, clock = Live(), State(), Clock()
    state.clock = SteadyClock(clock.wall_ns, clock.monotonic_ns)
    revocations = Revocations(live, state)
    async with trio.open_nursery() as nursery:
        await nursery.start(revocations.run)
        yield Running(state, live, revocations, clock), nursery
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("kind", "subject", "reason"),
    [
        ("user", "ann", "access revoked by sec: laptop stolen"),
        ("credential", "c1", "this credential revoked by sec: laptop stolen"),
        ("session", "S1", "this session revoked by sec: laptop stolen"),
        ("grant", "G1", "grant G1 revoked by sec: laptop stolen"),
    ],
)
async def test_what_is_revoked_ends_and_nothing_else(
    autojump_clock: MockClock, kind: str, subject: str, reason: str
) -> None:
    async with running() as (run, nursery):
        grant = ActiveGrant("G1", "repair", NOW + 3600 * S)
        run.state.grants = (grant,)
        nursery.start_soon(run.exchange, ANN, "S1", (grant,))
        nursery.start_soon(run.exchange, Principal("bob", (), "oidc", "c2"), "S2")
        await wait_all_tasks_blocked()
        run.revoke(kind, subject)
        await wait_all_tasks_blocked()
        assert [(session, why) for _, session, why in run.ends] == [("S1", reason)]
        assert len(run.live) == 1


async def test_a_grant_ends_to_the_second_and_the_clock_set_back_does_not_extend_it(
    autojump_clock: MockClock,
) -> None:
    async with running() as (run, nursery):
        grant = ActiveGrant("G1", "repair", NOW + 90 * S)
        later = ActiveGrant("G2", "repair", NOW + 3600 * S)
        run.state.grants = (grant, later)
        nursery.start_soon(run.exchange, ANN, "S1", (later,))
        await trio.sleep(30)
        nursery.start_soon(run.exchange, ANN, "S2", (grant, later))
        await trio.sleep(30)
        run.clock.step_ns = -3600 * S
        await trio.sleep(40)
        ((at_s, session, why),) = run.ends
        assert (session, why) == ("S2", "grant G1 expired")
        assert 90 <= at_s < 90.01


async def test_a_credential_ends_to_the_second_and_a_new_one_is_asked_for(autojump_clock: MockClock) -> None:
    async with running() as (run, nursery):
        principal = Principal("ann", (), "oidc", "c1", expires_ns=NOW + 10 * S)
        nursery.start_soon(run.exchange, principal)
        await trio.sleep(11)
        ((at_s, _, why),) = run.ends
        assert 10 <= at_s < 10.01
        assert why == CREDENTIAL_EXPIRED
        with pytest.raises(Refusal) as refused:
            run.revocations.enter(LiveExchange(), principal, "S1")
        assert refused.value.answer.code == 401


async def test_a_step_of_the_clock_forward_ends_a_grant_within_a_second(autojump_clock: MockClock) -> None:
    async with running() as (run, nursery):
        grant = ActiveGrant("G1", "repair", NOW + 3600 * S)
        run.state.grants = (grant,)
        nursery.start_soon(run.exchange, ANN, "S1", (grant,))
        await trio.sleep(5)
        run.clock.step_ns = 7200 * S
        await trio.sleep(1.01)
        assert [why for _, _, why in run.ends] == ["grant G1 expired"]


async def test_grants_end_within_a_second_when_the_state_can_no_longer_be_read(
    autojump_clock: MockClock,
) -> None:
    async with running() as (run, nursery):
        grant = ActiveGrant("G1", "repair", NOW + 3600 * S)
        run.state.grants = (grant,)
        nursery.start_soon(run.exchange, ANN, "S1", (grant,))
        nursery.start_soon(run.exchange, ANN, "S2")
        await trio.sleep(5)
        run.state.grants = ()
        await trio.sleep(1.01)
        assert [(session, why) for _, session, why in run.ends] == [("S1", "grant G1 is no longer in force")]


async def test_who_is_revoked_does_not_get_in_and_who_is_unknown_is_left_alone() -> None:
    async with running() as (run, _):
        run.revoke("user", "ann")
        with run.live.exchange() as nobody:
            await wait_all_tasks_blocked()
            assert not nobody.reason
        exchange = LiveExchange()
        with pytest.raises(Refusal) as refused:
            run.revocations.enter(exchange, ANN, "S1")
        assert (refused.value.answer.code, refused.value.answer.result) == (403, "denied")
        assert refused.value.message == "access revoked by sec: laptop stolen"


async def test_what_is_cut_already_keeps_its_reason(autojump_clock: MockClock) -> None:
    async with running() as (run, nursery):
        nursery.start_soon(run.exchange)
        await wait_all_tasks_blocked()
        run.live.cut_where(lambda one: True, "first", REVOKED)
        run.revoke("user", "ann")
        await wait_all_tasks_blocked()
        assert [why for _, _, why in run.ends] == ["first"]


def test_a_reason_is_one_visible_line() -> None:
    revoked = Revoked(0, "R1", "user", "ann", "sec\n", "x\x1b[31m" + "y" * 1000)
    assert revocation_reason(revoked).isprintable()
    assert len(revocation_reason(revoked)) <= 512


def test_the_answers_differ_where_clients_act_on_them() -> None:
    assert (REVOKED.code, EXPIRED.code) == (403, 401)


async def hello(connection: OrcConnection, frames: FrameStream) -> None:
    await connection.send(frame(2, b"\x01hello", masked=False))


async def test_the_user_of_an_exec_reads_why_it_ended(tmp_path: Path) -> None:
    """Through a whole gateway, on the error channel, as kubectl prints it."""
    state = State()
    async with (
        open_rig(tmp_path, exec_server(hello)) as rig,
        rig.client() as client,
        trio.open_nursery() as nursery,
    ):
        revocations = Revocations(rig.gateway.services.live, state)
        await nursery.start(revocations.run)
        target = b"/api/v1/namespaces/d/pods/p/exec?command=sh&stdin=true&stdout=true&stderr=true"
        await client.send(rig.request(b"GET", target, *websocket_fields(b"v5.channel.k8s.io")))
        assert (await client.head()).status == 101
        await client.until(b"hello")
        (exchange,) = rig.gateway.services.live
        state.revoked.append(Revoked(0, "R1", "user", exchange.user, "sec", "laptop stolen"))
        revocations.changed()
        said = await client.until(b'"code":403}')
        assert b"access revoked by sec: laptop stolen" in said
        assert b'"reason":"Forbidden"' in said
        nursery.cancel_scope.cancel()
