"""Two gateways, whole processes, on one real PostgreSQL: what is said at one counts at both, once, for as long as the
database can be reached and no longer. `pytest -s` prints how long revocations and ends of grants took."""

import datetime
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.crash.processes import Oracle
from tests.kit.cable import Cable, cabled
from tests.kit.postgres_server import PostgresServer, why_not
from tests.kit.raw_client import Response
from tests.kit.replica_clients import Person, Streams
from tests.kit.replicas import Pair, Replica, run_pair

pytestmark = pytest.mark.slow

DEVS = ("ann", "racer", "late", "killed", "crashed", "by-user", "by-credential", "by-session", "bystander")
GUESTS = ("by-grant", "guest", "withdrawn")
DEADLINE_S = 45.0
GENEROUS_S = 5.0
"""For what takes a tenth of a second here: a busy machine pauses."""
ROUNDS = 12
WATCH = "/api/v1/namespaces/default/pods?watch=true"
POD = "/api/v1/namespaces/default/pods/web"
EXEC = f"{POD}/exec?command=sh&command=-c&command=echo+ready%3B+sleep+600&stdout=true&stderr=true"
HELD_EXEC = "/api/v1/namespaces/payments/pods/api/exec?command=id&stdout=true&stderr=true"
FORWARD = f"{POD}/portforward"
V5, TUNNEL = "v5.channel.k8s.io", "SPDY/3.1+portforward.k8s.io"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    if why_not():
        pytest.skip(why_not())
    running = PostgresServer()
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    with Oracle(tmp_path_factory.mktemp("oracle")) as running:
        yield running


@pytest.fixture(scope="module")
def pair(server: PostgresServer, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    dsn = server.new_database()
    with run_pair(tmp_path_factory.mktemp("pair"), oracle, (dsn, dsn), DEVS, GUESTS) as running:
        yield running


def target_of(mark: str) -> str:
    """A creation that people have to approve."""
    return f"/api/v1/namespaces/prod/configmaps?fieldManager={mark}"


def document_of(mark: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": mark}}


async def create(person: Person, mark: str) -> Response:
    return await person.call("POST", target_of(mark), document_of(mark))


async def done(pair: Pair, mark: str) -> int:
    """How often the API server was asked for it."""
    return (await carried_out(pair))[mark]


async def carried_out(pair: Pair) -> Counter[str]:
    return await trio.to_thread.run_sync(pair.carried_out)


def hold_of(answer: Response) -> str:
    """The id of the hold that an answer is about."""
    causes = json.loads(answer.body)["details"]["causes"]
    (found,) = (cause["message"] for cause in causes if cause["reason"] == "Approval")
    return str(found)


async def all_wait(replica: Replica, count: int) -> None:
    while await trio.to_thread.run_sync(replica.waiting) < count:
        await trio.sleep(0.02)


async def leave_behind(person: Person, approver: Person, mark: str) -> str:
    """Ask for an approval, and go; returns the id of the hold."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create, person, mark)
        hold = await approver.hold(mark)
        nursery.cancel_scope.cancel()
    return str(hold["id"])


async def approve(approver: Person, hold_id: str) -> None:
    await approver.asked(f"approvals/{hold_id}/approve", {"note": "go on"}, 200)


# --- holds -------------------------------------------------------------------------------------------


async def test_a_call_held_at_one_gateway_is_approved_through_the_other_and_goes_ahead(pair: Pair) -> None:
    ann, bob = Person(pair.a, pair.tokens["ann"]), Person(pair.b, pair.tokens["bob"])
    answers: list[Response] = []

    async def ask() -> None:
        answers.append(await create(ann, "across"))

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            hold = await bob.hold("across")
            assert await done(pair, "across") == 0
            await approve(bob, hold["id"])
        (answer,) = answers
        assert (answer.status, await done(pair, "across")) == (201, 1)
        seen = await bob.shown(f"approvals/{hold['id']}", lambda shown: shown["state"] == "used")
        assert (seen["requester"]["user"], seen["decidedBy"], seen["uses"]) == ("ann", "bob", 1)


async def test_a_retry_at_the_other_gateway_joins_the_hold_and_takes_its_approval(pair: Pair) -> None:
    there, here = Person(pair.a, pair.tokens["ann"]), Person(pair.b, pair.tokens["ann"])
    bob = Person(pair.a, pair.tokens["bob"])
    with trio.fail_after(DEADLINE_S):
        first = await create(there, "joined")
        assert (first.status, first.header(b"retry-after")) == (429, b"1")
        again: list[Response] = []

        async def come_back() -> None:
            again.append(await here.persist("POST", target_of("joined"), document_of("joined")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(come_back)
            await all_wait(pair.b, 1)
            status, listed = await bob.console("GET", "/api/v1/approvals?state=pending")
            ids = [hold["id"] for hold in listed["items"] if "joined" in hold["call"]["target"]]
            assert (status, ids) == (200, [hold_of(first)])
            await approve(bob, ids[0])
        assert (again[0].status, await done(pair, "joined")) == (201, 1)


async def at_both(
    pair: Pair, user: str, marks: list[str], ready: Callable[[], Any]
) -> dict[str, list[Response]]:
    """The answers to the same calls made at both gateways at once."""
    answers: dict[str, list[Response]] = {mark: [] for mark in marks}

    async def ask(person: Person, mark: str) -> None:
        answers[mark].append(await create(person, mark))

    people = [Person(replica, pair.tokens[user]) for replica in (pair.a, pair.b)]
    async with trio.open_nursery() as nursery:
        for mark in marks:
            for person in people:
                nursery.start_soon(ask, person, mark)
        await ready()
    return answers


async def assert_each_went_ahead_once(
    pair: Pair, answers: dict[str, list[Response]], ids: dict[str, str]
) -> None:
    counts = await carried_out(pair)
    for mark, both in answers.items():
        assert sorted(answer.status for answer in both) == [201, 429], mark
        assert counts[mark] == 1, mark
        (held,) = (answer for answer in both if answer.status == 429)
        assert hold_of(held) != ids[mark], "who comes second needs a word of his own"


async def test_of_two_attempts_that_wait_at_two_gateways_exactly_one_goes_ahead(pair: Pair) -> None:
    marks = [f"race-{number:02}" for number in range(ROUNDS)]
    bob = Person(pair.b, pair.tokens["bob"])
    ids: dict[str, str] = {}

    async def approve_all() -> None:
        await all_wait(pair.a, ROUNDS)
        await all_wait(pair.b, ROUNDS)
        _, pending = await bob.console("GET", "/api/v1/approvals?state=pending")
        for hold in pending["items"]:
            ids.update({mark: hold["id"] for mark in marks if mark in hold["call"]["target"]})
        assert len({*ids.values()}) == ROUNDS
        async with trio.open_nursery() as nursery:
            for hold_id in ids.values():
                nursery.start_soon(approve, bob, hold_id)

    with trio.fail_after(DEADLINE_S):
        answers = await at_both(pair, "racer", marks, approve_all)
        await assert_each_went_ahead_once(pair, answers, ids)


async def test_an_approval_that_nobody_waited_for_is_used_at_one_gateway_only(pair: Pair) -> None:
    marks = [f"unattended-{number:02}" for number in range(ROUNDS)]
    late, sue = Person(pair.a, pair.tokens["late"]), Person(pair.b, pair.tokens["sue"])
    with trio.fail_after(DEADLINE_S):
        ids = {mark: await leave_behind(late, sue, mark) for mark in marks}
        for hold_id in ids.values():
            await approve(sue, hold_id)
        answers = await at_both(pair, "late", marks, trio.lowlevel.checkpoint)
        await assert_each_went_ahead_once(pair, answers, ids)


# --- revocations ---------------------------------------------------------------------------------------


async def open_streams(streams: Streams, nursery: trio.Nursery, person: Person, whose: str) -> None:
    """One of every kind."""
    await streams.open(nursery, f"watch of {whose}", partial(person.watch, WATCH))
    tunnels = {
        "exec over WebSocket": ("exec", "websocket", V5, EXEC),
        "exec over SPDY": ("exec", "spdy", "v4.channel.k8s.io", EXEC),
        "port-forward over SPDY": ("portforward", "spdy", "portforward.k8s.io", FORWARD),
        "port-forward over WebSocket": ("portforward", "websocket", TUNNEL, FORWARD),
    }
    for name, (kind, transport, protocol, target) in tunnels.items():
        tunnel = partial(person.tunnel, kind, transport, protocol, target)
        await streams.open(nursery, f"{name} of {whose}", tunnel)


async def granted(pair: Pair, user: str, duration: str) -> Any:
    """Ask for the grant at A, approve it at B; the active grant as B shows it."""
    guest, bob = Person(pair.a, pair.tokens[user]), Person(pair.b, pair.tokens["bob"])
    wish = {"bundle": "repair", "reason": "ticket 7", "duration": duration}
    asked = await guest.asked("grants", wish, 201)
    await bob.shown(f"grants/{asked['id']}", lambda grant: grant["state"] == "pending")
    given = await bob.asked(f"grants/{asked['id']}/approve", {"note": "take care"}, 200)
    assert given["state"] == "active"
    return given


async def subject_of(pair: Pair, kind: str, user: str) -> str:
    """What a revocation of this kind names, so that it is this user's streams at A that end."""
    if kind == "grant":
        return str((await granted(pair, user, "1h"))["id"])
    person = Person(pair.a, pair.tokens[user])
    assert (await person.call("GET", POD)).status == 200  # so that there is a session
    _, me = await person.console("GET", "/api/v1/whoami")
    return str({"user": user, "credential": me["credentialId"], "session": me["session"]}[kind])


WORDS = {
    "user": "access revoked by adm: laptop stolen",
    "credential": "this credential revoked by adm: laptop stolen",
    "session": "this session revoked by adm: laptop stolen",
    "grant": "grant {} revoked by adm: laptop stolen",
}


@pytest.mark.parametrize("kind", WORDS)
async def test_a_revocation_through_one_gateway_ends_every_stream_at_the_other(pair: Pair, kind: str) -> None:
    revoked, bystanders = Streams(), Streams()
    adm = Person(pair.b, pair.tokens["adm"])
    person = Person(pair.a, pair.tokens[f"by-{kind}"])
    with trio.fail_after(DEADLINE_S):
        subject = await subject_of(pair, kind, f"by-{kind}")
        async with trio.open_nursery() as nursery:
            await open_streams(revoked, nursery, person, kind)
            await open_streams(bystanders, nursery, Person(pair.a, pair.tokens["bystander"]), "somebody else")
            assert not revoked.ended
            began_s = trio.current_time()
            wish = {"kind": kind, "subject": subject, "reason": "laptop stolen"}
            await adm.asked("revocations", wish, 201)
            await revoked.have_ended(*revoked.heard)
            assert not bystanders.ended
            nursery.cancel_scope.cancel()
        took_s = {name: ended_s - began_s for name, ended_s in revoked.ended.items()}
        print(f"revoked by {kind}:", {name: f"{seconds * 1000:.0f} ms" for name, seconds in took_s.items()})
        assert max(took_s.values()) < GENEROUS_S
        words = WORDS[kind].format(subject).encode()
        assert [name for name, heard in revoked.heard.items() if words not in heard] == []
        assert (await person.call("GET", POD)).status == 403


# --- grants ---------------------------------------------------------------------------------------------


def ns_of(stamp: str) -> int:
    return int(datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000) * 1_000_000


async def test_a_grant_asked_for_at_one_and_approved_at_the_other_is_good_at_both_and_ends_at_both(
    pair: Pair,
) -> None:
    here, there = (Person(replica, pair.tokens["guest"]) for replica in (pair.a, pair.b))
    late_ms: dict[str, float] = {}

    async def watch(name: str, person: Person, ends_ns: int) -> None:
        heard = bytearray()
        await person.watch(WATCH, heard.extend)
        late_ms[name] = (time.time_ns() - ends_ns) / 1e6
        assert b" expired" in heard

    with trio.fail_after(DEADLINE_S):
        assert [(await person.call("GET", POD)).status for person in (here, there)] == [403, 403]
        grant = await granted(pair, "guest", "3s")
        ends_ns = ns_of(grant["endsAt"])
        assert ends_ns - ns_of(grant["beginsAt"]) == 3_000_000_000
        await here.shown(f"grants/{grant['id']}", lambda shown: shown["state"] == "active")
        assert [(await person.call("GET", POD)).status for person in (here, there)] == [200, 200]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, "A", here, ends_ns)
            nursery.start_soon(watch, "B", there, ends_ns)
        print("grant ended:", {name: f"{late:.0f} ms late" for name, late in late_ms.items()})
        assert all(0 <= late < GENEROUS_S * 1000 for late in late_ms.values()), late_ms
        assert [(await person.call("GET", POD)).status for person in (here, there)] == [403, 403]


async def test_a_grant_that_its_owner_gives_back_at_one_gateway_is_over_at_both(pair: Pair) -> None:
    here, there = (Person(replica, pair.tokens["withdrawn"]) for replica in (pair.a, pair.b))
    with trio.fail_after(DEADLINE_S):
        grant = await granted(pair, "withdrawn", "1h")
        assert (await there.call("GET", POD)).status == 200
        await there.asked(f"grants/{grant['id']}/revoke", {"reason": "done"}, 200)
        await here.shown(f"grants/{grant['id']}", lambda shown: shown["state"] == "revoked")
        assert [(await person.call("GET", POD)).status for person in (here, there)] == [403, 403]


# --- kill -9 -----------------------------------------------------------------------------------------------


async def restart(replica: Replica) -> None:
    replica.kill()
    await trio.to_thread.run_sync(replica.start)


async def test_what_waits_or_is_approved_when_a_gateway_is_killed_is_neither_lost_nor_done_twice(
    pair: Pair,
) -> None:
    at_a, at_b = (partial(Person, replica) for replica in (pair.a, pair.b))
    mine, bobs = pair.tokens["killed"], pair.tokens["bob"]
    with trio.fail_after(DEADLINE_S):
        approved = await leave_behind(at_a(mine), at_b(bobs), "kept")
        await approve(at_b(bobs), approved)
        broken: list[str] = []

        async def ask() -> None:
            try:
                await create(at_a(mine), "cut-off")
            except (EOFError, OSError, trio.BrokenResourceError) as error:
                broken.append(type(error).__name__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            pending = (await at_b(bobs).hold("cut-off"))["id"]
            await restart(pair.a)
        assert len(broken) == 1
        assert (await carried_out(pair)).keys().isdisjoint({"cut-off", "kept"})
        # The approved one is there after the restart, once.
        assert (await create(at_a(mine), "kept")).status == 201
        assert await leave_behind(at_a(mine), at_b(bobs), "kept") != approved
        assert await done(pair, "kept") == 1
        # The pending one is nothing but a question until somebody comes back for the answer.
        await approve(at_a(bobs), pending)
        assert await done(pair, "cut-off") == 0
        assert (await create(at_a(mine), "cut-off")).status == 201
        assert await done(pair, "cut-off") == 1


async def test_a_gateway_killed_while_approvals_are_being_used_uses_none_twice(pair: Pair) -> None:
    marks = [f"crash-{number:02}" for number in range(ROUNDS)]
    here = Person(pair.a, pair.tokens["crashed"])
    sue = Person(pair.b, pair.tokens["sue"])
    ids: dict[str, str] = {}

    async def ask(mark: str) -> None:
        try:
            await create(here, mark)
        except (EOFError, OSError, trio.BrokenResourceError):
            pass  # what became of it is what this test asks

    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for mark in marks:
                nursery.start_soon(ask, mark)
            for mark in marks:
                ids[mark] = (await sue.hold(mark))["id"]
            for mark in marks[: ROUNDS // 2]:
                await approve(sue, ids[mark])
            pair.a.kill()
        for mark in marks[ROUNDS // 2 :]:
            await approve(sue, ids[mark])
        await trio.to_thread.run_sync(pair.a.start)
        answers = await at_both(pair, "crashed", marks, trio.lowlevel.checkpoint)
        counts = await carried_out(pair)
        for mark in marks:
            won = [answer.status for answer in answers[mark]].count(201)
            assert won <= counts[mark] <= 1, mark
            shown = await sue.shown(f"approvals/{ids[mark]}", lambda shown: shown["state"] == "used")
            assert shown["uses"] == 1, mark
        # Those of which nobody had begun to make use were there for who came back.
        assert all(counts[mark] == 1 for mark in marks[ROUNDS // 2 :])


# --- partitions -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def in_threads(blocking: AbstractContextManager[Pair]) -> AsyncIterator[Pair]:
    """Begin and end in threads, for the network of these processes is a task of ours."""
    with trio.CancelScope(shield=True):
        pair = await trio.to_thread.run_sync(blocking.__enter__)
    error: BaseException | None = None
    try:
        yield pair
    except BaseException as raised:
        error = raised
    with trio.CancelScope(shield=True):
        await trio.to_thread.run_sync(blocking.__exit__, type(error) if error else None, error, None)
    if error is not None:
        raise error


async def readyz(replica: Replica) -> tuple[int, str]:
    return await trio.to_thread.run_sync(replica.readyz)


async def said_by_readyz(replica: Replica, words: str) -> None:
    while words not in (await readyz(replica))[1]:
        await trio.sleep(0.05)


async def statuses(*answers: tuple[Person, str]) -> list[int]:
    return [(await person.call("GET", target)).status for person, target in answers]


async def test_a_gateway_cut_off_from_the_database_goes_on_with_its_base_policy_and_gives_nobody_more(
    server: PostgresServer, oracle: Oracle, tmp_path: Path
) -> None:
    async with cabled(server.new_database(), server) as (cable, through_cable), in_threads(
        run_pair(
            tmp_path, oracle, (through_cable, server.dsn(through_cable.rpartition("/")[2])),
            ("dev", "gone", "soon"), ("guest",), shares_key=False, patience_s=30,
        )
    ) as pair:  # fmt: skip
        with trio.fail_after(60):
            await _cut_off(pair, cable)


async def _cut_off(pair: Pair, cable: Cable) -> None:
    at_a = {user: Person(pair.a, token) for user, token in pair.tokens.items()}
    at_b = {user: Person(pair.b, token) for user, token in pair.tokens.items()}
    await granted(pair, "guest", "1h")
    unused = await leave_behind(at_a["dev"], at_b["bob"], "unused")
    await approve(at_b["bob"], unused)
    pending = await leave_behind(at_a["dev"], at_b["bob"], "undecided")
    await at_b["adm"].asked("revocations", {"kind": "user", "subject": "gone", "reason": "left"}, 201)
    await at_a["bob"].shown(f"approvals/{unused}", lambda hold: hold["state"] == "approved")
    streams, waited = Streams(), list[Response]()

    async def hold_out() -> None:
        waited.append(await create(at_a["dev"], "waiting"))

    async with trio.open_nursery() as nursery:
        await streams.open(nursery, "on a grant", partial(at_a["guest"].watch, WATCH))
        await streams.open(nursery, "of a developer", partial(at_a["dev"].watch, WATCH))
        await streams.open(
            nursery, "held shell", partial(at_a["dev"].tunnel, "exec", "websocket", V5, HELD_EXEC)
        )
        nursery.start_soon(hold_out)
        await at_b["bob"].hold("waiting")
        cable.cut()
        await _not_known_to_be_stale_yet(at_a)
        await said_by_readyz(
            pair.a, "state failed: shared state: out of date, grants and approvals count as expired"
        )
        await _only_the_base_policy(at_a)
        await streams.have_ended("on a grant", "held shell")
        assert b"is no longer in force" in streams.heard["on a grant"]
        assert b"kubetape cannot tell whether" in streams.heard["held shell"]
        assert (waited[0].status, b"kubetape cannot tell whether" in waited[0].body) == (503, True)
        await _the_other_goes_on(pair, at_b, pending)
        assert (await carried_out(pair)).keys().isdisjoint({"unused", "undecided", "new", "waiting"})
        cable.mend()
        await said_by_readyz(pair.a, "[+]state ok")
        assert streams.ended.keys() == {"on a grant", "held shell"}
        nursery.cancel_scope.cancel()
    assert await statuses((at_a["guest"], POD), (at_a["gone"], POD), (at_a["soon"], POD)) == [200, 403, 403]
    for mark in ("unused", "undecided"):
        assert (await create(at_a["dev"], mark)).status == 201
        assert await leave_behind(at_b["dev"], at_b["bob"], mark) not in (unused, pending)
        assert await done(pair, mark) == 1


async def _not_known_to_be_stale_yet(at_a: dict[str, Person]) -> None:
    """For ten seconds what was known counts; what has to be written down first cannot be done."""
    assert await statuses((at_a["guest"], POD), (at_a["dev"], POD), (at_a["gone"], POD)) == [200, 200, 403]
    answer = await create(at_a["dev"], "unused")
    assert answer.status == 503
    assert b"kubetape cannot use the approval now" in answer.body


async def _only_the_base_policy(at_a: dict[str, Person]) -> None:
    """Of grants and approvals nothing is left, of the rest everything."""
    assert await statuses((at_a["guest"], POD), (at_a["dev"], POD), (at_a["gone"], POD)) == [403, 200, 403]
    for mark in ("unused", "undecided", "new"):
        answer = await create(at_a["dev"], mark)
        assert answer.status == 503
        assert b"kubetape cannot ask for an approval now: shared state" in answer.body
    code, status = await at_a["bob"].console("GET", "/api/v1/approvals")
    assert (code, status["reason"]) == (503, "ServiceUnavailable")


async def _the_other_goes_on(pair: Pair, at_b: dict[str, Person], pending: str) -> None:
    """And says what the one that is cut off will hear of later."""
    assert (await readyz(pair.b))[0] == 200
    await approve(at_b["bob"], pending)
    await at_b["adm"].asked("revocations", {"kind": "user", "subject": "soon", "reason": "left"}, 201)
    assert await statuses((at_b["guest"], POD), (at_b["soon"], POD)) == [200, 403]
